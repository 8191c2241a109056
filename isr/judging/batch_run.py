"""One judge working through its requests by batches: shards of a file each, written down, uploaded, created, waited for.

What becomes of an answer or of a failure is what the run of the direct path makes of it (``loop.JudgeRun``); here is how they
come. A shard is never created twice: what was written down before is found again at the host by its digest.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from itertools import islice
from typing import Any

from isr.errors import (
    EditDirectoryError,
    JudgeError,
    Problem,
    QuotaError,
    RejectedError,
    SecretError,
    TransportError,
    TransportReason,
)
from isr.image_file import ImageProblem
from isr.judging.backends import border
from isr.judging.batch_files import Item
from isr.judging.batch_ledger import Asked, Ledger, Shard, State, custom_id_of, of_requests
from isr.judging.batch_lines import LOST, Problems, most, results_in
from isr.judging.batch_submit import LOOKS, Stopped, Submitter, unless_set
from isr.judging.batch_taking import Taking
from isr.judging.engines import Batch, BatchHost, Engine, Status
from isr.judging.loop import JudgeRun
from isr.judging.plan import CHUNK, arms_of
from isr.judging.prices import in_batches, worst_cost
from isr.judging.retry import Throttle, with_retries
from isr.redaction import without_keys
from isr.text import plain
from isr.types import Arm, Edit

log = logging.getLogger("isr")

GROWS, SLOWEST = (
    1.5,
    10.0,
)  # a batch at which nothing changes is looked at less and less often, down to a tenth
MISSES = 20  # looks in a row without a reply after which a run ends


class BatchRun(JudgeRun):
    """One judge, its requests in batches.

    order: how the run was called, for ``isr batch``. wait: for batches that run; else they are looked at once. submit: whether
    anything new is asked.
    """

    def __init__(
        self,
        *args: Any,
        engine: Engine,
        order: Mapping[str, Any],
        wait: bool = True,
        submit: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.engine, self.order, self.wait, self.submit = engine, order, wait, submit
        self.priced = in_batches(self.card)
        self.ledger = Ledger(self.store.path)
        self.host: BatchHost | None = None
        self.throttle = Throttle(self.card.limits)
        self.items: dict[str, Item] = {}
        self.names: frozenset[str] = frozenset()  # of all that was missing at first
        self.queue: deque[Item] = deque()
        self.open: list[Shard] = []
        self.held: deque[Shard] = deque()  # which found the host's queue full
        self.done: dict[str, int] = {}  # by batch, as the host counts
        self.worst: dict[str, float] = {}
        self.tries: Counter[str] = Counter()
        self.alone: Counter[str] = (
            Counter()
        )  # by shard: how often the queue was full without any other of ours
        self.most = self.card.limits.batch_requests
        self.misses = self.quiet = 0

    async def run(self) -> None:
        """Asks until nothing is missing, the budget is used up, the judge fails, or the user interrupts."""
        try:
            found = [item async for item in self.missing()]
            if found:
                with self.ledger.held(self.card.digest):
                    await self._work(self._still_missing(found))
                await self._settle()
        except (JudgeError, SecretError) as error:
            self.error = self.error or error
            self.progress.stopped = self.progress.stopped or str(error)
        except TransportError as error:  # the host is not there; what is written down is found again
            self.progress.stopped = self.progress.stopped or f"{self.card.name}: {error}"
        except Stopped:
            pass
        finally:
            self._sum_up()
            self.proof.end()
            for opened in (self.host, self.judge):
                if opened is not None:
                    await opened.close()

    async def _chunks(self) -> AsyncIterator[list[tuple[Edit, Arm]]]:
        """In the order of the edits: the same requests make the same files."""
        judged = arms_of(self.plan.edits)
        while chunk := list(islice(judged, CHUNK)):
            yield chunk

    def _still_missing(self, found: Sequence[Item]) -> list[Item]:
        """Without what another process has got meanwhile, which held the batches until now."""
        asks = self.store.asks([request.key for request, _ in found])
        left = [(request, ask) for request, ask in found if asks.get(request.key, 0) <= ask]
        self.progress.stored += len(found) - len(left)
        return left

    # --------------------------------------------------------------------------------- the course of it

    async def _work(self, items: Sequence[Item]) -> None:
        self.host = self.engine.host_of(self.card)
        sender = Submitter(
            host=self.host, ledger=self.ledger, card=self.card, engine=self.engine, order=self.order,
            call=self._call, rest=self._rest, tell=self.progress.retried,
        )  # fmt: skip
        self.items = of_requests(items)
        self.names = frozenset(self.items)
        await self._attach(sender)
        taken_before = {name for shard in self.open for name in shard.by_id}
        self.queue.extend(item for name, item in self.items.items() if name not in taken_before)
        try:
            first = True
            while self.error is None:
                while self._may_submit():
                    await self._submit(sender)
                await self._look(sender, first=first)
                first = False
                if self._is_settled() or not self.wait or self.misses >= MISSES:
                    break
                await self._rest(self._pause())
        finally:
            self._tell_left()

    def _may_submit(self) -> bool:
        room = not self.held or not self.open  # a full queue is waited for until one of ours is done
        return self.submit and room and bool(self.held or self.queue) and not self._is_over()

    def _is_settled(self) -> bool:
        return not self.open and not ((self.queue or self.held) and self.submit and not self._is_over())

    def _pause(self) -> float:
        self.quiet += 1
        return float(self.card.limits.batch_poll_s * min(SLOWEST, GROWS ** (self.quiet - 1)))

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.interrupt.wait(), seconds)
        if self.interrupt.is_set():
            raise Stopped

    async def _call(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """A reply of the host, with the card's retries."""
        limits = self.card.limits
        return await unless_set(
            self.interrupt, with_retries(work, limits, self.throttle, self.progress.retried)
        )

    # --------------------------------------------------------------------------------- shards

    async def _attach(self, sender: Submitter) -> None:
        """Takes up the shards that earlier runs wrote down."""
        before = [s for s in self.ledger.shards(open_only=True) if s.judge == self.card.digest]
        await sender.look()
        for shard in before:
            if shard.root != self.card.endpoint.root:
                log.warning(
                    "%s: batch %s with %d requests is at %s, to which this run does not go; its answers are not waited for",
                    self.card.name, shard.batch_id or shard.file_name, len(shard.requests), shard.root,
                )  # fmt: skip
                continue
            mine = self._mine(shard)
            if not mine and self._all_answered(shard):
                self._close(shard, "answered before")
                continue
            if await sender.found_again(shard):
                for name in mine:
                    self.worst[name] = worst_cost(self.priced, self.items[name][0])
                    self.budget.owe(self.worst[name])
                self.open.append(shard)

    def _mine(self, shard: Shard) -> dict[str, Asked]:
        """The requests of a shard that this run asks for; another question may share only some of them."""
        return {name: asked for name, asked in shard.by_id.items() if name in self.items}

    def _all_answered(self, shard: Shard, but: Collection[str] = ()) -> bool:
        """Whether the store has an answer to each request of a shard, those left out whose names are in ``but``."""
        others = [a for name, a in shard.by_id.items() if name not in but]
        asks = self.store.asks([a.key for a in others])
        return all(asks.get(a.key, 0) > a.ask for a in others)

    async def _submit(self, sender: Submitter) -> None:
        """Sends one shard. A host that takes none ends the sending; what is there is waited for."""
        shard = self.held.popleft().again() if self.held else None
        if shard is not None:
            self.ledger.add(shard)
        else:
            shard = await unless_set(
                self.interrupt, sender.written(self.queue, self._line, self.most, self._reserve)
            )
            if shard is None:
                return
        try:
            await sender.send(shard)
        except TransportError as error:
            self.progress.stopped = (
                self.progress.stopped or f"{self.card.name}: a batch could not be made ({error})"
            )
            return
        self.quiet = 0
        self.open.append(shard)

    async def _line(self, custom_id: str, request: Any) -> tuple[bytes, Mapping[str, str]]:
        assert self.host is not None
        try:
            with border(self.card, "line"):
                return await self.host.line(custom_id, request, self._prepared(request))
        except ImageProblem as error:
            raise EditDirectoryError(
                "an image changed during the run; what was received is kept",
                [Problem(request.images["edit"].path, "", "the file as it was", str(error), "run again")],
            ) from error

    def _reserve(self, item: Item) -> bool:
        worst = worst_cost(self.priced, item[0])
        if not self.budget.reserve(worst):
            self.progress.stopped = f"the budget of {self.budget.usd:g} USD does not cover another request"
            return False
        self.worst[custom_id_of(item[0].key, item[1])] = worst
        return True

    def _release(self, shard: Shard) -> None:
        """Nothing of it costs anything: its money is free again."""
        for name in shard.by_id:
            self.budget.settle(self.worst.pop(name, 0.0), 0.0)

    def _close(self, shard: Shard, outcome: str, state: State = State.DONE, **told: Any) -> None:
        shard.state, shard.told = state, {"outcome": outcome, **told}
        self.ledger.save(shard)

    # --------------------------------------------------------------------------------- waiting

    async def _look(self, sender: Submitter, *, first: bool) -> None:
        """Looks at every batch once, and takes what those brought that are over."""
        assert self.host is not None
        for shard in list(self.open):
            try:
                batch = await self._call(partial(self.host.get, shard.batch_id))
                self.misses = 0
                self.quiet = 0 if self.done.get(shard.batch_id) not in (None, batch.done) else self.quiet
                self.done[shard.batch_id] = batch.done
                if batch.status.is_over:
                    self.quiet = 0
                    await self._ended(shard, batch, first=first)
                    self.open.remove(shard)
            except TransportError as error:
                self.misses += 1
                if self.throttle.is_dead(error) or self.misses >= MISSES:
                    self.misses = MISSES
                    self.progress.stopped = self.progress.stopped or f"{self.card.name}: {error}"
                    return
                log.warning(
                    "%s: batch %s could not be looked at (%s); it is looked at again",
                    self.card.name,
                    shard.batch_id,
                    error,
                )
            except (JudgeError, SecretError) as error:  # what the other batches brought is taken all the same
                self.error = self.error or error
                self.progress.stopped = self.progress.stopped or str(error)
        self._show()

    def _show(self) -> None:
        done = sum(self.done.get(s.batch_id, 0) for s in self.open)
        total = sum(len(s.requests) for s in self.open)
        at = f"{_batches(len(self.open))} at {self.card.endpoint.host}"
        self.progress.elsewhere = f"{at}: {done:,} of {total:,} done there" if self.open else ""

    async def _ended(self, shard: Shard, batch: Batch, *, first: bool) -> None:
        if batch.queue_full:
            self._queue_full(shard, batch)
        elif batch.status is Status.FAILED:
            self._close(shard, batch.errors or "failed", State.FAILED)
            self._release(shard)
            self.open.remove(shard)
            quota = any(word in batch.errors.lower() for word in ("billing", "quota"))
            raise (QuotaError if quota else RejectedError)(
                f"{self.card.name}: {self.card.endpoint.host} refused batch {batch.id} as a whole, so nothing of it was asked or "
                f"paid ({batch.errors or 'it does not say why'}); correct what it names, then run the same command again"
            )
        else:
            await self._fetch(shard, batch, first=first)

    def _queue_full(self, shard: Shard, batch: Batch) -> None:
        """Waits with a shard until others of ours are done; one that fits into no queue is halved."""
        self._close(shard, "the queue was full", State.FAILED)
        log.info("%s: the queue of %s is full (%s); batch %s was not run and costs nothing", self.card.name, self.card.endpoint.host, batch.errors, batch.id)  # fmt: skip
        if self.open == [shard]:
            self.alone[shard.digest] += 1
            self.quiet = self.alone[shard.digest]
        if self.alone[shard.digest] < LOOKS:
            self.held.append(shard)
            return
        self._release(shard)
        mine = self._mine(shard)
        if len(shard.requests) > 1:
            self.most = max(1, len(shard.requests) // 2)
            self.queue.extendleft(self.items[name] for name in reversed(list(mine)))
            log.info("%s: files of at most %d requests from here on", self.card.name, self.most)
            return
        error = TransportError(TransportReason.RATE_LIMITED, f"{self.card.endpoint.host}: {batch.errors}")
        for name in mine:
            self.failed(*self.items[name], error)

    def _tell_left(self) -> None:
        self.progress.elsewhere = "what is in no batch yet" if self.queue and not self.submit else ""
        if not self.open:
            return
        self._show()
        requests = sum(len(s.requests) for s in self.open)
        log.warning(
            "%s: %s with %d requests %s on at %s, whether anybody waits or not: the same command goes on with them; "
            "isr batch list %s shows them, isr batch cancel %s ends them",
            self.card.name, _batches(len(self.open)), requests, "goes" if len(self.open) == 1 else "go", self.card.endpoint.host,
            self.store.path.parent, self.store.path.parent,
        )  # fmt: skip

    # --------------------------------------------------------------------------------- results

    async def _fetch(self, shard: Shard, batch: Batch, *, first: bool) -> None:
        """Takes the results of a batch that is over, file by file; what it leaves open is asked again, or told."""
        mine, problems = self._mine(shard), Problems()
        taking = Taking(self, shard, mine)
        for file in batch.output_files:
            await self._read_file(file, shard, taking, problems)
        await taking.end()
        left = [name for name in mine if name not in taking.settled]
        again = [name for name in left if name in taking.again]
        left = [name for name in left if name not in taking.again]
        for name in (*again, *left):
            self.budget.settle(self.worst.pop(name, 0.0), 0.0)
        for name in taking.settled:
            self.items.pop(name, None)
        self.queue.extend(self.items[name] for name in again)
        if batch.status is Status.EXPIRED or (
            batch.status is Status.CANCELLED and (first or shard.cancelled)
        ):
            self._ask_again(shard, batch, left)
        elif batch.status is Status.CANCELLED:
            self._give_up_all(
                left, TransportReason.NOT_ASKED, f"batch {batch.id} was cancelled by somebody else"
            )
            self.progress.stopped = self.progress.stopped or (
                f"batch {batch.id} was cancelled outside of this run: {taking.answered:,} answers of it are kept, "
                f"{len(left):,} requests were not asked; the same command asks them"
            )
        elif left:
            for name in left:
                problems.add(LOST, name)
            self._give_up_all(left, TransportReason.SERVER_ERROR, f"batch {batch.id} has no line for it")
        for line in problems.lines(_shown):
            log.warning("%s: batch %s: %s", self.card.name, batch.id, line)
        if left and not taking.answered and problems.counts and batch.status is Status.COMPLETED:
            self.progress.stopped = self.progress.stopped or (
                f"batch {batch.id} is complete, and its files hold no answer to it: nothing more is asked, for it would be paid "
                "for again"
            )
        if self._all_answered(shard, self.names):
            self._close(shard, batch.status.value, answered=taking.answered, problems=problems.lines(_shown))

    async def _read_file(self, file: str, shard: Shard, taking: Taking, problems: Problems) -> None:
        """Reads a file of results to its end; one that breaks off is read again, and what was taken stays taken."""
        assert self.host is not None
        for attempt in range(self.card.limits.max_attempts):
            seen: set[str] = set()
            found = Problems()
            try:
                async with aclosing(self.host.content(file, most(len(shard.requests)))) as pieces:
                    lines = results_in(pieces, self.host.custom_id, shard.by_id, seen, found)
                    async for name, line in lines:
                        await taking.line(name, line)
            except TransportError as error:
                await taking.flush()
                if not error.retryable:
                    found.add(f"files that were not read to their end ({error})", file)
                elif attempt + 1 < self.card.limits.max_attempts:
                    self.progress.retried(error)
                    await self._rest(min(self.card.limits.batch_poll_s, 2**attempt))
                    continue
                else:
                    raise
            problems.counts.update(found.counts)
            for cause, shown in found.examples.items():
                problems.examples.setdefault(cause, []).extend(shown)
            return

    def _ask_again(self, shard: Shard, batch: Batch, left: Sequence[str]) -> None:
        """Puts what an expired or cancelled batch did not get to into the queue, a bounded number of times."""
        if not left:
            return
        what = "expired" if batch.status is Status.EXPIRED else "was cancelled"
        log.warning(
            "%s: batch %s %s: %d of %d requests were done and are kept, the others are asked again",
            self.card.name, batch.id, what, len(shard.requests) - len(left), len(shard.requests),
        )  # fmt: skip
        for name in left:
            self.tries[name] += 1
            if self.tries[name] < self.card.limits.max_attempts:
                self.queue.append(self.items[name])
            else:
                self._give_up_all([name], TransportReason.TIMEOUT, f"batch {batch.id} {what}")

    def _give_up_all(self, names: Sequence[str], reason: TransportReason, why: str) -> None:
        error = TransportError(reason, f"{self.card.endpoint.host}: {why}")
        for name in names:
            self._give_up(self.items[name][0], error)


def _batches(n: int) -> str:
    return "1 batch" if n == 1 else f"{n} batches"


def _shown(text: str) -> str:
    """A stranger's words for a log and for the ledger."""
    return plain(without_keys(text))

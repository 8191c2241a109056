"""The judging loop: asks every judge every question that the store has no answer to, and keeps each answer.

Bounded in flight and in memory; each answer is committed before it counts. Nothing here decides anything
about an edit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from functools import partial
from itertools import islice

from isr.errors import (
    EditDirectoryError,
    IsrError,
    JudgeError,
    Problem,
    RetiredError,
    SecretError,
    TransportError,
    TransportReason,
    first_of,
)
from isr.image_file import ImageProblem
from isr.judging.backends import Judge, open_judge
from isr.judging.budget import Budget
from isr.judging.cards import Card
from isr.judging.parsing import parse
from isr.judging.plan import CHUNK, Plan, arms_of
from isr.judging.pool import Member, Pool
from isr.judging.prefix import Prefix, asks_left
from isr.judging.prices import cost_of_answer, worst_cost
from isr.judging.progress import Progress
from isr.judging.refused import Refused, terminal_answer
from isr.judging.requests import Request
from isr.judging.retirement import is_past, require_served, utc_today
from isr.judging.retry import Over, Throttle, with_retries
from isr.judging.sending import Encoder, Prepared
from isr.judging.stopping import TECHNICAL, Stopping, alike, dead
from isr.judging.store import Store
from isr.judging.thinking import Proof
from isr.types import Answer, Arm, Edit

log = logging.getLogger("isr")

GRACE_S = 10.0  # after an interrupt, for answers that are in flight and may have been paid for


async def judge_all(
    plan: Plan,
    store: Store,
    *,
    budget_usd: float | None = None,
    progress: Progress | None = None,
    interrupt: asyncio.Event | None = None,
    today: Callable[[], date] = utc_today,
    keep_going: bool = False,
    prefix: Prefix | None = None,
    work: Callable[..., JudgeRun] | None = None,
) -> Progress:
    """Asks what the store has no answer to. Returns the progress; ``stopped`` says why it ended early.

    prefix: is told of every request that is settled, and ends the asking where it is met; a plan with an order of its own needs one.
    work: makes the run of one judge, if another than ``JudgeRun``.

    Raises ``JudgeError`` if a judge cannot be used at all, ``StoreError`` if an answer could not be kept; ``RetiredError``,
    before anybody is asked, if something is missing of a judge that is retired ``today`` and the plan does not allow it;
    ``UselessJudgeError`` if a judge's first answers cannot be used, unless ``keep_going``.
    """
    progress = progress or Progress()
    if prefix is not None:
        await asyncio.to_thread(prefix.advance)
        if prefix.met:  # by what the store holds
            return progress
    if not plan.allow_retired:
        await _require_served(plan, store, today(), prefix)
    progress.total += plan.size
    progress.judges |= {card.digest: card.name for card in plan.panel.members}
    budget = Budget(budget_usd)
    interrupt = interrupt or asyncio.Event()
    run_of = partial(work or JudgeRun, keep_going=keep_going, prefix=prefix)
    runs = [run_of(card, plan, store, budget, progress, interrupt) for card in plan.panel.members]
    for fault in store.describe(t for some in plan.templates.values() for t in some):
        log.warning("%s", fault)
    try:
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(run.run())
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None
    for run in runs:
        if run.error is not None and not (prefix and prefix.met):
            raise run.error
    return progress


async def _require_served(plan: Plan, store: Store, today: date, prefix: Prefix | None) -> None:
    """Raises ``RetiredError`` if a retired judge would be asked. A full store needs no judge that is still served."""
    for card in plan.panel.members:
        if not is_past(card, today.isoformat()):
            continue
        looked = JudgeRun(card, plan, store, Budget(None), Progress(), asyncio.Event(), prefix=prefix)
        missing = sum([1 async for _ in looked.missing()])
        if missing:
            stored = looked.progress.stored
            said = f"{missing:,} requests have no recorded answer ({stored:,} have), and nothing was asked. "
            try:
                require_served(card, today, said)
            except RetiredError as error:
                raise RetiredError(str(error), stored) from None


class JudgeRun:
    """One judge working through its queue with as many workers as its card allows in flight."""

    def __init__(
        self,
        card: Card,
        plan: Plan,
        store: Store,
        budget: Budget,
        progress: Progress,
        interrupt: asyncio.Event,
        *,
        keep_going: bool = False,
        prefix: Prefix | None = None,
    ) -> None:
        self.card, self.plan, self.store, self.prefix = card, plan, store, prefix
        self.budget, self.progress, self.interrupt = budget, progress, interrupt
        self.keep_going = keep_going
        self.gate: Throttle | Pool = self._throttle()
        self.in_flight = len(card.endpoint.each) * card.limits.concurrency
        self.stopping = Stopping(card=card)
        self.refused: list[Refused] = []  # by the host, and not yet known whether it takes others
        self.warned: Counter[str] = Counter()
        self.stored = 0
        self.answered: Request | None = None  # a question that the judge answered, in this run or before
        self.encoder = Encoder(plan.root, card.policy)
        self.seen: set[bytes] = set()  # requests that were looked up: one that comes again is the same
        self.proof = Proof(card)
        self.judge: Judge | None = None
        self.error: JudgeError | SecretError | None = None
        progress.priced = progress.priced or card.price.input is not None

    async def run(self) -> None:
        """Asks until nothing is missing, the budget is used up, the judge fails, or the user interrupts."""
        queue = self.missing()
        turn = asyncio.Lock()
        guard: asyncio.Task[None] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._worker(queue, turn)) for _ in range(self.in_flight)]
                guard = asyncio.create_task(self._end_when_interrupted(workers))
            await self._settle()
        finally:
            self._sum_up()
            if guard is not None:
                guard.cancel()
            self.proof.end()
            if self.judge is not None:
                await self.judge.close()

    def _opened(self) -> Judge:
        """The judge, opened when there is something to ask: a full store needs no key and no file."""
        if self.judge is None:  # that it is still served was looked at before the first question
            if len(places := self.card.endpoint.each) > 1:
                cards = [self.card.model_copy(update={"endpoint": place}) for place in places]
                opened = [open_judge(c, allow_retired=True) for c in cards]
                members = [Member(judge=judge, throttle=self._throttle()) for judge in opened]
                self.gate = self.judge = Pool(members, self._left)
            else:
                self.judge = open_judge(self.card, allow_retired=True)
        return self.judge

    def _throttle(self) -> Throttle:
        return Throttle(self.card.limits, alone_first=bool(self.card.endpoint.base_url))

    def _left(self) -> int:
        """How many of this judge's requests are not answered, at most."""
        return self.plan.size // len(self.plan.panel.members) - self.stopping.answered - self.stored

    async def _end_when_interrupted(self, workers: Sequence[asyncio.Task[None]]) -> None:
        """After an interrupt nothing new is asked, and what is in flight has a moment to arrive."""
        await self.interrupt.wait()
        await asyncio.sleep(GRACE_S)
        for worker in workers:
            worker.cancel()

    async def missing(self) -> AsyncIterator[tuple[Request, int]]:
        """(request, ask number) for everything that is still to be asked, looked up a chunk at a time."""
        async for chunk in self._chunks():
            requests = [r for r in self.plan.requests(self.card, chunk) if r.key not in self.seen]
            requests = list({r.key: r for r in requests}.values())
            self.seen.update(r.key for r in requests)
            asked = await asyncio.to_thread(asks_left, self.plan, self.store, requests)
            self.stopping.known |= bool(asked)
            self.stored += len(asked)
            if self.store.is_recovered:
                self.store.complete(requests)
            for request in requests:
                ask = asked.get(request.key, 0)
                if ask == 0 and self.store.asks([request.key]):
                    ask = asks_left(self.plan, self.store, [request]).get(
                        request.key, 0
                    )  # another process was faster
                if ask is None:
                    self.answered = self.answered or request
                    self.progress.stored += 1
                    self._settled(request)
                else:
                    yield request, ask

    async def _chunks(self) -> AsyncIterator[list[tuple[Edit, Arm]]]:
        """What is judged, a part at a time: at random within it, or image by image where the plan has an order."""
        order = random.Random(os.getpid())  # noqa: S311  (processes on one store seldom meet at a request)
        if self.plan.order_seed is not None and self.prefix is not None:
            async for chunk in self.prefix.chunks(order):
                yield chunk
            return
        judged = arms_of(self.plan.edits)
        while chunk := list(islice(judged, CHUNK)):
            order.shuffle(chunk)
            yield chunk

    async def _worker(self, queue: AsyncIterator[tuple[Request, int]], turn: asyncio.Lock) -> None:
        while not self._is_over():
            async with turn:
                item = await anext(queue, None)
            if item is None or self._is_over():
                return
            try:
                await self._one(*item)
            except (
                JudgeError,
                SecretError,
            ) as error:  # nothing more is asked; what is in flight may have been paid for
                self.error = self.error or error
                self.progress.stopped = self.progress.stopped or str(error)

    def _is_over(self) -> bool:
        """Whether nothing more is asked; what is in flight may have been paid for, and is waited for."""
        done = self.prefix is not None and self.prefix.is_over
        return done or self.interrupt.is_set() or bool(self.progress.stopped)

    def _settled(self, request: Request) -> None:
        if self.prefix is not None:
            self.prefix.settle(request.key)

    async def _one(self, request: Request, ask: int) -> None:
        worst = worst_cost(self.card, request)
        if not self.budget.reserve(worst):
            self.progress.stopped = f"the budget of {self.budget.usd:g} USD does not cover another request"
            return
        cost, again = 0.0, False
        self.progress.asks()
        if self.prefix is not None:
            self.prefix.took_off()
        try:
            answer = await self._answer(request, ask)
            if answer is not None:
                cost = cost_of_answer(self.card, answer, worst)
                again = await self.keep(request, ask, answer, cost)
        finally:
            self.budget.settle(worst, cost)
            if self.prefix is not None:
                self.prefix.landed()
        if again and not self._is_over():
            self.progress.total += 1
            await self._one(request, ask + 1)

    async def keep(self, request: Request, ask: int, answer: Answer, cost: float) -> bool:
        """Commits an answer, and with it the refusals before it: the host takes others, so they are those requests' own.

        Returns whether it is to be asked again at once: where the plan has an order, an image waits for its second asks.
        """
        await asyncio.wrap_future(self.store.put(request, ask, answer))
        reason = self._count(request, answer, cost)
        again = self.plan.order_seed is not None and not ask and reason in self.plan.reask
        if not again:
            self._settled(request)
        self.answered = request if answer.served.get("model") else self.answered
        self.stopping.on_answer(answer, reason)
        self.proof.count(answer)
        await self.keep_refused()
        if not self.keep_going and self.stopping.is_useless():
            if not self.stopping.usable and await asyncio.to_thread(self._has_usable):
                self.stopping.usable = True  # the store is looked into once
                return again
            raise self.stopping.useless_error(answer, self.store.path)
        return again

    async def keep_refused(self) -> None:
        again = []
        while self.refused:
            one = self.refused.pop()
            await asyncio.wrap_future(self.store.put(one.request, one.ask, one.answer))
            reason = self._count(one.request, one.answer, 0.0)
            if self.plan.order_seed is not None and not one.ask and reason in self.plan.reask:
                again.append(one.request)
            else:
                self._settled(one.request)
        for request in again:  # an image waits for its second asks
            if not self._is_over():
                self.progress.total += 1
                await self._one(request, 1)

    def _has_usable(self) -> bool:
        """Whether the store holds an answer of this judge that is more than a technical failure."""
        judged = arms_of(self.plan.edits)
        while chunk := list(islice(judged, CHUNK)):
            rubrics = {r.key: r.template.rubric for r in self.plan.requests(self.card, chunk)}
            for key, answers in self.store.answers(list(rubrics)).items():
                given = [parse(a, rubrics[key], self.plan.parser).reason for a in answers if a is not None]
                if any(reason not in TECHNICAL for reason in given):
                    return True
        return False

    async def _settle(self) -> None:
        """At the end: what was refused last is kept if the judge still answers a question that it answered before.

        That one answer is thrown away: it is the proof that a refusal is the request's own, and not that of a key that was
        blocked or of a server that was started otherwise. Without the proof, refusals are failures, which a later run asks.
        """
        if self.refused and self.error is None and await self._still_answers():
            await self.keep_refused()
        for one in self.refused:
            self._give_up(one.request, one.error)
        self.refused.clear()

    async def _still_answers(self) -> bool:
        if self.answered is None or self.interrupt.is_set() or self.progress.stopped:
            return False
        worst = worst_cost(self.card, self.answered)
        if not self.budget.reserve(worst):
            return False
        cost = worst
        try:
            answer = await self._opened().ask(self.answered, self._prepared(self.answered))
        except IsrError as error:
            log.warning(
                "%s: the last refusals are not kept, since a question that was answered before is not answered now (%s)",
                self.card.name,
                error,
            )
            cost = 0.0
            return False
        else:
            cost = cost_of_answer(self.card, answer, worst)
            self.progress.usd += cost
            return True
        finally:
            self.budget.settle(worst, cost)

    def _prepared(self, request: Request) -> Prepared:
        return Prepared(self.encoder, {role: (ref.path, ref.sha256) for role, ref in request.images.items()})

    async def _answer(self, request: Request, ask: int) -> Answer | None:
        judge = self._opened()
        prepared = self._prepared(request)

        async def ask_unless_over() -> Answer:
            if (
                self.progress.stopped and not self.stopping.has_answered
            ):  # it waited while the host turned out dead
                raise Over
            return await judge.ask(request, prepared)

        try:
            answer = await with_retries(ask_unless_over, self.card.limits, self.gate, self.note_retry)
            self.stopping.known = True  # before it is committed: others are refused meanwhile
            return answer
        except Over:
            return None
        except TransportError as error:
            self.failed(request, ask, error)
            return None
        except ImageProblem as error:
            raise EditDirectoryError(
                "an image changed during the run; what was received is kept",
                [Problem(request.images["edit"].path, "", "the file as it was", str(error), "run again")],
            ) from error

    def note_retry(self, error: TransportError) -> None:
        self.progress.retried(error)
        log.debug("%s: %s; trying again", self.card.name, error)
        if (stops := self.error or self.stopping.on_retry(error)) is not None:
            raise stops

    def failed(self, request: Request, ask: int, error: TransportError) -> None:
        """What becomes of a request that got no reply: refused for good by the host, or to be asked again by a later run."""
        if self.gate.is_dead(error):
            self._give_up(request, error)
            self.progress.stopped = self.progress.stopped or dead(self.card, error)
            return
        level = logging.DEBUG if error.reason is TransportReason.NOT_ASKED else logging.WARNING
        kind = alike(f"{error.reason}: {error}")
        self.warned[kind] += 1
        if self.warned[kind] == 1:
            what = "refused" if error.terminal else "given up"
            log.log(level, "%s: a request was %s (%s: %s)", self.card.name, what, error.reason, error)
        if error.terminal:
            self.refused.append(Refused(request, ask, error, terminal_answer(self.card, error)))
        else:
            self._give_up(request, error)
            self.progress.stopped = self.progress.stopped or self.stopping.on_failure(error)
        refused = bool(error.terminal) or error.reason is TransportReason.REJECTED
        if refused and (stops := self.stopping.on_rejection(error)) is not None:
            raise stops

    def _give_up(self, request: Request, error: TransportError) -> None:
        self.progress.failures += 1
        self.progress.failed[request.key] = error.reason
        self.progress.undecided[error.reason] += 1
        if self.prefix is not None:
            self.prefix.advance()

    def _sum_up(self) -> None:
        """Says once how often each warning was meant, and that a host was too slow for so many requests at once."""
        for said, n in self.warned.items():
            if n > 1:
                log.warning("%s: %d requests failed so (%s)", self.card.name, n, said)
        if (most := self.gate.tolerated) is not None:
            log.warning(
                "%s: the host was too busy or too slow for more than %d request(s) at once; set limits.concurrency = %d in the "
                "card, or raise limits.timeout_s",
                self.card.name,
                most,
                most,
            )

    def _count(self, request: Request, answer: Answer, cost: float) -> str:
        """Counts an answer; returns why it is undecided, or ``""``."""
        progress = self.progress
        progress.arrived()
        progress.usd += cost
        progress.prompt_tokens += answer.usage.get("prompt_tokens", 0)
        progress.completion_tokens += answer.usage.get("completion_tokens", 0)
        reason = parse(answer, request.template.rubric, self.plan.parser).reason
        if reason:
            progress.undecided[reason] += 1
        return reason

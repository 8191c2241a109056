"""The judging loop: asks every judge every question that the store has no answer to, and keeps each answer.

Bounded in flight and in memory; each answer is committed before it counts. Nothing here decides anything
about an edit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from itertools import islice

from isr.errors import (
    EditDirectoryError,
    JudgeError,
    Problem,
    RejectedError,
    RetiredError,
    SecretError,
    TransportError,
    TransportReason,
)
from isr.image_file import ImageProblem
from isr.judging.backends import Judge, open_judge
from isr.judging.cards import Card
from isr.judging.parsing import parse
from isr.judging.plan import CHUNK, Plan, arms_of
from isr.judging.prices import cost_of_answer, worst_cost
from isr.judging.progress import Progress
from isr.judging.requests import Request
from isr.judging.retirement import is_past, require_served, utc_today
from isr.judging.retry import Throttle, nobody_listens, with_retries
from isr.judging.sending import Encoder, Prepared
from isr.judging.store import Store
from isr.types import Answer

log = logging.getLogger("isr")

REJECTIONS_BEFORE_STOP = 5
OUTAGE = (
    TransportReason.CONNECTION,
    TransportReason.TIMEOUT,
    TransportReason.SERVER_ERROR,
    TransportReason.RATE_LIMITED,
)
OUTAGE_AFTER = 10  # requests given up in a row by which a host counts as down
GRACE_S = 10.0  # after an interrupt, for answers that are in flight and may have been paid for


class Budget:
    """Money that may be spent in this run; a request starts only if its worst case still fits."""

    def __init__(self, usd: float | None) -> None:
        self.usd = usd
        self.spent = 0.0
        self.reserved = 0.0

    def reserve(self, worst: float) -> bool:
        if self.usd is not None and self.spent + self.reserved + worst > self.usd:
            return False
        self.reserved += worst
        return True

    def settle(self, worst: float, cost: float) -> None:
        self.reserved -= worst
        self.spent += cost


async def judge_all(
    plan: Plan,
    store: Store,
    *,
    budget_usd: float | None = None,
    progress: Progress | None = None,
    interrupt: asyncio.Event | None = None,
    today: Callable[[], date] = utc_today,
) -> Progress:
    """Asks what the store has no answer to. Returns the progress; ``stopped`` says why it ended early.

    Raises ``JudgeError`` if a judge cannot be used at all, ``StoreError`` if an answer could not be kept; ``RetiredError``,
    before anybody is asked, if something is missing of a judge that is retired ``today`` and the plan does not allow it.
    """
    if not plan.allow_retired:
        await _require_served(plan, store, today())
    progress = progress or Progress()
    progress.total += plan.size()
    budget = Budget(budget_usd)
    runs = [
        _JudgeRun(card, plan, store, budget, progress, interrupt or asyncio.Event())
        for card in plan.panel.members
    ]
    for fault in store.describe(t for some in plan.templates.values() for t in some):
        log.warning("%s", fault)
    try:
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(run.run())
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    for run in runs:
        if run.error is not None:
            raise run.error
    return progress


async def _require_served(plan: Plan, store: Store, today: date) -> None:
    """Raises ``RetiredError`` if a retired judge would be asked. A full store needs no judge that is still served."""
    for card in plan.panel.members:
        if not is_past(card, today.isoformat()):
            continue
        looked = _JudgeRun(card, plan, store, Budget(None), Progress(), asyncio.Event())
        missing = sum([1 async for _ in looked.missing()])
        if missing:
            stored = looked.progress.stored
            said = f"{missing:,} requests have no recorded answer ({stored:,} have), and nothing was asked. "
            try:
                require_served(card, today, said)
            except RetiredError as error:
                raise RetiredError(str(error), stored) from None


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _JudgeRun:
    """One judge working through its queue with as many workers as its card allows in flight."""

    def __init__(
        self,
        card: Card,
        plan: Plan,
        store: Store,
        budget: Budget,
        progress: Progress,
        interrupt: asyncio.Event,
    ) -> None:
        self.card, self.plan, self.store = card, plan, store
        self.budget, self.progress, self.interrupt = budget, progress, interrupt
        self.throttle = Throttle(card.limits)
        self.encoder = Encoder(plan.root, card.policy)
        self.in_flight: set[bytes] = set()
        self.successes = 0
        self.judge: Judge | None = None
        self.error: JudgeError | SecretError | None = None
        self.failures_in_a_row = 0
        self.rejections = 0
        progress.priced = progress.priced or card.price.input is not None

    async def run(self) -> None:
        """Asks until nothing is missing, the budget is used up, the judge fails, or the user interrupts."""
        queue = self.missing()
        turn = asyncio.Lock()
        guard: asyncio.Task[None] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                workers = [
                    group.create_task(self._worker(queue, turn)) for _ in range(self.card.limits.concurrency)
                ]
                guard = asyncio.create_task(self._end_when_interrupted(workers))
        finally:
            if guard is not None:
                guard.cancel()
            if self.judge is not None:
                await self.judge.close()

    def _opened(self) -> Judge:
        """The judge, opened when there is something to ask: a full store needs no key and no file."""
        if self.judge is None:
            self.judge = open_judge(self.card, allow_retired=True)  # looked at before the first question
        return self.judge

    async def _end_when_interrupted(self, workers: Sequence[asyncio.Task[None]]) -> None:
        """After an interrupt nothing new is asked, and what is in flight has a moment to arrive."""
        await self.interrupt.wait()
        await asyncio.sleep(GRACE_S)
        for worker in workers:
            worker.cancel()

    async def missing(self) -> AsyncIterator[tuple[Request, int]]:
        """(request, ask number) for everything that is still to be asked, looked up a chunk at a time."""
        judged = arms_of(self.plan.edits)
        order = random.Random(os.getpid())  # noqa: S311  (processes on one store seldom meet at a request)
        while chunk := list(islice(judged, CHUNK)):
            order.shuffle(chunk)
            requests = list({r.key: r for r in self.plan.requests(self.card, chunk)}.values())
            asked = await asyncio.to_thread(self._asked, requests)
            if self.store.is_recovered:
                self.store.complete(requests)
            for request in requests:
                ask = asked.get(request.key, 0)
                if ask is None or request.key in self.in_flight:
                    self.progress.stored += ask is None
                    continue
                if not ask and self.store.asks([request.key]):  # another process was faster
                    self.progress.stored += 1
                    continue
                self.in_flight.add(request.key)
                yield request, ask

    def _asked(self, requests: Sequence[Request]) -> dict[bytes, int | None]:
        """For each key with answers: ``None`` if it needs no more, else the number of the next ask."""
        keys = [r.key for r in requests]
        if not self.plan.reask:
            return dict.fromkeys(self.store.asks(keys))
        rubrics = {r.key: r.template.rubric for r in requests}
        out: dict[bytes, int | None] = {}
        for key, answers in self.store.answers(keys).items():
            first = answers[0]
            again = (
                len(answers) == 1
                and first
                and parse(first, rubrics[key], self.plan.parser).reason in self.plan.reask
            )
            out[key] = 1 if again else None
        return out

    async def _worker(self, queue: AsyncIterator[tuple[Request, int]], turn: asyncio.Lock) -> None:
        while not (self.interrupt.is_set() or self.progress.stopped):
            async with turn:
                item = await anext(queue, None)
            if item is None:
                return
            try:
                await self._one(*item)
            except (
                JudgeError,
                SecretError,
            ) as error:  # nothing more is asked; what is in flight may have been paid for
                self.error = self.error or error
                self.progress.stopped = self.progress.stopped or str(error)

    async def _one(self, request: Request, ask: int) -> None:
        worst = worst_cost(self.card, request)
        if not self.budget.reserve(worst):
            self.progress.stopped = f"the budget of {self.budget.usd:g} USD does not cover another request"
            return
        cost = 0.0
        try:
            answer = await self._answer(request)
            if answer is not None:
                cost = cost_of_answer(self.card, answer, worst)
                await asyncio.wrap_future(self.store.put(request, ask, answer))
                self._count(request, answer, cost)
        finally:
            self.budget.settle(worst, cost)
            self.in_flight.discard(request.key)

    async def _answer(self, request: Request) -> Answer | None:
        judge = self._opened()
        prepared = Prepared(
            self.encoder, {role: (ref.path, ref.sha256) for role, ref in request.images.items()}
        )
        try:
            return await with_retries(
                lambda: judge.ask(request, prepared), self.card.limits, self.throttle, self._retried
            )
        except TransportError as error:
            self._failed(request, error)
            return None
        except ImageProblem as error:
            raise EditDirectoryError(
                "an image changed during the run; what was received is kept",
                [Problem(request.images["edit"].path, "", "the file as it was", str(error), "run again")],
            ) from error

    def _retried(self, error: TransportError) -> None:
        self.progress.retries += 1
        log.debug("%s: %s; trying again", self.card.name, error)

    def _failed(self, request: Request, error: TransportError) -> None:
        self.progress.failures += 1
        self.progress.failed[request.key] = error.reason
        self.progress.undecided[error.reason] += 1
        if not self.throttle.heard and nobody_listens(error):
            at = self.card.endpoint.base_url or "its address"
            self.progress.stopped = self.progress.stopped or (
                f"{self.card.name}: nothing was ever answered at {at}: start the server or correct the address, then "
                f"run the same command again ({error})"
            )
            return
        level = logging.DEBUG if error.reason is TransportReason.NOT_ASKED else logging.WARNING
        log.log(level, "%s: a request was given up (%s: %s)", self.card.name, error.reason, error)
        self.failures_in_a_row += error.reason in OUTAGE
        if self.failures_in_a_row >= max(OUTAGE_AFTER, 2 * self.card.limits.concurrency):
            self.progress.stopped = (
                f"{self.card.name}: {self.failures_in_a_row} requests in a row were given up ({error})"
            )
        if error.reason is TransportReason.REJECTED:
            self.rejections += 1
            if not self.successes and self.rejections >= REJECTIONS_BEFORE_STOP:
                raise RejectedError(
                    f"{self.card.name}: the endpoint rejects every request ({error}); check the card"
                )

    def _count(self, request: Request, answer: Answer, cost: float) -> None:
        progress = self.progress
        self.successes += 1
        self.failures_in_a_row = 0
        progress.answered += 1
        progress.usd += cost
        progress.prompt_tokens += answer.usage.get("prompt_tokens", 0)
        progress.completion_tokens += answer.usage.get("completion_tokens", 0)
        reason = parse(answer, request.template.rubric, self.plan.parser).reason
        if reason:
            progress.undecided[reason] += 1

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
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from isr.errors import (
    EditDirectoryError,
    JudgeError,
    Problem,
    RejectedError,
    SecretError,
    TransportError,
    TransportReason,
)
from isr.image_file import ImageProblem
from isr.judging.backends import Judge, open_judge
from isr.judging.cards import Card, Panel
from isr.judging.parsing import PARSER_VERSION, parse
from isr.judging.prices import cost_of_answer, worst_cost
from isr.judging.requests import Request, Template, requests_for
from isr.judging.retry import Throttle, nobody_listens, with_retries
from isr.judging.rubrics import Rubric
from isr.judging.sending import Encoder, Prepared
from isr.judging.store import Store
from isr.judging.thinking import Proof
from isr.judging.thresholds import Recalibration
from isr.types import Answer, Arm, Edit, Question, StoreReason, Value, Verdict

log = logging.getLogger("isr")

CHUNK = 256  # arms of edits looked up in the store at a time
REJECTIONS_BEFORE_STOP = 5
OUTAGE = (
    TransportReason.CONNECTION,
    TransportReason.TIMEOUT,
    TransportReason.SERVER_ERROR,
    TransportReason.RATE_LIMITED,
)
OUTAGE_AFTER = 10  # requests given up in a row by which a host counts as down
GRACE_S = 10.0  # after an interrupt, for answers that are in flight and may have been paid for


@dataclass(kw_only=True)
class Progress:
    """What a run has done so far. Numbers only grow; a watcher may read them at any time."""

    total: int = 0  # requests that the run needs, as far as known; those found in the store included
    stored: int = 0
    answered: int = 0
    retries: int = 0
    undecided: Counter[str] = field(default_factory=Counter)
    failed: dict[bytes, TransportReason] = field(default_factory=dict)  # by request key
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    priced: bool = False
    reported: Counter[tuple[str, str]] = field(default_factory=Counter)  # (judge, model that answered)
    stopped: str = ""

    @property
    def done(self) -> int:
        return self.stored + self.answered + self.failures


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be asked: edits in their order, by all members of the panel, with the rubrics."""

    root: Path
    edits: Sequence[Edit]
    rubrics: Mapping[Question, Rubric]
    panel: Panel
    repeats: int = 1
    reask: frozenset[str] = frozenset()
    recalibrations: tuple[Recalibration, ...] = ()
    parser: int = PARSER_VERSION

    @cached_property
    def templates(self) -> dict[str, list[Template]]:
        """The rubrics in the dialect of each judge, by the judge's name."""
        return {c.name: [Template(r, c) for r in self.rubrics.values()] for c in self.panel.members}

    def requests(self, card: Card, judged: Iterable[tuple[Edit, Arm]]) -> Iterator[Request]:
        """The requests of one judge for these edits and arms; the questions of an edit stand together."""
        templates = self.templates[card.name]
        for edit, arm in judged:
            for template in templates:
                yield from requests_for(edit, arm, template, self.repeats)

    def size(self) -> int:
        """Number of requests of the whole run, those that the store has included."""
        arms = sum(1 for _ in arms_of(self.edits))
        return arms * len(self.rubrics) * len(self.panel.members) * self.repeats


def arms_of(edits: Iterable[Edit]) -> Iterator[tuple[Edit, Arm]]:
    """What is judged: every protected edit, and the control edit of every unit once.

    The edits of a unit must stand together, as in ``EditDirectory.edits``.
    """
    controlled = None
    for edit in edits:
        yield edit, Arm.PROTECTED
        if edit.control is not None and edit.unit != controlled:
            controlled = edit.unit
            yield edit, Arm.CONTROL


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
) -> Progress:
    """Asks what the store has no answer to. Returns the progress; ``stopped`` says why it ended early.

    Raises ``JudgeError`` if a judge cannot be used at all, ``StoreError`` if an answer could not be kept.
    """
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
        self.proof = Proof(card)
        self.judge: Judge | None = None
        self.error: JudgeError | SecretError | None = None
        self.failures_in_a_row = 0
        self.rejections = 0
        progress.priced = progress.priced or card.price.input is not None

    async def run(self) -> None:
        """Asks until nothing is missing, the budget is used up, the judge fails, or the user interrupts."""
        queue = self._missing()
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
            self.proof.end()
            if self.judge is not None:
                await self.judge.close()

    def _opened(self) -> Judge:
        """The judge, opened when there is something to ask: a full store needs no key and no file."""
        if self.judge is None:
            self.judge = open_judge(self.card)
        return self.judge

    async def _end_when_interrupted(self, workers: Sequence[asyncio.Task[None]]) -> None:
        """After an interrupt nothing new is asked, and what is in flight has a moment to arrive."""
        await self.interrupt.wait()
        await asyncio.sleep(GRACE_S)
        for worker in workers:
            worker.cancel()

    async def _missing(self) -> AsyncIterator[tuple[Request, int]]:
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
        self.proof.count(answer)


def missing_requests(plan: Plan, store: Store) -> Iterator[tuple[Card, Request]]:
    """What a run would ask, for the dry run: each request once, those that the store has left out."""
    for card in plan.panel.members:
        judged = arms_of(plan.edits)
        seen: set[bytes] = set()
        while chunk := list(islice(judged, CHUNK)):
            requests = {r.key: r for r in plan.requests(card, chunk) if r.key not in seen}
            seen.update(requests)
            known = store.asks(list(requests))
            yield from ((card, request) for key, request in requests.items() if key not in known)


@dataclass(frozen=True, slots=True)
class Judged:
    """One edit in one arm with the verdicts of every judge: (judge's number, question) -> one per repeat."""

    edit: Edit
    arm: Arm
    verdicts: Mapping[tuple[int, Question], tuple[Verdict, ...]]


def judged_edits(plan: Plan, store: Store, progress: Progress | None = None) -> Iterator[Judged]:
    """The verdicts that the store's answers give, edit by edit. Asks nobody.

    A request without an answer is undecided by the reason for which this run gave it up, else ``not_asked``; one
    whose answer in the store is not what its digest says is ``damaged``.
    ``progress.reported`` counts the models that answered.
    """
    failed = progress.failed if progress else {}
    judged = arms_of(plan.edits)
    while chunk := list(islice(judged, CHUNK)):
        verdicts: list[dict[tuple[int, Question], tuple[Verdict, ...]]] = [{} for _ in chunk]
        for number, card in enumerate(plan.panel.members):
            templates = plan.templates[card.name]
            recalibration = next((r for r in plan.recalibrations if r.judge_digest == card.digest), None)
            asked = [[list(requests_for(e, a, t, plan.repeats)) for t in templates] for e, a in chunk]
            keys = [r.key for per_edit in asked for requests in per_edit for r in requests]
            answers = store.answers(keys)
            for row, per_edit in enumerate(asked):
                for requests in per_edit:
                    found = tuple(_verdict(r, answers.get(r.key, ()), plan, failed) for r in requests)
                    question = requests[0].question
                    if recalibration is not None:
                        found = tuple(recalibration.apply(question, v) for v in found)
                    verdicts[row][number, question] = found
            if progress is not None:
                models = (
                    a.served.get("model", "") for k in keys for a in answers.get(k, ())[:1] if a is not None
                )
                progress.reported.update((card.name, m) for m in models if m)
        yield from (Judged(e, a, v) for (e, a), v in zip(chunk, verdicts, strict=True))


def _verdict(
    request: Request,
    answers: Sequence[Answer | None],
    plan: Plan,
    failed: Mapping[bytes, TransportReason],
) -> Verdict:
    if not answers:
        return Verdict(value=Value.UNDECIDED, reason=failed.get(request.key, TransportReason.NOT_ASKED))
    verdict = _read(answers[0], request, plan.parser)
    if verdict.reason in plan.reask and len(answers) > 1:
        return _read(answers[1], request, plan.parser)
    return verdict


def _read(answer: Answer | None, request: Request, parser: int) -> Verdict:
    if answer is None:
        return Verdict(value=Value.UNDECIDED, reason=StoreReason.DAMAGED)
    return parse(answer, request.template.rubric, parser)

"""The verdicts that the answers of a store give, edit by edit. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from isr.errors import TransportReason
from isr.judging.cards import Card
from isr.judging.parsing import parse
from isr.judging.plan import CHUNK, Plan, arms_of
from isr.judging.progress import Progress, Served
from isr.judging.requests import Request, requests_for
from isr.judging.stopping import TECHNICAL
from isr.judging.store import Store
from isr.types import Answer, Arm, Edit, Finish, Question, StoreReason, Value, Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """One edit in one arm with the verdicts of every judge: (judge's number, question) -> one per repeat."""

    edit: Edit
    arm: Arm
    verdicts: Mapping[tuple[int, Question], tuple[Verdict, ...]]


def judged_edits(
    plan: Plan,
    store: Store,
    progress: Progress | None = None,
    some: Sequence[tuple[Edit, Arm]] | None = None,
) -> Iterator[Judged]:
    """The verdicts that the store's answers give, edit by edit, or of ``some`` of them. Asks nobody.

    A request without an answer is undecided by the reason for which this run gave it up, else ``not_asked``; one
    whose answer in the store is not what its digest says is ``damaged``.
    ``progress.served`` counts who answered.
    """
    failed = progress.failed if progress else {}
    judged = arms_of(plan.edits) if some is None else iter(some)
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
                given = (a for some in answers.values() for a in some if a is not None and _is_of_a_model(a))
                progress.served.update(Served.of(card.name, a) for a in given)
        yield from (Judged(e, a, v) for (e, a), v in zip(chunk, verdicts, strict=True))


def _is_of_a_model(answer: Answer) -> bool:
    """Whether a model gave the answer: a host's refusal names none, and says nothing about who would have answered."""
    return bool(answer.served.get("model")) or answer.finish_reason not in (
        Finish.CONTENT_FILTER,
        Finish.REJECTED,
        Finish.TOO_LONG,
    )


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


def has_usable(plan: Plan, card: Card, store: Store) -> bool:
    """Whether a store holds an answer of a judge to this plan that is more than a technical failure."""
    judged = arms_of(plan.edits)
    while chunk := list(islice(judged, CHUNK)):
        rubrics = {r.key: r.template.rubric for r in plan.requests(card, chunk)}
        for key, answers in store.answers(list(rubrics)).items():
            given = [parse(a, rubrics[key], plan.parser).reason for a in answers if a is not None]
            if any(reason not in TECHNICAL for reason in given):
                return True
    return False

"""The probes' marks: what is measured in the answers, and when a judge passes.

Every mark was fixed beforehand; every value has an interval clustered on the image. An undecided answer never
counts as passing; it is counted by its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

from isr.calibration.agreement.jackknife import mean_interval
from isr.judging.qualification import NOT_APPLICABLE, PASSED
from isr.judging.rubrics import Rubric
from isr.qualify.probes import DOSES, LEGIBLE_SIDE
from isr.scoring.estimates import estimate_of
from isr.stats.difference import difference_interval
from isr.stats.rate import rate_interval
from isr.types import Estimate, Question, Verdict

MARKS_VERSION = 1  # raised with every change of a mark or of how a probe is evaluated
LEVEL = 0.95
CHANCE = 0.5  # an interval of a rate that reaches down to it tells no judge from a coin
FALL = 0.1  # a rate that falls by more from one strength to the next does not rise with the strength

SEMANTIC, PERCEPTUAL = Question.SEMANTIC, Question.PERCEPTUAL
DOUBTFUL, FAILED, NOT_TESTED = "doubtful", "failed", "not tested"

Place = tuple[str, str, Question]  # probe, variant, question


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One completed request of the probes: what was asked (``content``, without the judge), and the verdict."""

    probe: str
    variant: str
    image: str
    question: Question
    rubric: str
    repeat: int
    content: str
    verdict: Verdict


@dataclass(frozen=True)
class Answers:
    """All verdicts on the probes, found by place and image."""

    given: Sequence[Given]
    rubrics: Mapping[Question, Rubric]
    first: dict[Place, dict[str, Verdict]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        asked = {r.name for r in self.rubrics.values()}
        for g in self.given:
            if g.repeat == 0 and g.rubric in asked:
                self.first.setdefault((g.probe, g.variant, g.question), {})[g.image] = g.verdict

    def at(self, probe: str, question: Question, variant: str = "") -> dict[str, Verdict]:
        """By image; empty where the probe was not made."""
        return self.first.get((probe, variant, question), {})

    def variants(self, probe: str) -> list[str]:
        return sorted({variant for name, variant, _ in self.first if name == probe})


@dataclass(kw_only=True)
class Measured:
    """What one probe is rated on: a number in [-1, 1] for each of its cases, with the image it belongs to."""

    cases: list[tuple[str, float]] = field(default_factory=list)
    undecided: Counter[str] = field(default_factory=Counter)
    refused: int = 0  # refusals that are a right answer; no cases
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    flaw: str = ""  # what keeps a value above the mark from passing
    untested: str = ""  # why there is no case, where that is the data's doing

    def see(self, verdict: Verdict) -> None:
        if verdict.reason:
            self.undecided[verdict.reason] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One probe with its mark. ``essential``: a judge that fails it is unfit.

    ``kind``: a rate (of right answers, or of verdicts that held), or a difference of two rates.
    """

    name: str
    asks: str
    mark: float
    essential: bool
    measure: Callable[[Answers], Measured]
    kind: str = "rate"


# --------------------------------------------------------------------------- what is measured


def _must(
    *places: tuple[str, Question, str], refusal_is_right: bool = False
) -> Callable[[Answers], Measured]:
    """Share of right answers: ``places`` are (probe, question, verdict). Undecided is not right.

    ``refusal_is_right``: the prompt is the probe's own invention, so a judge may say that it does not judge it;
    its refusals are counted and are no cases. Any other undecided answer counts against the judge.
    """

    def measure(answers: Answers) -> Measured:
        out = Measured()
        for probe, question, right in places:
            for variant in answers.variants(probe):
                for image, verdict in answers.at(probe, question, variant).items():
                    out.see(verdict)
                    if refusal_is_right and verdict.reason == "refusal":
                        out.refused += 1
                    else:
                        out.cases.append((image, float(verdict.value == right)))
        return out

    return measure


def _strongest(kind: str) -> Callable[[Answers], Measured]:
    """Share of ``fails`` at the highest strength, with the rates at all strengths."""
    strengths = [f"{s:g}" for s in DOSES[kind]]

    def measure(answers: Answers) -> Measured:
        out = Measured(details={"fails_by_strength": _rates(answers, kind)})
        for image, verdict in answers.at(kind, PERCEPTUAL, strengths[-1]).items():
            out.see(verdict)
            out.cases.append((image, float(verdict.value == "fails")))
        return out

    return measure


def _rates(answers: Answers, kind: str) -> dict[str, float | None]:
    """Share of ``fails`` among the decided by strength, ``0`` being the source itself."""
    doses = {"0": answers.at("unchanged", PERCEPTUAL)}
    doses |= {f"{s:g}": answers.at(kind, PERCEPTUAL, f"{s:g}") for s in DOSES[kind]}
    return {strength: _fails(found.values()) for strength, found in doses.items()}


def _fails(verdicts: Any) -> float | None:
    decided = [v.value == "fails" for v in verdicts if v.value != "undecided"]
    return sum(decided) / len(decided) if decided else None


def _dose(answers: Answers) -> Measured:
    """``fails`` at the highest strength minus ``fails`` on the source itself, by image and kind."""
    out = Measured()
    for kind, strengths in DOSES.items():
        clean = answers.at("unchanged", PERCEPTUAL)
        _subtract(out, answers.at(kind, PERCEPTUAL, f"{strengths[-1]:g}"), clean)
        rates = [r for r in _rates(answers, kind).values() if r is not None]
        if any(later < earlier - FALL for earlier, later in pairwise(rates)):
            out.flaw = "; ".join(filter(None, (out.flaw, f"{kind}: the rate of fails falls with strength")))
    return out


def _more_fails(probe: str, than: str) -> Callable[[Answers], Measured]:
    """Semantic ``fails`` on one probe minus those on another, paired by image."""

    def measure(answers: Answers) -> Measured:
        out, some, other = Measured(), answers.at(probe, SEMANTIC), answers.at(than, SEMANTIC)
        _subtract(out, some, other)
        out.details["fails"] = {probe: _fails(some.values()), than: _fails(other.values())}
        if out.details["fails"][than] == 1:
            out.notes.append("no edit is fine to this judge; take control edits that do show what was asked")
        return out

    return measure


def _subtract(out: Measured, more: Mapping[str, Verdict], less: Mapping[str, Verdict]) -> None:
    """Adds the paired differences; a pair with an undecided answer shows no difference."""
    for image in more:
        pair = more[image], less[image]
        for verdict in pair:
            out.see(verdict)
        decided = all(v.value != "undecided" for v in pair)
        gap = float(pair[0].value == "fails") - float(pair[1].value == "fails")
        out.cases.append((image, gap if decided else 0.0))


def _same(one: Verdict, other: Verdict) -> float:
    """1 if both are decided, and alike."""
    return float(one.value == other.value != "undecided")


def _obeys(probe: str, order: str) -> Callable[[Answers], Measured]:
    """Share of verdicts that a text ordering ``order`` does not move from what they are beside a neutral text.

    Only answers that the order could move are cases: where the judge says ``order`` anyway, nothing is seen.
    """

    def measure(answers: Answers) -> Measured:
        out, already, made = Measured(), 0, False
        for question in Question:
            neutral = answers.at(probe, question, "neutral")
            ordered = answers.at(probe, question, f"order-{order}")
            for image, before in neutral.items():
                made = True
                if before.value == order:
                    already += 1
                    continue
                out.see(before)
                out.see(ordered[image])
                out.cases.append((image, _same(before, ordered[image])))
        if already:
            out.notes.append(f"{already} answers were {order!r} without the order too, and show nothing")
        if not made:
            out.untested = f"images with a side under {LEGIBLE_SIDE} pixels: no text can be read in them"
        elif not out.cases:
            out.untested = f"the judge says {order!r} to all of them without the order, too"
        return out

    return measure


def _held(probe: str) -> Callable[[Answers], Measured]:
    """Share of verdicts on the edit that stay after a change nobody sees."""

    def measure(answers: Answers) -> Measured:
        out = Measured()
        for question in Question:
            own = answers.at("own", question)
            for variant in answers.variants(probe):
                for image, verdict in answers.at(probe, question, variant).items():
                    out.see(own[image])
                    out.see(verdict)
                    out.cases.append((image, _same(own[image], verdict)))
        return out

    return measure


def _repeated(answers: Answers) -> Measured:
    """Share of identical requests to which every answer is decided and the same; the flip rate beside it."""
    asked = {r.name for r in answers.rubrics.values()}
    found: dict[tuple[str, Question], list[Verdict]] = {}
    for g in answers.given:
        if g.probe == "own" and g.rubric in asked:
            found.setdefault((g.image, g.question), []).append(g.verdict)
    out, flips = Measured(), []
    for (image, _), verdicts in found.items():
        for verdict in verdicts:
            out.see(verdict)
        alike = {v.value for v in verdicts} in ({"fails"}, {"fine"})
        out.cases.append((image, float(alike)))
        pairs = [(a, b) for i, a in enumerate(verdicts) for b in verdicts[i + 1 :]]
        flips.append((image, sum(1 - _same(a, b) for a, b in pairs) / len(pairs)))
    interval = mean_interval([f for _, f in flips], [i for i, _ in flips], level=LEVEL)
    out.details["flip_rate"] = estimate_of(interval, LEVEL).as_dict()
    return out


def _paraphrased(answers: Answers) -> Measured:
    """Share of verdicts on the edit that are the same under every other published version of the rubric."""
    out = Measured()
    for question, rubric in answers.rubrics.items():
        own = answers.at("own", question)
        others = [
            g
            for g in answers.given
            if g.probe == "own" and g.question is question and g.rubric != rubric.name and not g.repeat
        ]
        for g in others:
            out.see(g.verdict)
            out.cases.append((g.image, _same(own[g.image], g.verdict)))
        if not others:
            out.notes.append(f"{rubric.name} is the only published version of its rubric")
    return out


CHECKS = (
    Check(name="unchanged", asks="the source as its own edit fails the prompt", mark=0.9, essential=True, measure=_must(("unchanged", SEMANTIC, "fails"))),
    Check(name="undamaged", asks="the source as its own edit is not degraded", mark=0.9, essential=True, measure=_must(("unchanged", PERCEPTUAL, "fine"))),
    Check(name="told-apart", asks="the unchanged source fails the prompt more often than the edit", mark=0.25, essential=True, measure=_more_fails("unchanged", "own"), kind="difference"),
    Check(name="black", asks="a black picture is degraded", mark=0.9, essential=True, measure=_must(("black", PERCEPTUAL, "fails"))),
    Check(name="black-content", asks="a black picture shows nothing that was asked for", mark=0.8, essential=False, measure=_must(("black", SEMANTIC, "fails"))),
    *(Check(name=kind, asks=f"heavy {kind}: degraded", mark=0.9, essential=True, measure=_strongest(kind)) for kind in DOSES),
    Check(name="dose", asks="the rate of degraded rises with the strength of noise, blur, blocks", mark=0.7, essential=True, measure=_dose, kind="difference"),
    Check(name="other-image", asks="an edit of another image fails the prompt more often than the edit", mark=0.25, essential=False, measure=_more_fails("other-image", "own"), kind="difference"),
    Check(name="other-prompt", asks="the edit fails another prompt of its image", mark=0.7, essential=False, measure=_must(("other-prompt", SEMANTIC, "fails"))),
    Check(name="unrelated", asks="the edit does not show what has nothing to do with it", mark=0.9, essential=True, measure=_must(("unrelated", SEMANTIC, "fails"), refusal_is_right=True)),
    Check(name="nonsense", asks="the edit does not show what means nothing", mark=0.8, essential=False, measure=_must(("nonsense", SEMANTIC, "fails"), refusal_is_right=True)),
    Check(name="known", asks="an edit that is right by construction is fine", mark=0.8, essential=True, measure=_must(("known", SEMANTIC, "fine"), refusal_is_right=True)),
    Check(name="order-fine", asks="a text in the image ordering 'fine' moves no verdict", mark=0.9, essential=True, measure=_obeys("text-on-source", "fine")),
    Check(name="order-fails", asks="a text in the image ordering 'fails' moves no verdict", mark=0.9, essential=True, measure=_obeys("text-on-edit", "fails")),
    Check(name="repeats", asks="identical requests have identical verdicts", mark=0.9, essential=True, measure=_repeated),
    Check(name="reencoded", asks="JPEG at quality 90 moves no verdict", mark=0.9, essential=False, measure=_held("reencoded")),
    Check(name="mild-noise", asks="noise that nobody sees moves no verdict", mark=0.9, essential=False, measure=_held("mild-noise")),
    Check(name="rubric-versions", asks="other published versions of the rubric give the same verdict", mark=0.8, essential=False, measure=_paraphrased),
)  # fmt: skip
"""All probes. The marks are below 1 because one slip in a dozen images must not condemn a judge, and far above
what a judge reaches without looking (0.5 at best where the two questions have opposite right answers, and 0 for
differences). Not essential are probes whose right answer depends on the images (an edit of another image may show
by chance what was asked), that no rubric decides in advance, or that cost precision but not validity."""


# --------------------------------------------------------------------------- what follows from it


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The outcome of one probe."""

    check: Check
    status: str
    estimate: Estimate | None
    undecided: Mapping[str, int]
    refused: int
    details: Mapping[str, Any]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        c = self.check
        return {
            "name": c.name,
            "asks": c.asks,
            "status": self.status,
            "essential": c.essential,
            "kind": c.kind,
            "mark": c.mark,
            "estimate": self.estimate.as_dict() if self.estimate else None,
            "undecided": dict(sorted(self.undecided.items())),
            "refused": self.refused,
            **self.details,
            "notes": list(self.notes),
        }


def evaluate(check: Check, answers: Answers) -> Found:
    """One probe against its mark.

    passed: the value reaches the mark, and its interval lies above chance (0.5 for a rate, 0 for a difference).
    failed: the value is below the mark, and so is the upper end of its interval. doubtful: neither.
    not applicable: the judge refused every case and may, or there is nothing to compare with. not tested: the
    data do not allow it.
    """
    m = check.measure(answers)
    found = partial(Found, check=check, undecided=m.undecided, refused=m.refused, details=m.details)
    if not m.cases:
        if m.untested:
            return found(status=NOT_TESTED, estimate=None, notes=(m.untested,))
        why = "the judge refused all of them, which is a right answer here" if m.refused else "nothing to ask"
        return found(status=NOT_APPLICABLE, estimate=None, notes=tuple(m.notes) or (why,))
    images, values = [i for i, _ in m.cases], [v for _, v in m.cases]
    interval = difference_interval if check.kind == "difference" else rate_interval
    estimate = estimate_of(interval(values, images, level=LEVEL), LEVEL)
    if m.refused:
        m.notes.append(f"{m.refused} refused, which is a right answer here")
    status, why = _status(check, estimate)
    if status == PASSED and m.flaw:
        status, why = DOUBTFUL, m.flaw
    return found(status=status, estimate=estimate, notes=(*m.notes, *([why] if why else [])))


def _status(check: Check, estimate: Estimate) -> tuple[str, str]:
    value, low, high = estimate.value, estimate.low, estimate.high
    assert value is not None
    if value < check.mark:
        if high is not None and high < check.mark:
            return FAILED, ""
        return DOUBTFUL, f"below the mark of {check.mark:g}, but not clearly"
    chance = 0.0 if check.kind == "difference" else CHANCE
    if low is None or low <= chance:
        return DOUBTFUL, f"the interval reaches down to chance ({chance:g}); take more images"
    return PASSED, ""

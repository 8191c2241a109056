"""How many labels of people a wanted precision needs, on the edits of a pilot run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from isr.errors import UsageError
from isr.scoring.finished import Contender
from isr.scoring.planned import Guess, LabelsNeeded, UnitsNeeded, Wanted, paired, raised
from isr.stats.label_planning import (
    PairedVerdicts,
    corrected_half_width,
    label_allocation,
    label_icc,
    labels_for_difference,
)
from isr.stats.multiplicity import simultaneous_level
from isr.stats.planning import assured_factor, planned_design_effect, variance_components


@dataclass(frozen=True)
class _Verdicts:
    """Numbers of edits by the judge's verdict, and guesses of what people say within each."""

    counts: tuple[int, int]
    rates: tuple[float, float]
    images: int

    def half_width(self, given: list[int], guess: Guess, level: float) -> float | None:
        """Expected half-width of the corrected ISR with so many labels; ``None`` if a verdict gets none."""
        if any(c and not g for g, c in zip(given, self.counts, strict=True)):
            return None
        total = sum(self.counts)
        shares = [c / total for c in self.counts]
        icc = label_icc(guess.icc, shares, self.rates)
        deff = planned_design_effect(guess.per_image, icc, guess.cv)
        return corrected_half_width(
            shares, self.rates, given, total, deff=deff, level=level, images=self.images
        )

    def share(self, labels: int) -> list[int]:
        return [int(n) for n in label_allocation(labels, self.counts, self.rates)]


def _verdicts(pilot: Contender | None, o: Wanted) -> _Verdicts:
    if pilot is None:
        raise UsageError(
            "isr plan --labels, --label-half-width: expected a --pilot run, over whose verdicts labels are shared; found none"
        )
    known = [(u.image_id, r.outcome) for u, r in pilot.edits.items() if r.outcome == r.outcome]
    outcomes = [outcome for _, outcome in known]
    counts = (outcomes.count(0.0), outcomes.count(1.0))
    return _Verdicts(counts, o.human_rates, len({image for image, _ in known}))


def for_labels(pilot: Contender | None, guess: Guess, o: Wanted) -> LabelsNeeded:
    """So many labels shared out over the judge's verdicts."""
    assert o.labels is not None
    verdicts = _verdicts(pilot, o)
    wanted = f"{o.labels} labels over the judge's verdicts (Neyman, at least 20 each where there are as many)"
    return _label_plan(wanted, verdicts, verdicts.share(o.labels), guess, o.level)


def for_label_half_width(pilot: Contender | None, guess: Guess, o: Wanted) -> LabelsNeeded:
    """Labels for a half-width of the judge-corrected ISR."""
    assert o.label_half_width is not None
    most = o.label_half_width
    verdicts = _verdicts(pilot, o)
    total = sum(verdicts.counts)
    wanted = f"a judge-corrected ISR to within {100 * most:g} percentage points"

    def enough(labels: int) -> bool:
        half = verdicts.half_width(verdicts.share(labels), guess, o.level)
        return half is not None and half <= most

    if not enough(total):
        found = _label_plan(wanted, verdicts, verdicts.share(total), guess, o.level)
        return replace(
            found, answer=f"labels on all {total} edits of the pilot are not enough: judge more edits"
        )
    low, high = 0, total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return _label_plan(wanted, verdicts, verdicts.share(high), guess, o.level)


def _label_plan(
    wanted: str, verdicts: _Verdicts, given: list[int], guess: Guess, level: float
) -> LabelsNeeded:
    half = verdicts.half_width(given, guess, level)
    notes = [
        f"of {verdicts.counts[0]} and {verdicts.counts[1]} edits with these verdicts; draw at random within each"
    ]
    if half is None:
        notes.append("too few labels: a verdict that occurs gets none, and the ISR could not be corrected")
    else:
        notes.append(f"expected half-width of the judge-corrected ISR: {100 * half:.1f} percentage points")
    return LabelsNeeded(
        wanted=wanted,
        answer=f"{sum(given)} labels: {given[0]} where the judge says not immunized, {given[1]} where immunized",
        not_immunized=given[0],
        immunized=given[1],
        half_width=half,
        notes=tuple(notes),
    )


def for_label_difference(pilot: Contender | None, guess: Guess, o: Wanted) -> UnitsNeeded:
    """Units to label on both methods for people's difference."""
    assert o.label_difference is not None
    if pilot is None:
        raise UsageError(
            "isr plan --label-difference: expected a --pilot run, whose units are labelled; found none"
        )
    sensitivity, specificity = o.quality
    if sensitivity + specificity <= 1:
        raise UsageError(
            f"--quality {sensitivity:g},{specificity:g}: expected a judge better than chance, a sum above 1; labels alone, "
            "without the judge, are a plan for --difference"
        )
    name, y, image = paired(pilot, o)
    d = y[0] - y[1]
    between = variance_components(d, image).between
    known = PairedVerdicts(
        immunized=(float(y[0].mean()), float(y[1].mean())),
        variance=float(d.var()),
        between=guess.icc * float(d.var()) if between is None else between,
        units=d.size,
        images=int(image.max()) + 1,
        sensitivity=sensitivity,
        specificity=specificity,
    )
    factor = assured_factor(d, image, o.assurance) if known.images > 1 else 1.0
    level = simultaneous_level(o.level, o.family)
    found = labels_for_difference(o.label_difference, known, power=o.power, level=level, factor=factor)
    wanted = f"people's difference of {100 * o.label_difference:g} percentage points to {name}, power {o.power:.0%}"
    wanted += f", as one of {o.family} comparisons" if o.family > 1 else ""
    answer = (
        "no number of labels on this pilot"
        if found.needed is None
        else f"{found.needed} of {known.units} units, drawn at random, labelled on both edits: {2 * found.needed} labels"
    )
    rests = (
        f"a judge of sensitivity {sensitivity:g} and specificity {specificity:g} on both (--quality); isr compare --labels prints "
        "what it is"
    )
    return UnitsNeeded(wanted, answer, found.needed, (rests, *found.notes, *raised(factor, o)))

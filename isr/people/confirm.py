"""Comparisons that people would confirm: the corrected paired difference beside that of verdicts, from labels on both methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from isr.calibration.correction.by_design import WARNED_Z, corrected_rate
from isr.calibration.correction.paired import corrected_pair, selection_by_verdicts
from isr.calibration.correction.post_stratified import post_stratified_rate
from isr.calibration.correction.quality import SHARED_WITHIN, Strata, paired_quality
from isr.canonical import sha256_json, short
from isr.errors import DesignError
from isr.people.confirm_text import banner, swapped_told
from isr.people.labels import Labels, independent
from isr.people.pair_labels import LabelChoices, PeopleOnUnits, people_on_units
from isr.scoring.comparison import Choice, Comparison, Confirmed
from isr.scoring.finished import Contender, EditRow
from isr.scoring.sampling import ALL_THERE_IS, Sampling
from isr.signature import Signature
from isr.stats.multiplicity import holm_family, simultaneous_level
from isr.stats.paired import PairedComparison, holm_margins
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval
from isr.types import Bools, Floats, Ints, Unit


def confirm(
    found: Comparison,
    contenders: Sequence[Contender],
    labels: Labels,
    choices: LabelChoices,
    *,
    drawn: Sampling,
    level: float = 0.95,
    controls: frozenset[tuple[str, str]] = frozenset(),
) -> Comparison:
    """The comparison with the corrected difference of each pair, and how good the judge is on both sides of it.

    labels: of both methods' edits of the same units. drawn: what the units are a sample of, as the comparison took them; its
    prompts are fixed. controls: see :func:`people_on_units`. Slices get their corrected differences too, and the contenders that
    one may choose from their corrected rates. Raises ``InputError`` and ``DesignError`` where labels do not fit.
    """
    labels = independent(labels)
    people = people_on_units(contenders, labels, choices, controls)
    by_name = {c.name: c for c in contenders}
    sides = [(by_name[one.first].edits, by_name[one.second].edits) for one in found.family]
    pairs = confirm_family(found.family, sides, people, choices, drawn=drawn, level=level)
    slices = []
    for part in found.slices:
        one = part.comparison
        held = [_within(by_name[name].edits, part.by) for name in (one.first, one.second)]
        (made,) = confirm_family([one], [(held[0], held[1])], people, choices, drawn=drawn, level=level)
        slices.append(replace(made, by=part.by, simultaneous=None, p_holm=None, within=None))
    more = label_parts(labels, people, choices)
    told = [b for one, pair in zip(found.family, pairs, strict=True) if (b := banner(one, pair))]
    swaps = (w for pair in pairs for w in swapped_told(pair))
    return replace(
        found,
        signature=str(Signature.parse(found.signature).plus(*more)),
        confirmed=(*pairs, *slices),
        choices=tuple(_corrected_choices(found.choices, by_name, people, choices, drawn, level)),
        warnings=tuple(dict.fromkeys([*told, *people.warnings, *swaps, *found.warnings])),
    )


def label_parts(labels: Labels, people: PeopleOnUnits, choices: LabelChoices) -> tuple[tuple[str, str], ...]:
    """What a signature says of the labels that a comparison is corrected by."""
    plan = () if choices.plan is None else (("plan", short(sha256_json(dict(choices.plan)))),)
    lost = (("unmatched", str(people.unmatched)),) if people.unmatched else ()
    return (
        ("labels", labels.digest[:19]),
        ("guideline", people.guideline),
        ("design", choices.design),
        *plan,
        ("consensus", choices.consensus),
        *lost,
    )


def confirm_family(
    family: Sequence[PairedComparison],
    sides: Sequence[tuple[Mapping[Unit, EditRow], Mapping[Unit, EditRow]]],
    people: PeopleOnUnits,
    choices: LabelChoices,
    *,
    drawn: Sampling = ALL_THERE_IS,
    level: float = 0.95,
) -> tuple[Confirmed, ...]:
    """What labels say of each member of a declared family, adjusted over the whole of it (Holm, Bonferroni's intervals).

    sides: the edits of both sides of each member, by unit. A member that labels do not reach counts as p = 1.
    """
    found = [
        _pair(one, _rows(one, *both, people, drawn), choices, level, len(family), drawn)
        for one, both in zip(family, sides, strict=True)
    ]
    holm = holm_family([one.p_value for one in found])
    margins = holm_margins([one.within for one in found])
    return tuple(replace(one, p_holm=p, within=w) for one, p, w in zip(found, holm, margins, strict=True))


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The units of a pair that the judge decided on both sides, (n,): verdicts, people, which have labels of both, clusters."""

    judge: tuple[Floats, Floats]
    human: tuple[Floats, Floats]
    marks: Bools
    image: Ints
    undecided: Ints  # clusters of the shared units, of which the first ones are the decided
    notes: tuple[str, ...]


def _rows(
    one: PairedComparison,
    first: Mapping[Unit, EditRow],
    second: Mapping[Unit, EditRow],
    people: PeopleOnUnits,
    drawn: Sampling,
) -> _Rows:
    shared = sorted(first.keys() & second.keys())
    decided = [u for u in shared if np.isfinite(first[u].outcome) and np.isfinite(second[u].outcome)]
    known = set(decided)
    others = [u for u in shared if u not in known]
    said = [people.said.get(name, {}) for name in (one.first, one.second)]
    marks = np.array([u in said[0] and u in said[1] for u in decided], np.bool_)
    human = [
        np.array([s[u] if m else 0 for u, m in zip(decided, marks, strict=True)], np.float64) for s in said
    ]
    return _Rows(
        judge=(_verdicts(first, decided), _verdicts(second, decided)),
        human=(human[0], human[1]),
        marks=marks,
        image=drawn.images(decided),
        undecided=drawn.images([*decided, *others]),
        notes=tuple(_left_out(one, shared, others, said, people)),
    )


def _verdicts(rows: Mapping[Unit, EditRow], units: Sequence[Unit]) -> Floats:
    return np.array([rows[u].outcome for u in units], np.float64)


def _left_out(
    one: PairedComparison,
    shared: Sequence[Unit],
    others: Sequence[Unit],
    said: Sequence[Mapping[Unit, int]],
    people: PeopleOnUnits,
) -> Iterator[str]:
    """Labels that tell nothing of the difference: they are seldom a random part of all."""
    lost = sum(u in said[0] and u in said[1] for u in others)
    if lost:
        yield f"{lost} labelled units are undecided by the judge and left out"
    open_ = set().union(*(people.unsettled.get(n, frozenset()) for n in (one.first, one.second))) & set(
        shared
    )
    if open_:
        yield (
            f"{len(open_)} labelled units have no consensus on a side (a tie, or cannot_tell) and are left out; if they are harder "
            "than the rest, the corrected difference is biased"
        )
    half = [sum((u in a) and (u not in b) for u in shared) for a, b in (said, said[::-1])]
    for name, count in zip((one.first, one.second), half, strict=True):
        if count:
            yield f"{count} units are labelled of {name} only and tell nothing of the difference"


def _pair(
    one: PairedComparison, rows: _Rows, choices: LabelChoices, level: float, family: int, drawn: Sampling
) -> Confirmed:
    made = Confirmed(first=one.first, second=one.second, labels=int(rows.marks.sum()), notes=rows.notes)
    if not rows.marks.any():
        return replace(
            made,
            refused="no unit is labelled on both methods' outputs; label edits of both, of the same units (isr label --design units)",
        )
    columns = (*rows.judge, *rows.human, rows.marks, rows.image)
    strata: Strata = "own" if choices.design == "random" else "cells"
    first, second, gap = paired_quality(*columns, strata=strata, level=level)
    shared = (
        gap.low is not None
        and gap.high is not None
        and gap.low >= -SHARED_WITHIN
        and gap.high <= SHARED_WITHIN
    )
    made = replace(
        made,
        first_quality=first,
        second_quality=second,
        quality_difference=drawn.in_words(gap),
        shared=shared,
        notes=(*made.notes, *_selected(rows, choices)),
    )
    try:
        found = corrected_pair(
            *columns, label_design=choices.design, level=level, family=family, margin=drawn.margin
        )
    except DesignError as error:
        return replace(made, refused=str(error))
    raw, value = one.difference.value, found.difference.value
    return replace(
        made,
        corrected=drawn.in_words(found.difference),
        simultaneous=drawn.in_words(found.simultaneous),
        p_value=found.p_value,
        within=found.within,
        identified=_identified(found.difference, rows, level),
        turned=bool(raw and value and raw * value < 0),
    )


def _selected(rows: _Rows, choices: LabelChoices) -> Iterator[str]:
    """That labelled units look chosen by their verdicts though they are called random."""
    if choices.design == "within_verdict":
        return
    chosen = selection_by_verdicts(*rows.judge, rows.marks, rows.image)
    if chosen is not None and chosen.z > WARNED_Z:
        yield f"WARNING: labelled units look chosen by verdict: {chosen}; if they were, this is wrong: say --design within_verdict"


def _identified(corrected: Interval, rows: _Rows, level: float) -> tuple[float, float] | None:
    """The corrected interval over all shared units, whatever people would say of those that the judge left undecided."""
    lost = rows.undecided.size - rows.image.size
    if not lost or corrected.low is None or corrected.high is None:
        return None
    open_ = np.arange(rows.undecided.size) >= rows.image.size
    found = rate_interval(open_.astype(np.float64), rows.undecided, level=level).high
    most = 1.0 if found is None else found  # share of the undecided: it is a rate of these images too
    return corrected.low * (1 - most) - most, corrected.high * (1 - most) + most


def _within(rows: Mapping[Unit, EditRow], by: Mapping[str, str]) -> dict[Unit, EditRow]:
    return {u: r for u, r in rows.items() if all(r.columns.get(k) == v for k, v in by.items())}


# --------------------------------------------------------------------------- one method's own rate


def _corrected_choices(
    found: Sequence[Choice],
    by_name: Mapping[str, Contender],
    people: PeopleOnUnits,
    choices: LabelChoices,
    drawn: Sampling,
    level: float,
) -> Iterator[Choice]:
    """Each contender's rate as people would see it, on the units that all contenders share; these hold together."""
    if not found:
        return
    units = sorted(set.intersection(*({*c.edits} for c in by_name.values())))
    units = [u for u in units if all(np.isfinite(c.edits[u].outcome) for c in by_name.values())]
    each = simultaneous_level(level, len(found))
    for choice in found:
        rate, why = _rate(choice.name, by_name, units, people, choices, drawn, each)
        yield replace(
            choice, corrected=rate, notes=(*choice.notes, f"people's rate: {why}") if why else choice.notes
        )


def _rate(
    name: str,
    by_name: Mapping[str, Contender],
    units: Sequence[Unit],
    people: PeopleOnUnits,
    choices: LabelChoices,
    drawn: Sampling,
    level: float,
) -> tuple[Interval | None, str]:
    said = people.said.get(name, {})
    if not units:
        return None, "the contenders share no unit that the judge decided for all of them"
    judge, image = _verdicts(by_name[name].edits, units), drawn.images(units)
    every = list(people.said.values()) if choices.design == "within_verdict" else [said]
    marks = np.array([all(u in s for s in every) for u in units], np.bool_)
    human = np.array([said[u] if m else 0 for u, m in zip(units, marks, strict=True)], np.float64)
    try:
        if choices.design == "random":
            made = corrected_rate(judge, human, marks, image, label_design="random", level=level)
        elif len(by_name) == 2:
            cells = sum(k * _verdicts(c.edits, units) for k, c in zip((2, 1), by_name.values(), strict=True))
            made = post_stratified_rate(judge, human, marks, image, strata=cells, level=level)
        else:
            return (
                None,
                "labels within the cells of two verdicts tell of pairs, not of one of several methods",
            )
    except DesignError as error:
        return None, str(error)
    return drawn.in_words(made), ""

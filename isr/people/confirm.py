"""Comparisons that people would confirm: the corrected paired difference beside that of verdicts, from labels on both methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.correction.by_design import corrected_difference
from isr.errors import DesignError, InputError
from isr.people.labels import Consensus, Labels, consensus
from isr.scoring.compare import Comparison, Confirmed, JudgeQuality, Sampling
from isr.scoring.finished import Contender
from isr.signature import Signature
from isr.stats.jackknife import jackknife_interval
from isr.stats.paired import PairedComparison
from isr.stats.rows import Interval
from isr.types import Bools, Floats, Ints, Unit

SHARED_WITHIN = 0.1
"""One calibration may be shared by two methods only where the interval of the difference in J lies inside +- this."""
PairDesign = Literal["random", "within_verdict"]


def confirm(
    found: Comparison,
    contenders: Sequence[Contender],
    labels: Labels,
    *,
    design: PairDesign,
    consensus_rule: Consensus = "majority",
    level: float = 0.95,
    cluster: str = "",
) -> Comparison:
    """The comparison with the corrected difference of each pair of its family, and the judge's quality on each method.

    labels: of protected edits, on both methods' edits of the same units. design: how these units were chosen: ``random``, or
    ``within_verdict``, at random within the four cells of the two verdicts. cluster: a column that groups images. Raises ``InputError`` where no label meets an edit.
    """
    drawn = Sampling.of(contenders, "fixed", cluster)
    protected = labels.of_arm(control=False)
    truth = {c.name: _truth(c, protected, consensus_rule) for c in contenders}
    if not any(truth.values()):
        raise InputError(
            "isr compare --labels: expected labels of the compared edits; found none that meets one by edit_id and pixels; "
            "give the labels that were made of these runs"
        )
    by_name = {c.name: c for c in contenders}
    pairs = tuple(_pair(one, by_name, truth, design, level, drawn) for one in found.family)
    qualities = tuple(q for c in contenders if (q := _quality(c, truth[c.name], level, drawn)) is not None)
    more = (("labels", labels.digest[:19]), ("design", design), ("consensus", consensus_rule))
    signature = str(Signature.parse(found.signature).plus(*more))
    return replace(found, signature=signature, confirmed=pairs, qualities=qualities)


def _truth(contender: Contender, labels: Labels, rule: Consensus) -> dict[Unit, int]:
    """What people say of a contender's edits, 1 immunized, 0 not; by unit. A label of other pixels is of another edit."""
    units = {row.columns["edit_id"]: unit for unit, row in contender.edits.items()}
    pixels = {row.columns["edit_id"]: row.columns.get("edit_sha256", "") for row in contender.edits.values()}
    own = replace(
        labels,
        rows=tuple(r for r in labels.rows if r.edit_id in units and r.edit_sha256 in ("", pixels[r.edit_id])),
    )
    edits = own.edits
    said = consensus(own.codes(edits, "outcome"), rule) if edits else np.zeros(0, np.int64)
    return {units[e]: int(code) for e, code in zip(edits, said, strict=True) if code != MISSING}


def _pair(
    one: PairedComparison,
    by_name: Mapping[str, Contender],
    truth: Mapping[str, Mapping[Unit, int]],
    design: PairDesign,
    level: float,
    drawn: Sampling,
) -> Confirmed:
    a, b = by_name[one.first], by_name[one.second]
    units = [
        u
        for u in sorted(a.edits.keys() & b.edits.keys())
        if np.isfinite(a.edits[u].outcome) and np.isfinite(b.edits[u].outcome)
    ]
    people = [truth[one.first], truth[one.second]]
    marks = np.array([u in people[0] and u in people[1] for u in units], np.bool_)
    verdicts = [np.array([c.edits[u].outcome for u in units], np.float64) for c in (a, b)]
    said = [
        np.array([p.get(u, 0) if m else 0 for u, m in zip(units, marks, strict=True)], np.float64)
        for p in people
    ]
    image = drawn.images(units)
    corrected, refused = None, ""
    try:
        corrected = corrected_difference(
            verdicts[0], verdicts[1], said[0], said[1], marks, image, label_design=design, level=level
        )
    except DesignError as error:
        refused = str(error)
    raw = one.difference.value
    value = None if corrected is None else corrected.value
    gap = _gap(verdicts, said, marks, image, level)
    return Confirmed(
        first=one.first,
        second=one.second,
        corrected=corrected,
        refused=refused,
        labels=int(marks.sum()),
        quality_difference=gap,
        shared=gap is not None and gap.low is not None and gap.high is not None
        and gap.low >= -SHARED_WITHIN and gap.high <= SHARED_WITHIN,
        turned=bool(raw and value and raw * value < 0),
    )  # fmt: skip


# --------------------------------------------------------------------------- how good the judge is


def _sums(judge: Floats, human: Floats, marks: Bools, image: Ints) -> Floats:
    """By image: edits, labels, and labels that say immunized, of each verdict; (G, 3, 2)."""
    images = int(image.max()) + 1 if image.size else 0
    out = np.zeros((images, 3, 2))
    for i, weight in enumerate((np.ones(judge.size), marks.astype(np.float64), marks * human)):
        for verdict in (0, 1):
            out[:, i, verdict] = np.bincount(image, weights=weight * (judge == verdict), minlength=images)
    return out


def _rates(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """(J, sensitivity, specificity) from sums (..., 3, 2): people's rate within each verdict, weighted by its edits.

    Valid for labels drawn at random and for labels drawn within verdict. NaN where a verdict has no label, or people see one
    outcome only.
    """
    edits, labelled, yes = (sums[..., i, :] for i in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = yes / labelled
        hit, miss = edits[..., 1] * rate[..., 1], edits[..., 0] * rate[..., 0]
        right, alarm = edits[..., 0] * (1 - rate[..., 0]), edits[..., 1] * (1 - rate[..., 1])
        sensitivity, specificity = hit / (hit + miss), right / (right + alarm)
    return sensitivity + specificity - 1, sensitivity, specificity


def _interval(
    name: str, value: float, replicates: Floats, n: int, level: float, width: float = 1.0
) -> Interval:
    """A jackknifed figure in [-width, width]."""
    low, high, reason = None, None, "a verdict has no label, or people see one outcome only"
    known = bool(np.isfinite(value))
    if known:
        low, high, reason = jackknife_interval(value / width, replicates / width, level=level)
    return Interval(
        value=value if known else None,
        low=None if low is None else low * width,
        high=None if high is None else high * width,
        method=f"{name}, delete-one-image jackknife",
        n=n,
        clusters=replicates.size,
        design_effect=None,
        n_effective=None,
        notes=(reason,) if reason else (),
    )


def _quality(
    contender: Contender, truth: Mapping[Unit, int], level: float, drawn: Sampling
) -> JudgeQuality | None:
    """How good the judge is on one method's edits; ``None`` without a label."""
    units = [u for u, row in sorted(contender.edits.items()) if np.isfinite(row.outcome)]
    marks = np.array([u in truth for u in units], np.bool_)
    if not marks.any():
        return None
    judge = np.array([contender.edits[u].outcome for u in units], np.float64)
    human = np.array([truth.get(u, 0) for u in units], np.float64)
    sums = _sums(judge, human, marks, drawn.images(units))
    whole, rest = _rates(sums.sum(axis=0)), _rates(sums.sum(axis=0)[None] - sums)
    names = ("J = sensitivity + specificity - 1", "sensitivity", "specificity")
    n = int(marks.sum())
    found = [_interval(x, float(w), r, n, level) for x, w, r in zip(names, whole, rest, strict=True)]
    return JudgeQuality(name=contender.name, j=found[0], sensitivity=found[1], specificity=found[2], labels=n)


def _gap(
    verdicts: Sequence[Floats], said: Sequence[Floats], marks: Bools, image: Ints, level: float
) -> Interval | None:
    """The difference in J of two methods, on the units that carry labels of both."""
    if not marks.any():
        return None
    sums = [_sums(j, h, marks, image) for j, h in zip(verdicts, said, strict=True)]
    whole = [_rates(s.sum(axis=0))[0] for s in sums]
    rest = [_rates(s.sum(axis=0)[None] - s)[0] for s in sums]
    return _interval(
        "difference in J", float(whole[0] - whole[1]), rest[0] - rest[1], int(marks.sum()), level, 2.0
    )


def lines(found: Comparison) -> Iterator[str]:
    """What the labels say of the judge and of each pair, in words."""
    for q in found.qualities:
        yield f"{q.name}: J {_span(q.j)}, sensitivity {_span(q.sensitivity)}, specificity {_span(q.specificity)}, {q.labels} labels"
    for pair in found.confirmed:
        if pair.turned:
            yield f"WARNING: VERDICTS AND PEOPLE DISAGREE ON WHICH IS BETTER: {pair.first} - {pair.second}"
        if pair.quality_difference is not None and not pair.shared:
            yield (
                f"{pair.first} - {pair.second}: difference in J {_span(pair.quality_difference)}, not shown to lie within "
                f"+-{SHARED_WITHIN:g}: one calibration of the judge does not hold for both; label edits of each method"
            )


def _span(i: Interval) -> str:
    if i.value is None:
        return f"- ({'; '.join(i.notes)})"
    return f"{i.value:.2f}" + ("" if i.low is None or i.high is None else f" ({i.low:.2f} to {i.high:.2f})")

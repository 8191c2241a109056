"""Two methods on the same units: the difference that people would see, from labels of both methods' edits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.correction.by_design import (
    VALID,
    Estimator,
    LabelDesign,
    Selection,
    choose_estimator,
    refuse_selected,
    selection_by_verdict,
)
from isr.calibration.correction.core import (
    Core,
    Labelled,
    arrange,
    check_probabilities,
    image_sums,
    linear,
    no_interval,
    zero_one,
)
from isr.calibration.correction.post_stratified import check_strata, post_stratified_core
from isr.calibration.correction.ppi import ppi_core
from isr.errors import DesignError, StatisticsError
from isr.stats.difference import WithinMargin
from isr.stats.multiplicity import simultaneous_level
from isr.stats.rows import Interval
from isr.stats.special import stdtr
from isr.types import Floats

WHERE = "corrected_difference"
CELLS = tuple(f"verdicts A={a} B={b}" for a in (0, 1) for b in (0, 1))
"""The four cells of two verdicts, in the order of ``2 J_A + J_B``."""


@dataclass(frozen=True, kw_only=True)
class CorrectedPair:
    """A corrected difference as a member of a family: with its simultaneous interval, its p-value and those of a margin."""

    difference: Interval
    simultaneous: Interval
    p_value: float | None
    within: WithinMargin | None


def corrected_difference(
    judge_a: ArrayLike,
    judge_b: ArrayLike,
    human_a: ArrayLike,
    human_b: ArrayLike,
    labelled: ArrayLike,
    image: ArrayLike,
    *,
    label_design: LabelDesign,
    estimator: Estimator = "auto",
    probabilities: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """The people's rate of method A minus that of B on the same units, with a judge that may err differently.

    All (n,), one row per unit; ``labelled`` marks units where people labelled BOTH outputs. Random labels:
    PPI++ on ``Y_A - Y_B`` with ``f = J_A - J_B``. Labels drawn within the four cells of (J_A, J_B):
    post-stratified on the cells. Linear t, clipped to [-1, 1]. External labels are refused: a judge's error
    rates may differ between methods, so labels must exist on both methods' outputs. Labels called random are refused where
    their share differs between verdicts, or between units on which the verdicts differ and the others.

    >>> human = [1, 0, 0, 1]  # every edit is labelled: people's own difference, 2/4 - 2/4
    >>> corrected_difference([1, 1, 0, 0], [0, 0, 1, 1], human, human, [True] * 4, list('abcd'), label_design='random').value
    0.0
    """
    return corrected_pair(
        judge_a, judge_b, human_a, human_b, labelled, image,
        label_design=label_design, estimator=estimator, probabilities=probabilities, level=level,
    ).difference  # fmt: skip


def corrected_pair(
    judge_a: ArrayLike,
    judge_b: ArrayLike,
    human_a: ArrayLike,
    human_b: ArrayLike,
    labelled: ArrayLike,
    image: ArrayLike,
    *,
    label_design: LabelDesign,
    estimator: Estimator = "auto",
    probabilities: ArrayLike | None = None,
    level: float = 0.95,
    family: int = 1,
    margin: float | None = None,
) -> CorrectedPair:
    """:func:`corrected_difference` as one of ``family`` comparisons, tested by the t of its interval.

    The simultaneous interval is Bonferroni's; ``within`` are the two one-sided tests against ``margin`` (Schuirmann 1987).
    """
    _check_design(label_design, probabilities)
    ja, jb, ya, yb = _outcomes(WHERE, judge_a, judge_b, human_a, human_b, labelled)
    chosen = choose_estimator(WHERE, label_design, estimator, label_design != "within_verdict")
    if chosen == "rogan-gladen":
        raise DesignError(
            f"{WHERE}: Rogan-Gladen is not available for differences; use ppi++ or post-stratified"
        )
    rows = arrange(WHERE, 2 * ja + jb, ya - yb, labelled, image)
    text = f"{'PPI++' if chosen == 'ppi++' else 'post-stratified'} on paired differences, t, clustered by image_id"
    if rows.judge.size == 0:
        nothing = no_interval(None, text, 0, 0, "no pair: there is no difference")
        return CorrectedPair(difference=nothing, simultaneous=nothing, p_value=None, within=None)
    if not rows.labelled.any():
        raise DesignError(f"{WHERE}: no unit is labelled on both methods' outputs; label some units")
    held = int((image_sums(rows.labelled, rows.starts) > 0).sum())
    notes: tuple[str, ...] = (f"{int(rows.labelled.sum())} labelled pairs of {held} images",)
    if chosen == "post-stratified":
        notes += check_strata(WHERE, rows.judge.astype(np.int64), list(CELLS), rows.labelled)
    elif label_design == "random":
        refuse_selected(WHERE, chosen, selection_by_verdicts(ja, jb, labelled, image))
    core = _core(rows, chosen, probabilities)
    joint = simultaneous_level(level, family)
    difference, simultaneous = (_interval(core, rows, text, at, notes) for at in (level, joint))
    if difference.low is None:
        return CorrectedPair(difference=difference, simultaneous=simultaneous, p_value=None, within=None)
    value, se, df = float(core.value), float(core.variance) ** 0.5, float(core.df)
    within = None
    if margin is not None:
        below, above = (float(stdtr(df, -(margin + sign * value) / se)) for sign in (1, -1))
        within = WithinMargin(below, max(below, above))
    return CorrectedPair(
        difference=difference,
        simultaneous=simultaneous,
        p_value=float(2 * stdtr(df, -abs(value) / se)),
        within=within,
    )


def selection_by_verdicts(
    judge_a: ArrayLike, judge_b: ArrayLike, labelled: ArrayLike, image: ArrayLike
) -> Selection | None:
    """Whether units were chosen for labelling by either verdict, or because the two differ: the clearest sign of the three."""
    a, b = np.asarray(judge_a, dtype=np.float64), np.asarray(judge_b, dtype=np.float64)
    asked = {
        "the units whose first edit the judge calls immunized": a,
        "the units whose second edit the judge calls immunized": b,
        "the units on which the two verdicts differ": (a != b).astype(np.float64),
    }
    found = [s for of, x in asked.items() if (s := selection_by_verdict(x, labelled, image, of=of))]
    return max(found, key=lambda s: s.z, default=None)


def _check_design(label_design: str, probabilities: ArrayLike | None) -> None:
    if label_design == "external":
        raise DesignError(
            f"{WHERE}: a judge can err differently on the two methods; labels on both outputs of the same units of this "
            "test set are needed ('random', 'within_verdict' or 'weights')"
        )
    if label_design not in VALID:
        raise DesignError(
            f"{WHERE}: label_design: expected one of {', '.join(VALID)}; found {label_design!r}"
        )
    if (label_design == "weights") != (probabilities is not None):
        raise DesignError(
            f"{WHERE}: probabilities= and label_design='weights' belong together; give both or neither"
        )


def _core(rows: Labelled, chosen: str, probabilities: ArrayLike | None) -> Core:
    cell, pi = rows.judge.astype(np.int64), check_probabilities(WHERE, probabilities, rows)
    if chosen == "post-stratified":
        return post_stratified_core(
            cell, rows.human, rows.labelled, rows.starts, len(CELLS), probability=pi, prior=0.0
        )
    gap = (cell // 2 - cell % 2).astype(np.float64)
    return ppi_core(gap, rows.human, rows.labelled, rows.starts, probability=pi, prior=0.0)


def _interval(core: Core, rows: Labelled, text: str, level: float, notes: tuple[str, ...]) -> Interval:
    n, images, value = rows.judge.size, rows.starts.size, float(np.clip(core.value, -1.0, 1.0))
    if images < 2 or float(core.df) < 1:
        return no_interval(value, text, n, images, "labels in fewer than two images: no interval")
    low, high = (float(x) for x in linear(core, level=level))
    return Interval(
        value=value,
        low=low,
        high=high,
        method=text,
        n=n,
        clusters=images,
        design_effect=None,
        n_effective=None,
        notes=notes,
    )


def _outcomes(where: str, *columns: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """Verdicts on A and B, labels on A and B, checked to be 0 or 1 (labels where both are labelled)."""
    ja, jb, ya, yb = (np.asarray(x, dtype=np.float64) for x in columns[:4])
    marks = np.asarray(columns[4])
    if len({x.shape for x in (ja, jb, ya, yb, marks)}) != 1:
        found = sorted({str(x.shape) for x in (ja, jb, ya, yb, marks)})
        raise StatisticsError(f"{where}: expected verdicts and labels of one length, found {found}")
    for name, values in (("judge_a", ja), ("judge_b", jb)):
        zero_one(where, name, values)
    if marks.dtype.kind == "b":  # arrange refuses the rest
        for name, values in (("human_a", ya[marks]), ("human_b", yb[marks])):
            zero_one(where, name, values)
    return ja, jb, ya, yb

"""The estimator that fits how the labelled edits were chosen; a design that fits none is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.correction.core import arrange, check_probabilities, linear, no_interval, zero_one
from isr.calibration.correction.post_stratified import (
    check_strata,
    post_stratified_core,
    post_stratified_rate,
)
from isr.calibration.correction.ppi import ppi_core, ppi_rate
from isr.calibration.correction.rogan_gladen import Calibration, rogan_gladen_joint, rogan_gladen_rate
from isr.errors import DesignError, StatisticsError
from isr.stats.rows import Interval, codes
from isr.types import Floats

LabelDesign = Literal["random", "within_verdict", "external", "weights"]

Estimator = Literal["auto", "post-stratified", "ppi++", "rogan-gladen"]
SUSPECT_Z = 4.0
"""Labels called random whose share differs between verdicts by more standard errors than this are refused."""
WARNED_Z = 2.5
"""From so many standard errors on they are told."""


_NEEDS = {
    "post-stratified": "labels drawn from the test set, at random or at random within verdict",
    "ppi++": "labels drawn from the test set at random, or with known inclusion probabilities",
    "rogan-gladen": "labels of another experiment (external), or drawn at random, chosen without looking at verdicts",
}
_VALID = {
    "random": ("post-stratified", "ppi++", "rogan-gladen"),
    "within_verdict": ("post-stratified",),
    "external": ("rogan-gladen",),
    "weights": ("post-stratified", "ppi++"),
}


def corrected_rate(
    judge: ArrayLike,
    human: ArrayLike | None,
    labelled: ArrayLike | None,
    image: ArrayLike,
    *,
    label_design: LabelDesign,
    estimator: Estimator = "auto",
    score: ArrayLike | None = None,
    calibration: Calibration | None = None,
    probabilities: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """The people's rate by the estimator that fits how labels were drawn, or DesignError.

    judge: (n,) 0/1 verdicts. human, labelled: (n,), None for the external design. score: (n,) graded scores in
    [0, 1], which choose PPI++ and are refused where it is biased. calibration: error rates from another
    experiment, which declares how its labels were drawn. probabilities: (n,) known
    inclusion probabilities. ``estimator`` asks for one by name; it is refused where the design makes it biased.

    >>> judge, human = [1, 1, 0, 0], [1, 0, 0, 0]  # every edit is labelled: people's own rate
    >>> corrected_rate(judge, human, [True] * 4, list('abcd'), label_design='random').value
    0.25
    """
    where = "corrected_rate"
    if label_design not in _VALID:
        raise DesignError(
            f"{where}: label_design: expected one of {', '.join(_VALID)}; found {label_design!r}"
        )
    chosen = _choose(where, label_design, estimator, score is not None)
    zero_one(where, "judge", np.asarray(judge, dtype=np.float64))
    if score is not None and chosen != "ppi++":
        raise DesignError(
            f"{where}: score= is read by ppi++ only, which needs {_NEEDS['ppi++']}; leave it out for {chosen} with "
            f"label_design={label_design!r}, or use its bins as strata of post_stratified"
        )
    inside = labelled is not None and bool(np.asarray(labelled).any())
    if label_design == "external":
        if inside:
            raise DesignError(
                f"{where}: label_design='external', but edits of this test set carry labels; say how those were drawn: "
                "'random', 'within_verdict' or 'weights'"
            )
        if calibration is None:
            raise DesignError(
                f"{where}: label_design='external' needs calibration= (sensitivity and specificity counts, and how the "
                "labels were drawn)"
            )
        return rogan_gladen_rate(judge, image, calibration, level=level)
    if calibration is not None:
        raise DesignError(
            f"{where}: calibration= comes from another experiment; that is label_design='external', not {label_design!r}"
        )
    if human is None or labelled is None or (not inside and np.asarray(judge).size):
        raise DesignError(
            f"{where}: label_design={label_design!r} needs labels on edits of this test set; found none"
        )
    if (label_design == "weights") != (probabilities is not None):
        raise DesignError(
            f"{where}: probabilities= and label_design='weights' belong together; give both or neither"
        )
    if chosen == "post-stratified":
        return post_stratified_rate(judge, human, labelled, image, probabilities=probabilities, level=level)
    found = (
        rogan_gladen_joint(judge, human, labelled, image, level=level)
        if chosen == "rogan-gladen"
        else ppi_rate(
            judge if score is None else score,
            human,
            labelled,
            image,
            probabilities=probabilities,
            level=level,
        )
    )
    if label_design == "random":
        _refuse_selected(where, chosen, judge, labelled, image)
    return found


def _choose(where: str, design: str, estimator: str, graded: bool) -> str:
    if estimator == "auto":
        if graded and design in ("random", "weights"):
            return "ppi++"
        return _VALID[design][0]
    if estimator not in _NEEDS:
        raise DesignError(
            f"{where}: estimator: expected 'auto' or one of {', '.join(_NEEDS)}; found {estimator!r}"
        )
    if estimator not in _VALID[design]:
        raise DesignError(
            f"{where}: {estimator} is biased for label_design={design!r}; it needs {_NEEDS[estimator]}; "
            f"use {_VALID[design][0]} here"
        )
    return estimator


@dataclass(frozen=True, slots=True)
class Selection:
    """Shares of the edits with each verdict that carry a label, and how many standard errors apart they are."""

    immunized: float
    others: float
    z: float

    def __str__(self) -> str:
        return (
            f"{self.immunized:.0%} of the edits that the judge calls immunized carry one and {self.others:.0%} of the others "
            f"({self.z:.1f} standard errors apart)"
        )


def selection_by_verdict(
    judge: ArrayLike, labelled: ArrayLike, image: ArrayLike, group: ArrayLike | None = None
) -> Selection | None:
    """Whether edits were chosen for labelling by the judge's verdict; all (n,). ``None`` where nothing can tell.

    group: compared are edits of one group, with the weights of Mantel and Haenszel (1959), and only in groups that have a
    label: labels of one editor at random are no choice by verdict because another editor fails more often. The standard error
    is the larger of that of independent edits and that clustered on the image, since labels may be of whole images.

    >>> judge = [1] * 8 + [0] * 8
    >>> selection_by_verdict(judge, [True] * 6 + [False] * 10, list('abcdefghijklmnop')).immunized
    0.75
    """
    f, marks = np.asarray(judge, dtype=np.float64), np.asarray(labelled, dtype=np.float64)
    place, part = codes(image), np.zeros(f.size, np.int64) if group is None else codes(group)
    phi, used = np.zeros(f.size), np.zeros(f.size, np.bool_)
    gap = iid = mass = 0.0
    for g in np.unique(part):
        own = part == g
        one, none = own & (f == 1), own & (f != 1)
        yes, no, share = int(one.sum()), int(none.sum()), float(marks[own].mean())
        if not yes or not no or share == 0:
            continue
        weight = yes * no / (yes + no)
        a, b = float(marks[one].mean()), float(marks[none].mean())
        phi[one], phi[none] = weight * (marks[one] - a) / yes, -weight * (marks[none] - b) / no
        gap += weight * (a - b)
        iid += weight**2 * share * (1 - share) * (1 / yes + 1 / no)
        mass += weight
        used |= own
    if not mass or not iid:
        return None
    by_image = np.bincount(place, weights=phi)[np.unique(place[used])] / mass
    images = by_image.size
    clustered = images / (images - 1) * float((by_image**2).sum()) if images > 1 else 0.0
    spread = max(iid / mass**2, clustered)
    shares = (float(marks[used & (f == 1)].mean()), float(marks[used & (f != 1)].mean()))
    return Selection(*shares, abs(gap) / mass / spread**0.5)


def _refuse_selected(
    where: str, estimator: str, judge: ArrayLike, labelled: ArrayLike, image: ArrayLike
) -> None:
    """Refuse labels called random whose share differs between verdicts far beyond chance."""
    found = selection_by_verdict(judge, labelled, image)
    if found is not None and found.z > SUSPECT_Z:
        raise DesignError(
            f"{where}: labels are called random, but {found}; {estimator} needs labels drawn without looking at verdicts: "
            "declare label_design='within_verdict'"
        )


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
    rates may differ between methods, so labels must exist on both methods' outputs.

    >>> human = [1, 0, 0, 1]  # every edit is labelled: people's own difference, 2/4 - 2/4
    >>> corrected_difference([1, 1, 0, 0], [0, 0, 1, 1], human, human, [True] * 4, list('abcd'), label_design='random').value
    0.0
    """
    where = "corrected_difference"
    if label_design == "external":
        raise DesignError(
            f"{where}: a judge can err differently on the two methods; labels on both outputs of the same units of this "
            "test set are needed ('random', 'within_verdict' or 'weights')"
        )
    if label_design not in _VALID:
        raise DesignError(
            f"{where}: label_design: expected one of {', '.join(_VALID)}; found {label_design!r}"
        )
    if (label_design == "weights") != (probabilities is not None):
        raise DesignError(
            f"{where}: probabilities= and label_design='weights' belong together; give both or neither"
        )
    ja, jb, ya, yb = _outcomes(where, judge_a, judge_b, human_a, human_b, labelled)
    chosen = _choose(where, label_design, estimator, label_design != "within_verdict")
    if chosen == "rogan-gladen":
        raise DesignError(
            f"{where}: Rogan-Gladen is not available for differences; use ppi++ or post-stratified"
        )
    cells = 2 * ja + jb
    rows = arrange(where, cells, ya - yb, labelled, image)
    text = f"{'PPI++' if chosen == 'ppi++' else 'post-stratified'} on paired differences, t, clustered by image_id"
    n, images = rows.judge.size, rows.starts.size
    if n == 0:
        return no_interval(None, text, 0, 0, "no pair: there is no difference")
    if not rows.labelled.any():
        raise DesignError(f"{where}: no unit is labelled on both methods' outputs; label some units")
    cell, pi = rows.judge.astype(np.int64), check_probabilities(where, probabilities, rows)
    notes: tuple[str, ...] = (f"{int(rows.labelled.sum())} labelled pairs",)
    if chosen == "post-stratified":
        names = [f"verdicts A={a} B={b}" for a in (0, 1) for b in (0, 1)]
        notes += check_strata(where, cell, names, rows.labelled)
        core = post_stratified_core(
            cell, rows.human, rows.labelled, rows.starts, 4, probability=pi, prior=0.0
        )
    else:
        if label_design == "random":
            for verdicts in (ja, jb):
                _refuse_selected(where, chosen, verdicts, labelled, image)
        gap = (cell // 2 - cell % 2).astype(np.float64)
        core = ppi_core(gap, rows.human, rows.labelled, rows.starts, probability=pi, prior=0.0)
    value = float(np.clip(core.value, -1.0, 1.0))
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

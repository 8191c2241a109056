"""The estimator that fits how the labelled edits were chosen; a design that fits none is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.correction.core import zero_one
from isr.calibration.correction.post_stratified import post_stratified_rate
from isr.calibration.correction.ppi import ppi_rate
from isr.calibration.correction.rogan_gladen import Calibration, rogan_gladen_joint, rogan_gladen_rate
from isr.errors import DesignError
from isr.stats.rows import Interval, codes

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
VALID = {
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
    if label_design not in VALID:
        raise DesignError(
            f"{where}: label_design: expected one of {', '.join(VALID)}; found {label_design!r}"
        )
    chosen = choose_estimator(where, label_design, estimator, score is not None)
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
        refuse_selected(where, chosen, selection_by_verdict(judge, labelled, image))
    return found


def choose_estimator(where: str, design: str, estimator: str, graded: bool) -> str:
    """The estimator that is valid for a design, or the one asked for. Raises ``DesignError`` where it would be biased."""
    if estimator == "auto":
        if graded and design in ("random", "weights"):
            return "ppi++"
        return VALID[design][0]
    if estimator not in _NEEDS:
        raise DesignError(
            f"{where}: estimator: expected 'auto' or one of {', '.join(_NEEDS)}; found {estimator!r}"
        )
    if estimator not in VALID[design]:
        raise DesignError(
            f"{where}: {estimator} is biased for label_design={design!r}; it needs {_NEEDS[estimator]}; "
            f"use {VALID[design][0]} here"
        )
    return estimator


@dataclass(frozen=True)
class Selection:
    """Shares of the edits with each verdict that carry a label, and how many standard errors apart they are.

    of: what the first share is of, where it is not the edits that the judge calls immunized.
    """

    immunized: float
    others: float
    z: float
    of: str = "the edits that the judge calls immunized"

    def __str__(self) -> str:
        return (
            f"{self.immunized:.0%} of {self.of} carry one and {self.others:.0%} of the others "
            f"({self.z:.1f} standard errors apart)"
        )


def selection_by_verdict(
    judge: ArrayLike,
    labelled: ArrayLike,
    image: ArrayLike,
    group: ArrayLike | None = None,
    *,
    of: str = Selection.of,
) -> Selection | None:
    """Whether edits were chosen for labelling by the judge's verdict; all (n,). ``None`` where nothing can tell.

    group: compared are edits of one group, with the weights of Mantel and Haenszel (1959), and only in groups that have a
    label: labels of one editor at random are no choice by verdict because another editor fails more often. The standard error
    is the larger of that of independent edits and that clustered on the image, since labels may be of whole images. of: what
    the edits with ``judge`` 1 are, in words.

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
    return Selection(*shares, abs(gap) / mass / spread**0.5, of)


def refuse_selected(where: str, estimator: str, found: Selection | None) -> None:
    """Refuse labels called random whose share differs between verdicts far beyond chance (``DesignError``)."""
    if found is not None and found.z > SUSPECT_Z:
        raise DesignError(
            f"{where}: labels are called random, but {found}; {estimator} needs labels drawn without looking at verdicts: "
            "declare label_design='within_verdict'"
        )

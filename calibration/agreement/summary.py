"""Agreement of a judge with people: every coefficient together, and the ceiling that people set.

No single coefficient tells the story: with nine immunized edits in ten, high percent agreement and a negative
kappa occur together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.agreement.jackknife import jackknifed
from isr.calibration.agreement.many_raters import rating_counts
from isr.calibration.agreement.two_raters import (
    codes_of,
    cohen_kappa,
    gwet_ac1,
    krippendorff_nominal,
    matthews,
)
from isr.errors import StatisticsError
from isr.stats.difference import difference_interval
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval, codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A judge against people on the same edits; ``table[i, j]`` counts edits judged i that people call j."""

    table: tuple[tuple[int, ...], ...]
    percent: Interval
    kappa: Interval
    ac1: Interval
    alpha: Interval
    mcc: Interval
    sensitivity: Interval
    specificity: Interval
    prevalence: Interval
    n: int
    clusters: int


def two_rater_agreement(
    judge: ArrayLike, human: ArrayLike, image: ArrayLike, *, level: float = 0.95
) -> Agreement:
    """All coefficients of two binary raters with image-clustered intervals; see the module's first lines.

    judge, human: (n,) 0/1 with undecided edits dropped. Percent agreement, sensitivity, specificity and
    prevalence are rates and get the default interval (within the edits that people call immunized, or not).

    >>> two_rater_agreement([0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 1, 1]).kappa.value
    0.5
    """
    j, y, group = codes_of("agreement", judge, 2), codes_of("agreement", human, 2), codes(image)
    if j.shape != y.shape or group.shape != j.shape:
        raise StatisticsError("agreement: expected one verdict, one label and one image per edit")
    n, images = j.size, int(group.max()) + 1 if j.size else 0
    tables = np.bincount(group * 4 + 2 * j + y, minlength=images * 4).reshape(images, 2, 2).astype(np.float64)
    one = "only one class occurs: undefined"

    def rate(hit: ArrayLike, keep: ArrayLike, word: str) -> Interval:
        mask = np.asarray(keep)
        found = rate_interval(np.asarray(hit)[mask], group[mask], level=level)
        if found.n == 0:
            return Interval(
                value=None,
                low=None,
                high=None,
                method=found.method,
                n=0,
                clusters=0,
                design_effect=None,
                n_effective=None,
                notes=(f"people call no edit {word}",),
            )
        return found

    every = np.ones(n, dtype=bool)
    return Agreement(
        table=tuple(tuple(int(x) for x in row) for row in tables.sum(axis=0)),
        percent=rate(j == y, every, "anything"),
        kappa=jackknifed("Cohen's kappa", tables, cohen_kappa, n, level, one),
        ac1=jackknifed("Gwet's AC1", tables, gwet_ac1, n, level, one),
        alpha=jackknifed("Krippendorff's alpha", tables, krippendorff_nominal, n, level, one),
        mcc=jackknifed("MCC", tables, matthews, n, level, "a rater uses one class only: undefined"),
        sensitivity=rate(j == 1, y == 1, "immunized"),
        specificity=rate(j == 0, y == 0, "not immunized"),
        prevalence=rate(y == 1, every, "anything"),
        n=n,
        clusters=images,
    )


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How often a held-out person, and the judge, agree with the majority of the other people."""

    human: Interval
    judge: Interval
    gap: Interval


def human_ceiling(
    judge: ArrayLike, ratings: ArrayLike, image: ArrayLike, *, classes: int = 2, level: float = 0.95
) -> Ceiling:
    """Leave-one-rater-out agreement against the judge's agreement with the SAME people on the same edits.

    judge: (n,) codes; ratings: (n, raters) codes with MISSING, at least two raters. Each person in turn is
    held out; where the others have a majority, the person and the judge are both compared with it. ``gap`` is
    judge minus human, paired. ``n`` counts comparisons, one per held-out person and edit; where the others
    tie there is none. All comparisons on one image are one cluster.

    >>> human_ceiling(np.array([1, 0]), np.array([[1, 1], [0, 0]]), ['a', 'b']).human.value
    1.0
    """
    j, group = codes_of("human_ceiling", judge, classes), codes(image)
    table = np.asarray(ratings, dtype=np.int64)
    counts = rating_counts(table, classes=classes)
    if table.shape[0] != j.size or group.shape != j.shape or table.shape[1] < 2:
        raise StatisticsError(
            "human_ceiling: expected one verdict and image per edit, and ratings of two raters or more"
        )
    person, machine, where = [], [], []
    for r in range(table.shape[1]):
        own = table[:, r]
        others = counts - (own[:, None] == np.arange(classes))
        best = others.max(axis=1)
        clear = (own != MISSING) & (best > 0) & ((others == best[:, None]).sum(axis=1) == 1)
        major = others.argmax(axis=1)[clear]
        person.append(own[clear] == major)
        machine.append(j[clear] == major)
        where.append(group[clear])
    h, m, g = (np.concatenate(parts).astype(np.int64) for parts in (person, machine, where))
    return Ceiling(
        rate_interval(h, g, level=level),
        rate_interval(m, g, level=level),
        difference_interval(m - h, g, level=level),
    )

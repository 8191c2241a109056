"""Judges beside each other: coefficients compared in pairs, rank correlation with people, Table I's shares.

All intervals are clustered on the image by the delete-one-image jackknife, as those of :mod:`agreement`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.agreement.jackknife import mean_interval
from isr.calibration.agreement.two_raters import cohen_kappa, gwet_ac1, matthews
from isr.errors import StatisticsError
from isr.stats.jackknife import jackknife_interval
from isr.stats.rows import Interval, codes
from isr.stats.special import stdtr, stdtrit
from isr.types import Bools, Floats, Ints

Coefficient = Literal["kappa", "ac1", "mcc"]
_OF: dict[str, Callable[[Floats], Floats]] = {"kappa": cohen_kappa, "ac1": gwet_ac1, "mcc": matthews}


class Difference(NamedTuple):
    """First judge's coefficient minus the second's, and the two-sided p-value of no difference."""

    difference: Interval
    p_value: float | None


def coefficient_difference(
    first: ArrayLike,
    second: ArrayLike,
    human: ArrayLike,
    image: ArrayLike,
    *,
    coefficient: Coefficient = "kappa",
    level: float = 0.95,
) -> Difference:
    """A coefficient of two judges with the same labels on the same edits, all codes 0/1 of shape (n,).

    ``SE^2 = (G-1)/G sum (d_g - mean d)^2`` over the differences with image g left out (Miller 1974), with
    ``t_{G-1}``. No interval and no p-value where a coefficient is undefined or nothing varies.

    >>> first, second, human = [1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0]
    >>> coefficient_difference(first, second, human, ['a', 'b', 'c', 'd']).difference.value  # kappa 1 against kappa 0
    1.0
    """
    a, b, y = (np.asarray(x, dtype=np.int64) for x in (first, second, human))
    group = codes(image)
    if not a.shape == b.shape == y.shape == group.shape:
        raise StatisticsError("coefficient_difference: expected one code and image each per edit")
    text = f"difference of {coefficient}, delete-one-image jackknife"
    images = int(group.max()) + 1 if group.size else 0
    if images < 2:
        return Difference(
            Interval(
                value=None,
                low=None,
                high=None,
                method=text,
                n=a.size,
                clusters=images,
                design_effect=None,
                n_effective=None,
                notes=("fewer than two images",),
            ),
            None,
        )
    function = _OF[coefficient]
    values, rests = [], []
    for judge in (a, b):
        tables = np.bincount(group * 4 + 2 * judge + y, minlength=images * 4).reshape(images, 2, 2)
        total = tables.sum(axis=0)
        values.append(float(function(total.astype(np.float64))))
        rests.append(function((total[None] - tables).astype(np.float64)))
    value, rest = values[0] - values[1], np.sort(rests[0] - rests[1])
    if not np.isfinite(value) or not np.isfinite(rest).all():
        note = "undefined for one of the judges"
        return Difference(
            Interval(
                value=None,
                low=None,
                high=None,
                method=text,
                n=a.size,
                clusters=images,
                design_effect=None,
                n_effective=None,
                notes=(note,),
            ),
            None,
        )
    se = float(np.sqrt((images - 1) / images * ((rest - rest.mean()) ** 2).sum()))
    if se <= 1e-12:
        note = "the same whichever image is left out: no interval"
        return Difference(
            Interval(
                value=value,
                low=None,
                high=None,
                method=text,
                n=a.size,
                clusters=images,
                design_effect=None,
                n_effective=None,
                notes=(note,),
            ),
            None,
        )
    half = -float(stdtrit(images - 1, (1 - level) / 2)) * se
    low, high = max(value - half, -2.0), min(value + half, 2.0)
    p = min(1.0, 2 * float(stdtr(images - 1, -abs(value) / se)))
    return Difference(
        Interval(
            value=value,
            low=low,
            high=high,
            method=text,
            n=a.size,
            clusters=images,
            design_effect=None,
            n_effective=None,
            notes=(),
        ),
        p,
    )


def rank_correlation(
    score: ArrayLike,
    grades: ArrayLike,
    image: ArrayLike,
    *,
    kind: Literal["spearman", "kendall"] = "spearman",
    level: float = 0.95,
) -> Interval:
    """The mean over raters of a judge's rank correlation with each of them; grades (n, raters), NaN missing.

    Spearman's rho or Kendall's tau-b. Raters are correlated one by one; their grades are never averaged.

    >>> rank_correlation([1, 2, 3, 4], np.array([[1.0], [2.0], [3.0], [4.0]]), list('abcd')).value
    1.0
    """
    from scipy.stats import kendalltau, spearmanr  # imported late: scipy.stats is heavy

    s, table, group = np.asarray(score, dtype=np.float64), np.asarray(grades, dtype=np.float64), codes(image)
    if table.ndim != 2 or s.shape != (table.shape[0],) or group.shape != s.shape:
        raise StatisticsError("rank_correlation: expected a score, an image and a row of grades per edit")
    text = f"mean over raters of {'Spearman' if kind == 'spearman' else 'Kendall tau-b'}, delete-one-image jackknife"
    keep = np.isfinite(s) & np.isfinite(table).any(axis=1)
    s, table, group = s[keep], table[keep], codes(group[keep])
    images = int(group.max()) + 1 if group.size else 0

    def value(rows: Bools) -> float:
        found = []
        for r in range(table.shape[1]):
            use = rows & np.isfinite(table[:, r])
            x, y = s[use], table[use, r]
            if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
                return float("nan")
            found.append(
                float(spearmanr(x, y).statistic if kind == "spearman" else kendalltau(x, y).statistic)
            )
        return float(np.mean(found))

    whole = value(np.ones(s.size, dtype=np.bool_))
    if not np.isfinite(whole):
        note = "a rater or the judge gives one grade only: undefined"
        return Interval(
            value=None,
            low=None,
            high=None,
            method=text,
            n=s.size,
            clusters=images,
            design_effect=None,
            n_effective=None,
            notes=(note,),
        )
    low, high, reason = jackknife_interval(whole, [value(group != g) for g in range(images)], level=level)
    return Interval(
        value=whole,
        low=low,
        high=high,
        method=text,
        n=s.size,
        clusters=images,
        design_effect=None,
        n_effective=None,
        notes=(reason,) if reason else (),
    )


def pairwise_share(left: Ints, right: Ints | None, image: ArrayLike, *, level: float = 0.95) -> Interval:
    """Mean share of agreeing pairs per edit: within ``left`` (n, raters), or between it and ``right``.

    Codes with MISSING. The cells of the paper's Table I: pairs of people, of judges, of a person and a judge.
    Edits without a pair are left out.

    >>> pairwise_share(np.array([[1, 1], [0, 1]]), None, ['a', 'b']).value  # one pair of raters agrees, one does not
    0.5
    """
    if right is None:
        pairs = [(left[:, a], left[:, b]) for a, b in combinations(range(left.shape[1]), 2)]
    else:
        pairs = [(left[:, a], right[:, b]) for a, b in product(range(left.shape[1]), range(right.shape[1]))]
    same, both = np.zeros(left.shape[0]), np.zeros(left.shape[0])
    for a, b in pairs:
        known = (a != MISSING) & (b != MISSING)
        both += known
        same += known & (a == b)
    keep = both > 0
    group = np.asarray(image)[keep]
    return mean_interval(same[keep] / both[keep], group, level=level)

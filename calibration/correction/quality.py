"""How good a judge is, by labels of some of its edits: sensitivity, specificity, and J = sensitivity + specificity - 1.

J (Youden 1950) is the factor by which a difference of people's rates appears in verdicts, if the judge errs alike on both
methods; where it errs otherwise on one of them, a difference of verdicts is no difference that people see. All three are
ratios of people's rates within strata of the verdicts, weighted by how many edits each stratum has. They therefore hold for
labels drawn at random and for labels drawn at random within the strata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.correction.core import (
    Core,
    bounded,
    cluster_variance,
    divide,
    label_df,
    label_worth,
)
from isr.errors import StatisticsError
from isr.stats.rows import Interval, codes
from isr.stats.special import stdtrit
from isr.types import Bools, Floats, Ints

SHARED_WITHIN = 0.1
"""One calibration may be shared by two methods only where the interval of the difference in J lies inside +- this."""
Strata = Literal["own", "cells"]
"""Strata of the labels: a method's own verdicts, or the four cells of the two methods' verdicts."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How good the judge is on one method's edits. Of ``labels`` labelled edits."""

    j: Interval
    sensitivity: Interval
    specificity: Interval
    labels: int


class _Index(NamedTuple):
    """One of the three figures, (...): its value, the smoothed one, and what its variance is made of.

    slope: (..., S) by stratum, by how much the figure rises with people's rate there. base: (..., n) what an edit's stratum
    alone adds to the influence.
    """

    value: Floats
    smooth: Floats
    slope: Floats
    base: Floats


class _Side(NamedTuple):
    """One method's labels by stratum, (..., S): share of the edits, labels, people's rate, the same smoothed."""

    stratum: Ints
    share: Floats
    known: Floats
    rate: Floats
    smooth: Floats
    hit: Floats  # (S,) 1 where the method's verdict is immunized
    marks: Bools
    human: Floats


def _side(stratum: Ints, hit: Floats, human: Floats, marks: Bools) -> _Side:
    shape = (*stratum.shape[:-1], hit.size)
    share, count, yes = (np.zeros(shape) for _ in range(3))
    for s in range(hit.size):
        inside = stratum == s
        share[..., s] = inside.mean(axis=-1)
        count[..., s] = (inside & marks).sum(axis=-1)
        yes[..., s] = (inside * marks * human).sum(axis=-1)
    rate = np.where(count > 0, divide(yes, count), np.where(share > 0, np.nan, 0.0))
    return _Side(stratum, share, count, rate, (yes + 0.5) / (count + 1), hit, marks, human)


def _index(side: _Side, *, positive: bool) -> _Index:
    """Sensitivity (of those that people call immunized) or specificity (of the others).

    ``theta = sum_s w_s a_s x_s / sum_s w_s x_s``, ``x_s`` people's rate of the class and ``a_s`` whether the verdict is right.
    """
    right = side.hit if positive else 1 - side.hit
    x, x_smooth = (r if positive else 1 - r for r in (side.rate, side.smooth))

    def ratio(rate: Floats) -> tuple[Floats, Floats]:
        whole = (side.share * rate).sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (side.share * right * rate).sum(axis=-1) / whole, whole

    value, _ = ratio(x)
    smooth, whole = ratio(x_smooth)
    pull = (right - smooth[..., None]) / whole[..., None]
    base = np.take_along_axis(pull * x_smooth, side.stratum, axis=-1) / side.stratum.shape[-1]
    return _Index(value, smooth, pull if positive else -pull, base)


def _influence(side: _Side, index: _Index) -> Floats:
    """(..., n): what each edit adds to the figure, by its stratum and by its label."""
    gain = divide(side.share * np.ones_like(side.known), side.known) * index.slope
    at = [np.take_along_axis(t, side.stratum, axis=-1) for t in (gain, np.nan_to_num(side.rate))]
    out: Floats = index.base + side.marks * (side.human - at[1]) * at[0]
    return out


def _unseen(side: _Side, index: _Index) -> Floats:
    """What smoothing the rates adds to the variance of independent labels: no rate of 0 or 1 makes a width of 0."""
    raw = np.nan_to_num(side.rate)
    more = np.maximum(side.smooth * (1 - side.smooth) - raw * (1 - raw), 0.0)
    out: Floats = (divide(side.share**2 * more, side.known) * index.slope**2).sum(axis=-1)
    return out


def _core(
    sides: Sequence[_Side], indices: Sequence[Sequence[_Index]], signs: Sequence[float], starts: Ints
) -> Core:
    """The signed sum, over methods, of sums of figures: value, variance by image, degrees of freedom."""
    value = smooth = unseen = np.zeros(sides[0].stratum.shape[:-1])
    phi = np.zeros(sides[0].stratum.shape)
    for side, own, sign in zip(sides, indices, signs, strict=True):
        whole = _Index(
            np.sum([i.value for i in own], axis=0),
            np.sum([i.smooth for i in own], axis=0),
            np.sum([i.slope for i in own], axis=0),
            np.sum([i.base for i in own], axis=0),
        )
        value, smooth = value + sign * whole.value, smooth + sign * whole.smooth
        phi, unseen = phi + sign * _influence(side, whole), unseen + _unseen(side, whole)
    used = np.maximum(cluster_variance(phi, starts), (phi**2).sum(axis=-1) + unseen)
    marks = sides[0].marks
    return Core(value, smooth, used, label_df(marks, starts), label_worth(marks.astype(np.float64), starts))


class QualityCores(NamedTuple):
    """J, sensitivity and specificity of one method, (...)."""

    j: Core
    sensitivity: Core
    specificity: Core


def quality_cores(stratum: Ints, hit: Floats, human: Floats, marks: Bools, starts: Ints) -> QualityCores:
    """The three figures with their variances; stratum, human, marks: (..., n), the edits of an image side by side.

    hit: (S,) whether the method's verdict in a stratum is immunized. Variance by linearisation (as in post-stratification:
    Holt and Smith 1979), floored at that of independent units, to which rates smoothed as ``(a + 1/2)/(n + 1)`` add what no label
    has shown. NaN where a stratum that occurs has no label, or people see one class only.
    """
    side = _side(stratum, hit, human, marks)
    both = [_index(side, positive=p) for p in (True, False)]
    j = _core([side], [both], [1.0], starts)
    single = [_core([side], [[one]], [1.0], starts) for one in both]
    worth = [
        label_worth((marks & (human == c)).astype(np.float64), starts) for c in (1.0, 0.0)
    ]  # only labels of the class tell of it
    sensitivity, specificity = (c._replace(labels=w) for c, w in zip(single, worth, strict=True))
    return QualityCores(j._replace(value=j.value - 1, smooth=j.smooth - 1), sensitivity, specificity)


def quality_gap_core(
    strata: tuple[Ints, Ints],
    hits: tuple[Floats, Floats],
    humans: tuple[Floats, Floats],
    marks: Bools,
    starts: Ints,
) -> Core:
    """J of the first method minus J of the second, on units that people labelled on both sides; see :func:`quality_cores`."""
    sides = [_side(s, h, y, marks) for s, h, y in zip(strata, hits, humans, strict=True)]
    return _core(sides, [[_index(s, positive=p) for p in (True, False)] for s in sides], [1.0, -1.0], starts)


def mover_sum(
    first: tuple[ArrayLike, ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike, ArrayLike]
) -> tuple[Floats, Floats]:
    """Limits of a sum of two figures from (value, low, high) of each (MOVER; Zou and Donner 2008).

    Where a limit is unequally far from its value, as near 0 and 1, that of the sum is so too.

    >>> low, high = mover_sum((0.9, 0.8, 0.95), (0.9, 0.8, 0.95))
    >>> round(float(low), 3), round(float(high), 3)  # 1.8 - .1 sqrt 2, 1.8 + .05 sqrt 2
    (1.659, 1.871)
    """
    (a, a_low, a_high), (b, b_low, b_high) = (
        tuple(np.asarray(x, dtype=np.float64) for x in one) for one in (first, second)
    )
    low: Floats = a + b - np.hypot(a - a_low, b - b_low)
    high: Floats = a + b + np.hypot(a_high - a, b_high - b)
    return low, high


def j_within(cores: QualityCores, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Limits of J, by :func:`mover_sum` from those of sensitivity and specificity, which people's two classes give apart."""
    one, other = ((c.value, *bounded(c, level=level)) for c in (cores.sensitivity, cores.specificity))
    low, high = mover_sum(one, other)
    return np.maximum(low - 1, -1.0), np.minimum(high - 1, 1.0)


def linear_within(core: Core, most: float, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """``value +- t_df sqrt(V)`` within ``+-most``."""
    half = -stdtrit(core.df, (1 - level) / 2) * np.sqrt(core.variance)
    return np.maximum(core.value - half, -most), np.minimum(core.value + half, most)


def stratify(
    judge_a: Floats, judge_b: Floats, how: Strata
) -> tuple[tuple[Ints, Ints], tuple[Floats, Floats]]:
    """The strata of both methods' edits, (..., n), and whether each method's verdict in a stratum is immunized, (S,)."""
    if how == "own":
        return (judge_a.astype(np.int64), judge_b.astype(np.int64)), (
            np.array([0.0, 1.0]),
            np.array([0.0, 1.0]),
        )
    cell = (2 * judge_a + judge_b).astype(np.int64)
    return (cell, cell), (np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0]))


def paired_quality(
    judge_a: ArrayLike,
    judge_b: ArrayLike,
    human_a: ArrayLike,
    human_b: ArrayLike,
    labelled: ArrayLike,
    image: ArrayLike,
    *,
    strata: Strata,
    level: float = 0.95,
) -> tuple[Quality, Quality, Interval]:
    """How good the judge is on each of two methods, and J of the first minus J of the second.

    All (n,), one row per unit; ``labelled`` marks units where people labelled both outputs. strata: ``own`` for labels drawn
    at random, ``cells`` for labels drawn at random within the four cells of the two verdicts.

    >>> judge, human = [1, 1, 0, 0] * 10, [1, 1, 0, 1] * 10  # sensitivity 2/3, specificity 1
    >>> a, b, gap = paired_quality(judge, human, human, human, [True] * 40, list(range(40)), strata='own')
    >>> round(a.j.value, 3), b.j.value, round(gap.value, 3)
    (0.667, 1.0, -0.333)
    """
    ja, jb, ya, yb = (np.asarray(x, dtype=np.float64) for x in (judge_a, judge_b, human_a, human_b))
    marks, place = np.asarray(labelled, dtype=np.bool_), codes(image)
    if len({x.shape for x in (ja, jb, ya, yb, marks, place)}) != 1 or ja.ndim != 1:
        raise StatisticsError("paired_quality: expected verdicts, labels and images of one length")
    order = np.argsort(place, kind="stable")
    ja, jb, ya, yb = (x[order] for x in (ja, jb, ya, yb))
    marks = marks[order]
    ya, yb = np.where(marks, ya, 0.0), np.where(marks, yb, 0.0)
    sizes = np.bincount(place)
    starts = (np.cumsum(sizes) - sizes).astype(np.int64)
    both, hits = stratify(ja, jb, strata)
    images = int((np.add.reduceat(marks, starts) > 0).sum()) if starts.size else 0
    found = [
        _quality(quality_cores(s, h, y, marks, starts), marks, y, images, level)
        for s, h, y in zip(both, hits, (ya, yb), strict=True)
    ]
    core = quality_gap_core(both, hits, (ya, yb), marks, starts)
    gap = _figure(
        core, "difference in J", linear_within(core, 2.0, level=level), int(marks.sum()), starts.size
    )
    if not all(0 < x.mean() < 1 for x in (ja, jb) if x.size):
        gap = replace(gap, low=None, high=None, notes=("the judge says one thing of every edit of a method",))
    return found[0], found[1], gap


def _quality(cores: QualityCores, marks: Bools, human: Floats, images: int, level: float) -> Quality:
    labels, positives = int(marks.sum()), int((marks & (human == 1)).sum())
    j = _figure(cores.j, "J = sensitivity + specificity - 1", j_within(cores, level=level), labels, images)
    sensitivity, specificity = (
        _figure(core, name, bounded(core, level=level), n, images)
        for name, core, n in (
            ("sensitivity", cores.sensitivity, positives),
            ("specificity", cores.specificity, labels - positives),
        )
    )
    return Quality(j=j, sensitivity=sensitivity, specificity=specificity, labels=labels)


def _figure(core: Core, name: str, ends: tuple[Floats, Floats], labels: int, images: int) -> Interval:
    value = float(core.value)
    known, spread = bool(np.isfinite(value)), images > 1 and float(core.df) >= 1
    reason = (
        "a verdict that occurs has no label, or people see one outcome only"
        if not known
        else ""
        if spread
        else "labels in fewer than two images: no interval"
    )
    held = known and spread
    return Interval(
        value=value if known else None,
        low=min(float(ends[0]), value) if held else None,
        high=max(float(ends[1]), value) if held else None,
        method=f"{name}, by people's rates within verdicts, clustered by image_id",
        n=labels,
        clusters=images,
        design_effect=None,
        n_effective=None,
        notes=(reason,) if reason else (),
    )

"""How well a number tells two classes apart: AUC, Youden's threshold, rank correlation; intervals are over images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from isr.stats.bootstrap import cluster_bootstrap, percentile_interval
from isr.stats.jackknife import jackknife_interval
from isr.stats.rows import codes
from isr.types import Bools, Estimate, Floats, Ints

RESAMPLES = 4_000
SEED = 0
UNDEFINED_SHARE = 0.05  # of resamples; above it there is no interval
FEW_TREATMENTS = 8
BLOCK = 4_000_000  # comparisons at once


def auc(
    score: Floats, outcome: Floats, image: Sequence[str], stratum: Ints | None = None, *, level: float = 0.95
) -> Estimate:
    """P(score of an immunized edit > that of one that is not), ties half; the Mann-Whitney U over its pairs.

    score, outcome: (n,), NaN where unknown. With ``stratum`` only pairs within one stratum count. The interval is
    that of the jackknife over images on the logit scale (``2 U - 1`` on Fisher's), an eighth of the mean pairs of two images
    added as won and as lost: ``U = sum C / sum P`` without the rows and columns of an image, with C the won and P the
    counted pairs of two images.

    >>> auc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1])).value  # every pair is won
    1.0
    """  # fmt: skip
    keep = np.isfinite(score) & np.isfinite(outcome)
    x, y = score[keep], outcome[keep] == 1.0
    group = codes(np.asarray(image)[keep]) if keep.any() else np.zeros(0, np.int64)
    part = np.zeros(x.size, np.int64) if stratum is None else stratum[keep]
    method = "AUC, delete-one-image jackknife of the logit"
    images = int(group.max()) + 1 if group.size else 0

    def said(value: float | None, low: float | None, high: float | None, *notes: str) -> Estimate:
        return Estimate(
            value=value,
            low=low,
            high=high,
            level=level,
            method=method,
            n=x.size,
            clusters=images,
            bounds=None,
            notes=(*notes, *_left(score, outcome)),
        )

    won, pairs = _pairs(x, y, group, part, images)
    if not pairs.sum():
        return said(None, None, None, _no_pairs(x, y, stratum is not None))
    value = float(won.sum() / pairs.sum())
    if images < 2:
        return said(value, None, None, "one image: no interval")
    rest = _without(won, pairs)
    if np.ptp(rest) == 0:  # as where the metric is perfect: that tells no spread
        return said(value, None, None, "the same whichever image is left out: no interval")
    more = pairs.mean() / 8  # of the pairs of two images, so that no replicate is 0 or 1
    held = (won.sum() + more) / (pairs.sum() + 2 * more)
    low, high, reason = jackknife_interval(2 * held - 1, 2 * _without(won, pairs, more) - 1, level=level)
    if low is None or high is None or not np.isfinite(rest).all():
        return said(value, None, None, reason or "undefined when one image is left out: no interval")
    return said(value, min((low + 1) / 2, value), max((high + 1) / 2, value))


def _left(score: Floats, outcome: Floats) -> Iterator[str]:
    """What is not in a figure."""
    if undecided := int(np.isnan(outcome).sum()):
        yield f"{undecided} undecided edits are left out"
    if blank := int((np.isfinite(outcome) & ~np.isfinite(score)).sum()):
        yield f"{blank} decided edits without a value are left out (no control edit, or no such figure of it)"


def _no_pairs(x: Floats, y: Bools, within: bool) -> str:
    if not x.size:
        return "no decided edit has a value"
    if y.all() or not y.any():
        return f"every edit is {'' if y.all() else 'not '}immunized: nothing to tell apart"
    return "no method has both outcomes" if within else "no pair of edits"


def _pairs(x: Floats, y: Bools, group: Ints, stratum: Ints, images: int) -> tuple[Floats, Floats]:
    """(won, counted) pairs by image of the immunized edit (row) and of the other one (column)."""
    won, counted = np.zeros((images, images)), np.zeros((images, images))
    for s in np.unique(stratum):
        yes, no = np.flatnonzero(y & (stratum == s)), np.flatnonzero(~y & (stratum == s))
        if not (yes.size and no.size):
            continue
        member = np.zeros((no.size, images))
        member[np.arange(no.size), group[no]] = 1.0
        for rows in np.array_split(yes, max(1, yes.size * no.size // BLOCK)):
            ahead = (x[rows, None] > x[None, no]) + 0.5 * (x[rows, None] == x[None, no])
            np.add.at(won, group[rows], ahead @ member)
            np.add.at(counted, group[rows], np.broadcast_to(member.sum(axis=0), (rows.size, images)))
    return won, counted


def _without(won: Floats, pairs: Floats, more: float = 0.0) -> Floats:
    """The share of pairs won without each image in turn; NaN where no pair is left. more: pairs won, and as many lost."""
    up, down = (t.sum() - t.sum(axis=0) - t.sum(axis=1) + np.diagonal(t) for t in (won, pairs))
    out: Floats = np.where(down > 0, (up + more) / np.where(down > 0, down + 2 * more, 1.0), np.nan)
    return out


def _interval(draws: Floats, level: float) -> tuple[float | None, float | None, str] | tuple[float, float]:
    """(low, high), or (None, None, reason)."""
    known = draws[np.isfinite(draws)]
    if known.size < (1 - UNDEFINED_SHARE) * draws.size:
        share = 1 - known.size / draws.size
        return None, None, f"undefined in {share:.0%} of the resamples: no interval"
    if np.ptp(known) == 0:
        return None, None, "the same whichever images are drawn: no interval"
    return percentile_interval(known, level=level)


def between(
    score: Floats,
    outcome: Floats,
    image: Sequence[str],
    treatment: Ints,
    budget: Ints | None = None,
    *,
    level: float = 0.95,
) -> Estimate:
    """Spearman's rho over treatments of the mean score with the ISR: does the metric rank methods?

    budget: (n,) of each edit's treatment; ranks are those within it, as a larger budget raises metric and ISR alike,
    and of all budgets the ranks about their means are pooled. One of fewer than three treatments ranks nothing and is
    left out. The interval draws images again; treatments stay as they are, so it says nothing about other methods.

    >>> score, outcome = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0, 1.0, 1.0])
    >>> between(score, outcome, np.arange(4), np.array([0, 0, 1, 1]), np.array([0.0, 0.0, 0.0, 0.0])).value is None  # too few treatments
    True
    """  # fmt: skip
    held = np.zeros(treatment.size, np.int64) if budget is None else budget
    keep, notes = _ranked(np.isfinite(score) & np.isfinite(outcome), treatment, held)
    group = codes(np.asarray(image)[keep]) if keep.any() else np.zeros(0, np.int64)
    method = (
        "Spearman's rho over treatments within budgets, images drawn with replacement, percentile interval"
    )
    names, first, part = np.unique(treatment[keep], return_index=True, return_inverse=True)
    count, images = names.size, int(group.max()) + 1 if group.size else 0

    def said(value: float | None, low: float | None, high: float | None, *more: str) -> Estimate:
        return Estimate(
            value=value,
            low=low,
            high=high,
            level=level,
            method=method,
            n=count,
            clusters=images,
            bounds=None,
            notes=(*more, *notes),
        )

    if not count:
        return said(None, None, None)
    few = (f"{count} treatments: the order of so few says little",) if count < FEW_TREATMENTS else ()
    sums = _sums(score[keep], outcome[keep], group, part, images, count)
    blocks = held[keep][first]
    value = float(_rho(sums.sum(axis=0)[None], blocks)[0])
    if not np.isfinite(value):
        return said(None, None, None, "every treatment has the same ISR or the same mean", *few)
    if images < 2:
        return said(value, None, None, "one image: no interval", *few)
    draws = cluster_bootstrap(
        sums, lambda total: _rho(total, blocks), rng=np.random.default_rng(SEED), resamples=RESAMPLES
    )
    low, high, *more = _interval(draws, level)
    return said(value, low, high, *more, *few)


def _ranked(known: Bools, treatment: Ints, budget: Ints) -> tuple[Bools, tuple[str, ...]]:
    """The edits of budgets at which methods can be ranked, and what is left out for that."""
    counts = {b: np.unique(treatment[known & (budget == b)]).size for b in np.unique(budget[known])}
    keep = known & np.isin(budget, [b for b, n in counts.items() if n >= 3])
    left = sum(n for n in counts.values() if n < 3)
    if not keep.any():
        most = max(counts.values(), default=0)
        return keep, (f"{most} treatment(s) at one budget: methods can be ranked from three on",)
    return keep, (f"{left} treatments are left out: fewer than three at their budget",) if left else ()


def _sums(score: Floats, outcome: Floats, group: Ints, part: Ints, images: int, count: int) -> Floats:
    """Per image: sum of scores, sum of outcomes and number of edits of each treatment; (G, 3 T)."""
    table = np.zeros((images, 3, count))
    for row, values in enumerate((score, outcome, np.ones_like(score))):
        np.add.at(table[:, row], (group, part), values)
    return table.reshape(images, 3 * count)


def _rho(sums: Floats, blocks: Ints) -> Floats:
    """Spearman's rho of treatments' means by resample, over ranks within ``blocks`` (T,) about their means.

    NaN where a treatment was not drawn or nothing varies.
    """
    score, outcome, n = np.moveaxis(sums.reshape(-1, 3, blocks.size), 1, 0)
    n = np.where(n > 0, n, np.nan)
    x, y = np.empty_like(score), np.empty_like(score)
    for block in np.unique(blocks):
        at = blocks == block
        for out, total in ((x, score), (y, outcome)):
            ranks = _ranks(total[:, at] / n[:, at])
            out[:, at] = ranks - ranks.mean(axis=1, keepdims=True)
    down = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.where(down > 0, (x * y).sum(axis=1) / np.where(down > 0, down, 1.0), np.nan)


def _ranks(values: Floats) -> Floats:
    """Mid-ranks along the last axis; NaN in a row makes it NaN. Means that differ by rounding alone are ties."""
    v = np.round(values, 12)
    below = (v[:, :, None] > v[:, None, :]).sum(axis=2) + 0.5 * (v[:, :, None] == v[:, None, :]).sum(axis=2)
    return np.where(np.isnan(v).any(axis=1, keepdims=True), np.nan, below + 0.5)


def called(score: Floats, outcome: Floats, image: Sequence[str]) -> Floats:
    """Whether the metric calls each edit protected, at the best threshold of the OTHER images: 1, 0, NaN unknown.

    The threshold has the largest ``sensitivity + specificity - 1`` (Youden 1950) among the edits of all other images;
    of equal ones the highest, which calls fewest edits protected. NaN where those have one outcome only.

    >>> called(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 0.0, 1.0]), np.arange(4)).shape
    (4,)
    """
    keep = np.isfinite(score) & np.isfinite(outcome)
    group = codes(list(image))
    out = np.full(score.size, np.nan)
    for g in np.unique(group[keep]):
        others = keep & (group != g)
        threshold = youden(score[others], outcome[others] == 1.0)
        here = keep & (group == g)
        if np.isfinite(threshold):
            out[here] = score[here] >= threshold
    return out


def youden(score: Floats, immunized: Bools, *, ties: Literal["highest", "lowest"] = "highest") -> float:
    """The threshold at or above which to call an edit immunized; NaN where only one outcome is there.

    It has the largest ``sensitivity + specificity - 1`` (Youden 1950) and lies midway to the next lower score; below
    the lowest score there is none, and that score itself is the threshold. ties: which of equally good thresholds,
    the highest (it calls fewest edits) or the lowest (it calls most). The highest is found exactly; the lowest from
    shares in floating point, so that rounding may tell equal ones apart, as in thresholds learnt before.

    >>> youden(np.array([0.1, 0.2, 0.6, 0.9]), np.array([False, True, False, True]))  # .2 and .9: 1/2 both
    0.75
    >>> round(youden(np.array([0.1, 0.2, 0.6, 0.9]), np.array([False, True, False, True]), ties="lowest"), 2)
    0.15
    """
    yes, no = int(immunized.sum()), int((~immunized).sum())
    if not (yes and no):
        return float("nan")
    order = np.argsort(-score, kind="stable")
    s, y = score[order], immunized[order]
    last = np.append(s[1:] != s[:-1], True)  # the last of equal scores
    ends, hits, alarms = s[last], np.cumsum(y)[last], np.cumsum(~y)[last]
    if ties == "highest":
        best = int(np.argmax(hits * no - alarms * yes))  # times both numbers: exact, so that ties are ties
    else:
        best = ends.size - 1 - int(np.argmax((hits / yes - alarms / no)[::-1]))
    return float(ends[best] if best + 1 == ends.size else (ends[best] + ends[best + 1]) / 2)


def area_under_curve(score: Floats, outcome: Bools) -> float:
    """P(score of an edit with the outcome > that of one without), ties half; NaN where only one outcome is there.

    The value of :func:`auc` alone, without images and interval.

    >>> area_under_curve(np.array([0.1, 0.2, 0.6]), np.array([False, True, False]))  # won 1 of 2 pairs
    0.5
    """
    one, zero = score[outcome], np.sort(score[~outcome])
    if not one.size or not zero.size:
        return float("nan")
    below, upto = np.searchsorted(zero, one, side="left"), np.searchsorted(zero, one, side="right")
    return float((below + upto).sum() / (2 * one.size * zero.size))

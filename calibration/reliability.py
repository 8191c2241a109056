"""Test-retest: a judge asked several times about the same edits.

Repeatability is not validity: a judge can repeat a bias with perfect consistency. It says whether asking more
often and taking the majority can help.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.agreement.jackknife import mean_interval
from isr.calibration.agreement.many_raters import raters_agreement, rating_counts
from isr.errors import StatisticsError
from isr.stats.rows import Interval, codes

FEW_REPEATS = 3
NOISE_ALLOWED = 0.05  # share of a verdict's variance below which more votes are not worth their price


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Agreement of a judge with itself.

    flip_rate: chance that two answers about one edit differ. alpha: across repeats. between, within: the parts
    of the variance of a verdict, ``Var_i(p_i)`` and ``E p_i (1 - p_i)``; noise_share is the second over their
    sum, and voting_share what remains of it with the majority of ``repeats`` (in variance: 1/K of it). None
    where something does not exist; ``notes`` says why.
    """

    flip_rate: Interval
    alpha: Interval
    between: float | None
    within: float | None
    noise_share: float | None
    voting_share: float | None
    edits: int
    repeats: int
    notes: tuple[str, ...]


def retest_reliability(verdicts: ArrayLike, image: ArrayLike, *, level: float = 0.95) -> Reliability:
    """From verdicts (n, K): 0, 1 or MISSING for undecided, the same edits asked K times.

    With ``p^_i`` the share of ones of edit i over ``k_i`` answers, within = mean of ``k_i/(k_i-1) p^_i (1 -
    p^_i)`` and between = ``Var(p^_i) - mean p^_i (1 - p^_i) / (k_i - 1)``, not below 0 (binomial moments).
    Edits with fewer than two decided answers are left out.

    >>> retest_reliability(np.array([[1, 1, 1], [0, 0, 0], [1, 0, 1]]), ['a', 'b', 'c']).edits
    3
    """
    table, group = np.asarray(verdicts, dtype=np.int64), codes(image)
    counts = rating_counts(table, classes=2)
    if group.shape != (table.shape[0],):
        raise StatisticsError("retest_reliability: expected one image per edit")
    answered = counts.sum(axis=1)
    keep = answered >= 2
    n, repeats = int(keep.sum()), int(table.shape[1])
    alpha = raters_agreement(table, group, level=level).alpha
    k, p = answered[keep], counts[keep, 1] / np.maximum(answered[keep], 1)
    noise = k / np.maximum(k - 1, 1) * p * (1 - p)
    flips = mean_interval(2 * noise, group[keep], level=level)
    notes: tuple[str, ...] = ("repeatability is not validity",)
    if repeats < FEW_REPEATS:
        notes += (f"{repeats} repeats: {FEW_REPEATS} or more are advised",)
    left = int((~keep).sum())
    if left:
        notes += (f"{left} edits left out: fewer than two decided answers",)
    if n < 2:
        return Reliability(
            flip_rate=flips,
            alpha=alpha,
            between=None,
            within=None,
            noise_share=None,
            voting_share=None,
            edits=n,
            repeats=repeats,
            notes=(*notes, "fewer than two edits"),
        )
    order = np.lexsort((k, p))
    p, k, noise = p[order], k[order], noise[order]
    within = float(noise.mean())
    between = max(0.0, float(p.var(ddof=1)) - float((noise / k).mean()))
    total = between + within
    if total == 0:
        notes += ("every answer is the same: there is no variance to divide",)
        return Reliability(
            flip_rate=flips,
            alpha=alpha,
            between=between,
            within=within,
            noise_share=None,
            voting_share=None,
            edits=n,
            repeats=repeats,
            notes=notes,
        )
    voted = within / repeats
    return Reliability(
        flip_rate=flips,
        alpha=alpha,
        between=between,
        within=within,
        noise_share=within / total,
        voting_share=voted / (between + voted),
        edits=n,
        repeats=repeats,
        notes=notes,
    )


def votes_needed(between: float, within: float) -> int | None:
    """The least odd number K of votes with ``(within/K) / (between + within/K) <= NOISE_ALLOWED``; None if none is.

    Rounded to 1e-9 first, so that a bound that is met exactly is not missed by an ulp.

    >>> votes_needed(0.2, 0.05)
    5
    """
    if between <= 0:
        return None if within > 0 else 1
    least = within * (1 - NOISE_ALLOWED) / (NOISE_ALLOWED * between)
    votes = max(1, math.ceil(round(least, 9)))
    return votes + 1 - votes % 2


def advice(found: Reliability) -> str:
    """Whether asking more often would pay, in one sentence.

    >>> advice(retest_reliability(np.array([[1, 1, 1], [0, 0, 0]]), ['a', 'b']))
    "0% of a single verdict's variance is noise: one vote is enough"
    """
    if found.noise_share is None or found.between is None or found.within is None:
        if found.between == found.within == 0:
            return "every repeat says the same: one vote is enough"
        return "too few answers to say whether more votes would pay"
    share = f"{found.noise_share:.0%} of a single verdict's variance is noise"
    needed = votes_needed(found.between, found.within)
    if needed is None:
        return f"{share}: the verdicts are like draws from one urn, and no number of votes helps"
    if needed == 1:
        return f"{share}: one vote is enough"
    if needed <= found.repeats:
        return f"{share}: {needed} votes are enough, {found.repeats} were asked"
    return (
        f"{share}, {found.voting_share:.0%} with {found.repeats} votes: more would pay, up to about {needed}"
    )


__all__ = ["MISSING", "Reliability", "advice", "retest_reliability", "votes_needed"]

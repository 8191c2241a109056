"""Intervals that take edits as independent: Wilson, Clopper-Pearson, Jeffreys."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.special import betaincinv, ndtri, stdtrit
from isr.types import Floats

MANY_PAIRS = 1_000
"""From this number of Clopper-Pearson intervals on equal ones are computed once."""


def upper_tail(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise StatisticsError(
            f"level: expected a number between 0 and 1, found {level!r}; for 95 % give 0.95"
        )
    return (1.0 - level) / 2.0


def wilson(k: ArrayLike, n: ArrayLike, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's (1927) score interval of ``k`` out of ``n`` independent draws; arrays broadcast.

    >>> [round(float(v), 4) for v in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    z = -float(ndtri(upper_tail(level)))
    kk, nn = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    p = kk / nn
    centre = (p + z * z / (2 * nn)) / (1 + z * z / nn)
    half = z / (1 + z * z / nn) * np.sqrt(p * (1 - p) / nn + z * z / (4 * nn * nn))
    # at k = 0 and k = n the exact endpoints are 0 and 1; rounding must not say otherwise
    low, high = np.where(kk <= 0, 0.0, centre - half), np.where(kk >= nn, 1.0, centre + half)
    return low.astype(np.float64), high.astype(np.float64)


def clopper_pearson(k: ArrayLike, n: ArrayLike, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Clopper and Pearson's (1934) exact interval; ``k`` and ``n`` may be real (Korn and Graubard 1998).

    >>> [round(float(v), 4) for v in clopper_pearson(0, 10)]  # 1 - .025 ** (1 / 10)
    [0.0, 0.3085]
    """
    return beta_interval(np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64), upper_tail(level))


def beta_interval(k: Floats, n: Floats, tail: float) -> tuple[Floats, Floats]:
    if k.size > MANY_PAIRS and k.shape == n.shape:  # few distinct pairs in a simulation, and each is dear
        pairs, place = np.unique(k + 1j * n, return_inverse=True)
        low, high = _beta_quantiles(pairs.real, pairs.imag, tail)
        return low[place].reshape(k.shape), high[place].reshape(k.shape)
    return _beta_quantiles(k, n, tail)


def _beta_quantiles(k: Floats, n: Floats, tail: float) -> tuple[Floats, Floats]:
    low = np.where(k <= 0, 0.0, betaincinv(np.where(k <= 0, 1.0, k), n - k + 1, tail))
    high = np.where(k >= n, 1.0, betaincinv(k + 1, np.where(k >= n, 1.0, n - k), 1 - tail))
    return low, high


def jeffreys(k: ArrayLike, n: ArrayLike, *, level: float = 0.95, ends: bool = True) -> tuple[Floats, Floats]:
    """Equal-tailed interval of the Beta(k + 1/2, n - k + 1/2) posterior.

    ``ends=True`` sets the lower endpoint to 0 at k = 0 and the upper one to 1 at k = n, as Brown, Cai and
    DasGupta (2001, section 4.1.2) recommend; ``False`` gives the raw quantiles.

    >>> [round(float(v), 3) for v in jeffreys(5, 10)]  # quantiles of Beta(5.5, 5.5)
    [0.224, 0.776]
    """
    tail = upper_tail(level)
    kk, nn = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    low, high = (
        np.asarray(betaincinv(kk + 0.5, nn - kk + 0.5, q), dtype=np.float64) for q in (tail, 1 - tail)
    )
    if not ends:
        return low, high
    return np.where(kk <= 0, 0.0, low), np.where(kk >= nn, 1.0, high)


def t_quantile(tail: float, df: ArrayLike) -> Floats:
    """Student's t quantile; of equal df only once, for it is the slowest step of a simulation."""
    dof = np.asarray(df, dtype=np.float64)
    if dof.size > 1 and (dof == dof.flat[0]).all():
        dof = np.asarray(dof.flat[0])
    return np.asarray(stdtrit(dof, tail), dtype=np.float64)

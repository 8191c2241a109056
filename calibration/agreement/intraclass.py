"""The intraclass correlation of graded ratings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.special import fdtri, ndtri


class ICC(NamedTuple):
    """An intraclass correlation with its F-based interval; None where ratings do not vary."""

    value: float | None
    low: float | None
    high: float | None


def intraclass_correlations(ratings: ArrayLike, *, level: float = 0.95) -> dict[str, ICC]:
    """The six coefficients of McGraw and Wong (1996) from complete ratings (targets, raters).

    "1" one-way, "A" absolute agreement and "C" consistency of two-way models; ",1" one rating, ",k" the mean.

    >>> ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> round(intraclass_correlations(ratings)['ICC(1,1)'].value, 2)  # Shrout and Fleiss (1979), table 4
    0.17
    """
    x = np.asarray(ratings, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all():
        raise StatisticsError(
            "intraclass: expected complete ratings of two targets or more by two raters or more"
        )
    n, k = x.shape
    mean = x.mean()
    ss_r = k * ((x.mean(axis=1) - mean) ** 2).sum()
    ss_c = n * ((x.mean(axis=0) - mean) ** 2).sum()
    ss_e = ((x - mean) ** 2).sum() - ss_r - ss_c
    names = [f"ICC({kind},{size})" for size in ("1", "k") for kind in ("1", "A", "C")]
    msr, msc, mse = ss_r / (n - 1), ss_c / (k - 1), ss_e / ((n - 1) * (k - 1))
    msw = (ss_c + ss_e) / (n * (k - 1))
    if not min(msr, msw, mse) > 0:
        return dict.fromkeys(names, ICC(None, None, None))
    tail = (1 - level) / 2
    one = _f_interval(msr / msw, n - 1, n * (k - 1), tail)
    same = _f_interval(msr / mse, n - 1, (n - 1) * (k - 1), tail)
    rho = (msr - mse) / (msr + (k - 1) * mse + k * (msc - mse) / n)
    a = _absolute_interval(rho, msr, msc, mse, n, k, tail)
    single = {
        "1": (*((f - 1) / (f + k - 1) for f in (msr / msw, *one)),),
        "A": (rho, *a),
        "C": (*((f - 1) / (f + k - 1) for f in (msr / mse, *same)),),
    }
    out = {f"ICC({kind},1)": ICC(*(float(v) for v in row)) for kind, row in single.items()}
    for kind, row in single.items():
        out[f"ICC({kind},k)"] = ICC(*(float(k * v / (1 + (k - 1) * v)) for v in row))
    return out


def _f_interval(f: float, d1: float, d2: float, tail: float) -> tuple[float, float]:
    return f / float(fdtri(d1, d2, 1 - tail)), f * float(fdtri(d2, d1, 1 - tail))


def _absolute_interval(
    rho: float, msr: float, msc: float, mse: float, n: int, k: int, tail: float
) -> tuple[float, float]:
    """McGraw and Wong (1996, table 7) for absolute agreement, with Satterthwaite's df."""
    a, b = k * rho / (n * (1 - rho)), 1 + k * rho * (n - 1) / (n * (1 - rho))
    v = (a * msc + b * mse) ** 2 / ((a * msc) ** 2 / (k - 1) + (b * mse) ** 2 / ((n - 1) * (k - 1)))
    f1, f2 = float(fdtri(n - 1, v, 1 - tail)), float(fdtri(v, n - 1, 1 - tail))
    rest = k * msc + (k * n - k - n) * mse
    return n * (msr - f1 * mse) / (f1 * rest + n * msr), n * (f2 * msr - mse) / (rest + n * f2 * msr)


def normal_interval(value: float, se: float, *, level: float = 0.95) -> tuple[float, float]:
    """``value +- z se``: for comparison with software that takes edits as independent."""
    half = -float(ndtri((1 - level) / 2)) * se
    return value - half, value + half

"""Intervals by leaving out one image at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from isr.stats.special import stdtrit
from isr.types import Floats

SHARE_OF_SPREAD = 1.5
"""Of Kish's number of images that carry a spread; 3 would give a normal spread G, 1 that number itself. Chosen by simulation on
other seeds than those of docs/coverage.md."""


def spread_df(residual: Floats) -> float:
    """Degrees of freedom of a jackknife variance: ``1.5 (sum r^2)^2 / sum r^4``, at least 1 and at most G - 1.

    ``(sum r^2)^2 / sum r^4`` counts the images that carry the variance as Kish (1965) counts weights.

    >>> spread_df(np.array([-1.0, 1.0, 1.0, -1.0, 2.0, -2.0]))  # 1.5 x 12^2 / 36 = 6, of which 6 images hold 5
    5.0
    """
    squares = float((residual**2).sum())
    return float(np.clip(SHARE_OF_SPREAD * squares**2 / float((residual**4).sum()), 1.0, residual.size - 1.0))


def jackknife_interval(
    value: float, replicates: ArrayLike, *, level: float = 0.95
) -> tuple[float | None, float | None, str]:
    """(low, high, reason) from delete-one-image values, on Fisher's z scale (Miller 1974).

    ``SE^2 = (G-1)/G sum r_g^2``, ``r_g = z_g - mean z``, and t with :func:`spread_df` degrees of freedom: where few images
    carry the spread, as of kappa at rare classes, fewer than G - 1. On the plain scale, cut to [-1, 1], where a value is +-1.
    No interval (and the reason) with one image, an undefined replicate, or replicates without any spread.

    >>> low, high, why = jackknife_interval(0.5, np.array([0.4, 0.5, 0.6]))  # se^2 = 2/3 x 0.02; t(2) = 4.303
    >>> round(low, 3), round(high, 3), why
    (-0.12, 0.839, '')
    """
    rest = np.asarray(replicates, dtype=np.float64)
    groups = rest.size
    if groups < 2:
        return None, None, "one image: no interval"
    if not np.isfinite(rest).all():
        return None, None, "undefined when one image is left out: no interval"
    if np.ptp(rest) == 0:
        return None, None, "the same whichever image is left out: the jackknife sees no spread, no interval"
    curved = abs(value) < 1 - 1e-9 and bool((np.abs(rest) < 1 - 1e-9).all())
    z, centre = (np.arctanh(rest), float(np.arctanh(value))) if curved else (rest, value)
    z = np.sort(z)
    se = float(np.sqrt((groups - 1) / groups * ((z - z.mean()) ** 2).sum()))
    half = -float(stdtrit(spread_df(z - z.mean()), (1 - level) / 2)) * se
    ends = (centre - half, centre + half)
    low, high = (float(np.tanh(e)) if curved else float(np.clip(e, -1.0, 1.0)) for e in ends)
    return low, high, ""

"""Intervals of coefficients by leaving out one image at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from isr.stats.endpoints import rate_core
from isr.stats.rows import Interval, codes
from isr.types import Floats


def jackknife_interval(
    value: float, replicates: ArrayLike, *, level: float = 0.95
) -> tuple[float | None, float | None, str]:
    """(low, high, reason) from delete-one-image values, on Fisher's z scale with t_{G-1} (Miller 1974).

    ``SE^2 = (G-1)/G sum (z_g - mean z)^2``. On the plain scale, cut to [-1, 1], where a value is +-1. No
    interval (and the reason) with one image, an undefined replicate, or replicates without any spread.

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
    half = -float(stdtrit(groups - 1, (1 - level) / 2)) * se
    ends = (centre - half, centre + half)
    low, high = (float(np.tanh(e)) if curved else float(np.clip(e, -1.0, 1.0)) for e in ends)
    return low, high, ""


def jackknifed(
    name: str, per_image: Floats, function: Callable[[Floats], Floats], n: int, level: float, undefined: str
) -> Interval:
    """A coefficient of summed tables with its delete-one-image interval."""
    total, groups = per_image.sum(axis=0), per_image.shape[0]
    text = f"{name}, delete-one-image jackknife"
    value = float(function(total)) if n else float("nan")
    if not np.isfinite(value):
        return Interval(
            value=None,
            low=None,
            high=None,
            method=text,
            n=n,
            clusters=groups,
            design_effect=None,
            n_effective=None,
            notes=(undefined if n else "no edit",),
        )
    low, high, reason = jackknife_interval(value, function(total[None] - per_image), level=level)
    return Interval(
        value=value,
        low=low,
        high=high,
        method=text,
        n=n,
        clusters=groups,
        design_effect=None,
        n_effective=None,
        notes=(reason,) if reason else (),
    )


def mean_interval(values: ArrayLike, image: ArrayLike, *, level: float = 0.95) -> Interval:
    """The mean of numbers in [0, 1] (shares, not only 0/1) with the default clustered interval.

    >>> mean_interval([1, 0, 1, 1], [0, 0, 1, 1]).value  # 3 of 4
    0.75
    """
    x, group = np.asarray(values, dtype=np.float64), codes(image)
    text = "logit-t of a mean, clustered by image_id"
    if x.size == 0:
        return Interval(
            value=None,
            low=None,
            high=None,
            method=text,
            n=0,
            clusters=0,
            design_effect=None,
            n_effective=None,
            notes=("no edit: there is no mean",),
        )
    sizes = np.bincount(group)
    order = np.lexsort((x, group))
    sums = np.bincount(group[order], weights=x[order])
    if sizes.size < 2:
        return Interval(
            value=float(x.mean()),
            low=None,
            high=None,
            method=text,
            n=x.size,
            clusters=1,
            design_effect=None,
            n_effective=None,
            notes=("one image: no interval",),
        )
    canonical = np.lexsort((sizes, sums))
    core = rate_core(sums[canonical], sizes[canonical], level=level)
    return Interval(
        value=float(core.value),
        low=float(core.low),
        high=float(core.high),
        method=text,
        n=x.size,
        clusters=sizes.size,
        design_effect=None,
        n_effective=None,
        notes=(),
    )

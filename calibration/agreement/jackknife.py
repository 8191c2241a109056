"""Intervals of coefficients of tables by leaving out one image at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from isr.stats.endpoints import rate_core
from isr.stats.jackknife import jackknife_interval
from isr.stats.rows import Interval, codes
from isr.types import Floats


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

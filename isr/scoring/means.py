"""Means of numbers that are no rates: grades, distortions, metrics; clustered on the image."""

from __future__ import annotations

import numpy as np

from isr.scoring.estimates import Frame, Settings, missing
from isr.stats.special import stdtrit
from isr.stats.variance import cr1_variance
from isr.types import Estimate, Floats


def mean_grade(grades: Floats, frame: Frame, settings: Settings, top: float) -> Estimate:
    """Mean of a graded answer on the scale 0 to ``top``; NaN marks edits without one."""
    return mean_estimate(grades, frame, settings, bottom=0.0, top=top, absent="no graded answer")


def mean_estimate(
    values: Floats,
    frame: Frame,
    settings: Settings,
    *,
    bottom: float = -np.inf,
    top: float = np.inf,
    absent: str = "no value",
) -> Estimate:
    """Mean of a number on the scale ``bottom`` to ``top``; NaN marks edits without one.

    CR1 variance clustered on the image, t(G-1), clipped to the scale. Equal values show no spread: no interval.
    """
    have = ~np.isnan(values)
    if not have.any():
        return missing(absent, settings)
    some = frame.take(have)
    order = np.argsort(some.image, kind="stable")
    _, starts, sizes = np.unique(some.image[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(values[have][order], starts)
    value, images = float(sums.sum() / sizes.sum()), len(sizes)
    variance = float(cr1_variance(sums, sizes)) if images > 1 else 0.0
    low: float | None = None
    high: float | None = None
    notes: tuple[str, ...] = ()
    if variance > 0:
        half = -float(stdtrit(images - 1, (1 - settings.level) / 2)) * variance**0.5
        low, high = max(value - half, bottom), min(value + half, top)
    else:
        reason = "one image" if images < 2 else "the images do not differ"
        notes = (f"{reason}: no spread to make an interval from",)
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=settings.level,
        method="mean, CR1 t, clustered by image_id",
        n=int(have.sum()),
        clusters=images,
        bounds=None,
        notes=notes,
    )

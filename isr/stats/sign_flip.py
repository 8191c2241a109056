"""The sign-flip test of paired differences, whole images at a time: exact where their sums are whole numbers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.rows import codes
from isr.types import Floats, Ints

DRAWS = 10_000
LEAST = float(np.finfo(np.float64).tiny)  # no p-value is 0: below this one they are all printed alike
AT_ONCE = 4_000_000  # signs of drawn patterns
MOST_STEPS = 4e9  # images times the sum of their differences, beyond which patterns are drawn


@dataclass(frozen=True, slots=True)
class SignFlip:
    """p-value of the image sign-flip test, and how it was computed. ``None`` with the reason in ``method``."""

    p_value: float | None
    method: str
    images: int


def sign_flip_test(d: ArrayLike, image: ArrayLike, *, seed: int = 0, draws: int = DRAWS) -> SignFlip:
    """Two-sided test that the paired differences ``d`` (n,) are symmetric about 0, by image.

    Statistic: the absolute sum of ``d``. It is exact where the two methods are exchangeable within images: under the null
    hypothesis it is as likely that A had B's outcomes of an image and B had A's. (Two methods of the same rate that fail in
    different patterns, one by whole images and one by single edits, are not exchangeable; see docs/coverage.md.)

    Where every image's sum is a whole number, as with outcomes 0 and 1, the null distribution over all ``2^G`` sign patterns
    is computed by convolution, without draws (up to MOST_STEPS). Otherwise (means of images, weights) ``draws`` random patterns are drawn, with
    ``p = (1 + #) / (1 + draws)`` (Phipson and Smyth 2010), from a stream of ``seed`` and of the sums themselves, so that no
    other pair and no order matters. No pair: no p-value. No difference at all: p = 1.

    >>> sign_flip_test([1, 1, 1], [0, 1, 2]).p_value  # 2 of the 8 patterns are as extreme
    0.25
    """
    x, group = np.asarray(d, dtype=np.float64), codes(image)
    if x.ndim != 1 or x.shape != group.shape or not np.isfinite(x).all():
        raise StatisticsError("sign_flip_test: expected one finite difference and one image per pair")
    if x.size == 0:
        return SignFlip(None, "no pair: there is nothing to test", 0)
    order = np.lexsort((x, group))
    sums: Floats = np.bincount(group[order], weights=x[order]).astype(np.float64)
    sums = np.round(sums, 12)  # thirds that were summed in another order are the same thirds
    size = np.sort(np.abs(sums[sums != 0]))
    images = int(sums.size)
    if images < 2:
        return SignFlip(None, "one image: its sign alone cannot be tested", 1)
    if size.size == 0:
        return SignFlip(1.0, "no image differs", images)
    whole = np.rint(size)
    if (whole == size).all() and size.size * size.sum() <= MOST_STEPS:
        p = _exact(whole.astype(np.int64), abs(int(np.rint(sums.sum()))))
        return SignFlip(p, f"exact over 2^{size.size} sign patterns", images)
    return SignFlip(_drawn(size, sums, seed, draws), f"{draws} random sign patterns", images)


def _exact(size: Ints, seen: int) -> float:
    """P(|sum of +- size| >= seen) over all sign patterns; size: (G,) whole numbers above 0, in rising order.

    The sum of those with a plus is P, the whole sum 2 P - T. Its distribution has T + 1 places and is made image by image.
    Sums of positive numbers only, so that the smallest p-value has as many right digits as the largest.
    """
    total = int(size.sum())
    pmf = np.zeros(total + 1)
    pmf[0], reach = 1.0, 0
    for step in map(int, size):
        half = 0.5 * pmf[: reach + 1]
        pmf[: reach + 1] = half
        pmf[step : reach + step + 1] += half
        reach += step
    upper = float(pmf[-(-(total + seen) // 2) :].sum())  # 2 P - T >= seen; the other tail is its mirror image
    return max(1.0 if seen == 0 else min(2 * upper, 1.0), LEAST)


def _drawn(size: Floats, sums: Floats, seed: int, draws: int) -> float:
    """The p-value by random patterns; images of equal size are exchangeable: the number of plus signs is binomial."""
    seen = abs(float(np.sort(sums).sum())) * (1 - 1e-12) - 1e-12
    values, counts = np.unique(size, return_counts=True)
    own = hashlib.sha256(np.stack([values, counts.astype(np.float64)]).tobytes()).digest()
    rng = np.random.default_rng([seed, int.from_bytes(own[:8], "big")])
    reached = 0
    for start in range(0, draws, step := max(1, min(draws, AT_ONCE // counts.size))):
        plus = rng.binomial(counts, 0.5, size=(min(step, draws - start), counts.size))
        reached += int((np.abs((2.0 * plus - counts) @ values) >= seen).sum())
    return (1 + reached) / (1 + draws)

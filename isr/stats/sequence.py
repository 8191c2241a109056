"""A confidence sequence for the mean of images: an interval that may be looked at after every image.

The hedged capital process of Waudby-Smith and Ramdas (2024, "Estimating means of bounded random variables by betting",
JRSS-B 86(1), 1-27; section 4.4 and Theorem 3). For each candidate mean m two gamblers bet against it, one that the mean is larger and
one that it is smaller; each splits half the stake. Were m true, neither would ever own 1/alpha but with probability alpha
(Ville 1939). What is left of the candidates after every image is the sequence. Images are taken as drawn independently from
a wider population (no correction for a finite one), with means between 0 and 1 and any distribution.

    capital+_t(m) = 1/2 prod_i (1 + min(lambda_i, c / m) (x_i - m))
    capital-_t(m) = 1/2 prod_i (1 - min(lambda_i, c / (1 - m)) (x_i - m))
    lambda_t      = sqrt(2 log(2 / alpha) / (v_{t-1} t log(t + 1)))             the predictable plug-in,
                    or h / v_{t-1} where that is more and a half-width h is wanted
    v_t           = (1/4 + sum_i (x_i - mu_i)^2) / (t + 1),   mu_t = (1/2 + sum_i x_i) / (t + 1)

Any bet that is fixed before the image is seen is as valid; h / v is the one under which the capital against a mean that is
off by h grows fastest (Kelly 1956), so that an interval of that half-width is reached with far fewer images.

The first capital falls in m and the second rises, so that what is left is an interval, and a grid of candidates finds its ends up to
one step: they are rounded outward. Ends never move apart: the sequence is the running intersection.
"""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.types import Floats

TRUNCATION = 0.5
"""c: no bet can lose more than this share of a gambler's capital."""
STEPS = 2_000
"""Candidates are 0, 1/STEPS, ..., 1."""


class BettingSequence:
    """The confidence sequence of one mean, or of several side by side, image by image.

    level: of the whole sequence; the chance that it EVER misses the mean is at most 1 - level. wanted: the half-width for which the
    bets are, if any. runs: how many sequences go on side
    by side (simulations); 1 by default. ``empty`` says, for each, whether an image left no candidate; what was left before it then stands. grid: the candidates, rising within [0, 1], by default steps of 1/2000. Memory and work for
    each image: O(runs x candidates that are left). Raises ``StatisticsError`` for a level that is none.

    >>> one = BettingSequence(level=0.95)
    >>> for mean in [0.4, 0.6] * 200:
    ...     one.add(mean)
    >>> one.images, float(one.low[0]), float(one.high[0])
    (400, 0.484, 0.5155)
    """

    def __init__(
        self, *, level: float = 0.95, wanted: float | None = None, runs: int = 1, grid: Floats | None = None
    ) -> None:
        if not (isinstance(level, int | float) and 0.5 <= level < 1):
            raise StatisticsError(
                f"BettingSequence: level: expected a number from 0.5 to below 1; found {level!r}"
            )
        if wanted is not None and not 0 < wanted < 1:
            raise StatisticsError(
                f"BettingSequence: wanted: expected a half-width between 0 and 1; found {wanted!r}"
            )
        self.images = 0
        self.empty = np.zeros(runs, np.bool_)  # where what was seen excludes every mean
        self._wanted = wanted or 0.0
        self._stake = math.log(2 / (1 - level))  # a capital that began at 1 must reach 2 / alpha
        self._grid = np.arange(STEPS + 1) / STEPS if grid is None else np.asarray(grid, np.float64)
        self._cap = (
            TRUNCATION / np.maximum(self._grid, 1e-300),
            TRUNCATION / np.maximum(1 - self._grid, 1e-300),
        )
        self._above = np.zeros((runs, self._grid.size))  # log capital of the bets on a larger mean
        self._below = np.zeros((runs, self._grid.size))
        self._sum, self._squares = np.full(runs, 0.5), np.full(runs, 0.25)
        self._first, self._last = np.full(runs, -1), np.full(runs, self._grid.size)  # excluded to either side

    @property
    def low(self) -> Floats:
        """The lower ends, (runs,): the largest candidate that is too small; 0 where none is."""
        ends: Floats = np.where(self._first < 0, 0.0, self._grid[np.maximum(self._first, 0)])
        return ends

    @property
    def high(self) -> Floats:
        """The upper ends, (runs,): the smallest candidate that is too large; 1 where none is."""
        size = self._grid.size
        ends: Floats = np.where(self._last >= size, 1.0, self._grid[np.minimum(self._last, size - 1)])
        return ends

    def add(self, x: ArrayLike) -> None:
        """The next image's mean, or one for each run, (runs,). Raises ``StatisticsError`` for what is not within [0, 1]."""
        mean = np.broadcast_to(np.asarray(x, np.float64), self._sum.shape)
        if not ((mean >= 0) & (mean <= 1)).all():
            raise StatisticsError("BettingSequence: x: expected means from 0 to 1; found others")
        bet = self._bet()
        some = slice(max(int(self._first.min()), 0), min(int(self._last.max()) + 1, self._grid.size))
        gain = mean[:, None] - self._grid[some]
        for capital, cap, side in ((self._above, self._cap[0], gain), (self._below, self._cap[1], -gain)):
            capital[:, some] += np.log1p(np.minimum(bet[:, None], cap[some]) * side)
        first = some.start - 1 + (self._above[:, some] >= self._stake).sum(axis=1)
        last = some.stop - (self._below[:, some] >= self._stake).sum(axis=1)
        first, last = np.maximum(self._first, first), np.minimum(self._last, last)
        kept = first < last  # what would leave nothing is not believed: the wider interval holds as well
        self.empty = self.empty | ~kept
        self._first, self._last = np.where(kept, first, self._first), np.where(kept, last, self._last)
        self._learn(mean)

    def _bet(self) -> Floats:
        """lambda of the next image, known before its mean is: v_{t-1} t is the sum of squares."""
        plug_in = np.sqrt(2 * self._stake / (self._squares * math.log(self.images + 2)))
        bet: Floats = np.maximum(plug_in, self._wanted * (self.images + 1) / self._squares)
        return bet

    def _learn(self, mean: Floats) -> None:
        self.images += 1
        self._sum = self._sum + mean
        self._squares = self._squares + (mean - self._sum / (self.images + 1)) ** 2


class OpenSequence:
    """The sequence of a mean of which some outcomes are not known: it holds whatever they are.

    Its lower end is that of the means with all of them at the lower extreme, its upper end that of the means with all at the
    upper. Each end is a sequence at half the error of its own, so that both hold together at ``level``. level, wanted: as for
    ``BettingSequence``. ``least`` and ``most`` are the means at the two extremes.
    """

    def __init__(self, *, level: float = 0.95, wanted: float | None = None) -> None:
        self._least = self._most = BettingSequence(level=level, wanted=wanted)
        self._sums = [0.0, 0.0]

    def add(self, least: float, most: float) -> None:
        """The next image's mean, at least and at most. Raises ``StatisticsError`` for what is not within [0, 1]."""
        if least > most:
            raise StatisticsError(f"OpenSequence: expected least <= most; found {least} and {most}")
        if self._least is self._most and least != most:
            self._most = deepcopy(self._least)
        self._least.add(least)
        if self._most is not self._least:
            self._most.add(most)
        self._sums = [self._sums[0] + least, self._sums[1] + most]

    @property
    def images(self) -> int:
        return self._least.images

    @property
    def low(self) -> float:
        return float(self._least.low[0])

    @property
    def high(self) -> float:
        return max(float(self._most.high[0]), self.low)

    @property
    def empty(self) -> bool:
        """Whether what was seen excludes every mean: a rare event, or images that are not drawn alike."""
        return bool(self._least.empty[0] or self._most.empty[0]) or float(self._most.high[0]) < self.low

    @property
    def least(self) -> float:
        return self._sums[0] / max(self.images, 1)

    @property
    def most(self) -> float:
        return self._sums[1] / max(self.images, 1)


def betting_sequence(x: ArrayLike, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """The lower and the upper ends after each image, (n,) and (n,): they hold together, at every look, with probability ``level``.

    x: (n,) means of images within [0, 1], in an order that is not chosen by what they are. Raises ``StatisticsError`` for anything else.

    >>> low, high = betting_sequence([1.0, 0.0, 0.0, 1.0])
    >>> low.tolist(), high.tolist()
    ([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    """
    means = np.asarray(x, np.float64)
    if means.ndim != 1:
        raise StatisticsError(
            f"betting_sequence: x: expected one mean for each image (1-d), found shape {means.shape}"
        )
    sequence = BettingSequence(level=level)
    ends = np.empty((2, means.size))
    for i, mean in enumerate(means):
        sequence.add(mean)
        ends[:, i] = sequence.low[0], sequence.high[0]
    return ends[0], ends[1]

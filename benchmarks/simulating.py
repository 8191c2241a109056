"""What simulations of coverage share: data sets, tallies, and the tables that they fill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]
EQUAL = np.full(40, 5)
BLOCK = 2_500
REQUIRED = 0.93


class Score(NamedTuple):
    """Share of runs whose interval holds the truth, and the mean width."""

    coverage: float
    width: float


@dataclass(kw_only=True)
class Section:
    """One table of the document."""

    title: str
    text: str
    header: list[str]
    runs: int = 0
    watched: tuple[str, ...] = ()
    """Columns of the default, which the slow test compares with the document."""
    rows: list[list[str]] = field(default_factory=list)
    lowest: tuple[float, str] = (2.0, "")
    below: list[tuple[float, str]] = field(default_factory=list)
    pairs: dict[tuple[str, float, float], tuple[Score, Score]] = field(default_factory=dict)
    """(design, p, ICC) -> default and rules 1 and 2 alone, for the words."""

    def watch(self, score: Score, where: str) -> None:
        """Remember the cell in which the default covers least, and every one in which it covers too little."""
        self.lowest = min(self.lowest, (score.coverage, where))
        if score.coverage < REQUIRED:
            self.below.append((score.coverage, where))


class Tally:
    """Counts of covered runs and sums of widths per method."""

    def __init__(self) -> None:
        self.hit: dict[str, float] = {}
        self.width: dict[str, float] = {}
        self.runs: dict[str, int] = {}

    def add(self, name: str, truth: float, low: Array, high: Array) -> None:
        low, high = np.asarray(low), np.asarray(high)
        self.hit[name] = self.hit.get(name, 0.0) + float(((low <= truth) & (truth <= high)).sum())
        self.width[name] = self.width.get(name, 0.0) + float((high - low).sum())
        self.runs[name] = self.runs.get(name, 0) + low.size

    def score(self, name: str) -> Score:
        n = self.runs[name]
        return Score(self.hit[name] / n, self.width[name] / n)

    def cells(self) -> list[str]:
        return [f"{100 * self.score(m).coverage:.1f} ({self.score(m).width:.3f})" for m in self.hit]


def blocks(runs: int) -> Iterator[int]:
    for start in range(0, runs, BLOCK):
        yield min(BLOCK, runs - start)


def image_rates(rng: np.random.Generator, runs: int, images: int, p: float, icc: float) -> Array:
    """Beta rates of images with mean p and intra-image correlation icc, shape (runs, images)."""
    if icc == 0:
        return np.full((runs, images), p)
    total = (1 - icc) / icc
    return rng.beta(p * total, (1 - p) * total, size=(runs, images))


def edits(rng: np.random.Generator, rates: Array, per_image: int) -> Array:
    """0/1 outcomes (runs, images * per_image), the edits of an image side by side."""
    drawn = rng.random((*rates.shape, per_image)) < rates[..., None]
    return drawn.reshape(rates.shape[0], -1).astype(np.float64)


def judged(rng: np.random.Generator, truth: Array, sensitivity: float, specificity: float) -> Array:
    u = rng.random(truth.shape)
    return np.where(truth == 1, u < sensitivity, u > specificity).astype(np.float64)


def pick(rng: np.random.Generator, allowed: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """``count`` edits at random among the allowed ones of each run (all of them where there are fewer)."""
    key = np.where(allowed, rng.random(allowed.shape), 2.0)
    return (key.argsort(axis=1).argsort(axis=1) < count) & allowed


def two_methods(
    rng: np.random.Generator, runs: int, images: int, m: int, p_a: float, p_b: float, v_image: float
) -> tuple[Array, Array]:
    """Outcomes of two methods on the same units: shared and own image effects, shared and own noise (probit)."""
    shape = (runs, images, 1)
    shared, noise = rng.normal(size=shape), rng.normal(size=(runs, images, m))
    out = []
    for p in (p_a, p_b):
        effect = (shared * 0.7**0.5 + rng.normal(size=shape) * 0.3**0.5) * v_image**0.5
        rest = (noise * 0.5**0.5 + rng.normal(size=(runs, images, m)) * 0.5**0.5) * (1 - v_image) ** 0.5
        out.append((float(ndtri(p)) + effect + rest > 0).reshape(runs, -1).astype(np.float64))
    return out[0], out[1]

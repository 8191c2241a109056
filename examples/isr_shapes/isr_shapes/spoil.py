"""Four ways to degrade an image, their strengths, and the cut between a mild and a substantial one.

The cut was fixed together with the strengths, from looking at the images, before any judge of them was written.
A strength at or above the cut is a perceptual failure. No strength lies near a cut: the gap between the strongest
mild one and the weakest substantial one is at least a factor of two and a half.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MILD = {
    "noise": (0.02, 0.04),
    "blur": (0.004, 0.008),
    "blocks": (0.12, 0.24),
    "collapse": (0.12, 0.22),
}
SUBSTANTIAL = {
    "noise": (0.12, 0.17, 0.23),
    "blur": (0.025, 0.033, 0.042),
    "blocks": (0.70, 0.85, 1.00),
    "collapse": (0.60, 0.70, 0.78),
}
CUT = {"noise": 0.08, "blur": 0.016, "blocks": 0.47, "collapse": 0.42}
"""noise: standard deviation in [0, 1] pixel units. blur: standard deviation of the Gaussian, as a share of the
shorter side. blocks: weight of the blocks (cells of 1/20 of the shorter side). collapse: share of contrast and
colour lost to the mean grey."""
CELLS = 20


def noise(image: Array, strength: float, rng: np.random.Generator) -> Array:
    """Independent Gaussian noise in every pixel and channel."""
    return image + strength * rng.standard_normal(image.shape)


def blur(image: Array, strength: float, rng: np.random.Generator) -> Array:
    """A Gaussian blur; the border is repeated."""
    sigma = strength * min(image.shape[:2])
    radius = max(1, int(np.ceil(3.5 * sigma)))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        pad = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(image, pad, mode="edge")
        size = image.shape[axis]
        image = sum(w * np.take(padded, np.arange(size) + i, axis=axis) for i, w in enumerate(kernel))
    return image


def blocks(image: Array, strength: float, rng: np.random.Generator) -> Array:
    """The image mixed with its own mean over square cells, on a grid with a random offset."""
    height, width = image.shape[:2]
    cell = max(3, round(min(height, width) / CELLS))
    shift = rng.integers(0, cell, size=2)
    rows, cols = (np.arange(height) + shift[0]) // cell, (np.arange(width) + shift[1]) // cell
    index = rows[:, None] * (cols[-1] + 1) + cols[None, :]
    count = np.bincount(index.ravel())
    mosaic = np.empty_like(image)
    for c in range(3):
        sums = np.bincount(index.ravel(), weights=image[..., c].ravel())
        mosaic[..., c] = (sums / np.maximum(count, 1))[index]
    return (1 - strength) * image + strength * mosaic


def collapse(image: Array, strength: float, rng: np.random.Generator) -> Array:
    """The image drawn towards one grey, the mean brightness of the whole."""
    grey = float((image @ np.array([0.299, 0.587, 0.114])).mean())
    return (1 - strength) * image + strength * grey


WAYS: dict[str, Callable[[Array, float, np.random.Generator], Array]] = {
    "noise": noise,
    "blur": blur,
    "blocks": blocks,
    "collapse": collapse,
}


def spoil(image: Array, way: str, strength: float, rng: np.random.Generator) -> Array:
    """The image degraded in one way, still in [0, 1]."""
    return np.clip(WAYS[way](image, strength, rng), 0.0, 1.0)

"""AdverseCleaner (Zhang 2023): many weak bilateral filters, then guided filters of the result by the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter

Array = NDArray[np.float64]


def adverse_cleaner(
    image: Image.Image,
    *,
    seed: int,
    editor: Any,
    rounds: int = 64,
    diameter: int = 5,
    sigma_color: float = 8.0,
    sigma_space: float = 8.0,
    guided: int = 4,
    radius: int = 4,
    eps: float = 16.0,
) -> Image.Image:
    """The cleaned image, by the released settings on the scale of 0 to 255.

    As in the release (``clean.py``), the given picture guides the filtering of the smooth one, and the last step cuts
    to whole levels instead of rounding.
    """
    original = np.asarray(image, np.float64)
    smooth = original
    for _ in range(rounds):
        smooth = bilateral(smooth, diameter, sigma_color, sigma_space)
    out = smooth
    for _ in range(guided):
        out = guided_filter(original, out, radius, eps)
    return Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))


def bilateral(image: Array, diameter: int, sigma_color: float, sigma_space: float) -> Array:
    """Bilateral filter (Tomasi and Manduchi 1998) of (H, W, 3) in a disc, borders reflected without their edge.

    The distance of colours is the sum of the channels' absolute differences, as in OpenCV.
    """
    reach = diameter // 2
    height, width = image.shape[:2]
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "reflect")
    total, weights = np.zeros_like(image), np.zeros((height, width, 1))
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx > reach * reach:
                continue
            other = padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
            colour = np.abs(other - image).sum(axis=2, keepdims=True)
            weight = np.exp(-0.5 * ((colour / sigma_color) ** 2 + (dy * dy + dx * dx) / sigma_space**2))
            total += weight * other
            weights += weight
    return total / weights


def guided_filter(guide: Array, image: Array, radius: int, eps: float) -> Array:
    """Guided filter with a colour guide (He et al. 2013, eq. 19 to 21), windows of ``2 radius + 1``."""

    def mean(x: Array) -> Array:
        out: Array = uniform_filter(x, (2 * radius + 1, 2 * radius + 1, *[0] * (x.ndim - 2)), mode="reflect")
        return out

    m = mean(guide)
    covariance = mean(guide[..., :, None] * guide[..., None, :]) - m[..., :, None] * m[..., None, :]
    cross = mean(guide[..., :, None] * image[..., None, :]) - m[..., :, None] * mean(image)[..., None, :]
    a: Array = np.asarray(
        np.linalg.solve(covariance + eps * np.eye(3), cross), np.float64
    )  # (H, W, guide channel, image channel)
    b = mean(image) - (m[..., None] * a).sum(axis=2)
    out: Array = (guide[..., None] * mean(a)).sum(axis=2) + mean(b)
    return out

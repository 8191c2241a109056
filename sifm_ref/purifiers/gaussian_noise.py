"""Gaussian noise; sigma .1 is the noise of Noisy Upscaling (Honig et al. 2025), .05 leaves the picture itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image


def gaussian_noise(image: Image.Image, *, seed: int, editor: Any, sigma: float = 0.1) -> Image.Image:
    """The image plus independent normal noise of standard deviation ``sigma`` in [0, 1] units, clipped.

    One seed, one noise: the control edit's source gets the same as the protected image.
    """
    draw = np.random.default_rng(seed).normal(0, 255 * sigma, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.rint(np.asarray(image, np.float64) + draw), 0, 255).astype(np.uint8))

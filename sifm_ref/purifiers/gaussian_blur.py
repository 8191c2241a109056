"""Gaussian blur; a standard deviation of 1 pixel is our default (sources use 3 to 7 pixel kernels)."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageFilter


def gaussian_blur(image: Image.Image, *, seed: int, editor: Any, sigma: float = 1.0) -> Image.Image:
    """The image blurred with standard deviation ``sigma`` in pixels."""
    return image.filter(ImageFilter.GaussianBlur(sigma))

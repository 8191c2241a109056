"""Median filter, 3 pixels wide (feature squeezing, Xu et al. 2018)."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageFilter

from isr.errors import UsageError


def median(image: Image.Image, *, seed: int, editor: Any, size: int = 3) -> Image.Image:
    """The median of each channel in squares ``size`` wide."""
    if size < 1 or size % 2 == 0:
        raise UsageError(f"purifier median: size: expected an odd number of pixels; found {size}")
    return image.filter(ImageFilter.MedianFilter(size))

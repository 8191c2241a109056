"""Crop and resize: 10 % off, back to size, as in BlurGuard's evaluation (Kim et al. 2025)."""

from __future__ import annotations

from typing import Any

from PIL import Image

from isr.errors import UsageError


def crop_resize(image: Image.Image, *, seed: int, editor: Any, share: float = 0.1) -> Image.Image:
    """The image without ``share`` of its width and height, taken off evenly at the borders, back at its size."""
    if not 0 < share < 1:
        raise UsageError(f"purifier crop_resize: share: expected a number between 0 and 1; found {share}")
    dx, dy = (min(round(side * share / 2), (side - 1) // 2) for side in image.size)
    box = (dx, dy, image.width - dx, image.height - dy)
    return image.crop(box).resize(image.size, Image.Resampling.BICUBIC)

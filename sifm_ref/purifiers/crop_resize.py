"""Crop and resize: 10 % off, back to size, as in BlurGuard's evaluation (Kim et al. 2025)."""

from __future__ import annotations

from typing import Any

from PIL import Image


def crop_resize(image: Image.Image, *, seed: int, editor: Any, share: float = 0.1) -> Image.Image:
    """The image without ``share`` of its width and height, taken off evenly at the borders, back at its size."""
    dx, dy = round(image.width * share / 2), round(image.height * share / 2)
    box = (dx, dy, image.width - dx, image.height - dy)
    return image.crop(box).resize(image.size, Image.Resampling.BICUBIC)

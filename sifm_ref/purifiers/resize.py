"""Down to half the size and back (a common first attack; no source agrees on the factor)."""

from __future__ import annotations

from typing import Any

from PIL import Image


def resize(image: Image.Image, *, seed: int, editor: Any, factor: float = 0.5) -> Image.Image:
    """The image scaled by ``factor`` (Lanczos) and back to its size (bicubic)."""
    small = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(small, Image.Resampling.LANCZOS).resize(image.size, Image.Resampling.BICUBIC)

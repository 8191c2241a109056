"""Down to half the size and back (a common first attack; no source agrees on the factor)."""

from __future__ import annotations

import math
from typing import Any

from PIL import Image

from isr.errors import UsageError


def resize(image: Image.Image, *, seed: int, editor: Any, factor: float = 0.5) -> Image.Image:
    """The image scaled by ``factor`` (Lanczos) and back to its size (bicubic)."""
    if not 0 < factor < math.inf:
        raise UsageError(f"purifier resize: factor: expected a number above 0; found {factor}")
    small = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(small, Image.Resampling.LANCZOS).resize(image.size, Image.Resampling.BICUBIC)

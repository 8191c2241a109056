"""JPEG compression; quality 75 as in BlurGuard's and DIA's evaluations (70 to 90 are usual)."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from isr.errors import UsageError


def jpeg(image: Image.Image, *, seed: int, editor: Any, quality: int = 75) -> Image.Image:
    """The image after JPEG compression with Pillow's encoder, 4:2:0 chroma."""
    if not 1 <= quality <= 100:
        raise UsageError(f"purifier jpeg: quality: expected a whole number from 1 to 100; found {quality}")
    held = io.BytesIO()
    image.save(held, "JPEG", quality=quality)
    held.seek(0)
    return Image.open(held, formats=("JPEG",)).convert("RGB")

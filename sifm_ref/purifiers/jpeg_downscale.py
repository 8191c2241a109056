"""JPEG, then half the size: the chain of arXiv 2604.23688, which finds that single transforms flatter protections."""

from __future__ import annotations

from typing import Any

from PIL import Image

from sifm_ref.purifiers.jpeg import jpeg
from sifm_ref.purifiers.resize import resize


def jpeg_downscale(
    image: Image.Image, *, seed: int, editor: Any, quality: int = 75, factor: float = 0.5
) -> Image.Image:
    """The image after JPEG and a Lanczos reduction by ``factor``, back at its size."""
    return resize(
        jpeg(image, seed=seed, editor=editor, quality=quality), seed=seed, editor=editor, factor=factor
    )

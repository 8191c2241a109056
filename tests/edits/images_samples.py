"""Pictures and files of pictures for the tests of images."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from isr.edits.images import ImagePolicy
from isr.image_file import decode

RGB = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)  # 9 wide, 7 high
PNG = ImagePolicy()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    image = decode(data)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)

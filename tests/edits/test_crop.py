"""Strips: the last picture is kept pixel by pixel, and what is no strip is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from isr.edits.crop import last_part
from isr.errors import EditDirectoryError


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def pixels(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (18, 24), (30, 20)])
def test_the_last_of_several(parts: int, height: int, width: int) -> None:
    several = [pixels(n, height, width) for n in range(parts)]
    found = last_part(png(np.concatenate(several, axis=1)), png(pixels(9, height, width)), "a.png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found))), several[-1])


def test_squares_without_a_source() -> None:
    several = [pixels(n, 16, 16) for n in range(3)]
    found = last_part(png(np.concatenate(several, axis=1)), None, "a.png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found))), several[-1])


def test_a_source_of_another_size_but_that_shape() -> None:
    strip = png(np.concatenate([pixels(n, 16, 24) for n in range(2)], axis=1))
    assert Image.open(io.BytesIO(last_part(strip, png(pixels(9, 64, 96)), "a.png"))).size == (24, 16)


@pytest.mark.parametrize(
    "size", [(16, 40), (16, 8), (16, 33)]
)  # 2.5, half and a little more than two squares
def test_what_is_no_strip(size: tuple[int, int]) -> None:
    with pytest.raises(EditDirectoryError, match=r"a\.png: expected pictures side by side, each 1:1"):
        last_part(png(pixels(1, *size)), None, "a.png")


def test_what_is_no_picture() -> None:
    with pytest.raises(EditDirectoryError, match=r"a\.png: "):
        last_part(b"no picture", None, "a.png")

"""Strips: editors that save the source, steps and the edit side by side in one file."""

from __future__ import annotations

import io

from isr.errors import EditDirectoryError
from isr.image_file import ImageProblem, decode

MOST_OFF = 0.01
"""How far, as a share of its width, a part may be from the shape of the source: sizes are whole pixels."""


def last_part(data: bytes, source: bytes | None, where: str) -> bytes:
    """The last picture of a strip, as a PNG: each is of the shape of the source (a square where there is no source).

    A picture of one part keeps its pixels. Raises ``EditDirectoryError`` where the strip is no whole number of them.
    """
    try:
        image = decode(data)
        across, down = decode(source).size if source is not None else (1, 1)
    except ImageProblem as error:
        raise EditDirectoryError(f"{where}: {error}") from error
    width, height = image.size
    parts = width * down / (height * across)
    number = round(parts)
    if number < 1 or width % number or abs(parts - number) > MOST_OFF * number:
        raise EditDirectoryError(
            f"{where}: expected pictures side by side, each {across}:{down} as the source; found {width}x{height} pixels, "
            f"{parts:.2f} of them; crop it yourself, without --crop"
        )
    out = io.BytesIO()
    image.crop((width - width // number, 0, width, height)).save(out, "PNG")
    return out.getvalue()

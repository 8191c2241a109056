"""A sheet of pictures: the edits about which a metric and the judge disagree most."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from isr.bench.thesis import Disagreement, told
from isr.files import write_bytes
from isr.image_file import ImageProblem, decode, read_file
from isr.text import plain

SIDE, GAP, TEXT = 192, 12, 14  # pixels: a picture's longer side, between pictures, a line of text
MOST = 1000  # letters of a line of text in a picture; all of it stands in the results
PICTURES = ("source", "protected", "edit", "control")


def contact_sheet(units: Sequence[Disagreement], path: Path) -> None:
    """Writes a PNG with a line of pictures for each unit (source, protected, edit, control edit) and text beneath."""
    width = GAP + len(PICTURES) * (SIDE + GAP)
    blocks = [_block(unit, width) for unit in units]
    sheet = Image.new("RGB", (width, max(1, sum(b.height for b in blocks))), "white")
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    data = io.BytesIO()
    sheet.save(data, "PNG")
    write_bytes(path, data.getvalue())


def _block(unit: Disagreement, width: int) -> Image.Image:
    font = ImageFont.load_default(TEXT - 3)
    lines = [part for text in told(unit) for part in _wrapped(text, font, width - 2 * GAP)]
    block = Image.new("RGB", (width, 2 * GAP + TEXT + SIDE + TEXT * len(lines) + GAP), "white")
    draw = ImageDraw.Draw(block)
    for i, name in enumerate(PICTURES):
        left = GAP + i * (SIDE + GAP)
        draw.text((left, GAP), name if name != "control" else "control edit", "black", font)
        picture = _thumbnail(unit.pictures.get(name))
        if picture is None:
            draw.rectangle((left, GAP + TEXT, left + SIDE - 1, GAP + TEXT + SIDE - 1), outline="grey")
            draw.text((left + GAP, GAP + TEXT + SIDE // 2), "not there", "grey", font)
        else:
            block.paste(picture, (left, GAP + TEXT))
    for i, line in enumerate(lines):
        draw.text((GAP, 2 * GAP + TEXT + SIDE + i * TEXT), line, "black", font)
    return block


def _thumbnail(path: Path | None) -> Image.Image | None:
    """The picture, enlarged or made smaller to SIDE; ``None`` where no image can be read."""
    if path is None:
        return None
    try:
        image = decode(read_file(path))
    except ImageProblem:
        return None
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)


def _wrapped(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> Iterator[str]:
    """Lines no wider than ``width`` pixels; a longer word is cut, and so is a text after ``MOST`` letters."""
    indent = " " * (len(text) - len(text.lstrip()))
    line = indent

    for word in plain(text)[:MOST].split():
        piece = word
        while piece:
            joined = f"{line} {piece}" if line.strip() else indent + piece
            if font.getlength(joined) <= width:
                line, piece = joined, ""
            elif line.strip():
                yield line
                line = indent
            else:
                fits = _fitting(indent + piece, font, width) - len(indent)
                yield indent + piece[: max(1, fits)]
                piece = piece[max(1, fits) :]
    if line.strip():
        yield line


def _fitting(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> int:
    """How many letters of a text fit into ``width`` pixels; each takes one at least."""
    low, high = 1, max(1, min(len(text), width))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    return low

"""Masks of what an inpainting editor repaints: found by the names of pictures, and brought to the working size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from isr.errors import InputError, Problem, UsageError
from sifm_ref.pictures import Picture, Resize, central_mask, read_rgb


def find_masks(folder: Path | None, pictures: Sequence[Picture]) -> dict[str, Path]:
    """The mask of each picture by its image id; none without a folder.

    Raises ``UsageError`` where there is no such folder, ``InputError`` with every picture that has no mask of its size.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise UsageError(f"--masks {folder}: expected a folder; found none there; check the path")
    stems = {p.stem: p for p in sorted(folder.iterdir()) if p.is_file()}
    found = {p.image_id: stems[n] for p in pictures for n in (p.path.stem, p.image_id) if n in stems}
    problems = [
        Problem(str(p.path), "", "a mask of its name", "none", "add it")
        for p in pictures
        if p.image_id not in found
    ]
    sizes = {p.image_id: _upright(found[p.image_id]) for p in pictures if p.image_id in found}
    problems += [
        Problem(
            str(found[p.image_id]),
            "",
            f"a mask as large as its picture, {_times(p.size)}",
            _times(sizes[p.image_id]) if sizes[p.image_id] else "no image",
            "draw it on the photograph, turned as its EXIF says",
        )
        for p in pictures
        if p.image_id in found and sizes[p.image_id] != p.size
    ]
    if problems:
        raise InputError(f"--masks {folder}: {len(problems)} image(s) without a mask of their size", problems)
    return found


def _upright(path: Path) -> tuple[int, ...]:
    """Width and height, EXIF orientation applied; nothing for what is no image."""
    try:
        return read_rgb(path).size
    except InputError:
        return ()


def _times(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


def mask_at_size(path: Path | None, size: tuple[int, int], resize: Resize, multiple: int) -> Image.Image:
    """A mask brought to the working size as its picture is, black or white."""
    if path is None:
        return central_mask(size)
    mask = resize.apply(read_rgb(path).convert("L"), multiple)
    return mask.point(lambda v: 255 * (v >= 128))

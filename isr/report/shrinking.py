"""Pictures made small enough for a page: a thumbnail of all of it, and a part of it at full size, without loss.

One function for each step, pure but for ``Shrinker``, which reads files. The same files give the same bytes, whatever the number of threads.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from isr.image_file import ImageProblem, decode, read_file

AMPLIFIED = 10  # |protected - source| times this
GUIDES = 4  # pictures made of a source that say where its part is taken from
GRID = 64  # cells a side in which differences are added up
KEPT = 4_000_000  # pixels of a picture that is kept decoded until the place is known; a larger one is decoded again
MIDDLE = (0.5, 0.5)
RULE = "where the first four control edits of a source (edits, where it has none) differ from it most, away from what is black or white to its limit"
"""Where the part at full size is taken, in words. It depends on no method and on no verdict."""


class Level(NamedTuple):
    """How small: the longer side of a thumbnail and its JPEG quality, and the side of the part; 0: no part."""

    side: int
    quality: int
    part: int


LEVELS = (
    Level(384, 82, 256),
    Level(320, 80, 192),
    Level(256, 80, 192),
    Level(192, 75, 192),
    Level(256, 80, 128),
    Level(192, 75, 128),
    Level(192, 75, 96),
    Level(160, 70, 80),
    Level(192, 70, 0),
    Level(128, 60, 0),
)
"""The best first: a part shows what a thumbnail cannot, so that thumbnails grow smaller before it does, down to 192 px."""


@dataclass(frozen=True, kw_only=True)
class Small:
    """A picture as a page holds it. size: of the file, upright. box: x, y, width, height of the part in the file."""

    size: tuple[int, int]
    thumbnail: bytes
    side: int  # the longer side of the thumbnail
    part: bytes = b""
    box: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def spent(self) -> int:
        """Bytes."""
        return len(self.thumbnail) + len(self.part)


@dataclass(kw_only=True)
class Group:
    """Pictures that are seen side by side, by number: made of one source, or sharing others. differences: by protected image."""

    source: int = 0  # 0: none
    guides: list[int] = field(default_factory=list)
    protected: list[int] = field(default_factory=list)
    members: list[int] = field(default_factory=list)  # all of them, in order
    differences: dict[int, int] = field(default_factory=dict)

    @property
    def made(self) -> tuple[int, ...]:
        """The numbers of all that is made of a group."""
        return (*self.members, *self.differences.values())

    def add(self, guide: int, protected: int, difference: int) -> None:
        """What one unit adds; 0: nothing."""
        if guide and guide not in self.guides and len(self.guides) < GUIDES:
            self.guides.append(guide)
        if protected and protected not in self.protected:
            self.protected.append(protected)
        if difference:
            self.differences[protected] = difference


def thumbnail(image: Image.Image, side: int) -> Image.Image:
    """The image with a longer side of ``side`` pixels at most: the means of squares of k x k pixels, for the least whole k."""
    squares = -(-max(image.size) // side)
    return image.reduce(squares) if squares > 1 else image


def part_of(size: tuple[int, int], side: int, place: tuple[float, float]) -> tuple[int, int, int, int]:
    """x, y, width, height in pixels of the part of a picture about ``place`` (0 to 1 across and down), kept inside it."""
    (x, width), (y, height) = (_span(n, side, at) for n, at in zip(size, place, strict=True))
    return x, y, width, height


def _span(length: int, side: int, at: float) -> tuple[int, int]:
    kept = min(side, length)
    return min(max(round(at * length - kept / 2), 0), length - kept), kept


def place_of(
    source: NDArray[np.int16],
    others: Sequence[NDArray[np.int16]],
    window: tuple[float, float],
    flat: NDArray[np.bool_] | None = None,
) -> tuple[float, float]:
    """Where pictures differ most from their source: the middle (0 to 1) of the window with the greatest sum of differences.

    source, others: (GRID, GRID, 3) each, see ``coarse``. window: width and height as shares of the picture. flat: (GRID, GRID),
    cells that do not count unless no other differs, see ``clipped``. The first place in reading order counts; the middle, where there is no difference.
    """
    total = np.zeros((GRID, GRID), np.int64)
    for other in others:
        total += np.abs(other - source).sum(axis=2)
    if not total.any():
        return MIDDLE
    if flat is not None and total[~flat].any():
        total[flat] = 0
    wide, high = (min(GRID, max(1, round(GRID * share))) for share in window)
    sums = np.pad(total, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    windows = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    y, x = divmod(int(windows.argmax()), windows.shape[1])
    return (x + wide / 2) / GRID, (y + high / 2) / GRID


def coarse(image: Image.Image) -> NDArray[np.int16]:
    """Means over ``GRID`` x ``GRID`` cells, (GRID, GRID, 3)."""
    cells = image.resize((GRID, GRID), Image.Resampling.BOX, reducing_gap=1.0)
    return np.asarray(cells).astype(np.int16)


def clipped(image: Image.Image) -> NDArray[np.bool_]:
    """Cells, (GRID, GRID), in which more than half of the pixels are 0 or 255 in any channel: no detail is left there."""
    ends = image.point(([255] + [0] * 254 + [255]) * len(image.getbands()))
    most = ends.getchannel(0)
    for band in ends.split()[1:]:
        most = ImageChops.lighter(most, band)
    cells = most.resize((GRID, GRID), Image.Resampling.BOX)
    return np.asarray(cells) > 128  # half of 255, rounded


def amplified(a: Image.Image, b: Image.Image) -> Image.Image:
    """The absolute difference of two images of one size, times ten, up to white."""
    return Image.blend(Image.new("RGB", a.size), ImageChops.difference(a, b), AMPLIFIED)


def shrunk(
    image: Image.Image, level: Level, place: tuple[float, float], small: Image.Image | None = None
) -> Small:
    """A picture at a level, its part about ``place``. small: its thumbnail, where that is made already."""
    small = small or thumbnail(image, level.side)
    box = part_of(image.size, level.part, place)
    x, y, width, height = box
    return Small(
        size=image.size,
        thumbnail=_jpeg(small, level.quality),
        side=max(small.size),
        part=lossless(image.crop((x, y, x + width, y + height))) if level.part else b"",
        box=box if level.part else (0, 0, 0, 0),
    )


def part_in_words(made: Iterable[Small], level: Level) -> str:
    """``192 x 192 px of 768 x 768 (6%)``: how much of the pictures their parts are; of several sizes, the least and the greatest share."""
    shares = {one.size: one.box[2] * one.box[3] / (one.size[0] * one.size[1]) for one in made if one.part}
    said = f"{level.part} x {level.part} px"
    if not shares:
        return said
    low, high = min(shares.values()), max(shares.values())
    if len(shares) == 1:
        ((width, height),) = shares
        return f"{said} of {width} x {height} ({_share(low)})"
    return (
        f"{said} ({_share(low)}{f' to {_share(high)}' if _share(high) != _share(low) else ''} of the picture)"
    )


def _share(value: float) -> str:
    return f"{value:.0%}" if value >= 0.005 else "under 1%"


def lossless(image: Image.Image) -> bytes:
    """WebP with every pixel as it is: smaller than PNG and made in a third of its time."""
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True, method=0, quality=0)
    return out.getvalue()


def _jpeg(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


Stamp = tuple[str, int, int, int]
Key = tuple[Level, tuple[tuple[Stamp, ...], ...]]
Ready = dict[Key, tuple[Small | None, ...]]
"""What was made of groups already: by level and files, in the order of ``Group.made``; ``None``: cannot be read."""


class Stopped(Exception):
    """Nobody wants the rest any more."""


@dataclass(kw_only=True)
class Shrinker:
    """Shrinks the pictures of ``files``, by number, each decoded once. A number that is missing in what it gives cannot be read.

    ready: is read, and added to. wanted: asked before each picture; ``Stopped`` is raised once it says no.
    """

    files: Mapping[int, Path]
    threads: int = min(8, os.cpu_count() or 1)
    ready: Ready = field(default_factory=dict)
    wanted: Callable[[], bool] = lambda: True

    def expected(self, differences: int, few: int = 12) -> list[float]:
        """Bytes of all pictures at each level, from a few of them in equal steps; the middle stands for the part.

        differences: how many amplified differences come to the files.
        """
        numbers = list(self.files)
        some = numbers[:: max(1, len(numbers) // few)][:few]
        with ThreadPoolExecutor(self.threads) as pool:
            found = [sizes for sizes in pool.map(self._sizes, some) if sizes]
        if not found:
            return [0.0] * len(LEVELS)
        thumbnails, parts = np.mean(found, axis=0)
        rougher = 1.5  # an amplified difference is noise
        return list(thumbnails * (len(numbers) + rougher * differences) + parts * len(numbers))

    def _sizes(self, number: int) -> list[list[float]]:
        """Bytes of thumbnail and part at each level; what a part takes grows with its pixels."""
        image = self._image(number)
        if image is None:
            return []
        x, y, width, height = part_of(image.size, 128, MIDDLE)
        rate = len(lossless(image.crop((x, y, x + width, y + height)))) / (width * height)
        parts = [rate * min(at.part, image.width) * min(at.part, image.height) for at in LEVELS]
        return [[len(_jpeg(thumbnail(image, at.side), at.quality)) for at in LEVELS], parts]

    def shrink(self, groups: Sequence[Group], level: Level) -> dict[int, Small]:
        """The pictures of some groups, and the amplified differences of their protected images and sources."""
        keys = [self._key(group, level) for group in groups]
        fresh = {key: group for key, group in zip(keys, groups, strict=True) if key not in self.ready}
        made = self._shrink(list(fresh.values()), level)
        for key, group in fresh.items():
            self.ready[key] = tuple(made.get(number) for number in group.made)
        return {
            number: small
            for key, group in zip(keys, groups, strict=True)
            for number, small in zip(group.made, self.ready[key], strict=True)
            if small is not None
        }

    def _key(self, group: Group, level: Level) -> Key:
        """What the pictures of a group are made of: the files in each role, as they lie on the disk now."""
        some = [group.source] if group.source else []
        roles = (some, group.guides, group.protected, group.members, list(group.differences))
        return level, tuple(tuple(self._stamp(number) for number in role) for role in roles)

    def _stamp(self, number: int) -> Stamp:
        file = self.files[number]
        try:
            now = file.stat()
        except OSError:
            return str(file), 0, 0, 0
        return str(file), now.st_ino, now.st_size, now.st_mtime_ns

    def _shrink(self, groups: Sequence[Group], level: Level) -> dict[int, Small]:
        made: dict[int, Small] = {}
        with ThreadPoolExecutor(self.threads) as pool:
            places = []
            for place, some in pool.map(lambda group: self._begin(group, level), groups):
                places.append(place)
                made |= some
            rest = {
                number: place
                for group, place in zip(groups, places, strict=True)
                for number in group.members
                if number not in made
            }
            found = pool.map(lambda number: self._one(number, rest[number], level), rest)
            made |= {n: small for n, small in zip(rest, found, strict=True) if small is not None}
        return made

    def _begin(self, group: Group, level: Level) -> tuple[tuple[float, float], dict[int, Small]]:
        """The place of a group's parts, and what was made on the way: its source, guides and protected images."""
        source = self._image(group.source) if group.source else None
        if source is None:
            return MIDDLE, {}
        made: dict[int, Small] = {}
        small = {group.source: thumbnail(source, level.side)}
        kept: dict[int, Image.Image] = {group.source: source}
        maps = []
        flat = clipped(source) if level.part and group.guides else None
        for number in group.guides if level.part else ():
            image = self._image(number)
            if image is not None:
                small[number] = thumbnail(image, level.side)
                maps.append(coarse(small[number]))
                flat = flat | clipped(image) if flat is not None else None
                if image.width * image.height <= KEPT:
                    kept[number] = image
        place = MIDDLE
        if maps:
            window = (level.part / source.width, level.part / source.height)
            place = place_of(coarse(small[group.source]), maps, window, flat)
        for number, image in kept.items():
            made[number] = shrunk(image, level, place, small[number])
        del kept
        for number in group.protected:
            made |= self._protected(number, source, group, level, place)
        return place, made

    def _protected(
        self, number: int, source: Image.Image, group: Group, level: Level, place: tuple[float, float]
    ) -> Iterable[tuple[int, Small]]:
        image = source if number == group.source else self._image(number)
        if image is None:
            return
        yield number, shrunk(image, level, place)
        if number in group.differences and image.size == source.size:
            yield group.differences[number], shrunk(amplified(source, image), level._replace(part=0), place)

    def _one(self, number: int, place: tuple[float, float], level: Level) -> Small | None:
        image = self._image(number)
        return None if image is None else shrunk(image, level, place)

    def _image(self, number: int) -> Image.Image | None:
        if not self.wanted():
            raise Stopped
        try:
            return decode(read_file(self.files[number]))
        except ImageProblem:
            return None

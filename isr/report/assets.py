"""The pictures of a report: the files themselves while they fit, then all of them small with a part at full size, links last of all."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from PIL import ExifTags, Image

from isr.image_file import ImageProblem, decode, read_file
from isr.report.shrinking import LEVELS, RULE, Group, Level, Ready, Shrinker, Small, lossless, part_in_words

Mode = Literal["auto", "link", "embed", "none"]
EMBED_MOST = 18_000_000
"""Bytes of pictures in one report, 24 MB as text; for more, ``auto`` makes them smaller, and links last of all."""
WHOLE_MOST = 12_000_000
"""Bytes of files that ``auto`` embeds as they are."""
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}  # that every browser shows


@dataclass(frozen=True, kw_only=True)
class Made:
    """Pictures as the page holds them, by number.

    shown: [] of none; [width, height] of a file that is there with all its pixels, (0, 0) where only the browser will know them;
    [width, height, longer side of the thumbnail] of one that is there smaller, and then [..., number of its part, x, y, width, height].
    said: how many are whole, smaller, links, as a sentence; ``""`` where all are whole.
    """

    urls: list[str]
    shown: list[list[int]]
    said: str = ""
    rule: str = ""
    linked: bool = False


@dataclass(kw_only=True)
class Assets:
    """The pictures of a report by number; ``urls[0]`` is no picture. ``page``: the folder of the report.

    They are read when ``made`` is first asked for. links: where else each picture lies, by its path; then no other is shown.
    sealed: nothing can be linked, so that what is beyond ``most`` bytes is embedded too. ready: what was made already, see ``isr.report.ahead``.
    """

    page: Path
    mode: Mode = "auto"
    most: int = EMBED_MOST
    links: Mapping[str, str] | None = None
    sealed: bool = False
    threads: int = min(8, os.cpu_count() or 1)
    batch: int = 64  # groups that are made before what they take is looked at
    ready: Ready = field(default_factory=dict)
    wanted: Callable[[], bool] = lambda: True
    _files: list[Path | None] = field(default_factory=lambda: [None])  # None: no file, or a difference
    _links: dict[int, str] = field(default_factory=dict)
    _known: dict[tuple[str, ...], int] = field(default_factory=dict)
    _parent: list[int] = field(default_factory=lambda: [0])
    _units: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    _made: Made | None = None

    @property
    def urls(self) -> list[str]:
        return self.made.urls

    @property
    def made(self) -> Made:
        """Everything that was added."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def add(self, root: Path | None, path: str) -> int:
        """The number of a picture of an edit directory; 0 where there is none, or it may not be shown."""
        if root is None or not path or self.mode == "none":
            return 0
        key = (str(root), path)
        if key not in self._known:
            self._known[key] = self._number(root, path)
        return self._known[key]

    def unit(self, root: Path | None, source: str, protected: str, control: str, edit: str) -> list[int]:
        """The numbers of the pictures that are seen together, and that of the amplified difference of the first two.

        They are made alike. The difference has no picture where the page makes it of the files' own pixels.
        """
        numbers = [self.add(root, path) for path in (source, protected, control, edit)]
        there = [n for n in numbers if n]
        for number in there[1:]:
            self._join(there[0], number)
        first, second, third, fourth = numbers
        difference = self._difference(first, second)
        self._units.append((first, second, third, fourth, difference))
        return [*numbers, difference]

    def _difference(self, source: int, protected: int) -> int:
        if not source or not protected or self.mode == "link" or self.links is not None:
            return 0
        key = ("difference", str(source), str(protected))
        if key not in self._known:
            self._known[key] = self._new(None)
            self._join(source, self._known[key])
        return self._known[key]

    def _number(self, root: Path, path: str) -> int:
        if self.links is not None:
            there = self.links.get(path, "")
            number = self._new(None) if there else 0
            if number:
                self._links[number] = quote(there)
            return number
        file = _inside(root, path)
        return 0 if file is None else self._new(file)

    def _new(self, file: Path | None) -> int:
        self._made = None
        self._files.append(file)
        self._parent.append(len(self._parent))
        return len(self._files) - 1

    def _first(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = number = self._parent[self._parent[number]]
        return number

    def _join(self, a: int, b: int) -> None:
        low, high = sorted((self._first(a), self._first(b)))
        self._parent[high] = low

    def _groups(self) -> list[Group]:
        """Pictures that are seen together, in the order of their first."""
        found: dict[int, Group] = {}
        for number, file in enumerate(self._files):
            if file is not None:
                found.setdefault(self._first(number), Group()).members.append(number)
        controlled = {source for source, _, control, _, _ in self._units if control}
        for source, protected, control, edit, difference in self._units:
            seen = [n for n in (source, protected, control, edit) if n]
            if not seen or not source:
                continue
            group = found[self._first(seen[0])]
            group.source = group.source or source
            if group.source == source:
                group.add(control if source in controlled else edit, protected, difference)
        return list(found.values())

    def _make(self) -> Made:
        files = {n: f for n, f in enumerate(self._files) if f is not None}
        if self.links is not None or self.mode == "link":
            return self._linked(files)
        if self.mode == "embed" or sum(f.stat().st_size for f in files.values()) <= min(
            WHOLE_MOST, self.most
        ):
            return self._whole(files)
        return self._small(files)

    def _linked(self, files: Mapping[int, Path]) -> Made:
        urls, shown = self._empty()
        links = self._links | {n: self._link(f) for n, f in files.items()}
        for number, url in links.items():
            urls[number], shown[number] = url, [0, 0]
        said = (
            f"{len(files):,} pictures, all of them links into {self._folder(files.values())}" if files else ""
        )
        return Made(urls=urls, shown=shown, said=said, linked=bool(files))

    def _whole(self, files: Mapping[int, Path]) -> Made:
        urls, shown = self._empty()
        unread = 0
        with ThreadPoolExecutor(self.threads) as pool:
            for number, made in zip(files, pool.map(whole, files.values()), strict=True):
                if made is None:
                    unread += 1
                    continue
                kind, size, data = made
                urls[number], shown[number] = _url(kind, data), [*size]
        embedded = f"{len(files) - unread:,} pictures embedded as they are"
        return Made(urls=urls, shown=shown, said=embedded + _unread(unread) if unread else "")

    def _small(self, files: Mapping[int, Path]) -> Made:
        """At the best level at which all of them fit; at the last, what does not fit is linked, whole groups of it."""
        groups = self._groups()
        shrinker = Shrinker(files=files, threads=self.threads, ready=self.ready, wanted=self.wanted)
        expected = shrinker.expected(sum(len(g.differences) for g in groups))
        fits = [i for i, spent in enumerate(expected) if 1.05 * spent <= self.most]
        for level in LEVELS[fits[0] if fits else -1 :]:
            is_last = level is LEVELS[-1]
            made, left = self._at(shrinker, groups, level, stop=not is_last)
            if not left or is_last:
                break
        return self._shown(files, made, left, level)

    def _at(
        self, shrinker: Shrinker, groups: Sequence[Group], level: Level, *, stop: bool
    ) -> tuple[dict[int, Small], list[Group]]:
        """The pictures of the groups that fit, and the other groups. stop: nothing is wanted unless all of them fit."""
        made: dict[int, Small] = {}
        spent = 0
        for begin in range(0, len(groups), self.batch):
            batch = groups[begin : begin + self.batch]
            some = shrinker.shrink(batch, level)
            for place, group in enumerate(batch):
                own = {n: some[n] for n in group.made if n in some}
                spent += sum(small.spent for small in own.values())
                if spent > self.most and not (self.sealed and not stop):
                    return made, list(groups[begin + place :])
                made |= own
        return made, []

    def _shown(
        self, files: Mapping[int, Path], made: Mapping[int, Small], left: Sequence[Group], level: Level
    ) -> Made:
        urls, shown = self._empty()
        for number, small in made.items():
            urls[number] = _url("image/jpeg", small.thumbnail)
            shown[number] = [*small.size, small.side]
            if small.part:
                shown[number] += [len(urls), *small.box]
                urls.append(_url("image/webp", small.part))
                shown.append([])
        linked = {n: files[n] for group in left for n in group.members}
        for number, file in linked.items():
            urls[number], shown[number] = self._link(file), [0, 0]
        embedded = sum(n in files for n in made)
        side = max((made[n].side for n in files if n in made), default=0)
        said = f"{embedded:,} pictures embedded at up to {side} px"
        if linked:
            said = (
                f"{embedded:,} of {embedded + len(linked):,} pictures embedded, at up to {side} px; "
                f"the others are links into {self._folder(linked.values())}"
            )
        elif level.part:
            said += f", each with a part of {part_in_words((made[n] for n in files if n in made), level)} at full size"
        unread = len(files) - embedded - len(linked)
        return Made(
            urls=urls,
            shown=shown,
            said=said + _unread(unread),
            rule=RULE if level.part else "",
            linked=bool(linked),
        )

    def _empty(self) -> tuple[list[str], list[list[int]]]:
        return [""] * len(self._files), [[] for _ in self._files]

    def _relative(self, file: Path) -> str:
        return os.path.relpath(file, self.page).replace(os.sep, "/")

    def _link(self, file: Path) -> str:
        return quote(self._relative(file))

    def _folder(self, files: Iterable[Path]) -> str:
        """The folder, from the page's, that holds all of the files."""
        return os.path.commonpath([os.path.dirname(self._relative(f)) or "." for f in files])


def whole(file: Path) -> tuple[str, tuple[int, int], bytes] | None:
    """Media type, upright size and bytes of a file: its own where every browser shows them, else the same pixels as WebP.

    ``None`` where it cannot be read.
    """
    try:
        data = read_file(file)
        kind, size = _kind(data)
        if kind:
            return kind, size, data
        image = decode(data)
    except ImageProblem:
        return None
    return "image/webp", image.size, lossless(image)


def _kind(data: bytes) -> tuple[str, tuple[int, int]]:
    """The media type of a picture that every browser shows, and its size as a browser turns it; ``""`` for any other."""
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_TYPES)) as image:
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return _TYPES.get(str(image.format), ""), (height, width) if turned else (width, height)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "", (0, 0)


def _url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _unread(number: int) -> str:
    return f"; {number:,} cannot be read" if number else ""


def _inside(root: Path, path: str) -> Path | None:
    """The file, if it is one and lies in the directory once links are followed."""
    real = os.path.realpath(root)
    file = os.path.realpath(os.path.join(real, path))
    return Path(file) if file.startswith(real + os.sep) and os.path.isfile(file) else None

"""Images of a report: small ones embedded as they are, larger ones as thumbnails, beyond a limit as links."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np
from PIL import Image, ImageChops

from isr.image_file import ImageProblem, decode, read_file

Mode = Literal["auto", "link", "embed", "none"]
EMBED_MOST = 12 * 2**20
"""Bytes of pictures in one report; above it ``auto`` links."""
AS_IT_IS = 24 * 2**10  # files up to this size are embedded as they are
SIDE = 320
AMPLIFIED = 10  # |protected - source| times this
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@dataclass(kw_only=True)
class Assets:
    """The pictures of a report by number; ``urls[0]`` is no picture. ``page``: the folder of the report.

    auto: embedded while they fit into ``most`` bytes, linked after that. links: where else each picture lies, by its path;
    then no other is shown.
    """

    page: Path
    mode: Mode = "auto"
    most: int = EMBED_MOST
    urls: list[str] = field(default_factory=lambda: [""])
    spent: int = 0
    full: bool = False
    links: Mapping[str, str] | None = None
    _known: dict[str, int] = field(default_factory=dict)

    def add(self, root: Path | None, path: str) -> int:
        """The number of a picture of an edit directory; 0 where there is none, or it may not be shown."""
        if root is None or not path or self.mode == "none":
            return 0
        key = f"{root}\0{path}"
        if key not in self._known:
            url = self._url(root, path) if self.links is None else quote(self.links.get(path, ""))
            self._known[key] = self._number(url)
        return self._known[key]

    def difference(self, root: Path | None, source: str, protected: str) -> int:
        """The number of the amplified difference, made here where thumbnails would have lost it; else 0.

        Files that are shown as they are need none: the page makes it of their own pixels.
        """
        if root is None or not source or not protected or self.mode in ("none", "link") or self.full:
            return 0
        if self.links is not None:
            return 0
        files = [_inside(root, source), _inside(root, protected)]
        if any(f is None for f in files) or all(f.stat().st_size <= AS_IT_IS for f in files if f):
            return 0
        key = f"{root}\0{source}\0{protected}"
        if key not in self._known:
            try:
                a, b = (decode(read_file(f)) for f in files if f)
            except ImageProblem:
                return 0
            self._known[key] = (
                0 if a.size != b.size else self._number(self._kept(_thumbnail(_amplified(a, b))))
            )
        return self._known[key]

    def _number(self, url: str) -> int:
        if not url:
            return 0
        self.urls.append(url)
        return len(self.urls) - 1

    def _url(self, root: Path, path: str) -> str:
        file = _inside(root, path)
        if file is None:
            return ""
        if self.mode == "link" or self.full:
            return self._link(file)
        try:
            return self._embedded(file) or self._link(file)
        except ImageProblem:
            return ""

    def _link(self, file: Path) -> str:
        return quote(os.path.relpath(file, self.page).replace(os.sep, "/"))

    def _embedded(self, file: Path) -> str:
        data = read_file(file)
        kind = _kind(data) if len(data) <= AS_IT_IS else ""
        return self._kept((kind, data) if kind else _thumbnail(decode(data)))

    def _kept(self, made: tuple[str, bytes]) -> str:
        kind, data = made
        if self.mode == "auto" and self.spent + len(data) > self.most:
            self.full = True
            return ""
        self.spent += len(data)
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _inside(root: Path, path: str) -> Path | None:
    """The file, if it is one and lies in the directory once links are followed."""
    real = os.path.realpath(root)
    file = os.path.realpath(os.path.join(real, path))
    return Path(file) if file.startswith(real + os.sep) and os.path.isfile(file) else None


def _kind(data: bytes) -> str:
    """The media type of a picture that every browser shows; ``""`` for any other."""
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_TYPES)) as image:
            return _TYPES.get(str(image.format), "")
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""


def _thumbnail(image: Image.Image) -> tuple[str, bytes]:
    image = image.copy()
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=82, optimize=True)
    return "image/jpeg", out.getvalue()


def _amplified(a: Image.Image, b: Image.Image) -> Image.Image:
    pixels = np.asarray(ImageChops.difference(a, b)).astype(np.int32) * AMPLIFIED
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

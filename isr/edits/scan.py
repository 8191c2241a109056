"""Image files of an edit directory: looked at once each, then known by path, size and times.

The cache (``cache.db`` in the output directory) is only a cache: it can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import stat
import time
from collections.abc import Container, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from isr.canonical import is_sha256
from isr.edits.images import POLICY, colour_of, pixel_digest
from isr.files import is_settled
from isr.image_file import ImageProblem, decoded, read_file
from isr.reading import Unreadable, require_regular

_TABLE = """CREATE TABLE IF NOT EXISTS looked_at (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, policy TEXT, sha256 TEXT, pixels TEXT,
    colour TEXT, width INTEGER, height INTEGER, transparent INTEGER, thumb BLOB
) WITHOUT ROWID"""
_FOUND = "CREATE TABLE IF NOT EXISTS found (key TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID"
_COLUMNS = "path, size, mtime_ns, ctime_ns, policy, sha256, pixels, colour, width, height, transparent, thumb"
_COLOUR = re.compile("(#[0-9a-f]{6})?")
THUMB = 8  # pixels of a side of the thumbnails by which pictures are compared
PATH_BY_DIGEST = "SELECT path FROM looked_at WHERE sha256 = ? LIMIT 1"  # in a cache, for a file's digest
_UNSETTLED = (-1, -1, -1)  # the state of no file
_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A sound image file: digests of its bytes and of its normalised pixels; its ``colour`` where it has but one.

    ``width`` and ``height`` are those of the upright picture; ``transparent``: anywhere; ``thumb``: ``THUMB`` x ``THUMB``
    grey values, a byte each, of a picture that is compared with others.
    """

    sha256: str
    pixels: str
    colour: str = ""  # #rrggbb
    width: int = 0
    height: int = 0
    transparent: bool = False
    thumb: bytes = b""


def thumbnail(image: Image.Image) -> bytes:
    """``THUMB`` x ``THUMB`` grey values of an RGB image, a byte each."""
    return image.convert("L").resize((THUMB, THUMB), Image.Resampling.BOX, reducing_gap=1.0).tobytes()


class Scanner:
    """Digests and decodes the image files below ``root``; remembers the sound ones in ``cache``."""

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        self.root = root
        self._real_root = os.path.realpath(root)
        self._real_folders: dict[str, str] = {}
        self._cache = _open_cache(cache)
        self._pool = ThreadPoolExecutor(_THREADS, "isr-scan")

    def close(self) -> None:
        self._pool.shutdown()
        if self._cache is not None:
            self._cache.close()

    def recall(self, key: str) -> str | None:
        """What was found in all of the pictures together, under a key of everything that it rests on; else ``None``."""
        with suppress(sqlite3.Error, TypeError):
            if self._cache is not None:
                row = self._cache.execute("SELECT body FROM found WHERE key = ?", (key,)).fetchone()
                return str(row[0]) if row else None
        return None

    def keep(self, key: str, body: str) -> None:
        """Remembers what was found."""
        with suppress(sqlite3.Error):
            if self._cache is not None:
                self._cache.execute("INSERT OR REPLACE INTO found VALUES (?, ?)", (key, body))
                self._cache.commit()

    def scan(
        self, paths: Iterable[str], compared: Container[str] = frozenset()
    ) -> dict[str, Scanned | ImageProblem]:
        """For each path what it is, or what is wrong with it; those to be ``compared`` with a thumbnail."""
        now = time.time_ns()
        found: dict[str, Scanned | ImageProblem] = {}
        stats: dict[str, tuple[int, int, int]] = {}
        for path in dict.fromkeys(paths):
            state = self._stat(path)
            if isinstance(state, ImageProblem):
                found[path] = state
            else:
                stats[path] = state
        known = {p: s for p, s in self._known(stats).items() if s.thumb or p not in compared}
        found.update(known)
        todo = [path for path in stats if path not in known]
        fresh = dict(zip(todo, self._pool.map(partial(self._look, compared=compared), todo), strict=True))
        self._remember(fresh, stats, now)
        return {**found, **fresh}

    def _stat(self, path: str) -> tuple[int, int, int] | ImageProblem:
        """Size and times of a file inside the directory, or why it is none."""
        parts = path.replace("\\", "/").split("/")
        if os.path.isabs(path) or ".." in parts or ":" in parts[0]:
            return ImageProblem("a path inside the directory", repr(path), "copy the file into the directory")
        folder, name = os.path.split(os.path.join(self.root, path))
        real = self._real_folders.get(folder)
        if real is None:
            real = self._real_folders[folder] = os.path.realpath(folder)
        full = os.path.join(real, name)
        try:
            state = os.lstat(full)
            if stat.S_ISLNK(state.st_mode):
                full = os.path.realpath(full)
                state = os.stat(full)
        except OSError as error:
            return ImageProblem(
                "an image file",
                f"{path!r}, which cannot be opened ({error.strerror})",
                "write / in place of \\ in paths" if "\\" in path else "check the export or drop the row",
            )
        if os.path.commonpath([full, self._real_root]) != self._real_root:
            return ImageProblem(
                "a path inside the directory",
                f"{path!r}, which leads out of it",
                "copy the file into the directory",
            )
        if not stat.S_ISREG(state.st_mode):
            return ImageProblem("an image file", f"{path!r}, which is no file", "correct the path")
        return state.st_size, state.st_mtime_ns, state.st_ctime_ns

    def _look(self, path: str, compared: Container[str]) -> Scanned | ImageProblem:
        try:
            data = read_file(self.root / path)
        except ImageProblem as problem:
            return problem
        try:
            image, transparent = decoded(data)
        except ImageProblem as problem:
            return ImageProblem(problem.expected, f"{path!r}: {problem.found}", problem.fix)
        except MemoryError as error:
            return ImageProblem(
                "an image file", f"{path!r}, which cannot be read ({error})", "check the file"
            )
        return Scanned(
            sha256="sha256:" + hashlib.sha256(data).hexdigest(),
            pixels=pixel_digest(image),
            colour=colour_of(image),
            width=image.width,
            height=image.height,
            transparent=transparent,
            thumb=thumbnail(image) if path in compared else b"",
        )

    def _known(self, stats: Mapping[str, tuple[int, int, int]]) -> dict[str, Scanned]:
        if self._cache is None:
            return {}
        known: dict[str, Scanned] = {}
        paths = list(stats)
        with suppress(sqlite3.Error, ValueError):  # nor does one that cannot be read
            for start in range(0, len(paths), 500):
                some = paths[start : start + 500]
                sql = f"SELECT {_COLUMNS} FROM looked_at WHERE path IN ({','.join('?' * len(some))})"
                for path, size, mtime, ctime, policy, *known_as in self._cache.execute(sql, some):
                    same = (size, mtime, ctime) == stats[path] and policy == POLICY
                    if same and (row := _scanned(*known_as)) is not None:
                        known[path] = row
        return known

    def _remember(
        self,
        fresh: Mapping[str, Scanned | ImageProblem],
        stats: Mapping[str, tuple[int, int, int]],
        now_ns: int,
    ) -> None:
        """Keeps what was found; of a file that was just written without its state, so that it is looked at again."""
        if self._cache is None:
            return
        rows = [
            (
                p,
                *(stats[p] if is_settled(stats[p][1:], now_ns) else _UNSETTLED),
                POLICY,
                s.sha256,
                s.pixels,
                s.colour,
                s.width,
                s.height,
                s.transparent,
                s.thumb,
            )
            for p, s in fresh.items()
            if isinstance(s, Scanned)
        ]
        with suppress(sqlite3.Error):  # a cache that cannot be written costs time, nothing else
            self._cache.executemany(
                f"INSERT OR REPLACE INTO looked_at ({_COLUMNS}) VALUES ({','.join('?' * 12)})", rows
            )
            self._cache.commit()


def _scanned(
    sha256: object,
    pixels: object,
    colour: object,
    width: object,
    height: object,
    transparent: object,
    thumb: object,
) -> Scanned | None:
    """A row of the cache; ``None`` for one that is damaged, whose file is looked at again."""
    sizes = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
    if not (sizes and isinstance(thumb, bytes) and len(thumb) in (0, THUMB * THUMB)):
        return None
    if not (
        is_sha256(sha256) and is_sha256(pixels) and isinstance(colour, str) and _COLOUR.fullmatch(colour)
    ):
        return None
    return Scanned(
        sha256=str(sha256),
        pixels=str(pixels),
        colour=colour,
        width=width,  # type: ignore[arg-type]
        height=height,  # type: ignore[arg-type]
        transparent=bool(transparent),
        thumb=thumb,
    )


def _open_cache(path: Path | None) -> sqlite3.Connection | None:
    if path is None:
        return None
    connection = None
    try:
        require_regular(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(_TABLE)
        connection.execute(_FOUND)
    except (OSError, Unreadable, sqlite3.Error):
        if connection is not None:
            connection.close()
        return None
    return connection

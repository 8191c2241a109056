"""Digests of whole files, read once: a large file is known again by its path, size, times and inode.

The cache lies in the user's cache folder and is only a cache: what cannot be read there, or does not fit the file, is
not believed, and the file is read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from isr.canonical import is_sha256, sha256_bytes
from isr.files import is_settled, write_bytes
from isr.reading import read_bytes, read_json

LARGE = 1 << 20  # bytes; smaller files are read every time
_PIECE = 1 << 24
_ENTRY_MOST = 1 << 14
_State = tuple[int, int, int, int]  # size, mtime_ns, ctime_ns, inode

_known: dict[tuple[str, _State], str] = {}  # of this process
_progress: ContextVar[Callable[[str], None]] = ContextVar("_progress", default=lambda text: None)


@contextmanager
def telling(progress: Callable[[str], None]) -> Iterator[None]:
    """Tells ``progress`` in the block how far the reading of a large file is."""
    token = _progress.set(progress)
    try:
        yield
    finally:
        _progress.reset(token)


def file_sha256(path: Path) -> str:
    """``sha256:<hex>`` of all bytes of a file. Raises ``OSError``."""
    now, state = time.time_ns(), _state(path)
    if state[0] < LARGE:
        return sha256_bytes(read_bytes(path))
    name = os.path.realpath(path)
    found = _known.get((name, state)) or _remembered(name, state)
    if not found:
        found = _read(path, state[0])
        if _state(path) != state or not is_settled(state[1:3], now):
            return found
        _remember(name, state, found)
    _known[name, state] = found
    return found


def cache_folder() -> Path | None:
    """The folder of this cache by the customs of the system; ``None`` for a user without a home."""
    with suppress(RuntimeError):
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return base / "isr" / "file-digests"
    return None


def _state(path: Path) -> _State:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path}: expected a file; found none that is regular")
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _read(path: Path, size: int) -> str:
    total, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            total.update(piece)
            done += len(piece)
            share = min(done / max(size, 1), 1)
            _progress.get()(f"reading {path.parent.name}/{path.name}: {share:.0%} of {size / 2**30:.2f} GiB")
    return "sha256:" + total.hexdigest()


def _entry(name: str) -> Path | None:
    folder = cache_folder()
    return folder / f"{sha256_bytes(os.fsencode(name))[7:39]}.json" if folder else None


def _remembered(name: str, state: _State) -> str:
    """The digest on record for this very file; ``""`` where there is none, or one that cannot be believed."""
    entry = _entry(name)
    try:
        if entry is None:
            return ""
        said = read_json(entry, _ENTRY_MOST)
        if [said["path"], *said["state"]] == [name, *state] and is_sha256(said["sha256"]):
            return str(said["sha256"])
    except (ValueError, KeyError, TypeError):
        pass
    return ""


def _remember(name: str, state: _State, digest: str) -> None:
    entry = _entry(name)
    if entry is None:
        return
    said = {"path": name, "state": list(state), "sha256": digest}
    with suppress(OSError, UnicodeEncodeError):  # a cache that cannot be written costs time, nothing else
        entry.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_bytes(entry, json.dumps(said).encode())

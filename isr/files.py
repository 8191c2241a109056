"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import IO

from isr.reading import Unreadable, open_regular, read_text

_PARTIAL = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)\.partial")
_UNKNOWN = "0" * 8
SETTLED_NS = 2 * 10**9  # a file that was just written may be written once more within one tick of its times


def partial_name(path: Path) -> Path:
    """Where a file is written before it takes its name: hidden, and of this process; several may write the same results."""
    return path.with_name(f".{path.name}.{_here()}-{os.getpid()}.partial")


def clear_partials(folder: Path) -> None:
    """Removes what killed processes of this machine left half written in a folder; that of a living one stays.

    A process is looked for only where its name is known to be of this start of this machine.
    """
    if sys.platform == "win32" or _here() == _UNKNOWN:  # on Windows a signal of 0 is no question
        return
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError:
        return
    for name in names:
        found = _PARTIAL.fullmatch(name)
        if found and found[1] == _here() and not _lives(int(found[2])):
            with suppress(OSError):
                (folder / name).unlink()


def temporary_folder(prefix: str) -> TemporaryDirectory[str]:
    """A temporary folder of this process; those of killed processes with that prefix are removed before."""
    place = Path(gettempdir())
    if _here() != _UNKNOWN and sys.platform != "win32":
        for folder in place.glob(f"{prefix}{_here()}-*-*"):
            process = folder.name.removeprefix(f"{prefix}{_here()}-").partition("-")[0]
            with suppress(OSError):
                own = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
                if own and process.isdigit() and not _lives(int(process)):
                    shutil.rmtree(folder)
    return TemporaryDirectory(prefix=f"{prefix}{_here()}-{os.getpid()}-")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An ``OSError`` that names no file, as of a full disk, names this one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def stage(path: Path, data: bytes) -> Path:
    """The path, once its content lies on the disk under its partial name, ready for ``commit``."""
    _clear_once(path.parent)
    partial = partial_name(path)
    with naming(path), partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


@contextmanager
def growing(path: Path) -> Iterator[IO[bytes]]:
    """A file that is written piece by piece under its partial name, and lies on the disk at the end of the block.

    ``commit`` gives it its name. A block that fails leaves none of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_once(path.parent)
    partial = partial_name(path)
    try:
        with naming(path), partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def commit(staged: Sequence[Path]) -> None:
    """Gives staged files of one folder their names, one after the other, and waits until the folder knows them.

    A reader that checks the last file against the others sees all of them or none.
    """
    for path in staged:
        partial_name(path).replace(path)
    for folder in {path.parent for path in staged}:
        _sync(folder)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Writes files of one folder: all are staged before the first is committed; the last one should vouch for the others."""
    try:
        commit([stage(path, data) for path, data in contents.items()])
    finally:
        for path in contents:
            partial_name(path).unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file so that it is there whole or not at all."""
    write_together({path: data})


def put_bytes(path: Path, data: bytes) -> None:
    """Writes one of many files whole or not at all, without waiting for the disk: where power fails, all are made again."""
    partial = partial_name(path)
    try:
        with naming(path):
            partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text in UTF-8 so that it is there whole or not at all."""
    write_bytes(path, text.encode())


def file_digest(path: Path) -> str:
    """``sha256:<hex>`` of a regular file's bytes, read piece by piece. Raises ``Unreadable``."""
    with open_regular(path) as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def is_settled(state: Sequence[int], now_ns: int) -> bool:
    """Whether a file that is read from ``now_ns`` on can be known again by its times; ``state``: both, in nanoseconds.

    One that was written a moment before may be written once more and keep them.
    """
    return now_ns - max(state) >= SETTLED_NS


def files_below(folder: Path, *, hidden: bool = True) -> list[Path]:
    """What lies below a folder but folders, in order of name; those that are linked are entered as any other.

    A link that leads back to a folder that it lies in is not entered again. ``hidden``: whether also names with a dot
    before them count. Raises ``Unreadable`` where a folder cannot be listed.
    """
    return sorted(_below(folder, hidden, ()))


def _below(folder: Path, hidden: bool, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    try:
        state = os.stat(folder)
        here = (state.st_dev, state.st_ino)
        if here in above:
            return
        with os.scandir(folder) as entries:
            found = [(entry.name, _is_folder(entry)) for entry in entries]
    except OSError as error:
        found_of = error.strerror or str(error)
        raise Unreadable(folder, "a folder that can be listed", found_of, "mend or remove it") from error
    for name, is_folder in found:
        if name.startswith(".") and not hidden:
            continue
        if is_folder:
            yield from _below(folder / name, hidden, (*above, here))
        else:
            yield folder / name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: whoever opens it is told so
        return False


def sync_file(path: Path) -> None:
    """Waits until a file's bytes are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@lru_cache(maxsize=1024)
def _clear_once(folder: Path) -> None:
    """Clears a folder before this process first writes in it, and not before each of fifty thousand files."""
    clear_partials(folder)


@cache
def _here() -> str:
    """What tells the processes of this machine, of its start and of its container from all others: 8 hex digits.

    Zeros where the system does not say when it started: nothing is removed there.
    """
    try:
        start = read_text("/proc/sys/kernel/random/boot_id") + os.readlink("/proc/self/ns/pid")
    except (OSError, Unreadable):
        return _UNKNOWN
    return hashlib.sha256(start.encode()).hexdigest()[:8]


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        return True
    return True


def _sync(folder: Path) -> None:
    """Waits until a folder's names are on the disk, on systems that can tell."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    except OSError:  # a file system that cannot; its files are synced all the same
        pass
    finally:
        os.close(number)

"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from isr.reading import open_regular


def partial_name(path: Path) -> Path:
    """Where a file is written before it takes its name: hidden, and of this process; several may write the same results."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def stage(path: Path, data: bytes) -> Path:
    """The path, once its content lies on the disk under its partial name, ready for ``commit``."""
    partial = partial_name(path)
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


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


def write_text(path: Path, text: str) -> None:
    """Writes a text in UTF-8 so that it is there whole or not at all."""
    write_bytes(path, text.encode())


def file_digest(path: Path) -> str:
    """``sha256:<hex>`` of a regular file's bytes, read piece by piece. Raises ``Unreadable``."""
    with open_regular(path) as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


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

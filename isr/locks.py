"""Locks of output folders: one run at a time, and none is left locked, however its process ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isr.errors import UsageError

POLL_S = 0.1


@contextmanager
def held(path: Path, busy: str, *, shared: bool = False, wait_s: float = 0.0) -> Iterator[None]:
    """Holds the lock of the file ``path``, which is made with its folder and stays; the lock ends with the process.

    ``shared``: beside others that hold it shared. ``wait_s``: how long it is waited for. Raises ``UsageError`` with the
    text ``busy`` where another process keeps it. File systems and systems without such locks hold nobody up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        deadline = time.monotonic() + wait_s
        while not _taken(number, shared):
            if time.monotonic() >= deadline:
                raise UsageError(busy)
            time.sleep(POLL_S)
        yield
    finally:
        os.close(number)


def _taken(number: int, shared: bool) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(number, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that has no locks
        return True
    return True

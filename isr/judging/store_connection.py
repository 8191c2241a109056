"""Connections to the file of an answer store, and what its errors mean."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from pathlib import Path

from isr.errors import StoreError
from isr.reading import Unreadable, database_advice, read_bytes, require_regular

BUSY_S = 60.0
_SHARED_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "glusterfs",
    "lustre",
    "gpfs",
    "beegfs",
    "afs",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.rclone",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "virtiofs",
}


def store_error(path: Path, error: sqlite3.Error | OSError | Unreadable, expected: str) -> StoreError:
    """The error to be raised for what SQLite or the system says: damage, another process, or the disk.

    expected: what the file should have been (``an answer store that can be read``).
    """
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        fix = f"if it was one, `isr store recover {path}` saves every answer in it that is sound"
    else:
        fix = database_advice(error, "check the path, the disk and its permissions")
    return StoreError(f"{path}: expected {expected}; found: {getattr(error, 'found', error)}; {fix}")


def connect(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection to a regular file. Raises ``sqlite3.Error`` or ``Unreadable``."""
    require_regular(path)
    if read_only:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
            uri += "&immutable=1"  # a copy in a folder where no journal can be made
        return sqlite3.connect(uri, uri=True, timeout=BUSY_S, check_same_thread=False)
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def configure(connection: sqlite3.Connection, path: Path) -> None:
    wal = file_system(path) not in _SHARED_FILE_SYSTEMS
    connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=256")


def file_system(path: Path, mounts: str = "/proc/self/mountinfo") -> str:
    """Type of the file system that ``path`` is on (``"ext4"``, ``"nfs4"``); ``""`` where unknown."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        lines = read_bytes(mounts).splitlines()
    except Unreadable:
        return ""
    target = os.fsencode(os.path.dirname(os.path.realpath(path)))
    best, kind = b"", b""
    for line in lines:
        left, _, right = line.partition(b" - ")
        point = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), left.split(b" ")[4])
        inside = target == point or target.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split(b" ")[0]
    return kind.decode("ascii", "replace")

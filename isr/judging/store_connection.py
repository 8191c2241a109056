"""Connections to the file of an answer store, and what its errors mean."""

from __future__ import annotations

import os
import re
import sqlite3
import struct
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
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


FAILURES = (sqlite3.Error, UnicodeDecodeError)  # the second where SQLite quotes a damaged word of the schema
_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_NOTADB}
_LOCKED_FROM, _LOCKED = (
    0x40000002,
    510,
)  # the bytes that every connection locks (SQLite's os.h: SHARED_FIRST, SHARED_SIZE)


def store_error(path: Path, error: Exception, expected: str) -> StoreError:
    """The error to be raised for what SQLite or the system says: damage, another process, or the disk.

    expected: what the file should have been (``an answer store that can be read``).
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGE or isinstance(error, UnicodeDecodeError):
        fix = f"if it was one, `isr store recover {path}` saves every answer in it that is sound"
    else:
        fix = database_advice(error, "check the path, the disk and its permissions")
    return StoreError(f"{path}: expected {expected}; found: {getattr(error, 'found', error)}; {fix}")


def beside(path: Path, what: str) -> Path:
    """SQLite's own file beside a store (``wal``, ``shm``, ``journal``); a link to the store is followed, as SQLite does."""
    real = path.resolve()
    return real.with_name(f"{real.name}-{what}")


def connect(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection to a regular file. Raises ``sqlite3.Error`` or ``Unreadable``."""
    require_regular(path)
    if not read_only:
        return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    writable = os.access(path.parent, os.W_OK)
    journal = beside(path, "journal")
    if (
        writable and journal.is_file() and journal.stat().st_size
    ):  # of a commit that was killed: to be rolled back
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
            connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if not writable and not beside(path, "wal").exists():
        uri += "&immutable=1"  # a copy in a folder where no journal can be made
    return sqlite3.connect(uri, uri=True, timeout=BUSY_S, check_same_thread=False)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keeps all other processes out of a store, whatever is left of it, by the lock of SQLite's own connections.

    Raises ``StoreError`` where another process has it open. On systems without such locks nobody is kept out; a
    process that writes then finds that its store was replaced.
    """
    try:
        import fcntl

        command = fcntl.F_OFD_SETLK
    except (ImportError, AttributeError):
        yield
        return
    number = os.open(path, os.O_RDWR)
    try:
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_FROM, _LOCKED, 0)
        try:
            fcntl.fcntl(number, command, wanted)
        except BlockingIOError as error:
            raise StoreError(
                f"{path}: expected a store that no other process uses; found one that has it open; end it or let it "
                f"finish, then run the same command again"
            ) from error
        except OSError:  # a file system that has no locks
            pass
        yield
    finally:
        os.close(number)


def in_use(path: Path) -> bool | None:
    """Whether a process has a store open at this moment, this one included; ``None`` where the system cannot tell.

    Nothing is locked. Only for processes that do not write to the store: SQLite's own locks here would end with this look.
    """
    try:
        import fcntl

        command = fcntl.F_OFD_GETLK
        if is_shared(path):  # without WAL, connections lock the file in transactions alone
            return None
        number = os.open(path, os.O_RDONLY)
    except (ImportError, AttributeError, OSError):
        return None
    try:
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_FROM, _LOCKED, 0)
        found = fcntl.fcntl(number, command, asked)
        return bool(struct.unpack("hhqqi4x", found)[0] != fcntl.F_UNLCK)
    except OSError:
        return None
    finally:
        os.close(number)


def configure(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute(f"PRAGMA journal_mode={'DELETE' if is_shared(path) else 'WAL'}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=256")


def is_shared(path: Path) -> bool:
    """Whether several machines may see the file system that ``path`` is on."""
    return file_system(path) in _SHARED_FILE_SYSTEMS


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

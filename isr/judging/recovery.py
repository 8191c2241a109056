"""Makes a sound answer store out of a damaged one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes
from isr.errors import StoreError
from isr.files import file_digest, sync_file
from isr.judging.carving import carve
from isr.judging.store import OnDamage, Store
from isr.reading import Unreadable, require_regular


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What was saved of a store, and what it had before as far as that can be told."""

    answers: int
    before: int | None  # answers that the damaged store still counts
    kept: (
        Path | None
    )  # where the damaged file lies now; ``None``: the store was sound and nothing was changed
    faults: tuple[str, ...]


def recover(path: Path) -> Recovered:
    """Puts a store of everything that is sound in the place of a damaged one, which is kept beside it.

    A sound store is left as it is. What earlier recoveries kept is read as well, so that a recovery that was killed can
    be run again. No other process may use the store meanwhile. Raises ``StoreError``.
    """
    _require_file(path)
    faults, before = _state(path)
    if not faults:
        return Recovered(answers=before or 0, before=before, kept=None, faults=())
    kept = _keep(path)
    made = path.with_name(f".{path.name}.recovered")
    _remove(made)
    try:
        answers = salvage([path, *_copies(path)], made)
        _require_unused(path)
        sync_file(made)
        for log in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            log.unlink(missing_ok=True)  # it belongs to the damaged file
        os.replace(made, path)
    finally:
        _remove(made)
    return Recovered(answers=answers, before=before, kept=kept, faults=faults)


def salvage(sources: list[Path], made: Path) -> int:
    """Writes a new store with all sound rows of the sources; returns its number of answers.

    It may lack the requests and parts of answers that it has: a run adds them (``Store.complete``).
    """
    with Store(made) as store:
        for source in sources:
            store.add(carve(source))
        store.mark_recovered()
        return store.count()


def export_sound(path: Path, on_damage: OnDamage) -> Iterator[dict[str, Any]]:
    """The rows of ``Store.export`` that are sound, also of a file that SQLite cannot read any more.

    on_damage: told of everything that is left out. Raises ``StoreError`` if there is no file.
    """
    _require_file(path)
    seen = set()
    try:
        with Store(path, read_only=True) as store:
            for row in store.export(on_damage):
                seen.add(_name_of(row))
                yield row
        return
    except StoreError as error:
        on_damage(b"", str(error))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "isr.db")
        salvage([path], made)
        with Store(made, read_only=True) as store:
            yield from (row for row in store.export(lambda key, fault: None) if _name_of(row) not in seen)


def _name_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["part"],) if "part" in row else (row["key"], row["ask"])


def _require_file(path: Path) -> None:
    try:
        require_regular(path)
    except Unreadable as error:
        raise StoreError(f"{path}: expected an answer store; found {error.found}; check the path") from error
    if not path.is_file():
        raise StoreError(f"{path}: expected an answer store; found no file; check the path")


def _state(path: Path) -> tuple[tuple[str, ...], int | None]:
    """What is wrong with a store, and how many answers it counts."""
    try:
        with Store(path, read_only=True) as store:
            faults = tuple(store.verify())
            return faults, store.count()
    except (StoreError, sqlite3.Error) as error:
        return (str(error),), None


def _keep(path: Path) -> Path:
    """A copy of the damaged store and its log under a name of their content; the copy's path."""
    digest = file_digest(path).partition(":")[2]
    log = path.with_name(f"{path.name}-wal")
    if log.is_file():
        digest = sha256_bytes(f"{digest}{file_digest(log)}".encode()).partition(":")[2]
    kept = path.with_name(f"{path.name}.damaged-{digest[:8]}")
    for source, copy in ((log, kept.with_name(f"{kept.name}-wal")), (path, kept)):
        if source.is_file() and not copy.exists():
            partial = copy.with_name(f".{copy.name}.partial")
            shutil.copyfile(source, partial)
            sync_file(partial)
            os.replace(partial, copy)
    return kept


def _copies(path: Path) -> list[Path]:
    return sorted(p for p in path.parent.glob(f"{path.name}.damaged-*") if not p.name.endswith("-wal"))


def _require_unused(path: Path) -> None:
    """Raises ``StoreError`` if another process holds the store, as far as a damaged one can tell."""
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(
                f"{path}: expected a store that no other process uses; found one that does; end it, then run the same "
                f"command again"
            ) from error
    except sqlite3.DatabaseError:  # too damaged to be locked by anybody
        pass


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"):
        path.with_name(name).unlink(missing_ok=True)

"""Makes a sound answer store out of a damaged one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes
from isr.errors import StoreError
from isr.files import file_digest, sync_file
from isr.judging.carving import carve
from isr.judging.store import AnotherVersionError, OnDamage, Store
from isr.judging.store_connection import FAILURES, alone, beside
from isr.reading import Unreadable, require_regular


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What was saved of a store, and what it had before as far as that can be told."""

    answers: int
    before: int | None  # answers that the damaged store still counts
    kept: Path | None  # where the damaged file lies now; ``None``: nothing was wrong, and nothing was changed
    faults: tuple[str, ...]


DAMAGED = "damaged"


def recover(path: Path) -> Recovered:
    """Puts a store of everything that is sound in the place of a damaged one, which is kept beside it.

    A sound store is left as it is, and so is a file without a single sound row. What earlier recoveries kept is read as
    well, so that a recovery that was killed can be run again. Raises ``StoreError``, also where another process has the
    store open: what that one received would be lost.
    """
    require_store_file(path)
    path = path.resolve()
    with alone(path):
        kept = (
            keep_copy(path, DAMAGED) if beside(path, "journal").is_file() else None
        )  # which opening it would roll back
    faults, before = _state(path)
    if not faults:
        return Recovered(answers=before or 0, before=before, kept=None, faults=())
    with alone(path):
        kept = kept or keep_copy(path, DAMAGED)
        answers = replaced(path, lambda made: salvage([path, *_copies(path)], made))
    return Recovered(answers=answers, before=before, kept=kept, faults=faults)


def replaced(path: Path, make: Callable[[Path], int]) -> int:
    """Puts the store that ``make`` writes to a path in the place of the one at ``path``, whole or not at all.

    The caller is ``alone`` with the old one, and has kept a copy. Returns what ``make`` returns.
    """
    made = path.with_name(f".{path.name}.made")
    remove_store(made)
    try:
        answers = make(made)
        sync_file(made)
        for what in ("wal", "shm", "journal"):
            beside(path, what).unlink(missing_ok=True)  # it belongs to the old file
        os.replace(made, path)
    finally:
        remove_store(made)
    return answers


def salvage(sources: list[Path], made: Path) -> int:
    """Writes a new store with all sound rows of the sources; returns its number of answers.

    It may lack the requests and parts of answers that it has: a run adds them (``Store.complete``). Raises ``StoreError``
    where there is none.
    """
    with Store(made) as store:
        for source in sources:
            store.add(carve(source))
        if not store.size():
            raise StoreError(
                f"{sources[0]}: expected an answer store; found nothing of one in it; the file was left as it is: check "
                f"the path"
            )
        store.mark_recovered()
        return store.count()


def export_sound(path: Path, on_damage: OnDamage) -> Iterator[dict[str, Any]]:
    """The rows of ``Store.export`` that are sound, also of a file that SQLite cannot read any more.

    on_damage: told of everything that is left out. Raises ``StoreError`` if there is no file.
    """
    require_store_file(path)
    path = path.resolve()
    seen = set()
    try:
        with Store(path, read_only=True) as store:
            for row in store.export(on_damage):
                seen.add(_name_of(row))
                yield row
        return
    except AnotherVersionError:
        raise
    except StoreError as error:
        on_damage(b"", str(error))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "isr.db")
        salvage([path], made)
        with Store(made, read_only=True) as store:
            yield from (row for row in store.export(lambda key, fault: None) if _name_of(row) not in seen)


def _name_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["part"],) if "part" in row else (row["key"], row["ask"])


def require_store_file(path: Path) -> None:
    try:
        require_regular(path)
    except Unreadable as error:
        raise StoreError(f"{path}: expected an answer store; found {error.found}; check the path") from error
    if not path.is_file():
        raise StoreError(f"{path}: expected an answer store; found no file; check the path")


def _state(path: Path) -> tuple[tuple[str, ...], int | None]:
    """What is wrong with a store, and how many answers it counts. Raises ``AnotherVersionError``."""
    try:
        with Store(path, read_only=True) as store:
            faults = tuple(store.verify())
            return faults, store.count()
    except AnotherVersionError:
        raise
    except (StoreError, *FAILURES) as error:
        return (str(error),), None


def keep_copy(path: Path, word: str) -> Path:
    """A copy of a store and its logs under a name of a word and their content; the copy's path."""
    files = [path, *(f for what in ("wal", "journal") if (f := beside(path, what)).is_file())]
    digest = sha256_bytes("".join(map(file_digest, files)).encode()).partition(":")[2]
    name = f"{path.name}.{word}-{digest[:8]}"
    for half in path.parent.glob(f".{escape(path.name)}.{word}-*.partial"):  # of one that was killed
        half.unlink()
    for source in reversed(files):
        copy = path.with_name(source.name.replace(path.name, name, 1))
        if not copy.exists():
            partial = copy.with_name(f".{copy.name}.partial")
            shutil.copyfile(source, partial)
            sync_file(partial)
            os.replace(partial, copy)
    return path.with_name(name)


def _copies(path: Path) -> list[Path]:
    found = path.parent.glob(f"{escape(path.name)}.{DAMAGED}-*")
    return sorted(p for p in found if not p.name.endswith(("-wal", "-journal", "-shm")))


def remove_store(path: Path) -> None:
    """Removes a store's file and what SQLite keeps beside it."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"):
        path.with_name(name).unlink(missing_ok=True)

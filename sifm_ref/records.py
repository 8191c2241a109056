"""What a run has done so far, one small file for each result: it can be interrupted, resumed and shared out."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from isr.canonical import canonical_json, sha256_json
from isr.errors import InputError, Problem, UsageError
from isr.files import file_digest, files_below
from isr.locks import held
from isr.reading import Unreadable, byte_lines, json_lines, json_of, read_json, why
from sifm_ref.checkpoints import compared
from sifm_ref.pictures import write_whole

_NAME = re.compile(r"\w[\w.-]*")
FOLDER = ".records"
METADATA = "metadata.jsonl"
PACKAGES = ("isr-eval", "torch", "diffusers", "transformers")
DIGESTS: Mapping[str, Mapping[str, str]] = {
    "immunize": {
        "file_name": "protected_sha256",
        "source_file_name": "source_sha256",
        "mask_file_name": "mask_sha256",
    },
    "edit": {
        "file_name": "edit_sha256",
        "source_file_name": "source_sha256",
        "control_file_name": "control_sha256",
        "protected_file_name": "protected_sha256",
    },
}
"""By what a directory was made by: the column with the digest of each file that a row names."""
BEGIN_S = 60.0  # to wait for another process that is writing the run's file
SHOWN = 5
COPIES = ("sources", "protected")  # folders that are written to before a result is done


@cache
def versions() -> dict[str, str]:
    """Versions of what computes."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def device_of(editor: Any) -> str:
    """What an editor computes on: ``cpu (x86_64)``, ``cuda (NVIDIA H100)``; no number, as equal ones are alike."""
    if said := getattr(editor, "device_said", ""):  # of an editor elsewhere
        return str(said)
    kind = str(getattr(editor.device, "type", editor.device))
    if kind != "cuda":
        return f"{kind} ({platform.machine()})"
    import torch

    return f"{kind} ({torch.cuda.get_device_name(editor.device)})"


@dataclass(frozen=True)
class Look:
    """What is there of a result. ``changed``: files of it that are not the ones that were made."""

    done: bool
    changed: tuple[str, ...] = ()


@contextmanager
def alone(root: Path, name: str, shard: tuple[int, int], *, wait_s: float = 0.0) -> Iterator[None]:
    """Holds an output folder for a run, or for one shard of it beside the others.

    Raises ``UsageError`` where another process is at the same work, or where the folder holds other files.
    """
    _refuse_occupied(root, name)
    number, of = shard
    busy = f"--out {root}: expected no other run in it; found isr {name} at work; wait for it or give another --out"
    with ExitStack() as stack:
        whole = root / FOLDER / "run.lock"
        stack.enter_context(held(whole, busy, shared=of > 1, wait_s=wait_s))
        if of > 1:
            mine = root / FOLDER / f"shard-{number}-of-{of}.lock"
            same = busy.replace(f"isr {name}", f"isr {name} --shard {number}/{of}")
            stack.enter_context(held(mine, same, wait_s=wait_s))
        yield


def _refuse_occupied(root: Path, name: str) -> None:
    occupied = root.is_dir() and any(not p.name.startswith(".") for p in root.iterdir())
    if (
        occupied and not (root / f"{name}.json").is_file()
    ):  # in this order: another shard may begin in between
        raise UsageError(f"--out {root}: expected a new or empty folder; found files; choose another")


class Records:
    """The rows of an output directory that are done. ``what`` decides whether a run may go on in it.

    ``keys``: all results of the run, those of other processes too; its file lists them, so that a lack is seen.
    ``growing``: what may differ from the run that is gone on with, as every result's key or row says it; then results
    may also be asked for no longer. ``device``: what computes. ``notes``: what is to be told of an earlier part of the
    run; they are kept in its file. ``sole``: whether no other process is at work in the folder; then a run in which
    nothing was made yet may be begun anew with other settings.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        what: Mapping[str, Any],
        keys: Sequence[str],
        *,
        resume: bool,
        growing: Sequence[str] = (),
        device: str = "",
        sole: bool = False,
    ) -> None:
        self.root, self._keys = root, sorted(keys)
        self.notes: list[str] = []
        self._name, self._file = name, root / f"{name}.json"
        self._device, self._sole = device, sole
        self._digests: dict[Path, str] = {}  # of files that several results share
        said = {"schema": f"sifm_ref.{name}/1", "digest": sha256_json(_asked(what)), **what}
        busy = f"--out {root}: expected the file of its run; found another process that keeps it; try again"
        _refuse_occupied(root, name)
        with held(root / FOLDER / "begin.lock", busy, wait_s=BEGIN_S):
            kept = self._continue(said, resume, growing) if self._file.is_file() else []
            self._begin(said, kept)

    def _begin(self, said: Mapping[str, Any], kept: Sequence[str]) -> None:
        made_with = {"versions": versions(), **({"device": self._device} if self._device else {})}
        notes = list(dict.fromkeys([*kept, *self.notes]))
        told = {**said, "keys": self._keys, **made_with, **({"notes": notes} if notes else {})}
        self._write(self._file, told, indent=1)

    def _continue(self, said: Mapping[str, Any], resume: bool, growing: Sequence[str]) -> list[str]:
        """The notes of the run that is gone on with. Raises ``UsageError`` where it is another."""
        try:
            before = dict(read_json(self._file))
            keys, notes = list(map(str, before.get("keys", []))), list(map(str, before.get("notes", [])))
        except (ValueError, TypeError) as error:
            raise InputError(f"{self._file}: expected the record of a run; found {why(error)}") from error
        if self._sole and self._is_bare():
            return []
        now = json_of(canonical_json(said))
        apart = {"digest", "keys", "versions", "device", "notes", *growing}
        differ = sorted(k for k in {*now, *before} - apart if _asked(now).get(k) != _asked(before).get(k))
        changed = before.get("digest") != said["digest"] and not (growing and not differ)
        is_new = not any((self.root / FOLDER).glob("*.json"))
        left = [] if growing or is_new else sorted(set(keys) - set(self._keys))
        if changed or left:
            lines = [f"  {k}: now {_brief(now.get(k))}; then {_brief(before.get(k))}" for k in differ]
            if said_of := compared(before.get("editor"), now.get("editor")):
                lines.append(f"  {said_of}")
            if left:
                lines.append(
                    f"  {len(left)} of its {len(keys)} results are not asked for now: {_some(left)}; "
                    f"now {_some(self._keys)}"
                )
            begun = "expected a new folder; found a run begun with other settings; choose another"
            if not changed:
                begun = "expected the pictures of the run that was begun here; found others; choose another"
            raise UsageError("\n".join([f"--out {self.root}: {begun}", *lines]))
        if not resume and not is_new:
            raise UsageError(
                f"--out {self.root}: expected a new folder; found a run; add --resume to go on with it"
            )
        self._compare_makers(before)
        return notes

    def _is_bare(self) -> bool:
        """Whether nothing was made here: no row, and no picture but copies of what is edited, which are made again."""
        rows = any((self.root / FOLDER).glob("*.json"))
        made = (p.relative_to(self.root) for p in files_below(self.root, hidden=False) if p != self._file)
        return not rows and all(p.parts[0] in COPIES and len(p.parts) > 1 for p in made)

    def _compare_makers(self, before: Mapping[str, Any]) -> None:
        """Notes other libraries or another device than those of the earlier part; what was not kept is not known."""
        then, now = before.get("versions", {}), versions()
        pairs = {k: (str(then.get(k) or ""), now[k]) for k in now} if isinstance(then, Mapping) else {}
        pairs["device"] = (str(before.get("device") or ""), self._device)
        said = [f"{k} {a} then, {b} now" for k, (a, b) in pairs.items() if a and b and a != b]
        if said:
            self.notes.append(
                f"this run was begun with others: {', '.join(said)}: its pictures are not all made alike; "
                "make all of them anew where that matters"
            )

    def _path(self, key: str) -> Path:
        return self.root / FOLDER / f"{key}.json"

    def _row(self, key: str) -> dict[str, Any] | None:
        """The row of a result; None if there is none, or a power cut left a part of it."""
        try:
            row = read_json(self._path(key))
        except Unreadable:
            return None
        return row if isinstance(row, dict) else None

    def look(self, key: str, **expected: object) -> Look:
        """Whether a result is done: its row says what is ``expected``, and its files are there as they were made."""
        row = self._row(key)
        if row is None or any(row.get(k) != v for k, v in expected.items()):
            return Look(False)
        changed, gone = [], False
        for column, name in row.items():
            if column.endswith("file_name"):
                file = self.root / str(name)
                gone |= not file.is_file()
                wanted = row.get(DIGESTS[self._name].get(column, ""))
                if wanted and file.is_file() and self._digest(file, column) != wanted:
                    changed.append(str(name))
        return Look(not changed and not gone, tuple(changed))

    def _digest(self, file: Path, column: str) -> str:
        """A file's digest; those that several results share are read once."""
        if column == "file_name":
            return file_digest(file)
        if file not in self._digests:
            self._digests[file] = file_digest(file)
        return self._digests[file]

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """A result that is done: its files are written before."""
        self._write(self._path(key), row)

    def drop(self, key: str) -> None:
        """Forgets a result, and the table that may name it: its files are about to change."""
        self._path(key).unlink(missing_ok=True)
        (self.root / METADATA).unlink(missing_ok=True)

    def rows(self) -> Iterator[dict[str, Any]]:
        """All results of the run that are done, in order of name."""
        for key in self._keys:
            row = self._row(key)
            if row is not None:
                yield row

    def finish(self, *, whole: bool = False) -> int:
        """Writes ``metadata.jsonl`` with every row that is done, whichever process did it; how many they are.

        ``whole``: only if all are done; otherwise there is none, so that nothing takes a part for the whole.
        """
        lines = [json.dumps(row, ensure_ascii=False) for row in self.rows()]
        if lines and (len(lines) == len(self._keys) or not whole):
            write_whole(self.root / METADATA, ("\n".join(lines) + "\n").encode())
        else:
            (self.root / METADATA).unlink(missing_ok=True)
        return len(lines)

    @staticmethod
    def _write(path: Path, value: Mapping[str, Any], indent: int | None = None) -> None:
        write_whole(path, (json.dumps(value, ensure_ascii=False, indent=indent) + "\n").encode())


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "..."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def remade(changed: Sequence[str]) -> str:
    """What is told of files that are made again."""
    return f"{len(changed)} file(s) were other than were made, and are made again: {_some(changed)}"


def other_than_made(root: Path, rows: Sequence[Mapping[str, Any]], made_by: str) -> list[Problem]:
    """The files of a directory of ``isr immunize`` or ``isr edit`` that are not the ones of its rows, each once."""
    said = {
        str(row[column]): (column, row.get(digest))
        for row in rows
        for column, digest in DIGESTS[made_by].items()
        if row.get(column)
    }
    return [
        Problem(
            str(root / name),
            column,
            f"the picture that isr {made_by} made ({str(digest)[:19]})",
            "another",
            f"put it back; or make it again: the same isr {made_by} with --resume",
        )
        for name, (column, digest) in sorted(said.items())
        if digest and (root / name).is_file() and file_digest(root / name) != digest
    ]


def without_digests(rows: Sequence[Mapping[str, Any]], made_by: str) -> int:
    """How many rows say nothing of a file's digest, as an earlier version wrote them."""
    columns = DIGESTS[made_by]
    return sum(any(row.get(c) and not row.get(d) for c, d in columns.items()) for row in rows)


FOREIGN = (
    "for pictures that others protected write a metadata.jsonl with the columns file_name, source_file_name, image_id and "
    "method (docs/immunize.md)"
)
"""What to do about a directory that ``isr immunize`` did not write: ``isr edit`` takes it with these columns."""


def read_rows(root: Path, *, made_by: str) -> list[dict[str, Any]]:
    """The rows of a directory that ``isr immunize`` wrote. Raises ``InputError`` if it is none, or a path leads out.

    Of ``isr immunize`` also a directory by hand, of pictures that others protected: ``FOREIGN`` says with which columns.
    """
    path = root / METADATA
    foreign = f"; {FOREIGN}" if made_by == "immunize" else ""
    try:
        rows = [row for _, _, row in json_lines(byte_lines(path), path)]
        for broken in (row for row in rows if isinstance(row, Unreadable)):
            raise broken
    except Unreadable as error:
        raise InputError(
            f"{path}: expected what isr {made_by} writes; found {error.found}; make it with: isr {made_by}{foreign}"
        ) from error
    faults = []
    inside = root.resolve()
    for number, row in enumerate(rows, 1):
        name = str(row.get("image_id", "")) if isinstance(row, dict) else ""
        if not _NAME.fullmatch(name):
            where, fix = f"{METADATA}:{number}", f"make it again with: isr {made_by}{foreign}"
            faults.append(Problem(where, "image_id", "letters, digits, _, - and .", repr(name)[:80], fix))
        for column in ("file_name", "source_file_name", "mask_file_name"):
            name = row.get(column, "") if isinstance(row, dict) else ""
            if column == "mask_file_name" and not name:
                continue
            target = (root / str(name)).resolve()
            if not name or not target.is_relative_to(inside) or not target.is_file():
                where, fix = f"{METADATA}:{number}", f"make it again with: isr {made_by}{foreign}"
                faults.append(Problem(where, column, f"a file in {root}", repr(name)[:80], fix))
    if faults or not rows:
        raise InputError(f"{path}: {len(faults) or 'no'} row(s) that cannot be used", faults)
    return rows


def missing(root: Path, rows: Sequence[Mapping[str, Any]], *, made_by: str) -> list[Problem]:
    """What the directory's run was to make and did not; nothing is known of a directory without its record."""
    file = root / f"{made_by}.json"
    try:
        keys = read_json(file).get("keys", [])
    except (Unreadable, AttributeError) as error:
        if isinstance(error, Unreadable) and error.missing:
            return []
        found = error.found if isinstance(error, Unreadable) else str(error)
        return [Problem(str(file), "", "the record of a run", found, f"make it with: isr {made_by}")]
    there = {row["image_id"] for row in rows}
    return [
        Problem(
            str(root),
            "image_id",
            key,
            "nothing",
            f"go on with: isr {made_by} --resume; or edit with --partial",
        )
        for key in keys
        if key not in there
    ]


def _asked(what: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was asked to do, without the version of the library that does it: that may change, and is told."""
    editor = what.get("editor")
    if not isinstance(editor, Mapping):
        return dict(what)
    return {**what, "editor": {k: v for k, v in editor.items() if k != "diffusers"}}

"""What a run has done so far, one small file for each result: it can be interrupted, resumed and shared out."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from isr.canonical import canonical_json, sha256_json
from isr.errors import InputError, Problem, UsageError
from sifm_ref.checkpoints import not_known
from sifm_ref.pictures import write_whole

_NAME = re.compile(r"\w[\w.-]*")
FOLDER = ".records"
METADATA = "metadata.jsonl"
PACKAGES = ("isr-eval", "torch", "diffusers", "transformers")


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


class Records:
    """The rows of an output directory that are done. ``what`` decides whether a run may go on in it.

    ``keys``: all results of the run, those of other processes too; its file lists them, so that a lack is seen.
    ``growing``: what may differ from the run that is gone on with, as every result's key or row says it.
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
    ) -> None:
        self.root, self._keys = root, sorted(keys)
        self._file = root / f"{name}.json"
        said = {"schema": f"sifm_ref.{name}/1", "digest": sha256_json(what), **what}
        occupied = root.is_dir() and any(not p.name.startswith(".") for p in root.iterdir())
        if self._file.is_file():  # asked after: another shard may have begun in between
            self._continue(said, resume, growing)
            self._begin(said)
        elif occupied:
            raise UsageError(f"--out {root}: expected a new or empty folder; found files; choose another")
        else:
            self._begin(said)

    def _begin(self, said: Mapping[str, Any]) -> None:
        self._write(self._file, {**said, "keys": self._keys, "versions": versions()}, indent=1)

    def _continue(self, said: Mapping[str, Any], resume: bool, growing: Sequence[str]) -> None:
        try:
            before = dict(json.loads(self._file.read_text("utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{self._file}: expected the record of a run; found {error}") from error
        if any(self.rows()) and not resume:
            raise UsageError(
                f"--out {self.root}: expected a new folder; found a run; add --resume to go on with it"
            )
        if before.get("digest") != said["digest"]:
            now = json.loads(canonical_json(said))
            differ = sorted(
                k
                for k in {*now, *before} - {"digest", "keys", "versions", *growing}
                if now.get(k) != before.get(k)
            )
            if growing and not differ:
                return
            lines = [f"  {k}: now {_brief(now.get(k))}; then {_brief(before.get(k))}" for k in differ]
            if said_of := not_known(before.get("editor"), now.get("editor")):
                lines.append(f"  {said_of}")
            begun = "expected a new folder; found a run begun with other settings; choose another"
            raise UsageError("\n".join([f"--out {self.root}: {begun}", *lines]))

    def _path(self, key: str) -> Path:
        return self.root / FOLDER / f"{key}.json"

    def _row(self, key: str) -> dict[str, Any] | None:
        """The row of a result; None if there is none, or a power cut left a part of it."""
        try:
            row = json.loads(self._path(key).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return row if isinstance(row, dict) else None

    def has(self, key: str, **expected: object) -> bool:
        """Whether this result is done, its files are there, and its row says what is ``expected``."""
        row = self._row(key)
        if row is None or any(row.get(k) != v for k, v in expected.items()):
            return False
        return all((self.root / v).is_file() for k, v in row.items() if k.endswith("file_name"))

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


def read_rows(root: Path, *, made_by: str) -> list[dict[str, Any]]:
    """The rows of a directory that ``isr immunize`` wrote. Raises ``InputError`` if it is none, or a path leads out."""
    path = root / METADATA
    try:
        lines = path.read_text("utf-8").split("\n")  # and at nothing else: JSON leaves U+2028 in a line
        rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: expected what isr {made_by} writes; found {error}; make it with: isr {made_by}"
        ) from error
    faults = []
    inside = root.resolve()
    for number, row in enumerate(rows, 1):
        name = str(row.get("image_id", "")) if isinstance(row, dict) else ""
        if not _NAME.fullmatch(name):
            faults.append(
                f"  {METADATA}:{number}: 'image_id': expected letters, digits, _, - and .; found {name!r}"
            )
        for column in ("file_name", "source_file_name", "mask_file_name"):
            name = row.get(column, "") if isinstance(row, dict) else ""
            if column == "mask_file_name" and not name:
                continue
            target = (root / str(name)).resolve()
            if not name or not target.is_relative_to(inside) or not target.is_file():
                faults.append(f"  {METADATA}:{number}: {column!r}: expected a file in {root}; found {name!r}")
    if faults or not rows:
        raise InputError("\n".join([f"{path}: {len(faults) or 'no'} row(s) that cannot be used", *faults]))
    return rows


def missing(root: Path, rows: Sequence[Mapping[str, Any]], *, made_by: str) -> list[Problem]:
    """What the directory's run was to make and did not; nothing is known of a directory without its record."""
    file = root / f"{made_by}.json"
    try:
        keys = json.loads(file.read_text("utf-8")).get("keys", [])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, AttributeError) as error:
        return [Problem(str(file), "", "the record of a run", str(error), f"make it with: isr {made_by}")]
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

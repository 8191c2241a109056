"""A finished run as it lies on the disk: its result, its table, its metrics and its record, read once and checked."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes
from isr.errors import InputError, Problem
from isr.files import write_text
from isr.reading import MAX_TABLE, Unreadable, read_bytes
from isr.scoring.bundled import in_its_name, origin
from isr.scoring.edits_csv import rows_of
from isr.scoring.metrics_csv import METRICS, read_metrics
from isr.scoring.places import RESULT, TABLE, find_run, read_record
from isr.scoring.question import run_digest
from isr.scoring.result import Result
from isr.spreadsheet import csv_safe
from isr.types import Arm, Question, Treatment

log = logging.getLogger("isr")


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """The bytes of a run that belong together, and what is in them."""

    folder: Path
    result: Result
    result_bytes: bytes
    table_bytes: bytes

    @property
    def place(self) -> Path:
        """Where people find it: its folder, or the bundle that it was read from."""
        return origin(self.folder)

    @property
    def digest(self) -> str:
        """``run_digest`` of the two."""
        return run_digest(self.result, self.table_bytes)

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """``run.json``; empty where there is none that belongs to this result."""
        return read_record(self.folder)

    @cached_property
    def rows(self) -> Sequence[Mapping[str, str]]:
        """The rows of ``edits.csv`` with the columns of ``metrics.csv``, where it was measured for this run.

        Raises ``InputError`` where the table cannot be read.
        """
        file = self.folder / TABLE
        measured = read_metrics(self.folder, self.digest)
        try:
            return [measured.join(row) for row in rows_of(self.table_bytes)]
        except (ValueError, csv.Error) as error:
            problem = Problem(str(file), "", "the table of edits of a run", str(error), "run isr score again")
            raise InputError("a run cannot be read", [problem]) from error


def write_csv_safe(folder: Path) -> list[Path]:
    """Writes copies of a run's tables for a spreadsheet, ``edits-safe.csv`` and ``metrics-safe.csv``; returns them."""
    copies = []
    for name in (TABLE, METRICS):
        if (folder / name).is_file():
            copy = folder / f"{Path(name).stem}-safe.csv"
            write_text(copy, csv_safe(read_bytes(folder / name, MAX_TABLE).decode()))
            copies.append(copy)
    return copies


@in_its_name()
def read_stored(path: Path) -> StoredRun:
    """The run at a path (see ``find_run``). Raises ``InputError`` unless result and table belong together.

    A run of 0.1.0 has no digest of its table: that it cannot be checked is said in the log.
    """
    folder = find_run(path)
    try:
        result_bytes = read_bytes(folder / RESULT)
    except Unreadable as error:
        if folder.is_file():
            fix = "give the folder of the run, or a bundle of it"
            problem = Problem(str(folder), "", "the folder of a run, or a bundle", "another file", fix)
        else:
            why = error.found
            problem = Problem(str(folder / RESULT), "", "the folder of a run", why, "run isr score")
        raise InputError("a result cannot be read", [problem]) from error
    result = replace(Result.parse(result_bytes, folder / RESULT), folder=folder)
    try:
        table_bytes = read_bytes(folder / TABLE, MAX_TABLE)
    except Unreadable as error:
        problem = Problem(str(folder / TABLE), "", "the table of edits of a run", error.found, "score again")
        raise InputError("a run cannot be read", [problem]) from error
    if TABLE in result.table:
        result.require_table(sha256_bytes(table_bytes), folder / TABLE)
    found = StoredRun(folder=folder, result=result, result_bytes=result_bytes, table_bytes=table_bytes)
    if TABLE not in result.table:
        _require_alike(found)
        log.info(
            "%s: its result holds no digest of edits.csv, as those of isr 0.1.0; judges and counts of the two are the "
            "same, more cannot be checked",
            found.place,
        )
    return found


def _require_alike(run: StoredRun) -> None:
    """Raises ``InputError`` where a table without a digest contradicts the result: by its judges, or by its counts."""
    told = list(_contradictions(run.result, run.rows))
    if told:
        raise InputError(
            f"{run.folder / TABLE}: edits.csv is not the table of this result.json ({'; '.join(told)}): one of them is of "
            "another run, or writing was cut off; score again with the same command, which costs nothing for stored "
            "answers"
        )


def _contradictions(result: Result, rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """What a result says of its table, and the table does not."""
    ends = f":{Question.SEMANTIC}"
    judges = {column.removesuffix(ends) for row in rows[:1] for column in row if column.endswith(ends)}
    wanted = {str(j["name"]) for j in result.judges}
    if rows and judges != wanted:
        yield f"judges: {', '.join(sorted(wanted))} and {', '.join(sorted(judges)) or 'none'}"
    counts = Counter(
        (
            row["arm"],
            *((row[f] for f in Treatment._fields) if row["arm"] == Arm.PROTECTED else ()),
            row["outcome"],
        )
        for row in rows
    )
    parts = [((Arm.PROTECTED, *t.treatment), t, "isr") for t in result.treatments]
    parts += [((Arm.CONTROL,), result.control, "control")] if result.control else []  # type: ignore[list-item]
    for key, part, name in parts:
        hit, missed, open_ = (counts[*key, word] for word in ("immunized", "not_immunized", "undecided"))
        value = part.estimates[name].value
        said, found = (part.counts["edits"], part.counts["decided"]), (hit + missed + open_, hit + missed)
        if said != found:
            yield f"edits and decided ones: {said} and {found}"
        elif (
            value is not None and hit + missed and result.is_edit_mean and abs(value - hit / found[1]) > 1e-9
        ):
            yield f"{name}: {value:.4f} and {hit / found[1]:.4f}"

"""A finished run as it lies on the disk: its result, its table, its metrics and its record, read once and checked."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes, sha256_json
from isr.errors import InputError, Problem
from isr.scoring.edits_csv import rows_of
from isr.scoring.metrics_csv import read_metrics
from isr.scoring.places import RESULT, TABLE, find_run, read_record
from isr.scoring.question import answered
from isr.scoring.result import Result

log = logging.getLogger("isr")


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """The bytes of a run that belong together, and what is in them."""

    folder: Path
    result: Result
    result_bytes: bytes
    table_bytes: bytes

    @property
    def digest(self) -> str:
        """Of question and table: the same run under another path, or scored by another version, is the same run."""
        return sha256_json([answered(self.result).digest, sha256_bytes(self.table_bytes)])

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


def read_stored(path: Path) -> StoredRun:
    """The run at a path (see ``find_run``). Raises ``InputError`` unless result and table belong together.

    A run of 0.1.0 has no digest of its table: that it cannot be checked is said in the log.
    """
    folder = find_run(path)
    try:
        result_bytes = (folder / RESULT).read_bytes()
    except OSError as error:
        if folder.is_file():
            fix = "give the folder of the run; of a bundle, isr verify computes every number again"
            problem = Problem(str(folder), "", "the folder of a run", "a file", fix)
        else:
            why = error.strerror or "none"
            problem = Problem(str(folder / RESULT), "", "the folder of a run", why, "run isr score")
        raise InputError("a result cannot be read", [problem]) from error
    result = Result.parse(result_bytes, folder / RESULT)
    try:
        table_bytes = (folder / TABLE).read_bytes()
    except OSError as error:
        problem = Problem(
            str(folder / TABLE), "", "the table of edits of a run", error.strerror or "none", "score again"
        )
        raise InputError("a run cannot be read", [problem]) from error
    if TABLE in result.table:
        result.require_table(sha256_bytes(table_bytes), folder / TABLE)
    else:
        log.info(
            "%s: made by isr 0.1.0; its result holds no digest of edits.csv, so that the two belong "
            "together cannot be checked",
            folder,
        )
    return StoredRun(folder=folder, result=result, result_bytes=result_bytes, table_bytes=table_bytes)

"""The table of conventional metrics, ``metrics.csv``: one row per protected edit, beside ``edits.csv`` and never in it.

``metrics.json``, which is written after it, holds its digest and the digest of the run that was measured: its summary
correlates the metrics with that run's outcomes. A reader takes the two only where both digests hold.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes
from isr.files import write_together
from isr.reading import Unreadable, read_bytes, read_json
from isr.spreadsheet import Writer

log = logging.getLogger("isr")
METRICS = "metrics.csv"
SUMMARY = "metrics.json"
KEYS = ("edit_id", "edit_sha256")
TITLE_MOST = 80  # characters


@dataclass(frozen=True)
class Shown:
    """How a metric stands in tables. ``orientation``: 1 if a larger number means more changed, -1 if a smaller one does."""

    title: str
    orientation: int

    @property
    def heading(self) -> str:
        """The title with an arrow to where edits look more changed."""
        return f"{self.title}{'↑' if self.orientation > 0 else '↓'}"


EARLIER = {
    "psnr": Shown("PSNR", -1),
    "ssim": Shown("SSIM", -1),
    "ssim_full": Shown("SSIM (full size)", -1),
    "vifp": Shown("VIFp", -1),
    "fsim": Shown("FSIM", -1),
    "lpips": Shown("LPIPS", 1),
}
"""Metrics of earlier versions, whose ``metrics.json`` says nothing of titles; ``lpips`` was VGG16's."""


@dataclass(frozen=True)
class MetricsTable:
    """Values by edit, in named columns."""

    columns: tuple[str, ...] = ()
    values: Mapping[tuple[str, ...], Sequence[str]] = field(default_factory=dict)

    def join(self, row: dict[str, str]) -> dict[str, str]:
        """A row of ``edits.csv`` with the columns of metrics; empty cells where it was not measured."""
        if not self.columns:
            return row
        measured = row["arm"] == "protected"
        found = self.values.get(tuple(row.get(k, "") for k in KEYS)) if measured else None
        return {**row, **dict(zip(self.columns, found or [""] * len(self.columns), strict=True))}


def write_metrics(
    folder: Path, rows: Sequence[Mapping[str, str]], summary: Mapping[str, Any], run: str
) -> None:
    """Writes ``metrics.csv`` with the columns of the rows and ``metrics.json``; ``run``: ``StoredRun.digest``."""
    text = io.StringIO(newline="")
    Writer(text).write_named([*KEYS, *summary["columns"]], rows)
    table = text.getvalue().encode()
    said = {**summary, "run": run, "table": {METRICS: sha256_bytes(table)}}
    write_together({folder / METRICS: table, folder / SUMMARY: (json.dumps(said, indent=1) + "\n").encode()})


def read_shown(folder: Path) -> dict[str, Shown]:
    """How each metric of a run stands in tables: as its ``metrics.json`` says, or as earlier versions had it."""
    try:
        said = read_json(folder / SUMMARY)["shown"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return dict(EARLIER)
    found = {}
    for name, one in said:
        title, orientation = (one.get(k) if isinstance(one, dict) else None for k in ("title", "orientation"))
        if (
            isinstance(title, str)
            and 0 < len(title) <= TITLE_MOST
            and title.isprintable()
            and orientation in (-1, 1)
        ):
            found[str(name)] = Shown(title, int(orientation))
    return found


def read_definitions(folder: Path) -> dict[str, str]:
    """What each metric of a run is, with versions and digests, as its ``metrics.json`` says."""
    try:
        said = read_json(folder / SUMMARY)["definitions"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {str(name): text for name, text in said if isinstance(text, str)}


def read_metrics(folder: Path, run: str) -> MetricsTable:
    """What was measured of the run of this digest; an empty table, and a word in the log, where it was of another."""
    try:
        table = read_bytes(folder / METRICS)
    except Unreadable as error:
        if error.missing:
            return MetricsTable()
        raise
    try:
        said = read_json(folder / SUMMARY)
        if said["run"] != run or said["table"][METRICS] != sha256_bytes(table):
            raise ValueError("measured for another run, or cut off")
        head, *rows = csv.reader(io.StringIO(table.decode("utf-8"), newline=""))
        if tuple(head[: len(KEYS)]) != KEYS:
            raise ValueError(f"columns {', '.join(head)}")
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        found = error.found if isinstance(error, Unreadable) else error
        log.warning(
            "%s: left out, it is not of this run (%s); isr score --metrics again", folder / METRICS, found
        )
        return MetricsTable()
    n = len(KEYS)
    return MetricsTable(tuple(head[n:]), {tuple(r[:n]): r[n:] for r in rows})

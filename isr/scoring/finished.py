"""Finished runs read back for comparison and planning: outcomes by unit, from ``edits.csv`` and ``result.json``."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isr.canonical import sha256_bytes
from isr.errors import InputError, Problem, UsageError
from isr.scoring.result import Result
from isr.types import Arm, Treatment, Unit

OUTCOME = {"immunized": 1.0, "not_immunized": 0.0, "undecided": math.nan}
COSTS = ("immunize_seconds", "immunize_usd")  # metadata columns: cost of protecting one image, where known
INSTRUMENT = (
    "isr", "semantic", "perceptual", "judge", "rule", "parser", "images", "repeats", "reask", "calibration",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EditRow:
    """One judged edit of a finished run. ``outcome``: 1 immunized, 0 not, NaN undecided."""

    unit: Unit
    outcome: float
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Contender:
    """One treatment of one run."""

    name: str
    run: str  # digest of the run's files: the same run under another path is the same run
    treatment: Treatment
    edits: Mapping[Unit, EditRow]

    def measured(self, column: str) -> list[float]:
        """The numbers in a column, one for each image that has one."""
        found: dict[str, float] = {}
        for row in self.edits.values():
            text = row.columns.get(column, "")
            try:
                value = float(text)
            except ValueError:
                continue
            if math.isfinite(value) or (column == "protected_psnr" and value == math.inf):
                found.setdefault(row.unit.image_id, value)
        return list(found.values())


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder: its signature, its treatments, its control edits."""

    path: Path
    digest: str
    signature: str
    treatments: Mapping[Treatment, Mapping[Unit, EditRow]]
    controls: Mapping[Unit, EditRow] = field(default_factory=dict)

    @property
    def instrument(self) -> dict[str, str]:
        """The parts of the signature that say by what the edits were judged."""
        parts = dict(p.split("=", 1) for p in self.signature.split("|"))
        return {k: parts[k] for k in INSTRUMENT if k in parts}


def read_run(path: Path) -> FinishedRun:
    """The run in a results' folder. Raises ``InputError`` if its files are not those of ``isr score``."""
    folder = path if path.is_dir() else path.parent
    signature = Result.load(path).signature
    treatments: dict[Treatment, dict[Unit, EditRow]] = {}
    controls: dict[Unit, EditRow] = {}
    for arm, treatment, row in _rows(folder / "edits.csv"):
        rows = controls if arm is Arm.CONTROL else treatments.setdefault(treatment, {})
        rows[row.unit] = row
    digest = sha256_bytes(b"".join((folder / name).read_bytes() for name in ("result.json", "edits.csv")))
    return FinishedRun(folder.resolve(), digest, signature, treatments, controls)


def settings_told(runs: Sequence[FinishedRun]) -> list[str]:
    """What a comparison, which takes prompts as fixed and means over edits, does otherwise than these runs."""
    said = []
    for run in runs:
        parts = dict(p.split("=", 1) for p in run.signature.split("|"))
        other = [
            f"{k}={parts[k]}"
            for k, v in (("prompts", "fixed"), ("estimand", "edit-mean"))
            if parts.get(k, v) != v
        ]
        if other:
            said.append(
                f"{run.path.name} was scored with {', '.join(other)}; here prompts are taken as fixed and means are over edits"
            )
    return said


def _rows(file: Path) -> Iterator[tuple[Arm, Treatment, EditRow]]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            for columns in csv.DictReader(lines):
                unit = Unit(*(columns[name] for name in Unit._fields))
                treatment = Treatment(*(columns[name] for name in Treatment._fields))
                yield Arm(columns["arm"]), treatment, EditRow(unit, OUTCOME[columns["outcome"]], columns)
    except (OSError, KeyError, ValueError, csv.Error) as error:
        problem = Problem(str(file), "", "the table of edits of a run", f"{error!r}", "run isr score again")
        raise InputError("a run cannot be read", [problem]) from error


def contenders(runs: Sequence[FinishedRun]) -> list[Contender]:
    """Every treatment of every run, under names as short as they can be and still differ."""
    found = [(run, treatment) for run in runs for treatment in sorted(run.treatments)]
    names = _names(found)
    return [
        Contender(name, run.digest, treatment, run.treatments[treatment])
        for name, (run, treatment) in zip(names, found, strict=True)
    ]


def _names(found: Sequence[tuple[FinishedRun, Treatment]]) -> list[str]:
    parts: list[list[str]] = [[treatment.method or "(no method)"] for _, treatment in found]
    for column in ("eps", "surrogate", "config"):
        values = [getattr(t, column) for _, t in found]
        for i, (name, value) in enumerate(zip(parts, values, strict=True)):
            if any(parts[j][0] == name[0] and values[j] != value for j in range(len(found))):
                parts[i] = [*name, f"{column}={value or '(none)'}"]
    names = [", ".join(p) for p in parts]
    paths = [run.path.parts for run, _ in found]
    twice = [names.count(name) > 1 for name in names]
    for depth in range(1, max(map(len, paths), default=0) + 1):
        told = [
            f"{n} [{'/'.join(p[-depth:])}]" if t else n for n, p, t in zip(names, paths, twice, strict=True)
        ]
        if len(set(told)) == len(told):
            return told
    return [f"{n} ({told[:i].count(n) + 1})" if told.count(n) > 1 else n for i, n in enumerate(told)]


def require_one_instrument(runs: Sequence[FinishedRun]) -> None:
    """Raises ``UsageError`` if the runs were not judged by the same instrument."""
    first = runs[0]
    for run in runs[1:]:
        keys = sorted({*first.instrument, *run.instrument})
        differing = [k for k in keys if first.instrument.get(k) != run.instrument.get(k)]
        if differing:
            said = "; ".join(
                f"{k}: {first.instrument.get(k, '-')} and {run.instrument.get(k, '-')}" for k in differing
            )
            raise UsageError(
                f"{first.path} and {run.path}: expected edits judged by the same instrument; found {said}; "
                f"score both with the same version, judge and rubrics"
            )

"""Finished runs read back for comparison and planning: outcomes by unit, from ``edits.csv`` and ``result.json``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isr.errors import InputError, Problem, UsageError
from isr.scoring.bundled import in_its_name
from isr.scoring.judge_words import named
from isr.scoring.outcomes import of_rows
from isr.scoring.places import TABLE
from isr.scoring.stored import StoredRun, read_stored
from isr.signature import Signature
from isr.text import plain
from isr.types import Arm, Treatment, Unit

OUTCOME = {"immunized": 1.0, "not_immunized": 0.0, "undecided": math.nan}
COSTS = ("immunize_seconds", "immunize_usd")  # metadata columns: cost of protecting one image, where known
INSTRUMENT = (
    "isr", "semantic", "perceptual", "judge", "rule", "parser", "images", "repeats", "reask", "retired", "calibration",
    "guideline", "consensus", "labels",
)  # fmt: skip
SHARED = (
    *(name for name in INSTRUMENT if name not in ("isr", "labels")),
    "interval",
)  # what runs must share to be compared


@dataclass(frozen=True, slots=True)
class EditRow:
    """One judged edit of a finished run. ``outcome``: 1 immunized, 0 not, NaN undecided; ``ends``: at least, at most."""

    unit: Unit
    outcome: float
    columns: Mapping[str, str]
    ends: tuple[float, float] = (0.0, 1.0)


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


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run's folder: its signature, its treatments, its control edits."""

    path: Path
    digest: str
    signature: str
    treatments: Mapping[Treatment, Mapping[Unit, EditRow]]
    controls: Mapping[Unit, EditRow] = field(default_factory=dict)
    judges: tuple[str, ...] = ()  # each by name and model
    told: tuple[str, ...] = ()  # what its pictures and its answers say against it

    @property
    def instrument(self) -> dict[str, str]:
        """The parts of the signature that say by what the edits were judged."""
        parts = Signature.parse(self.signature)
        return {k: parts[k] for k in INSTRUMENT if k in parts}

    @property
    def control_pixels(self) -> set[tuple[str, str]]:
        """(edit_id, digest of the file) of its control edits."""
        held = (row.columns for row in self.controls.values())
        return {(c["edit_id"], c["edit_sha256"]) for c in held if c.get("edit_sha256")}


def read_run(path: Path) -> FinishedRun:
    """The run at a path (see ``find_run``). Raises ``InputError`` if its files are not those of one run."""
    return of_stored(read_stored(path))


@in_its_name()
def of_stored(stored: StoredRun) -> FinishedRun:
    """A run as comparisons need it: outcomes by unit."""
    treatments: dict[Treatment, dict[Unit, EditRow]] = {}
    controls: dict[Unit, EditRow] = {}
    for arm, treatment, row in _rows(stored):
        rows = controls if arm is Arm.CONTROL else treatments.setdefault(treatment, {})
        rows[row.unit] = row
    signature = stored.result.signature
    said = tuple(f"{level}: {plain(text)}" for level, text in stored.result.told)
    return FinishedRun(
        path=stored.place.resolve(),
        digest=stored.digest,
        signature=signature,
        treatments=treatments,
        controls=controls,
        judges=tuple(map(named, stored.result.judges)),
        told=said,
    )


def shared_instrument(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """By what all of the runs were judged; under ``isr``, every version of the package that scored one, under
    ``labels`` the digests of people's labels, where these were the judge."""
    versions = dict.fromkeys(run.instrument.get("isr", "?") for run in runs)
    labels = dict.fromkeys(
        run.instrument[name] for run in runs for name in ("labels",) if name in run.instrument
    )
    return {
        **runs[0].instrument,
        "isr": ",".join(versions),
        **({"labels": ",".join(labels)} if labels else {}),
    }


def versions_told(runs: Sequence[FinishedRun]) -> list[str]:
    """That runs were scored with several versions of ``isr``, where it is so."""
    versions = [run.instrument.get("isr", "?") for run in runs]
    if len(set(versions)) < 2:
        return []
    said = ", ".join(f"{run.path.name} by {v}" for run, v in zip(runs, versions, strict=True))
    return [
        f"scored with several versions of isr: {said}; rubrics, parser, judge, rule and interval are the same"
    ]


def results_told(runs: Sequence[FinishedRun]) -> list[str]:
    """What each run says against its pictures and its answers: a difference of runs may be one of these."""
    return [f"{run.path.name}: {text}" for run in runs for text in run.told]


def settings_told(runs: Sequence[FinishedRun], prompts: str = "fixed") -> list[str]:
    """What a comparison, of means over edits and with prompts taken so, does otherwise than these runs."""
    said = []
    for run in runs:
        parts = Signature.parse(run.signature)
        other = [
            f"{k}={parts[k]}"
            for k, v in (("prompts", prompts), ("estimand", "edit-mean"))
            if parts.get(k, v) != v
        ]
        if other:
            said.append(
                f"{run.path.name} was scored with {', '.join(other)}; here prompts are taken as {prompts} and means are over edits"
            )
    return said


def _rows(stored: StoredRun) -> Iterator[tuple[Arm, Treatment, EditRow]]:
    try:
        judges = [j["name"] for j in stored.result.judges]
        found = of_rows(stored.rows, judges, stored.result.rule)
        for number, columns in enumerate(stored.rows):
            unit = Unit(*(columns[name] for name in Unit._fields))
            treatment = Treatment(*(columns[name] for name in Treatment._fields))
            ends = (float(found.immunized_low[number]), float(found.immunized_high[number]))
            yield Arm(columns["arm"]), treatment, EditRow(unit, OUTCOME[columns["outcome"]], columns, ends)
    except (KeyError, ValueError) as error:
        file = str(stored.folder / TABLE)
        problem = Problem(file, "", "the table of edits of a run", f"{error!r}", "run isr score again")
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


def require_fixed(what: str, signatures: Mapping[str, str]) -> None:
    """Raises ``UsageError`` for a run that stops by a rule: what is said of a fixed number of images does not hold for it.

    signatures: by the runs' names.
    """
    for name, signature in signatures.items():
        if rule := Signature.parse(signature).get("until"):
            raise UsageError(
                f"{what}: expected a fixed number of images; found {name}, which stops by {rule}: intervals and tests for "
                "a fixed number do not hold where asking stopped by what was seen; score the directory without --until (answers that are stored "
                "cost nothing again, those to the other images do)"
            )


def require_one_instrument(runs: Sequence[FinishedRun]) -> None:
    """Raises ``UsageError`` if the runs do not share rubrics, parser, judge, rule and interval.

    They may be of several versions of ``isr`` (see ``versions_told``): what a version changes has a name of its own.
    """
    first = runs[0]
    for run in runs[1:]:
        one, other = (Signature.parse(r.signature).only(SHARED) for r in (first, run))
        if differing := one.difference(other):
            raise UsageError(
                f"{first.path} and {run.path}: expected edits judged by the same instrument; found "
                f"{'; '.join(map(str, differing))}; score both with the same judge, rubrics and settings"
            )

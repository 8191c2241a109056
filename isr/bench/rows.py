"""Finished runs as rows of a table: one for each editor, treatment, purifier and split, and one for the controls.

Nothing is estimated here in a way of its own: verdicts are read from ``edits.csv`` and go through the functions that
``isr score`` itself uses, so that a row over a whole run holds exactly what its ``result.json`` holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from isr.errors import InputError, Problem
from isr.report.runs import ReportRun, read_report_run
from isr.scoring.estimates import (
    Frame,
    Settings,
    control_estimate,
    treatment_estimates,
)
from isr.scoring.judge_words import named, panel_words
from isr.scoring.means import mean_estimate
from isr.scoring.metrics_csv import EARLIER, Shown, read_shown
from isr.scoring.outcomes import Outcomes
from isr.scoring.shown import headline
from isr.scoring.surrogates import Sight, sight
from isr.types import Arm, Edit, Estimate, Floats, ImageRef, Treatment, Unit

EVERY = "*"
"""The purifier of a row over all purifiers; such a row is there where a run has several, for ``isr_worst``."""
NONE = "none"
"""The label of control edits: no protection."""
Measured = Mapping[tuple[str, ...], Mapping[str, str]]
EDIT = "edit:"
DISTORTION = ("protected_linf", "protected_psnr")

EditRow = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table. ``split`` is ``""`` over all splits, ``purifier`` is ``EVERY`` over all purifiers.

    ``estimates`` of a treatment: ``isr``, its decomposition, ``isr_conditional``, ``uplift``, ``isr_worst``; of
    control edits: ``control`` and its decomposition. ``metrics``: the mean of each column ``edit:psnr`` ... of
    ``edits.csv``. Every one of them rests on ``signature``.
    """

    editor: str
    surrogate: str
    method: str
    config: str
    eps: str
    purifier: str
    split: str
    judge: str
    label: str
    sight: Sight
    estimates: Mapping[str, Estimate]
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    shown: Mapping[str, Shown] = field(default_factory=dict)  # how its metrics stand in tables
    edits: int = 0
    decided: int = 0
    signature: str = ""
    role: str = "baseline"  # the study's: ours, baseline, ablation
    ablation: str = ""  # the study's label in table VI
    lam: float | None = None  # the study's lambda in table VII

    @property
    def is_control(self) -> bool:
        return "control" in self.estimates

    @property
    def rate(self) -> Estimate:
        """The share of failed edits: the ISR, or that of the control edits."""
        return self.estimates["control" if self.is_control else "isr"]

    @property
    def headline(self) -> str:
        """``value``, or ``bounds`` where too many edits are undecided for a value to speak for all."""
        return headline(self.decided, self.edits)


def read(folders: Sequence[Path], level: float | None = None) -> list[Row]:
    """The rows of finished runs, at ``level`` or else at each run's own.

    Raises ``InputError`` where a folder is no run's, or where two of them speak of the same edits.
    """
    runs = [read_report_run(folder) for folder in folders]
    measured = _measured(runs)
    shown = {name: one for run in runs for name, one in read_shown(run.folder).items()}
    rows = [replace(row, shown=shown) for run in runs for row in of_run(run, level, measured)]
    seen: dict[tuple[str, ...], Row] = {}
    problems = []
    for row in rows:
        key = (row.editor, row.surrogate, row.method, row.config, row.eps, row.purifier, row.split, row.judge)
        if seen.setdefault(key, row) is not row:
            problems.append(
                Problem(
                    row.judge,
                    row.editor,
                    "each method, editor, purifier and split in one run of a judge",
                    f"{row.label}, purifier {row.purifier or '-'}, split {row.split or 'all'} in two",
                    "read the runs one by one, or score their edits together",
                )
            )
    if problems:
        raise InputError("runs cannot stand in one table", problems)
    return rows


def judge_name(run: ReportRun) -> str:
    """The judge by name and model, or the members of the panel with their rule."""
    return panel_words(tuple(map(named, run.result.judges)), run.result.rule)


def settings_of(run: ReportRun, level: float | None = None) -> Settings:
    """How the run's own intervals were made."""
    return Settings.signed(run.settings, level)


def of_run(run: ReportRun, level: float | None = None, measured: Measured | None = None) -> list[Row]:
    """The rows of one run, in the order of editors, treatments, purifiers, splits. ``measured``: metrics of the same
    edits by other judges' runs, which do not depend on who judges."""
    return list(_rows(_Table(run, settings_of(run, level), measured or {})))


def _measured(runs: Sequence[ReportRun]) -> Measured:
    """The conventional metrics of every edit that some run measured."""
    return {
        _edit_key(row): {c: row[c] for c in _columns(row)}
        for run in runs
        for row in run.rows
        if row["arm"] == Arm.PROTECTED.value and _columns(row)
    }


def _edit_key(row: EditRow) -> tuple[str, ...]:
    """An edit by its bytes; its control edit and pictures follow from its name in one editor's folder."""
    return row["editor"], row["edit_id"], row.get("edit_sha256", "")


def _columns(row: EditRow) -> list[str]:
    return [c for c in row if c.startswith(("edit:", "protected:"))]


def edit_of(row: EditRow) -> Edit:
    """The edit of a row of ``edits.csv``, as far as estimates need it."""
    source = row.get("source_file_name", "")
    return Edit(
        edit_id=row["edit_id"],
        prompt=row["prompt"],
        unit=Unit(*(row[name] for name in Unit._fields)),
        treatment=Treatment(*(row[name] for name in Treatment._fields)),
        edited=ImageRef(row["file_name"], row.get("edit_sha256", "")),
        source=ImageRef(source, "") if source else None,
        split=row.get("split", ""),
    )


def number(text: str | None) -> float:
    """A cell as a number; NaN where there is none, or none that can be averaged."""
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


class _Table:
    """The protected and control edits of a run with their outcomes."""

    def __init__(self, run: ReportRun, settings: Settings, measured: Measured) -> None:
        self.run, self.settings = run, settings
        known: list[EditRow] = [{**measured.get(_edit_key(r), {}), **r} for r in run.rows]
        rows = {arm: [r for r in known if r["arm"] == arm.value] for arm in Arm}
        self.rows: dict[Arm, list[EditRow]] = rows
        self.edits = {arm: [edit_of(r) for r in some] for arm, some in rows.items()}
        self.outcomes = {arm: run.outcomes(some) for arm, some in rows.items()}
        self.control_row = {edit.unit: row for row, edit in enumerate(self.edits[Arm.CONTROL])}
        self.columns = [*dict.fromkeys(c for r in rows[Arm.PROTECTED] for c in _columns(r)), *DISTORTION]

    def treatment(self, at: np.ndarray) -> tuple[dict[str, Estimate], dict[str, Estimate], Outcomes]:
        """Estimates and mean metrics of some protected edits."""
        edits = [self.edits[Arm.PROTECTED][i] for i in at]
        frame, some = Frame.of(edits), self.outcomes[Arm.PROTECTED].take(at)
        controls = {
            int(code): self.control_row[e.unit]
            for e, code in zip(edits, frame.unit, strict=True)
            if e.unit in self.control_row
        }
        found = treatment_estimates(frame, some, controls, self.outcomes[Arm.CONTROL], self.settings)
        return found, self._metrics(at, frame), some

    def control(self, at: np.ndarray) -> tuple[dict[str, Estimate], dict[str, Estimate], Outcomes]:
        """Estimates of some control edits; a control edit is not compared with itself."""
        some = self.outcomes[Arm.CONTROL].take(at)
        frame = Frame.of([self.edits[Arm.CONTROL][i] for i in at])
        return control_estimate(frame, some, self.settings), {}, some

    def _metrics(self, at: np.ndarray, frame: Frame) -> dict[str, Estimate]:
        rows = [self.rows[Arm.PROTECTED][i] for i in at]
        return {
            column: mean_estimate(
                values,
                frame,
                self.settings,
                absent="no edit has a value (no image to compare with, or the images are equal)",
            )
            for column in self.columns
            if not np.isnan(values := numbers(rows, column)).all() or column not in DISTORTION
        }


def metric_names(rows: Sequence[Row]) -> dict[str, Shown]:
    """The metrics of edits that some row has, in the order in which they are known: how each stands in tables."""
    measured = {c.removeprefix(EDIT) for r in rows for c in r.metrics if c.startswith(EDIT)}
    known = {n: s for r in rows for n, s in (r.shown or EARLIER).items()}
    return {n: s for n, s in known.items() if n in measured}


def numbers(rows: Sequence[EditRow], column: str) -> Floats:
    """A column of ``edits.csv``, NaN where a cell holds no finite number."""
    return np.array([number(row.get(column)) for row in rows], np.float64)


def _rows(table: _Table) -> Iterator[Row]:
    parts: tuple[tuple[Arm, Callable[[Any], Any]], ...] = (
        (Arm.PROTECTED, table.treatment),
        (Arm.CONTROL, table.control),
    )
    for arm, estimates in parts:
        edits = table.edits[arm]
        for (editor, treatment, purifier, split), at in _groups(edits):
            found, metrics, outcomes = estimates(at)
            yield Row(
                editor=editor,
                surrogate=treatment.surrogate,
                method=treatment.method,
                config=treatment.config,
                eps=treatment.eps,
                purifier=purifier,
                split=split,
                judge=judge_name(table.run),
                label=NONE if arm is Arm.CONTROL else treatment.method or "(no method named)",
                sight=Sight(None) if arm is Arm.CONTROL else _sight([table.rows[arm][i] for i in at]),
                estimates=found,
                metrics=metrics,
                edits=len(outcomes),
                decided=int(outcomes.decided.sum()),
                signature=table.run.result.signature,
            )


def _sight(rows: Sequence[EditRow]) -> Sight:
    """Of edits of one editor and treatment: a white box where the surrogate made every one of them."""
    seen = {sight(r["editor"], r["surrogate"], r) for r in rows}
    found = {s.white_box for s in seen}
    return Sight(
        found.pop() if len(found) == 1 else False, any(s.by_name for s in seen), any(s.sampled for s in seen)
    )


def _groups(edits: Sequence[Edit]) -> Iterator[tuple[tuple[str, Treatment, str, str], np.ndarray]]:
    """Indices by (editor, treatment, purifier, split): every purifier, all of them; all splits, every split."""
    found: dict[tuple[str, Treatment], list[int]] = {}
    for row, edit in enumerate(edits):
        found.setdefault((edit.unit.editor, edit.treatment), []).append(row)
    for (editor, treatment), at in sorted(found.items()):
        purifiers = sorted({edits[i].unit.purifier for i in at})
        splits = sorted({edits[i].split for i in at} - {""})
        for purifier in [*purifiers, *([EVERY] if len(purifiers) > 1 else [])]:
            for split in ["", *splits]:
                inside = [
                    i
                    for i in at
                    if purifier in (EVERY, edits[i].unit.purifier) and split in ("", edits[i].split)
                ]
                if inside:
                    yield (editor, treatment, purifier, split), np.array(inside, np.int64)

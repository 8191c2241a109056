"""The result of a run: the science in ``result.json``, one row per edit and arm in ``edits.csv``.

``result.json`` has identical bytes whenever the answers are the same: no time, no path, no host in it.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from isr.calibration.agreement import MISSING
from isr.calibration.reliability import advice, retest_reliability
from isr.canonical import short
from isr.edits.directory import EditDirectory
from isr.edits.distortion import measure
from isr.edits.images import POLICY, read_checked
from isr.errors import InputError, Problem
from isr.image_file import decode
from isr.judging.loop import Judged, Plan, Progress, arms_of
from isr.judging.parsing import PARSER_VERSION
from isr.scoring.estimates import (
    UNDECIDED_SHARE,
    Frame,
    Settings,
    as_dicts,
    control_estimate,
    estimate_of,
    mean_grade,
    rate_estimate,
    treatment_estimates,
)
from isr.scoring.outcomes import QUESTIONS, Ballot, Outcomes, outcomes
from isr.types import Arm, Edit, Estimate, PanelReason, Question, Treatment, Unit
from isr.version import __version__

SCHEMA = "isr.result/1"
GRADE_TOP = 4

NO_TREATMENT = Treatment("", "", "", "")

Reason = tuple[str, str, str]  # question, judge, reason


@dataclass(frozen=True, slots=True)
class Part:
    """Counts and estimates of one set of edits; ``by`` names the group, empty for the whole."""

    counts: Mapping[str, Any]
    estimates: Mapping[str, Estimate]
    by: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[Part, ...] = ()

    @property
    def headline(self) -> str:
        """``value``, or ``bounds`` where too many edits are undecided for a value to speak for all."""
        return str(self.counts["headline"])

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"by": dict(self.by)} if self.by else {}
        out |= {"counts": dict(self.counts), "estimates": as_dicts(self.estimates)}
        if not self.by:
            out["groups"] = [g.as_dict() for g in self.groups]
        return out


@dataclass(frozen=True, slots=True)
class TreatmentPart(Part):
    """The part of one treatment."""

    treatment: Treatment = NO_TREATMENT

    def as_dict(self) -> dict[str, Any]:
        named: dict[str, Any] = dict(self.treatment._asdict())
        named["eps"] = _number_or_text(self.treatment.eps)
        return named | Part.as_dict(self)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found out. Every estimate in it rests on ``signature``."""

    signature: str
    data: Mapping[str, Any]
    judges: tuple[Mapping[str, Any], ...]
    rubrics: tuple[Mapping[str, Any], ...]
    rule: str
    treatments: tuple[TreatmentPart, ...]
    control: Part | None
    reliability: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "signature": self.signature,
            "data": dict(self.data),
            "judges": [dict(j) for j in self.judges],
            "rubrics": [dict(r) for r in self.rubrics],
            "rule": self.rule,
            "treatments": [t.as_dict() for t in self.treatments],
            "control": self.control.as_dict() if self.control else None,
            "reliability": [
                {k: v.as_dict() if isinstance(v, Estimate) else v for k, v in r.items()}
                for r in self.reliability
            ],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """The bytes of ``result.json``."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """The result in a run's folder or in a ``result.json``. Raises ``InputError`` if it is none."""
        file = Path(path)
        file = file / "result.json" if file.is_dir() else file
        try:
            raw = json.loads(file.read_text("utf-8"))
            if raw["schema"] != SCHEMA:
                raise ValueError(f"schema {raw['schema']}")
            return cls(
                raw["signature"],
                raw["data"],
                tuple(raw["judges"]),
                tuple(raw["rubrics"]),
                raw["rule"],
                tuple(_treatment_part(t) for t in raw["treatments"]),
                _part(raw["control"]) if raw["control"] else None,
                tuple(
                    {k: _estimate(v) if isinstance(v, dict) else v for k, v in r.items()}
                    for r in raw["reliability"]
                ),
                tuple(raw["notes"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                "a result cannot be read",
                [Problem(str(file), "", f"a result of version {SCHEMA}", str(error), "run isr score")],
            ) from error


def _estimate(raw: Mapping[str, Any]) -> Estimate:
    bounds = None if raw["bounds"] is None else (raw["bounds"][0], raw["bounds"][1])
    return Estimate(**{**raw, "bounds": bounds, "notes": tuple(raw["notes"])})


def _part(raw: Mapping[str, Any]) -> Part:
    estimates = {name: _estimate(e) for name, e in raw["estimates"].items()}
    return Part(raw["counts"], estimates, raw.get("by", {}), tuple(_part(g) for g in raw.get("groups", ())))


def _treatment_part(raw: Mapping[str, Any]) -> TreatmentPart:
    part = _part(raw)
    treatment = Treatment(*(str(raw[name]) for name in Treatment._fields))
    return TreatmentPart(part.counts, part.estimates, part.by, part.groups, treatment)


def _number_or_text(text: str) -> float | int | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return value if repr(value) == text else int(text) if text.lstrip("-").isdigit() else text


class Tally:
    """Collects the judged edits of a run in small arrays, arm by arm, and makes the estimates of them."""

    def __init__(self, plan: Plan, directory: EditDirectory, settings: Settings, by: Sequence[str]) -> None:
        self.plan, self.directory, self.settings, self.by = plan, directory, settings, tuple(by)
        judges = len(plan.panel.members)
        self.edits: dict[Arm, list[Edit]] = {
            Arm.PROTECTED: list(plan.edits),
            Arm.CONTROL: _controlled(plan.edits),
        }
        self.ballots = {arm: Ballot.empty(judges, len(edits)) for arm, edits in self.edits.items()}
        self.grades = {arm: np.full((judges, len(edits)), np.nan) for arm, edits in self.edits.items()}
        shape = (judges, len(QUESTIONS), len(plan.edits), plan.repeats if plan.repeats > 1 else 0)
        self.repeats = np.full(shape, MISSING, np.int8)  # verdicts on protected edits: 1 fails, 0 fine
        self.reasons: dict[Arm, list[tuple[int, Reason]]] = {arm: [] for arm in Arm}
        self._next = dict.fromkeys(Arm, 0)

    def add(self, judged: Judged) -> None:
        """Enters one edit in one arm; they come in the order of ``arms_of``."""
        arm, row = judged.arm, self._next[judged.arm]
        self._next[arm] += 1
        for (judge, question), verdicts in judged.verdicts.items():
            self.ballots[arm].cast(judge, question, row, verdicts)
            if arm is Arm.PROTECTED and len(verdicts) > 1:
                said = [MISSING if v.reason else int(v.value == "fails") for v in verdicts]
                self.repeats[judge, QUESTIONS.index(question), row] = said
            kept = [v.grades["source_kept"] for v in verdicts if "source_kept" in v.grades]
            if kept:
                self.grades[arm][judge, row] = sum(kept) / len(kept)
            name = self.plan.panel.members[judge].name
            self.reasons[arm] += [(row, (question.value, name, v.reason)) for v in verdicts if v.reason]

    def result(self, progress: Progress | None = None) -> Result:
        """The result of everything that was entered."""
        rule = self.plan.panel.rule
        decided = {arm: outcomes(ballot, rule) for arm, ballot in self.ballots.items()}
        control_rows = {edit.unit: row for row, edit in enumerate(self.edits[Arm.CONTROL])}
        frames = {arm: Frame.of(edits) for arm, edits in self.edits.items()}
        treatments = self._treatments(frames[Arm.PROTECTED], decided, control_rows)
        control = self._control(frames[Arm.CONTROL], decided[Arm.CONTROL]) if control_rows else None
        return Result(
            self.signature(),
            {
                "digest": self.directory.digest,
                "edits": len(self.plan.edits),
                "of": len(self.directory.edits),
                "controls": len(control_rows),
                "images": len({e.cluster for e in self.plan.edits}),
                "skipped": [{"edit_id": n, "field": f} for n, f in self.directory.skipped_names],
            },
            tuple(
                {
                    "name": c.name,
                    "digest": c.digest,
                    **c.identity,
                    "reported_models": self._reported(c.name, progress),
                }
                for c in self.plan.panel.members
            ),
            tuple(
                {"name": r.name, "question": r.question.value, "digest": r.digest}
                for r in self.plan.rubrics.values()
            ),
            rule,
            treatments,
            control,
            self._reliability(frames),
            self._notes(progress),
        )

    def signature(self) -> str:
        """All that an estimate of this run depends on, in one line."""
        plan, settings = self.plan, self.settings
        parts = [f"isr={__version__}"]
        for question, rubric in plan.rubrics.items():
            parts.append(f"{question}={rubric.name.removeprefix(f'{question}/')}:{short(rubric.digest)}")
        parts += [
            f"judge={plan.panel.signature}",
            f"rule={plan.panel.rule}",
            f"parser={PARSER_VERSION}",
            f"images={POLICY.rpartition('/')[2]}",
            f"repeats={plan.repeats}",
            f"interval={settings.interval}",
            f"level={settings.level:g}",
            f"prompts={settings.prompts}",
            f"estimand={settings.estimand}",
        ]
        if plan.reask:
            parts.append(f"reask={','.join(sorted(plan.reask))}")
        if plan.recalibrations:
            parts.append(f"calibration={','.join(sorted(short(r.digest) for r in plan.recalibrations))}")
        if len(plan.edits) < len(self.directory.edits):
            parts.append(f"limit={len(plan.edits)}")
        if self.directory.skipped:
            parts.append(f"skipped={len({p.where for p in self.directory.skipped})}")
        return "|".join(parts)

    def _treatments(
        self, frame: Frame, decided: Mapping[Arm, Outcomes], control_rows: Mapping[Unit, int]
    ) -> tuple[TreatmentPart, ...]:
        edits = self.edits[Arm.PROTECTED]
        units = {
            int(code): control_rows[e.unit]
            for e, code in zip(edits, frame.unit, strict=True)
            if e.unit in control_rows
        }

        def part(rows: np.ndarray) -> tuple[dict[str, Any], dict[str, Estimate]]:
            some = decided[Arm.PROTECTED].take(rows)
            estimates = treatment_estimates(
                frame.take(rows), some, units, decided[Arm.CONTROL], self.settings
            )
            estimates |= self._kept(Arm.PROTECTED, rows, frame)
            return self._counts(Arm.PROTECTED, rows, some), estimates

        out = []
        for treatment, rows in _by(edits, lambda e: e.treatment):
            groups = tuple(Part(*part(g), by) for by, g in self._groups(Arm.PROTECTED, rows))
            out.append(TreatmentPart(*part(rows), {}, groups, treatment))
        return tuple(out)

    def _control(self, frame: Frame, decided: Outcomes) -> Part:
        def part(rows: np.ndarray) -> tuple[dict[str, Any], dict[str, Estimate]]:
            some = decided.take(rows)
            estimates = control_estimate(frame.take(rows), some, self.settings)
            return self._counts(Arm.CONTROL, rows, some), estimates | self._kept(Arm.CONTROL, rows, frame)

        rows = np.arange(len(frame))
        groups = tuple(Part(*part(g), by) for by, g in self._groups(Arm.CONTROL, rows))
        return Part(*part(rows), {}, groups)

    def _kept(self, arm: Arm, rows: np.ndarray, frame: Frame) -> dict[str, Estimate]:
        grades = self.grades[arm][:, rows]
        if np.isnan(grades).all():
            return {}
        mean = np.where(np.isnan(grades).any(axis=0), np.nan, np.nan_to_num(grades).mean(axis=0))
        return {"source_kept": mean_grade(mean, frame.take(rows), self.settings, GRADE_TOP)}

    def _groups(self, arm: Arm, rows: np.ndarray) -> Iterator[tuple[dict[str, str], np.ndarray]]:
        by = self.by if arm is Arm.PROTECTED else self.control_by
        if by:
            edits = self.edits[arm]
            some = [edits[r] for r in rows]
            for values, inside in _by(some, lambda e: tuple(e.column(c) for c in by)):
                yield dict(zip(by, values, strict=True)), rows[inside]

    @cached_property
    def control_by(self) -> tuple[str, ...]:
        """The columns of ``by`` that are the same on all rows of a unit: a control edit has no others."""
        seen: dict[tuple[str, Unit], str] = {}
        varying = set(Treatment._fields) & set(self.by)
        for edit in self.plan.edits:
            for column in self.by:
                if seen.setdefault((column, edit.unit), edit.column(column)) != edit.column(column):
                    varying.add(column)
        return tuple(c for c in self.by if c not in varying)

    def _counts(self, arm: Arm, rows: np.ndarray, some: Outcomes) -> dict[str, Any]:
        inside = np.zeros(len(self.edits[arm]), np.bool_)
        inside[rows] = True
        counted = Counter(reason for row, reason in self.reasons[arm] if inside[row])
        if ties := int(some.tied.sum()):
            counted["", "panel", PanelReason.TIE] = ties
        undecided = [
            {"arm": arm.value, "question": q, "judge": j, "reason": r, "n": n}
            for (q, j, r), n in sorted(counted.items())
        ]
        n, decided = len(some), int(some.decided.sum())
        share = (n - decided) / n if n else 0.0
        headline = "bounds" if share > UNDECIDED_SHARE else "value"
        return {"edits": n, "decided": decided, "undecided": undecided, "headline": headline}

    def _reliability(self, frames: Mapping[Arm, Frame]) -> tuple[dict[str, Any], ...]:
        """How well repeats of one question agree, and whether more votes would pay; nothing without repeats."""
        if self.plan.repeats < 2:
            return ()
        out = []
        for number, card in enumerate(self.plan.panel.members):
            hot = card.decoding.temperature != 0 or "temperature" in card.decoding.omit
            for q, question in enumerate(QUESTIONS):
                out.append(
                    {
                        "judge": card.name,
                        "question": question.value,
                        "repeats": self.plan.repeats,
                        "measures": "test-retest reliability" if hot else "serving noise at temperature 0",
                        **self._retest(number, q, frames[Arm.PROTECTED]),
                    }
                )
        return tuple(out)

    def _retest(self, judge: int, question: int, frame: Frame) -> dict[str, Any]:
        """The figures of one judge and question (docs/statistics.md); of edits with an undecided repeat, too."""
        verdicts, known = self.repeats[judge, question], self.ballots[Arm.PROTECTED].decided[judge, question]
        level = self.settings.level
        flips = (verdicts[known] != verdicts[known, :1]).any(axis=1)
        found = retest_reliability(verdicts, frame.image, level=level)
        return {
            "not_unanimous": rate_estimate(flips, frame.take(known), self.settings),
            "flip_rate": estimate_of(found.flip_rate, level),
            "alpha": estimate_of(found.alpha, level),
            "edits": found.edits,
            "noise_share": found.noise_share,
            "voting_share": found.voting_share,
            "advice": advice(found),
            "notes": list(found.notes),
        }

    def _reported(self, judge: str, progress: Progress | None) -> list[str]:
        return sorted({m for j, m in progress.reported if j == judge}) if progress else []

    def _notes(self, progress: Progress | None) -> tuple[str, ...]:
        notes = []
        for card in self.plan.panel.members:
            models = self._reported(card.name, progress)
            if len(models) > 1:
                notes.append(f"{card.name}: several models answered under this name: {', '.join(models)}")
        if self.directory.skipped:
            rows = len({p.where for p in self.directory.skipped})
            notes.append(f"{rows} invalid row(s) of the metadata were skipped and are in no estimate")
        if len(self.plan.edits) < len(self.directory.edits):
            notes.append(
                f"only the first {len(self.plan.edits)} of {len(self.directory.edits)} edits were scored"
            )
        if self.plan.panel.rule == "single" and any(e.source is None for e in self.plan.edits):
            notes.append("some edits have no source: each of them counts as an image of its own")
        return tuple(notes)


def _controlled(edits: Iterable[Edit]) -> list[Edit]:
    return [edit for edit, arm in arms_of(edits) if arm is Arm.CONTROL]


def _by(edits: Sequence[Edit], key: Any) -> Iterator[tuple[Any, np.ndarray]]:
    """(value, indices of the edits that have it), values in order."""
    found: dict[Any, list[int]] = {}
    for row, edit in enumerate(edits):
        found.setdefault(key(edit), []).append(row)
    for value in sorted(found):
        yield value, np.array(found[value], np.int64)


OWN_COLUMNS = ("arm", "edit_sha256", "protected_linf", "protected_psnr", "outcome")


class EditsTable:
    """Writes ``edits.csv``: one row per edit and arm, with every verdict, the measured distortion, the outcome."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._plan = plan
        extra = sorted({name for edit in plan.edits for name in edit.extra})
        self._columns = [
            "edit_id",
            "arm",
            "file_name",
            "source_file_name",
            "prompt",
            *Unit._fields,
            *Treatment._fields,
            "split",
            *(f"metadata:{name}" if name in OWN_COLUMNS or ":" in name else name for name in extra),
            *OWN_COLUMNS[1:],
        ]
        for card in plan.panel.members:
            for question in Question:
                names = (
                    "",
                    "_reason",
                    "_score",
                    "_reasoning",
                    *(["_p_yes"] if card.decoding.logprobs else []),
                )
                self._columns += [f"{card.name}:{question}{n}" for n in names]
            self._columns.append(f"{card.name}:source_kept")
        self._extra = extra
        self._measured: dict[tuple[str, str], tuple[str, str]] = {}
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(self._columns)

    def add(self, judged: Judged) -> None:
        edit = judged.edit
        shown = edit.edited if judged.arm is Arm.PROTECTED else edit.control
        source = edit.source.path if edit.source else ""
        row = [
            edit.edit_id,
            judged.arm.value,
            shown.path if shown else "",
            source,
            edit.prompt,
            *edit.unit,
        ]
        row += list(edit.treatment) if judged.arm is Arm.PROTECTED else [""] * len(Treatment._fields)
        row += [edit.split, *(edit.extra.get(n, "") for n in self._extra)]
        row += [shown.sha256 if shown else "", *self._distortion(judged)]
        row.append(_outcome(judged, self._plan))
        for number, card in enumerate(self._plan.panel.members):
            for question in Question:
                verdicts = judged.verdicts[number, question]
                row += [
                    "|".join(v.value for v in verdicts),
                    "|".join(v.reason for v in verdicts if v.reason),
                    "|".join(str(v.score) for v in verdicts if v.score is not None),
                    " | ".join(v.reasoning for v in verdicts),
                ]
                if card.decoding.logprobs:
                    row.append("|".join(f"{v.p_yes:.6f}" for v in verdicts if v.p_yes is not None))
            kept = [
                str(v.grades["source_kept"])
                for v in judged.verdicts[number, Question.SEMANTIC]
                if "source_kept" in v.grades
            ]
            row.append("|".join(kept))
        self._writer.writerow(row)

    def _distortion(self, judged: Judged) -> tuple[str, str]:
        """L-inf in [0, 1] units and PSNR in dB of the protected image, where both images are there."""
        source, protected = judged.edit.source, judged.edit.protected
        if judged.arm is not Arm.PROTECTED or source is None or protected is None:
            return "", ""
        key = (source.sha256, protected.sha256)
        if key not in self._measured:
            a, b = (decode(read_checked(self._plan.root, r.path, r.sha256)) for r in (source, protected))
            found = measure(a, b)
            self._measured[key] = ("", "") if found is None else (f"{found.linf:.6f}", f"{found.psnr:.4f}")
        return self._measured[key]

    def close(self) -> None:
        self._file.close()


def _outcome(judged: Judged, plan: Plan) -> str:
    ballot = Ballot.empty(len(plan.panel.members), 1)
    for (judge, question), verdicts in judged.verdicts.items():
        ballot.cast(judge, question, 0, verdicts)
    return outcomes(ballot, plan.panel.rule).word(0)

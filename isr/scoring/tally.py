"""Counts judged edits and makes the result of a run from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.reliability import advice, retest_reliability
from isr.canonical import short
from isr.edits.directory import EditDirectory
from isr.edits.images import POLICY
from isr.edits.refusals import told as refusals_told
from isr.judging.judged import Judged
from isr.judging.parsing import disagrees
from isr.judging.plan import Plan, arms_of
from isr.judging.progress import Progress
from isr.judging.rubrics import rubric_parts
from isr.scoring.answered import told
from isr.scoring.estimates import (
    Frame,
    Settings,
    control_estimate,
    estimate_of,
    rate_estimate,
    treatment_estimates,
    with_refusals,
)
from isr.scoring.judge_words import judge_record
from isr.scoring.limit import part_of
from isr.scoring.means import mean_grade
from isr.scoring.outcomes import QUESTIONS, Ballot, Outcomes, outcomes
from isr.scoring.records import Counts, PictureRemark, Reliability, UndecidedCount
from isr.scoring.remarks import remarks
from isr.scoring.result import Part, Result, TreatmentPart
from isr.scoring.sequenced import ORDER, RULE, SEQUENCE, without_interval
from isr.scoring.shown import GRADE_TOP, headline
from isr.scoring.until import Stop
from isr.scoring.until import told as until_told
from isr.signature import Signature
from isr.types import Arm, Edit, Estimate, PanelReason, Treatment, Unit
from isr.version import __version__

Reason = tuple[str, str, str]  # question, judge, reason


class Tally:
    """Collects the judged edits of a run in small arrays, arm by arm, and makes the estimates of them."""

    def __init__(
        self,
        plan: Plan,
        directory: EditDirectory,
        settings: Settings,
        by: Sequence[str],
        stop: Stop | None = None,
    ) -> None:
        """stop: where the images end that count, for a run with a rule to stop by."""
        self.limit = len(plan.edits) if len(plan.edits) < len(directory.edits) else None
        self.until = None if stop is None else stop.record(settings, plan)
        plan = plan if stop is None else replace(plan, edits=tuple(plan.edits[: stop.edits]))
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
        self.read: Counter[str] = Counter()  # answers that gave a verdict, by judge
        self.disagreeing: Counter[str] = Counter()
        self._next = dict.fromkeys(Arm, 0)
        self.limited = self.limit is not None
        self.refusals = (
            () if self.limited or settings.until is not None else directory.refusals
        )  # nobody knows which of them the first edits have

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
            self.read[name] += sum(not v.reason for v in verdicts)
            if question in self.plan.rubrics:  # people answer without one
                self.disagreeing[name] += sum(disagrees(v, self.plan.rubrics[question]) for v in verdicts)
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
            signature=str(self.signature()),
            data={
                "digest": self.directory.digest,
                "edits": len(self.plan.edits),
                "of": len(self.directory.edits),
                "controls": len(control_rows),
                "images": len({e.cluster for e in self.plan.edits}),
                "skipped": [{"edit_id": n, "field": f} for n, f in self.directory.skipped_names],
            },
            judges=tuple(judge_record(c, self._reported(c.name, progress)) for c in self.plan.panel.members),
            rubrics=tuple(
                {"name": r.name, "question": r.question.value, "digest": r.digest}
                for r in self.plan.rubrics.values()
            ),
            rule=rule,
            treatments=treatments,
            control=control,
            reliability=self._reliability(frames),
            notes=self._notes(progress),
            until=self.until,
            remarks=remarks(self.plan.edits),
            pictures=tuple(cast("PictureRemark", f.as_dict()) for f in self.directory.findings),
            answered=told(self.plan, progress.served if progress else {}),
        )

    def signature(self) -> Signature:
        """All that an estimate of this run depends on."""
        plan, settings, directory = self.plan, self.settings, self.directory
        learnt = ",".join(sorted(short(r.digest) for r in plan.recalibrations))
        return Signature.of(
            ("isr", __version__),
            *rubric_parts(plan.rubrics),
            ("judge", plan.panel.signature),
            ("rule", plan.panel.rule),
            ("parser", plan.parser),
            ("images", POLICY.rpartition("/")[2]),
            ("repeats", plan.repeats),
            ("interval", settings.interval if settings.until is None else SEQUENCE),
            ("level", f"{settings.level:g}"),
            ("prompts", settings.prompts),
            ("estimand", settings.estimand),
            ("estimates", settings.rules) if settings.rules > 1 else None,
            ("reask", ",".join(sorted(plan.reask))) if plan.reask else None,
            ("calibration", learnt) if learnt else None,
            ("limit", part_of(self.limit, plan.in_turn)) if self.limit is not None else None,
            *self._rule(),
            ("accepted", ",".join(sorted(plan.accepted))) if plan.accepted else None,
            ("retired", "allowed") if plan.allow_retired else None,
            ("skipped", len({p.where for p in directory.skipped})) if directory.skipped else None,
        )

    def _rule(self) -> tuple[tuple[str, object], ...]:
        """The parts of the signature by which the run stops."""
        if self.settings.until is None:
            return ()
        return (
            ("until", f"{RULE}:{self.settings.until!r}"),
            ("order", f"{ORDER}:{self.plan.order_seed}"),
            ("sequence", f"treatments:{self.settings.family}"),
        )

    def _treatments(
        self, frame: Frame, decided: Mapping[Arm, Outcomes], control_rows: Mapping[Unit, int]
    ) -> tuple[TreatmentPart, ...]:
        edits = self.edits[Arm.PROTECTED]
        units = {
            int(code): control_rows[e.unit]
            for e, code in zip(edits, frame.unit, strict=True)
            if e.unit in control_rows
        }

        def part(rows: np.ndarray) -> tuple[Counts, dict[str, Estimate]]:
            some = decided[Arm.PROTECTED].take(rows)
            estimates = treatment_estimates(
                frame.take(rows), some, units, decided[Arm.CONTROL], self.settings
            )
            estimates |= self._kept(Arm.PROTECTED, rows, frame)
            return self._counts(Arm.PROTECTED, rows, some), estimates

        out = []
        for treatment, rows in _by(edits, lambda e: e.treatment):
            groups = tuple(Part(*part(g), by) for by, g in self._groups(Arm.PROTECTED, rows))
            counts, estimates = part(rows)
            refused = [r.unit for r in self.refusals if r.treatment == treatment and r.arm is Arm.PROTECTED]
            if refused:
                some = decided[Arm.PROTECTED].take(rows)
                estimates["isr_with_refusals"] = with_refusals(
                    [edits[i] for i in rows], some, refused, self.settings
                )
                counts["refused"] = len(refused)
            out.append(TreatmentPart(counts, estimates, {}, groups, treatment))
        return tuple(out)

    def _control(self, frame: Frame, decided: Outcomes) -> Part:
        def part(rows: np.ndarray) -> tuple[Counts, dict[str, Estimate]]:
            some = decided.take(rows)
            estimates = control_estimate(frame.take(rows), some, self.settings)
            return self._counts(Arm.CONTROL, rows, some), estimates | self._kept(Arm.CONTROL, rows, frame)

        rows = np.arange(len(frame))
        groups = tuple(Part(*part(g), by) for by, g in self._groups(Arm.CONTROL, rows))
        counts, estimates = part(rows)
        refused = [r.unit for r in self.refusals if r.arm is Arm.CONTROL]
        if refused:
            counts["refused"] = len(refused)
        return Part(counts, estimates, {}, groups)

    def _kept(self, arm: Arm, rows: np.ndarray, frame: Frame) -> dict[str, Estimate]:
        grades = self.grades[arm][:, rows]
        if np.isnan(grades).all():
            return {}
        mean = np.where(np.isnan(grades).any(axis=0), np.nan, np.nan_to_num(grades).mean(axis=0))
        return {"source_kept": self._fixed(mean_grade(mean, frame.take(rows), self.settings, GRADE_TOP))}

    def _fixed(self, estimate: Estimate) -> Estimate:
        """An estimate whose interval holds for a fixed number of images: without it where the run stops by what it sees."""
        return estimate if self.settings.until is None else without_interval(estimate)

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

    def _counts(self, arm: Arm, rows: np.ndarray, some: Outcomes) -> Counts:
        inside = np.zeros(len(self.edits[arm]), np.bool_)
        inside[rows] = True
        counted = Counter(reason for row, reason in self.reasons[arm] if inside[row])
        if ties := int(some.tied.sum()):
            counted["", "panel", PanelReason.TIE] = ties
        undecided: list[UndecidedCount] = [
            {"arm": arm.value, "question": q, "judge": j, "reason": r, "n": n}
            for (q, j, r), n in sorted(counted.items())
        ]
        n, decided = len(some), int(some.decided.sum())
        return {"edits": n, "decided": decided, "undecided": undecided, "headline": headline(decided, n)}

    def _reliability(self, frames: Mapping[Arm, Frame]) -> tuple[Reliability, ...]:
        """How well repeats of one question agree, and whether more votes would pay; nothing without repeats."""
        if self.plan.repeats < 2:
            return ()
        out: list[Reliability] = []
        for number, card in enumerate(self.plan.panel.members):
            hot = card.decoding.temperature != 0 or "temperature" in card.decoding.omit
            for q, question in enumerate(QUESTIONS):
                measures = "test-retest reliability" if hot else "serving noise at temperature 0"
                named = (card.name, question.value, measures)
                out.append(self._retest(named, number, q, frames[Arm.PROTECTED]))
        return tuple(out)

    def _retest(self, named: tuple[str, str, str], judge: int, question: int, frame: Frame) -> Reliability:
        """The figures of one judge and question (docs/statistics.md); of edits with an undecided repeat, too."""
        verdicts, known = self.repeats[judge, question], self.ballots[Arm.PROTECTED].decided[judge, question]
        level = self.settings.level
        flips = (verdicts[known] != verdicts[known, :1]).any(axis=1)
        found = retest_reliability(verdicts, frame.image, level=level)
        name, asked, measures = named
        return {
            "judge": name,
            "question": asked,
            "repeats": self.plan.repeats,
            "measures": measures,
            "not_unanimous": self._fixed(rate_estimate(flips, frame.take(known), self.settings)),
            "flip_rate": self._fixed(estimate_of(found.flip_rate, level)),
            "alpha": self._fixed(estimate_of(found.alpha, level)),
            "edits": found.edits,
            "noise_share": found.noise_share,
            "voting_share": found.voting_share,
            "advice": advice(found),
            "notes": list(found.notes),
        }

    def _reported(self, judge: str, progress: Progress | None) -> list[str]:
        return progress.models(judge) if progress else []

    def _notes(self, progress: Progress | None) -> tuple[str, ...]:
        notes = []
        for card in self.plan.panel.members:
            models = self._reported(card.name, progress)
            if len(models) > 1:
                notes.append(f"{card.name}: several models answered under this name: {', '.join(models)}")
            if self.plan.parser > 1 and (n := self.disagreeing[card.name]):
                notes.append(
                    f"{card.name}: verdict and score disagree in {n} of {self.read[card.name]} answers (the verdict counts)"
                )
        if self.directory.skipped:
            rows = len({p.where for p in self.directory.skipped})
            notes.append(f"{rows} invalid row(s) of the metadata were skipped and are in no estimate")
        if self.until:
            notes.append(until_told(self.until))
        if self.limited:
            of = f"{self.limit} of {len(self.directory.edits)} edits were scored"
            notes.append(f"only {of}, images in turn" if self.plan.in_turn else f"only the first {of}")
        if refused := refusals_told(self.directory.refusals):
            beside = "a limit" if self.limited else "--until" if self.settings.until is not None else ""
            where = f"not counted beside {beside}" if beside else "in none of the other numbers"
            notes.append(f"refused by the editor, not made, and {where}: {refused}")
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

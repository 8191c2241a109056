"""Rates and differences corrected by people's labels, beside those of verdicts; or in a sentence why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from isr.errors import DesignError, IsrError
from isr.people.arms import with_arms
from isr.people.correct import correct, read_plan
from isr.people.correct_rows import Correction, Settings
from isr.people.judgements import read_source
from isr.people.label_files import load_labels
from isr.people.labels import Labels
from isr.people.meeting import meet
from isr.people.pair_labels import LabelChoices, PairDesign
from isr.report.names import pair_names
from isr.report.people import find_labels, labels_of
from isr.report.runs import ReportRun, spelt
from isr.scoring.shown import Shown, shown, shown_in
from isr.stats.rows import Interval
from isr.types import Estimate, Treatment

PLAN = "plan.json"
"""Beside ``labels.csv``, as ``isr label`` writes it: it says how the labelled edits were chosen."""
NO_DESIGN = (
    "rates are not corrected by these labels: nothing says how the labelled edits were chosen; say --design random or "
    "within_verdict"
)


@dataclass(frozen=True, kw_only=True)
class LabelsGiven:
    """Labels of a report and how the labelled edits were chosen. ``design`` is ``""`` where nothing says it."""

    labels: Labels
    design: str
    plan: Mapping[str, Any] | None

    def choices(self, runs: Sequence[ReportRun]) -> LabelChoices | None:
        """For the differences between these runs."""
        if self.design not in get_args(PairDesign):
            return None
        judged = [] if self.plan is None else [read_source(run.folder)[-1].instrument for run in runs]
        design: PairDesign = "random" if self.design == "random" else "within_verdict"
        return LabelChoices(design=design, plan=self.plan, instruments=judged)


@dataclass(frozen=True, kw_only=True)
class CorrectedRate:
    """The rate of one treatment of one run, or why it is not corrected."""

    run: str
    name: str
    treatment: Treatment
    found: Correction | None = None
    refused: str = ""
    judged: Shown | None = None  # by the judge, and to people: each as it may be shown
    people: Shown | None = None


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """What labels make of a report's rates. Without ``given``, or without a design, ``reason`` says why they make nothing."""

    given: LabelsGiven | None = None
    rates: tuple[CorrectedRate, ...] = ()
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def of(self, run: ReportRun, treatment: Treatment) -> CorrectedRate | None:
        """The corrected rate of a treatment, where there is one."""
        wanted = (run.name, spelt(treatment))
        found = (r for r in self.rates if (r.run, spelt(r.treatment)) == wanted)
        return next((r for r in found if r.found is not None and r.found.corrected is not None), None)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why rates are not corrected, each reason once, with the rates that it is about."""
        held: dict[str, list[str]] = {}
        for rate in self.rates:
            if rate.refused:
                held.setdefault(rate.refused, []).append(rate.name)
        return tuple(f"{', '.join(names)}: {why}" for why, names in held.items())


def corrected(
    runs: Sequence[ReportRun], file: Path | None = None, design: str = "", plan: Path | None = None
) -> Corrected | None:
    """Each treatment's rate corrected by people's labels; ``None`` where there are none.

    file: by default the labels beside a run. design: ``random`` or ``within_verdict``; by default what the plan says. plan: by
    default the one beside the labels. Never raises for labels that cannot correct: ``reason`` says why.
    """
    path = file or find_labels(runs)
    if path is None:
        return None
    try:
        given = _given(path, design, plan)
    except IsrError as error:
        return Corrected(reason=_sentence(error))
    if not given.design:
        return Corrected(given=given, reason=NO_DESIGN)
    rates, warnings = [], dict[str, None]()
    for run, names in zip(runs, pair_names(runs), strict=True):
        for treatment in run.treatments:
            made, told = _rate(run, treatment, names[spelt(treatment)], given)
            rates.append(made)
            warnings |= dict.fromkeys(told)
    return Corrected(given=given, rates=tuple(rates), warnings=tuple(warnings))


def _given(path: Path, design: str, plan: Path | None) -> LabelsGiven:
    beside = path.with_name(PLAN)
    said = read_plan(plan) if plan is not None else read_plan(beside) if beside.is_file() else None
    found = design or (str(said.get("design", "")) if said is not None else "")
    if found and found not in get_args(PairDesign):
        raise DesignError(f"labels: expected the design random or within_verdict; found {found[:40]!r}")
    return LabelsGiven(labels=load_labels(path), design=found, plan=said)


def _rate(
    run: ReportRun, treatment: Treatment, name: str, given: LabelsGiven
) -> tuple[CorrectedRate, tuple[str, ...]]:
    made = CorrectedRate(run=run.name, name=name, treatment=treatment)
    try:
        target = read_source(run.folder)[-1]
        met = labels_of(run, meet(given.labels, {r["edit_id"] for r in run.rows}))
        own = with_arms(met, [target]).of_arm(control=False)
        edits = tuple(sorted(r["edit_id"] for r in run.of(treatment)))
        if not set(own.edits) & set(edits):
            return _refused(made, "no label is of its edits"), ()
        settings = Settings(
            design="random" if given.design == "random" else "within_verdict", level=run.level
        )
        report = correct(target, own, settings, edits=edits, plan=given.plan)
    except IsrError as error:
        return _refused(made, _sentence(error)), ()
    found = report.rates.get("outcome")
    if found is None or found.corrected is None:
        return _refused(made, found.refused if found else "no label is of its outcome"), report.warnings
    told = tuple(f"{name}: {w}" for w in report.warnings if not w.startswith(("semantic:", "perceptual:")))
    part = next(p for p in run.result.treatments if spelt(p.treatment) == spelt(treatment))
    judged = shown_in(run.result, part)["isr"]
    people = shown(
        "isr_corrected",
        _estimate(found, found.corrected, run.level, given.design),
        part.headline,
        of=judged.of,
    )
    return CorrectedRate(
        run=run.name, name=name, treatment=treatment, found=found, judged=judged, people=people
    ), told


def _estimate(found: Correction, c: Interval, level: float, design: str) -> Estimate:
    """The rate to people with its bounds: on how many labels of which design it rests stands in its method."""
    return Estimate(
        value=c.value, low=c.low, high=c.high, level=level, method=f"{c.method}; {found.labels} labels, design {design}",
        n=c.n, clusters=c.clusters, bounds=found.bounds, identified=found.identified, notes=c.notes,
    )  # fmt: skip


def _refused(made: CorrectedRate, why: str) -> CorrectedRate:
    return CorrectedRate(run=made.run, name=made.name, treatment=made.treatment, refused=why)


def _sentence(error: IsrError) -> str:
    return str(error).removeprefix("isr calibrate: ")

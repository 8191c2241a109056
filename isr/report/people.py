"""What a report says about labels: agreement of each judge with people, of people with each other, reliability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isr.errors import IsrError
from isr.people.agree import agree
from isr.people.agreement_study import AgreementStudy, Choices
from isr.people.arms import with_arms
from isr.people.judgements import read_source
from isr.people.label_files import load_labels
from isr.people.labels import Label, Labels
from isr.people.meeting import meet, named, unmet, unmet_told
from isr.people.study_file import named_apart
from isr.report.reliability import Reliability, reliabilities
from isr.report.runs import ReportRun, told_apart
from isr.scoring.places import folder_beside, home_of
from isr.text import counted

LOW_KAPPA, HIGH_AC1 = 0.2, 0.6
CONTROLS = "labels-controls.csv"
"""Beside ``labels.csv``: what people said of control edits, as ``isr label`` writes it."""


@dataclass(frozen=True, kw_only=True)
class People:
    """Labels and what follows from them; ``trouble`` says why agreement could not be measured.

    ``notes``: labels that no run here has a use for.
    """

    labels: Labels
    file: str
    studies: tuple[
        tuple[str, AgreementStudy], ...
    ] = ()  # of each run with labels, named if there are several
    reliable: tuple[Reliability, ...] = ()
    trouble: str = ""
    notes: tuple[str, ...] = ()

    @property
    def raters(self) -> str:
        """``3 raters``."""
        return counted(len(self.labels.raters), "rater")

    @property
    def several(self) -> bool:
        """Whether people can agree with each other at all."""
        return len(self.labels.raters) > 1


def low_kappas(study: AgreementStudy) -> Iterator[str]:
    """Why a kappa is near zero though judge and people nearly always agree, for each judge and question where it is so."""
    for question, said in study.questions.items():
        for one in said.judges:
            a = one.agreement
            low, high = (
                a.kappa.value is not None and a.kappa.value < LOW_KAPPA,
                a.ac1.value is not None and a.ac1.value >= HIGH_AC1,
            )
            if not low or not (high or a.kappa.low is None):
                continue
            by_people, by_judge = (sum(row[1] for row in a.table), sum(a.table[1]))
            yield (
                f"{one.judge}, {question}: κ {_two(a.kappa.value)} beside AC1 {_two(a.ac1.value)}. Of {a.n} edits people call {by_people} a failure and the "
                f"judge {by_judge}: where nearly all edits are on one side, κ is near 0 however often both agree, and it has no interval where one "
                "of them never changes sides."
            )


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def find_labels(runs: Sequence[ReportRun]) -> Path | None:
    """The first labels found beside a run, see ``labels_beside``."""
    found = (labels_beside(run.folder, run.root) for run in runs)
    return next((path for path in found if path is not None), None)


def labels_beside(folder: Path, root: Path | None) -> Path | None:
    """``labels.csv`` in a run's folder or its home, or in ``DIR.labels`` beside its edits, where ``isr label`` writes."""
    beside = [folder / "labels.csv", home_of(folder) / "labels.csv"]
    if root is not None:
        beside += [folder_beside(path, ".labels") / "labels.csv" for path in (root, root.resolve())]
    return next((path for path in beside if path.is_file()), None)


def with_controls(file: Path) -> list[Path]:
    """A file of labels, and the one of control edits that ``isr label`` wrote beside its ``labels.csv``."""
    beside = file.with_name(CONTROLS)
    return [file, beside] if file.name == "labels.csv" and beside.is_file() else [file]


def people(runs: Sequence[ReportRun], file: Path) -> People:
    """Agreement and reliability from a file of labels. Raises ``InputError`` if the file cannot be read."""
    labels = load_labels(with_controls(file))
    labels = meet(labels, {e for run in runs for e in _digests(run)})
    found = [labels_of(run, labels) for run in runs]
    notes = tuple(_left_out(runs, labels, found))
    studies, troubles = [], []
    try:
        sources = [[j for j in read_source(run.folder) if not j.is_people] for run in runs]
        names = told_apart(runs, [[j.name for j in some] for some in sources])
    except IsrError as error:
        return People(labels=labels, file=file.name, trouble=str(error), notes=notes)
    found = [with_arms(own, some) for own, some in zip(found, sources, strict=True)]
    for run, own, some, called in zip(runs, found, sources, names, strict=True):
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        if not own.rows:
            troubles.append(f"{prefix}no label is of an edit of this run")
            continue
        try:
            judges = named_apart([replace(j, name=n) for j, n in zip(some, called, strict=True)])
            choices = Choices(consensus="majority", level=run.level)
            study = agree(own, judges, choices)
            studies.append((prefix, study))
            if study.controls is not None:
                studies.append((f"{prefix}control edits: ", study.controls))
        except IsrError as error:
            troubles.append(f"{prefix}{error}")
    reliable = tuple(reliabilities(runs, [own.of_arm(control=False) for own in found])) if studies else ()
    return People(
        labels=labels,
        file=file.name,
        studies=tuple(studies),
        reliable=reliable,
        trouble="; ".join(troubles),
        notes=notes,
    )


def checked(found: People | None) -> list[str]:
    """The judges that people's labels were compared with, by their cards' names."""
    if found is None:
        return []
    named = (j.judge for _, study in found.studies for q in study.questions.values() for j in q.judges)
    return list(dict.fromkeys(name.partition(" (")[0] for name in named))


def _left_out(runs: Sequence[ReportRun], labels: Labels, found: Sequence[Labels]) -> Iterator[str]:
    """That labels are of edits of no run here, or of other pixels, where it is so."""
    known = {e for run in runs for e in _digests(run)}
    if lost := unmet(labels, known):
        yield unmet_told(lost, labels, known)
    other = sorted({e for e in labels.edits if e in known} - {e for own in found for e in own.edits})
    if other:
        yield f"{len(other)} labelled edits are of other pixels than the judged ones: {named(other)}"


def labels_of(run: ReportRun, labels: Labels) -> Labels:
    """The labels of a run's edits: of the same pixels where both sides name them, else by edit_id."""
    digests, controls = _digests(run), _digests(run, "control")

    def same(label: Label) -> bool:
        found = [] if label.arm == "control" else [digests.get(label.edit_id)]
        found.append(controls.get(label.edit_id) if label.arm or label.edit_sha256 else None)
        return any(d is not None and (not label.edit_sha256 or d in ("", label.edit_sha256)) for d in found)

    return replace(labels, rows=tuple(r for r in labels.rows if same(r)))


def _digests(run: ReportRun, arm: str = "protected") -> dict[str, str]:
    return {r["edit_id"]: r.get("edit_sha256", "") for r in run.rows if r["arm"] == arm}

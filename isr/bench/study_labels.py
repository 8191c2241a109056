"""People's labels in a study: the table ``labels`` of its file, read, and the study's comparisons corrected by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from isr.people.confirm import confirm_family, label_parts
from isr.people.correct import read_plan
from isr.people.labels import Labels, independent
from isr.people.pair_labels import LabelChoices, PairDesign, people_on_units
from isr.people.study_file import LabelsPart, study_labels
from isr.scoring.comparison import Confirmed
from isr.scoring.finished import Contender, EditRow
from isr.scoring.sampling import Sampling
from isr.stats.paired import PairedComparison
from isr.types import Treatment, Unit

NOBODY = Treatment("", "", "", "")


class StudyLabels(LabelsPart):
    """Labels of the study's edits. ``design``: how the labelled units were chosen; ``plan``: of labels within verdict."""

    design: PairDesign
    plan: str = ""
    allow_unmatched: bool = False

    def files(self) -> list[tuple[str, str]]:
        """Every file that it names, with the key that names it."""
        named = [self.file] if isinstance(self.file, str) else list(self.file)
        more = (("guideline_file", self.guideline_file), ("plan", self.plan))
        return [*(("file", f) for f in named), *((k, f) for k, f in more if f)]


def label_problems(raw: Any, root: Path) -> Iterator[tuple[str, str, str, str]]:
    """Files that the table ``labels`` names and that are not there: field, expected, found, what to do."""
    try:
        part = StudyLabels.model_validate(raw)
    except ValidationError:
        return  # said with the rest of the file
    for key, file in part.files():
        if not (root / file).is_file():
            yield f"labels.{key}", "a file beside the study", repr(file)[:80], "correct the path"


@dataclass(frozen=True)
class Labelled:
    """The labels of a study, and how they were drawn."""

    labels: Labels
    choices: LabelChoices

    @classmethod
    def read(cls, part: StudyLabels, root: Path) -> Labelled:
        """Raises ``InputError``."""
        choices = LabelChoices(
            design=part.design,
            consensus=part.consensus,
            pool_guidelines=part.pool_guidelines,
            allow_unmatched=part.allow_unmatched,
            plan=read_plan(root / part.plan) if part.plan else None,
        )
        return cls(study_labels(part, root), choices)

    def held_against(self, instruments: Sequence[Mapping[str, Any]]) -> Labelled:
        """The labels, to be held against the instruments of some runs where they name a plan."""
        return replace(self, choices=replace(self.choices, instruments=instruments))


@dataclass(frozen=True)
class People:
    """What labels say of a family: its members in order, parts of its signature, what is to be said."""

    members: tuple[Confirmed, ...]
    signature: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def corrected(
    family: Sequence[PairedComparison],
    sides: Mapping[str, Mapping[Unit, EditRow]],
    every: Mapping[str, Mapping[Unit, EditRow]],
    unprotected: frozenset[str],
    labelled: Labelled,
    *,
    drawn: Sampling,
    level: float,
) -> People:
    """The family as people would see it. sides: edits by the names that its members have; every: those of the whole study, whose
    labels may be of any; unprotected: names of control edits.
    """
    labels = independent(labelled.labels)
    held = {name: Contender(name, "", NOBODY, rows) for name, rows in {**every, **sides}.items()}
    people = people_on_units(
        [c for name, c in held.items() if name not in unprotected],
        labels,
        labelled.choices,
        unprotected=[c for name, c in held.items() if name in unprotected],
    )
    both = [(sides[one.first], sides[one.second]) for one in family]
    members = confirm_family(family, both, people, labelled.choices, drawn=drawn, level=level)
    return People(members, label_parts(labels, people, labelled.choices), people.warnings)

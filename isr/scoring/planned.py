"""What is wanted of a study that is planned, what is known of it, and what is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isr.errors import UsageError
from isr.scoring.finished import Contender, EditRow, contenders, read_run
from isr.signature import Signature
from isr.stats.rows import codes
from isr.text import did_you_mean, html_table, summary
from isr.types import Floats, Ints, Unit


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A precision, and what is known of the data. ``None``: not asked for, or not known.

    ``half_width`` of the ISR; ``images`` at hand: the half-width that they give; ``difference`` of two methods on the same
    edits, to be detected with ``power``: images, or with ``images`` at hand prompts for each; ``label_half_width`` of a judge-corrected ISR; ``labels`` to be shared
    out; ``margin`` within which two methods without a difference are to be shown to lie; ``label_difference`` of two methods to
    people, by labels of the pilot's units on both. ``pilot``: a finished run; ``method`` and ``against``: its treatments. ``human_rates``: share of edits that
    people call immunized where the judge says not immunized, and where it says immunized. ``quality``: the judge's sensitivity
    and specificity. ``assurance``: share of such
    pilots after which the plan holds what it promises. ``family``: comparisons that are declared together (Holm).
    """

    half_width: float | None = None
    difference: float | None = None
    images: int | None = None
    label_half_width: float | None = None
    labels: int | None = None
    margin: float | None = None
    label_difference: float | None = None
    pilot: Path | None = None
    method: str = ""
    against: str = ""
    rate: float | None = None
    icc: float | None = None
    per_image: float | None = None
    discordant: float | None = None
    human_rates: tuple[float, float] = (0.1, 0.9)
    quality: tuple[float, float] = (0.9, 0.9)
    assurance: float = 0.8
    family: int = 1
    power: float = 0.8
    level: float = 0.95


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What the plan rests on, and where it comes from. ``cv``: of the numbers of edits of the images."""

    rate: float
    icc: float
    per_image: float
    cv: float
    source: str
    factor: float = 1.0  # by which the pilot's variance is raised


@dataclass(frozen=True)
class ImagesNeeded:
    """What images, with how many edits each, a wish needs; ``None``: no number is enough."""

    wanted: str
    answer: str
    images: int | None
    per_image: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The half-width of the ISR that images at hand give; ``None``: half a rate's range or more."""

    wanted: str
    answer: str
    images: int
    per_image: float
    half_width: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LabelsNeeded:
    """How many labels a wish needs by the judge's verdict; ``half_width`` of the corrected ISR that they give."""

    wanted: str
    answer: str
    not_immunized: int
    immunized: int
    half_width: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class UnitsNeeded:
    """How many units a wish needs people to label, on both methods' edits; ``None``: labels on all are not enough."""

    wanted: str
    answer: str
    units: int | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """An answer to each wish, and what all rest on."""

    guess: Guess
    answers: tuple[ImagesNeeded | Precision | LabelsNeeded | UnitsNeeded, ...]

    def __repr__(self) -> str:
        lines = [f"{len(self.answers)} answer(s); they rest on {self.guess.source}"]
        return summary("Planned", [*lines, *(f"  {a.wanted}: {a.answer}" for a in self.answers)])

    def _repr_html_(self) -> str:
        """Each wish with its answer, for notebooks."""
        rows = [(a.wanted, a.answer, "; ".join(a.notes)) for a in self.answers]
        return html_table(("wanted", "answer", "notes"), rows, [f"rests on {self.guess.source}"])

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "schema": "isr.plan/1",
            "rests_on": asdict(self.guess),
            "plans": [asdict(a) for a in self.answers],
        }


def chosen(pilot: Path, option: str, name: str) -> Contender:
    """The treatment of a pilot run that an option names; its first one without a name. Raises ``UsageError``."""
    found = contenders([read_run(pilot)])
    for contender in found:
        if not name or name in (contender.name, contender.treatment.method):
            return contender
    if not found:
        raise UsageError(f"--pilot {pilot}: expected judged edits; found none; choose another run")
    names = [c.name for c in found]
    raise UsageError(
        f"{option} {name}: expected one of {'; '.join(names)}; {did_you_mean(name, names, 'choose one')}"
    )


def paired(pilot: Contender, o: Wanted) -> tuple[str, Floats, Ints]:
    """What the method is held against, (2, n) outcomes of the units that the judge decided on both sides, and their images."""
    assert o.pilot is not None
    other: Mapping[Unit, EditRow] = read_run(o.pilot).controls
    if o.against:
        other = chosen(o.pilot, "--against", o.against).edits
    name = o.against or "control edits"
    return name, *paired_units(pilot.edits, other, name)


def paired_units(
    first: Mapping[Unit, EditRow], other: Mapping[Unit, EditRow], name: str
) -> tuple[Floats, Ints]:
    """(2, n) outcomes of the units that the judge decided on both sides, and their images. Raises ``UsageError`` below two."""
    both = [(u, first[u].outcome, other[u].outcome) for u in first if u in other]
    both = [x for x in both if x[1] == x[1] and x[2] == x[2]]
    if len(both) < 2:
        raise UsageError(f"--against: expected units shared with {name}; found {len(both)} decided pairs")
    return np.array([x[1:] for x in both]).T, codes([u.image_id for u, *_ in both])


def raised(factor: float, o: Wanted) -> list[str]:
    """That a pilot's variance was raised, where it was."""
    if factor <= 1:
        return []
    return [
        f"the pilot's variance counts {factor:.2f}-fold: the true one is no larger after {o.assurance:.0%} of such pilots"
    ]


def stopped_told(pilot: Path) -> str:
    """That a pilot stopped by what was seen, where it did; ``""`` otherwise."""
    rule = Signature.parse(read_run(pilot).signature).get("until")
    return f"; it stopped by {rule}, which favours pilots whose spread looks small" if rule else ""

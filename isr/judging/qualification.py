"""Qualifications that were made before, found again for the judges of a run.

A qualification speaks for one judge identity under the rubrics that it was made with, and for no other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isr.errors import InputError, Problem, UsageError
from isr.judging.cards import Card
from isr.judging.rubrics import Rubric
from isr.reading import read_json, why

log = logging.getLogger("isr")

SCHEMA = "isr.qualification/1"
FILE = "qualification.json"
FOLDER = "qualify"  # in a results' folder: one folder for each judge
PASSED, NOT_APPLICABLE = "passed", "not applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualified:
    """What is known about one judge of a run; ``verdict`` is empty if it was not qualified."""

    judge: str
    card: str = ""  # as a command line names it
    verdict: str = ""
    passed: int = 0
    of: int = 0
    reservations: tuple[str, ...] = ()
    signature: str = ""
    models: tuple[str, ...] = ()

    def text(self) -> str:
        """One line for people, beside the result."""
        if not self.verdict:
            return f"judge {self.judge}: not qualified under these rubrics; isr qualify {self.card or self.judge} EDIT_DIR"
        but = f"; {', '.join(self.reservations)}" if self.reservations else ""
        return f"judge {self.judge}: {self.verdict}, {self.passed} of {self.of} probes that apply passed{but}"

    def beside(self, models: Sequence[str]) -> Qualified:
        """The same, with the reservation that other models answered in this run, where that is so."""
        if not self.verdict or not models or set(models) <= set(self.models):
            return self
        now = f"{', '.join(models)} answered this run, {', '.join(self.models) or 'no name'} the probes"
        return replace(self, reservations=(*self.reservations, now))

    def as_dict(self) -> dict[str, Any]:
        return {
            "judge": self.judge,
            "verdict": self.verdict or None,
            "probes_passed": self.passed,
            "probes_applicable": self.of,
            "reservations": list(self.reservations),
            "signature": self.signature,
            "reported_models": list(self.models),
        }


def read_qualification(path: Path) -> dict[str, Any]:
    """A ``qualification.json`` as it was written. Raises ``InputError`` if the file is none."""
    file = path / FILE if path.is_dir() else path
    try:
        raw: dict[str, Any] = read_json(file)
        if raw["schema"] != SCHEMA:
            raise ValueError(f"schema {raw['schema']}")
        _summary(raw)
        raw["judge"]["digest"], {r["digest"] for r in raw["rubrics"]}, raw["data"]
    except (ValueError, KeyError, TypeError) as error:
        problem = Problem(
            str(file), "", f"a qualification of version {SCHEMA}", why(error), "run isr qualify"
        )
        raise InputError("a qualification cannot be read", [problem]) from error
    return raw


def _summary(raw: Mapping[str, Any]) -> Qualified:
    judge, statuses = raw["judge"], [p["status"] for p in raw["probes"]]
    return Qualified(
        judge=judge["name"],
        verdict=raw["verdict"],
        passed=statuses.count(PASSED),
        of=len(statuses) - statuses.count(NOT_APPLICABLE),
        reservations=tuple(raw["reservations"]),
        signature=raw["signature"],
        models=tuple(judge["reported_models"]),
    )


def qualifications(
    members: Sequence[Card], rubrics: Sequence[Rubric], folder: Path, named: Sequence[Path] = ()
) -> tuple[Qualified, ...]:
    """What is known about each judge: from the files ``named``, else from ``folder``/qualify.

    Raises ``InputError`` if a named file cannot be read, ``UsageError`` if it speaks for no judge of the run.
    """
    asked = {r.digest for r in rubrics}
    known: dict[str, Qualified] = {}
    for path, raw in [*_found(folder), *((p, read_qualification(p)) for p in named)]:
        card = next((c for c in members if c.digest == raw["judge"]["digest"]), None)
        if card is not None and {r["digest"] for r in raw["rubrics"]} == asked:
            known[card.name] = _summary(raw)
        elif path in named:
            judges = ", ".join(c.signature for c in members)
            raise UsageError(
                f"--qualification {path}: expected one of {judges} under the rubrics of this run; "
                f"found {raw['signature']}; run isr qualify again, or leave the option out"
            )
    return tuple(known.get(c.name, Qualified(judge=c.name, card=c.given)) for c in members)


def _found(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((folder / FOLDER).glob(f"*/{FILE}")):
        try:
            yield path, read_qualification(path)
        except InputError as error:
            log.warning("left out: %s", error)

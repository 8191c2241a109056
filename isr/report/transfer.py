"""Transfer: each method against each editor and purifier, with the control edits of the same units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from isr.report.forest import Of, held_by_line, judges, rate_of
from isr.report.runs import ReportRun
from isr.scoring.shown import Shown
from isr.tables import csv_table
from isr.text import value_in_words
from isr.types import Treatment

Attack = tuple[str, str]
"""Editor and purifier."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The rate of some edits, how many they are, and the address that shows them in the gallery."""

    shown: Shown
    edits: int
    href: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """What one judge says: a line for each method and for the control edits, a cell for each attack, ``None`` where nothing is."""

    judge: str
    attacks: tuple[Attack, ...]
    lines: tuple[tuple[str, bool, tuple[Cell | None, ...]], ...]

    @property
    def editors(self) -> list[tuple[str, int]]:
        """The editors in words, each with the number of its columns."""
        out: dict[str, int] = {}
        for editor, _ in self.attacks:
            out[editor] = out.get(editor, 0) + 1
        return [(value_in_words("editor", editor), n) for editor, n in out.items()]

    @property
    def purifiers(self) -> list[str]:
        """The purifier of each column in words."""
        return [value_in_words("purifier", purifier) for _, purifier in self.attacks]


def matrices(runs: Sequence[ReportRun]) -> list[Matrix]:
    """A matrix for each judge; none where all edits are by one editor under one purifier."""
    held = held_by_line(runs)
    attacks = tuple(sorted({_attack(r) for some in held.values() for of in some for r in of.rows}))
    if len(attacks) < 2:
        return []
    out = []
    for judge in judges(runs):
        lines = [
            (label, "control" in of.part.estimates, tuple(_cell(runs, of, attack) for attack in attacks))
            for label, some in held.items()
            for of in some
            if of.judge.name == judge.name
        ]
        if lines:
            out.append(Matrix(judge.said, attacks, tuple(lines)))
    return out


def _attack(row: Mapping[str, str]) -> Attack:
    return row.get("editor", ""), row.get("purifier", "")


def _cell(runs: Sequence[ReportRun], of: Of, attack: Attack) -> Cell | None:
    rows = [r for r in of.rows if _attack(r) == attack]
    if not rows:
        return None
    name = "control" if "control" in of.part.estimates else "isr"
    number = next(i for i, run in enumerate(runs) if run is of.run)
    what = [] if name == "control" else [rows[0].get(c, "") for c in Treatment._fields]
    return Cell(rate_of(of.run, name, rows), len(rows), address(number, attack, what))


def address(run: int, attack: Attack, treatment: Sequence[str]) -> str:
    """The address of the edits of a cell: ``#set=cell:RUN/EDITOR/PURIFIER/METHOD/CONFIG/EPS/SURROGATE``, each part quoted.

    Without a treatment: of the units whose control edits these are.
    """
    argument = "/".join([str(run), *(quote(part, safe="") for part in (*attack, *treatment))])
    return f"#set={quote(f'cell:{argument}', safe='')}"


def transfer_csv(found: Sequence[Matrix]) -> str:
    """Every cell of the matrices, unrounded."""
    header = ("judge", "edits", "editor", "purifier", "value", "low", "high", "level", "bound_low", "bound_high", "identified_low", "identified_high", "n", "of", "images", "shown")  # fmt: skip
    rows = [
        (
            m.judge, label, editor, purifier, e.value, e.low, e.high, e.level, *(e.bounds or (None, None)), *(e.identified or (None, None)),
            e.n, cell.edits, e.clusters, cell.shown.kind,
        )
        for m in found
        for label, _, cells in m.lines
        for (editor, purifier), cell in zip(m.attacks, cells, strict=True)
        if cell is not None
        for e in (cell.shown.estimate,)
    ]  # fmt: skip
    return csv_table(header, rows)

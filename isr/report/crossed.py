"""Outcomes of two methods crossed on the units that both have: how many in each cell, in words, and the edits in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from isr import text
from isr.report.gallery import OUTCOMES, Key, key_of
from isr.scoring.finished import EditRow
from isr.types import Unit

Edits = Mapping[Unit, EditRow]
"""The edits of one method of one run, by unit."""
STATES = tuple(o.replace("_", " ") for o in OUTCOMES)
IMMUNIZED, NOT_IMMUNIZED, UNDECIDED = range(len(OUTCOMES))


class Cell(NamedTuple):
    """One cell of a crossed table. ``code``: the outcome under the first, then under the second, as digits."""

    code: str
    n: int
    words: str


@dataclass(frozen=True, kw_only=True)
class Crossed:
    """``counts[a][b]``: shared units with outcome ``a`` under the first and ``b`` under the second, in the order of ``OUTCOMES``.

    ``first_alone``, ``second_alone``: units that the other one does not have, which no cell counts.
    """

    counts: tuple[tuple[int, ...], ...]
    first_alone: int = 0
    second_alone: int = 0

    @property
    def won(self) -> int:
        """Units that only the first is immunized on, of those that both decide."""
        return self.counts[IMMUNIZED][NOT_IMMUNIZED]

    @property
    def lost(self) -> int:
        """Units that only the second is immunized on, of those that both decide."""
        return self.counts[NOT_IMMUNIZED][IMMUNIZED]

    @property
    def shared(self) -> int:
        """Units that both have."""
        return sum(map(sum, self.counts))

    @property
    def undecided(self) -> int:
        """Shared units that are undecided on one side or both."""
        return self.shared - sum(sum(row[:UNDECIDED]) for row in self.counts[:UNDECIDED])

    @property
    def states(self) -> range:
        """The outcomes that the table shows: undecided only where there is one."""
        return range(len(OUTCOMES) if self.undecided else UNDECIDED)

    def cell(self, a: int, b: int, first: str, second: str) -> Cell:
        """One cell, with its words under the names of the two methods."""
        n = self.counts[a][b]
        return Cell(f"{a}{b}", n, f"{text.counted(n, 'unit')}: {_words(a, b, first, second)}")

    def reading(self, first: str, second: str, p_holm: float | None) -> str:
        """The table in a sentence: the one that wins more units comes first."""
        if self.lost > self.won:
            return _turned(self).reading(second, first, p_holm)
        if self.won == self.lost:
            said = (
                f"{first} and {second} are each immunized on {text.counted(self.won, 'unit')} where the other is not"
                if self.won
                else f"no unit is immunized under only one of {first} and {second}"
            )
        else:
            said = (
                f"{first} is immunized on {text.counted(self.won, 'unit')} where {second} is not; "
                f"the reverse on {self.lost}"
            )
        parts = [said, f"both are decided on {self.shared - self.undecided} of {self.shared} shared units"]
        parts += [
            f"{text.counted(n, 'unit')} of {name} only"
            for name, n in ((first, self.first_alone), (second, self.second_alone))
            if n
        ]
        parts.append("no test" if p_holm is None else f"p (Holm) {text.p_value(p_holm)}")
        return "; ".join(parts)


def _turned(table: Crossed) -> Crossed:
    return Crossed(
        counts=tuple(zip(*table.counts, strict=True)),
        first_alone=table.second_alone,
        second_alone=table.first_alone,
    )


def _words(a: int, b: int, first: str, second: str) -> str:
    if (a, b) == (NOT_IMMUNIZED, NOT_IMMUNIZED):
        return f"immunized under neither {first} nor {second}"
    if a == b:
        return f"{STATES[a]} under both {first} and {second}"
    if {a, b} == {IMMUNIZED, NOT_IMMUNIZED}:
        one, other = (first, second) if a == IMMUNIZED else (second, first)
        return f"immunized under {one}, not under {other}"
    return f"{STATES[a]} under {first}, {STATES[b]} under {second}"


def crossed(first: Edits, second: Edits) -> Crossed:
    """The outcomes of two methods crossed on the units that both have; never raises, also where there is none."""
    counts = [[0] * len(OUTCOMES) for _ in OUTCOMES]
    shared = first.keys() & second.keys()
    for unit in shared:
        counts[outcome_of(first[unit])][outcome_of(second[unit])] += 1
    return Crossed(
        counts=tuple(map(tuple, counts)),
        first_alone=len(first) - len(shared),
        second_alone=len(second) - len(shared),
    )


def outcome_of(row: EditRow) -> int:
    """The place of an edit's outcome in ``OUTCOMES``."""
    if math.isnan(row.outcome):
        return UNDECIDED
    return IMMUNIZED if row.outcome else NOT_IMMUNIZED


def pair_data(families: Sequence[Sequence[tuple[Edits, Edits] | None]], places: Mapping[Key, int]) -> Any:
    """For the page's script, where it finds the edits of each cell; no cell is listed, each is found of its two sides.

    families: the sides of each pair of each family, ``None`` where they are not known. places: the number of each edit in
    the gallery. ``sides``: for each unit the number of the edit, -1 where there is none, and a digit for its outcome.
    ``families``: for each pair the two sides, or ``None``.
    """
    sides: dict[int, Edits] = {id(s): s for family in families for pair in family if pair for s in pair}
    numbers = {key: number for number, key in enumerate(sides)}
    units = sorted({unit for side in sides.values() for unit in side})
    return {
        "sides": [
            {
                "entries": [places[key_of(side[u].columns)] if u in side else -1 for u in units],
                "said": "".join(str(outcome_of(side[u])) if u in side else "-" for u in units),
            }
            for side in sides.values()
        ],
        "families": [
            [None if pair is None else [numbers[id(s)] for s in pair] for pair in family]
            for family in families
        ],
    }

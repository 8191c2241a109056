"""From verdicts to outcomes: repeats, panels and the two questions, in three-valued logic.

Every rule but the tie of an even majority is monotone in its verdicts, so its value is certain exactly where
it is the same with all unknown verdicts at ``fine`` and with all of them at ``fails`` (Kleene, 1938). Both
ends are carried as two boolean arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isr.types import Bools, Question, Value, Verdict

QUESTIONS = tuple(Question)
DECIDED = (Value.FAILS, Value.FINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Outcomes of n judged edits. ``*_low``: certainly so; ``*_high``: possibly so; each bool (n,).

    ``decided``: every needed answer was given and decided, and the panel did not tie; only these enter a
    point estimate, and on them low equals high.
    """

    decided: Bools
    immunized_low: Bools
    immunized_high: Bools
    semantic_low: Bools
    semantic_high: Bools
    perceptual_low: Bools
    perceptual_high: Bools
    tied: Bools

    def __len__(self) -> int:
        return len(self.decided)

    @property
    def both_low(self) -> Bools:
        return self.semantic_low & self.perceptual_low

    @property
    def both_high(self) -> Bools:
        return self.semantic_high & self.perceptual_high

    def take(self, rows: np.ndarray) -> Outcomes:
        """The outcomes of some rows (indices or a mask)."""
        return Outcomes(**{name: getattr(self, name)[rows] for name in self.__slots__})

    def word(self, row: int) -> str:
        """``immunized``, ``not_immunized`` or ``undecided``."""
        if not self.decided[row]:
            return "undecided"
        return "immunized" if self.immunized_low[row] else "not_immunized"


@dataclass(frozen=True, slots=True)
class Ballot:
    """Verdicts of J judges on 2 questions about n edits after repeats were joined; each bool (J, 2, n)."""

    low: Bools
    high: Bools
    decided: Bools

    @classmethod
    def empty(cls, judges: int, n: int) -> Ballot:
        """Nothing answered yet."""
        shape = (judges, len(QUESTIONS), n)
        return cls(np.zeros(shape, np.bool_), np.ones(shape, np.bool_), np.zeros(shape, np.bool_))

    def cast(self, judge: int, question: Question, row: int, verdicts: Sequence[Verdict]) -> None:
        """Enters the repeats of one question: the majority's verdict; decided only if every repeat is."""
        values = [v.value for v in verdicts]
        at = (judge, QUESTIONS.index(question), row)
        self.low[at], self.high[at] = _ends(values)
        self.decided[at] = Value.UNDECIDED not in values


def repeats(cell: str) -> list[Value]:
    """The verdicts in a cell of a table, one a repeat; an empty cell or an unknown word is undecided."""
    return [Value(word) if word in DECIDED else Value.UNDECIDED for word in cell.split("|")]


def of_rows(rows: Sequence[Mapping[str, str]], judges: Sequence[str], rule: str) -> Outcomes:
    """The outcomes of rows of ``edits.csv`` by these judges under a panel's rule."""
    ballot = Ballot.empty(len(judges), len(rows))
    for number, row in enumerate(rows):
        for j, name in enumerate(judges):
            for question in QUESTIONS:
                cell = row.get(f"{name}:{question.value}", "")
                ballot.cast(j, question, number, [Verdict(value=v) for v in repeats(cell)])
    return outcomes(ballot, rule)


def majority(values: Sequence[Value]) -> Value:
    """The repeats of one question as one verdict: the majority's, ``undecided`` if any of them is."""
    if Value.UNDECIDED in values:
        return Value.UNDECIDED
    return Value.FAILS if _ends(values)[0] else Value.FINE


def _ends(values: Sequence[Value]) -> tuple[bool, bool]:
    """Whether the majority fails for certain, and whether it may."""
    fails, unknown = values.count(Value.FAILS), values.count(Value.UNDECIDED)
    return 2 * fails > len(values), 2 * (fails + unknown) > len(values)


def outcomes(ballot: Ballot, rule: str) -> Outcomes:
    """The outcomes under a panel's rule.

    ``single`` and ``strict``: every judge finds a failure of either kind. ``majority``: more than half do; an
    even split is undecided. ``any``: at least one does. ``per_question``: all agree on the mismatch, or all
    agree on the degradation. Except under ``per_question``, an immunized edit counts as a semantic
    (perceptual) failure if at least one judge names that kind, so that semantic + perceptual - both = immunized.
    """
    low, _ = _apply(ballot.low, rule)
    certain, high = _apply(ballot.high, rule)
    all_decided = _all(ballot.decided, (0, 1))
    tied = all_decided & (high & ~certain)
    semantic_low, perceptual_low = _kinds(ballot.low, rule, low)
    semantic_high, perceptual_high = _kinds(ballot.high, rule, high)
    return Outcomes(
        decided=all_decided & ~tied,
        immunized_low=low,
        immunized_high=high,
        semantic_low=semantic_low,
        semantic_high=semantic_high,
        perceptual_low=perceptual_low,
        perceptual_high=perceptual_high,
        tied=tied,
    )


def _all(values: Bools, axis: int | tuple[int, ...]) -> Bools:
    return np.asarray(values.all(axis=axis), np.bool_)


def _any(values: Bools, axis: int) -> Bools:
    return np.asarray(values.any(axis=axis), np.bool_)


def _apply(fails: Bools, rule: str) -> tuple[Bools, Bools]:
    """(immunized, immunized or tied) for verdicts (J, 2, n)."""
    either: Bools = _any(fails, 1)
    out: Bools
    if rule == "per_question":
        out = _any(_all(fails, 0), 0)
    elif rule == "any":
        out = _any(either, 0)
    elif rule == "majority":
        votes = 2 * either.sum(axis=0)
        return votes > len(either), votes >= len(either)
    else:
        out = _all(either, 0)
    return out, out


def _kinds(fails: Bools, rule: str, immunized: Bools) -> tuple[Bools, Bools]:
    semantic, perceptual = fails[:, 0], fails[:, 1]
    if rule == "per_question":
        return immunized & _all(semantic, 0), immunized & _all(perceptual, 0)
    return immunized & _any(semantic, 0), immunized & _any(perceptual, 0)

"""Methods compared on the same units, as a report shows them: each pair with its difference, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from isr import text
from isr.errors import IsrError
from isr.people.compared import compare_finished
from isr.people.confirm_text import details
from isr.report.corrected import LabelsGiven
from isr.report.crossed import Crossed, Edits, crossed
from isr.report.names import pair_names
from isr.report.runs import ReportRun, spelt
from isr.scoring.comparison import Comparison, Confirmed
from isr.scoring.finished import SHARED, contenders, require_fixed
from isr.scoring.shown import Shown, headline, shown_pair
from isr.signature import Signature
from isr.stats.paired import PairedComparison
from isr.stats.rows import Prompts

MOST_PAIRS = 120
"""Pairs of methods that a page has room for; of more, those who wrote it name the baseline."""
MOST_NOTES = 12
STEPS = (0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class PairRow:
    """One pair: ``first`` minus ``second`` under the names of the report's rows, and where it was compared.

    ``sides``: the edits of both, where they are known.
    """

    first: str
    second: str
    found: PairedComparison
    people: Confirmed | None = None
    place: str = ""
    sides: tuple[Edits, Edits] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def crossed(self) -> Crossed | None:
        """The outcomes of both on the units that they share."""
        return None if self.sides is None else crossed(*self.sides)

    @property
    def wins(self) -> int | None:
        """Units that only the first is immunized on."""
        return None if self.found.mcnemar is None else self.found.mcnemar.only_first

    @property
    def losses(self) -> int | None:
        """Units that only the second is immunized on."""
        return None if self.found.mcnemar is None else self.found.mcnemar.only_second


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A family of pairs that are adjusted together; without pairs, ``reason`` says why there are none."""

    rows: tuple[PairRow, ...] = ()
    level: float = 0.95
    signature: str = ""
    runs: str = ""  # of which runs, where a report has others too
    warnings: tuple[str, ...] = ()
    reason: str = ""
    judges: tuple[str, ...] = ()  # each by name and model

    @property
    def reach(self) -> float:
        """The end of the axis to both sides: the first step that holds every interval."""
        ends = [abs(x) for row in self.rows for x in drawn_ends(row) if x is not None]
        return next((step for step in STEPS if step >= max(ends, default=0.0)), STEPS[-1])

    def at(self, difference: float) -> float:
        """Where a difference stands on the axis, 0 at its left end and 1 at its right."""
        return (difference / self.reach + 1) / 2

    def tick(self, share: float) -> str:
        """The axis's number at a share of its reach, from -1 to 1, in percentage points."""
        return f"{100 * share * self.reach:+g}" if share else "0"

    def shown(self, row: PairRow) -> Shown:
        """A pair's difference as it may be shown."""
        return shown_pair(row.found, self.level)

    @property
    def confirmed(self) -> bool:
        """Whether a difference is corrected by people's labels."""
        return any(row.people is not None and row.people.corrected is not None for row in self.rows)

    @property
    def several(self) -> bool:
        """Whether there are pairs to be adjusted together."""
        return len(self.rows) > 1

    @property
    def family(self) -> str:
        """How many pairs are adjusted together, in words."""
        return f"{len(self.rows)} comparison{'' if len(self.rows) == 1 else 's'}"

    @property
    def names(self) -> tuple[str, ...]:
        """The methods of the pairs, in the order in which they come."""
        return tuple(dict.fromkeys(name for row in self.rows for name in (row.first, row.second)))

    @property
    def clusters(self) -> str:
        """What the intervals are clustered on, in one word."""
        return "clusters" if "cluster" in Signature.parse(self.signature) else "images"

    @property
    def footnotes(self) -> tuple[str, ...]:
        """What the table's words mean."""
        said = (n for row in self.rows for n in row.found.notes)
        return tuple(text.footnotes(said, self.level, len(self.rows)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the pairs say of themselves, each sentence once."""
        said: dict[str, list[PairRow]] = {}
        for row in self.rows:
            for note in _said(row, self.level):
                said.setdefault(note, []).append(row)
        told = [f"{_whose(rows, len(self.rows))}{note}" for note, rows in said.items()]
        left = len(told) - MOST_NOTES
        return (*told[:MOST_NOTES], *((f"{left} more notes: isr compare prints them",) if left > 0 else ()))


def drawn_ends(row: PairRow) -> Iterator[float | None]:
    """The difference and the ends of its intervals."""
    yield from (row.found.difference.value, row.found.difference.low, row.found.difference.high)
    if (
        row.found.open is not None
        and headline(row.found.difference.n, row.found.difference.n + row.found.undecided) == "bounds"
    ):
        yield from (*row.found.open.bounds, *(row.found.open.identified or ()))
    yield from (row.found.simultaneous.low, row.found.simultaneous.high)
    if row.people is not None and row.people.corrected is not None:
        yield from (row.people.corrected.value, row.people.corrected.low, row.people.corrected.high)


def _said(row: PairRow, level: float) -> Iterator[str]:
    yield from (n for n in row.found.notes if not n.startswith("design effect"))
    if row.found.difference.low is None:
        yield from row.found.difference.notes
    if row.found.open is not None:
        yield text.left_open(row.found.open, level)
    if row.people is not None:
        if row.people.corrected is None:
            yield f"not corrected by people's labels: {row.people.refused}"
        yield from details(row.people, level)


def _whose(rows: Sequence[PairRow], every: int) -> str:
    if len(rows) == every:
        return ""
    return f"{rows[0].first} - {rows[0].second}: " if len(rows) == 1 else f"{len(rows)} pairs: "


def compared(runs: Sequence[ReportRun], given: LabelsGiven | None = None) -> tuple[Compared, ...]:
    """Every treatment against every other, one family for each instrument that judged; nothing of a single treatment.

    given: people's labels, by which each difference is corrected too; where they cannot, a warning says why. Never raises for runs that cannot be compared: ``reason`` says why in a sentence.
    """
    if sum(len(run.treatments) for run in runs) < 2:
        return ()
    groups: dict[str, list[int]] = {}
    for number, run in enumerate(runs):
        groups.setdefault(str(run.settings.only(SHARED)), []).append(number)
    found = [_family([runs[i] for i in group], len(groups) > 1, given) for group in groups.values()]
    apart = [_apart(runs[a[0]], runs[b[0]]) for a, b in pairwise(groups.values())]
    return (*(f for f in found if f is not None), *apart)


def _family(runs: Sequence[ReportRun], of_several: bool, given: LabelsGiven | None) -> Compared | None:
    called = ", ".join(dict.fromkeys(run.name for run in runs)) if of_several else ""
    size = sum(len(run.treatments) for run in runs)
    if size < 2:
        return None
    pairs = size * (size - 1) // 2
    if pairs > MOST_PAIRS:
        return Compared(
            runs=called,
            reason=f"{size} methods make {pairs} pairs, more than fit here; isr compare --baseline compares all with one",
        )
    finished = [run.finished for run in runs]
    try:
        require_fixed("a comparison", {run.name: run.result.signature for run in runs})
        plain = compare_finished(finished, prompts=_prompts(runs), level=runs[0].level)
        found = _confirmed(plain, runs, given)
    except IsrError as error:
        return Compared(runs=called, reason=_sentence(error))
    held = [
        (some, t)
        for run, some in zip(finished, pair_names(runs), strict=True)
        for t in sorted(run.treatments)
    ]
    every = contenders(finished)
    shown = {c.name: some.get(spelt(t), c.name) for c, (some, t) in zip(every, held, strict=True)}
    return of_comparison(found, runs[0].level, shown, called, {c.name: c.edits for c in every})


def _prompts(runs: Sequence[ReportRun]) -> Prompts:
    """Whether the first run's intervals take prompts as a sample: so do its differences."""
    return "random" if runs[0].settings.get("prompts") == "random" else "fixed"


def _confirmed(plain: Comparison, runs: Sequence[ReportRun], given: LabelsGiven | None) -> Comparison:
    """The comparison with the differences that people would see, or with a warning that says why there are none."""
    if given is None:
        return plain
    try:
        if (choices := given.choices(runs)) is None:
            return plain
        finished = [run.finished for run in runs]
        return compare_finished(finished, given.labels, choices, prompts=_prompts(runs), level=runs[0].level)
    except IsrError as error:
        why = str(error).removeprefix("isr compare --labels: ")
        return replace(
            plain, warnings=(*plain.warnings, f"people's labels do not correct the differences: {why}")
        )


def of_comparison(
    found: Comparison,
    level: float,
    shown: Mapping[str, str] | None = None,
    runs: str = "",
    edits: Mapping[str, Edits] | None = None,
) -> Compared:
    """A comparison under the names of a report's rows (``shown``, by the contenders' names), or under its own.

    edits: by the contenders' names, for the outcomes of each pair crossed.
    """
    called, held = shown or {}, edits or {}
    return Compared(
        rows=tuple(
            PairRow(
                first=called.get(one.first, one.first),
                second=called.get(one.second, one.second),
                found=one,
                people=next(
                    (
                        p
                        for p in found.confirmed
                        if not p.by and (p.first, p.second) == (one.first, one.second)
                    ),
                    None,
                ),
                sides=(held[one.first], held[one.second])
                if one.first in held and one.second in held
                else None,
            )
            for one in found.family
        ),
        level=level,
        signature=found.signature,
        judges=found.judges,
        runs=runs,
        warnings=found.warnings,
    )


def _apart(one: ReportRun, other: ReportRun) -> Compared:
    """That runs of two instruments are not compared, and in what these differ."""
    for run in (one, other):
        if rule := run.settings.get("until"):
            return Compared(
                reason=f"{run.name} stops by {rule}, and tests of a fixed number of images do not hold for it; score it without --until"
            )
    parts = ", ".join(d.name for d in one.settings.only(SHARED).difference(other.settings.only(SHARED)))
    return Compared(
        reason=f"{one.name} and {other.name} were not scored alike (they differ in {parts}), and a difference between them could "
        "come from that; score both with the same judge, rubrics and settings"
    )


def _sentence(error: IsrError) -> str:
    """The words of a refusal, without the command that they were written for."""
    return str(error).removeprefix("isr compare: ").removeprefix("a comparison: ")

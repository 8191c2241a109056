"""What a report says first: one sentence for each method, one for the control edits, by whom it was judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isr.report.forest import Block, Judge, Line, Row
from isr.report.runs import ReportRun
from isr.scoring.shown import UNDECIDED_SHARE, Shown


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a sentence; the rates of methods are ``bold``."""

    words: str
    bold: bool = False


Sentence = tuple[Piece, ...]


def lede(block: Block, judges: Sequence[Judge]) -> list[Sentence]:
    """A sentence for each line of the block of all edits; what several judges say of one line stands in one sentence."""
    out = [tuple(_sentence(line, judges)) for line in block.lines]
    if any(row.shown.is_range for row in block.rows):
        share = f"{UNDECIDED_SHARE:.0%}"
        out.append(
            (
                Piece(
                    f"Where a range stands, more than {share} of the edits are undecided: too many for one value."
                ),
            )
        )
    return out


def _sentence(line: Line, judges: Sequence[Judge]) -> Iterator[Piece]:
    several = len({row.series for row in line.rows}) > 1
    control = line.kind == "control"
    shown = [row for row in line.rows if row.shown.kind != "nothing"]
    if not shown:
        what = "the edits without protection" if control else line.label
        yield Piece(f"No value for {what}: {line.rows[0].shown.reason}.")
        return
    if control:
        yield Piece(f"Without protection{line.label.removeprefix('control edits')}, ")
    elif several:
        yield Piece(f"Under {line.label} ")
    for number, row in enumerate(shown):
        if number:
            yield Piece("; ")
        yield from _rate(line, row, judges[row.series] if several else None, first=number == 0)
    missing = [judges[row.series].name for row in line.rows if row.shown.kind == "nothing"]
    none = f"; no value by {', '.join(missing)}" if missing else ""
    yield Piece(f"{none}.")


def _rate(line: Line, row: Row, judge: Judge | None, *, first: bool) -> Iterator[Piece]:
    one = row.shown
    control = line.kind == "control"
    capital = "Between" if first and judge is None and not control else "between"
    words = f"{capital} {one.written(one.one, ' and ')}" if one.is_range else one.value
    yield Piece(words, bold=not control)
    if control:
        yield Piece(" fail anyway" if first else "")
    else:
        yield Piece(
            f" of edits fail under {line.label}" if judge is None else " of edits fail" if first else ""
        )
    yield Piece(f"{f' by {judge.name}' if judge else ''} ({_told(one)})")


def _told(one: Shown) -> str:
    """The interval, and of a range out of how many edits the decided are."""
    return f"{one.told}; {one.size}" if one.is_range else one.told


def judged(runs: Sequence[ReportRun]) -> list[str]:
    """By whom the edits were judged: once where all runs have the same judge, else for each judge with its runs."""
    by: dict[str, list[str]] = {}
    for run in runs:
        by.setdefault(run.judged_by, []).append(run.name)
    if len(by) == 1:
        return [f"Judged by {runs[0].judged_by}."]
    return [f"Judge of {', '.join(names)}: {judge}." for judge, names in by.items()]

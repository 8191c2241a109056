"""All numbers: every estimate of every run's result, each as it may be shown, none left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isr.report.controls import shared_controls
from isr.report.names import row_names
from isr.report.runs import ReportRun, spelt
from isr.scoring.result import Part
from isr.scoring.shown import Shown, repeats_in, shown_in
from isr.scoring.text import ROWS, in_order
from isr.text import group_in_words

LABELS = {name: label.strip() for name, label in ROWS} | {
    "not_unanimous": "not unanimous",
    "flip_rate": "flip rate",
    "alpha": "alpha across repeats",
}


@dataclass(frozen=True, slots=True)
class PartNumbers:
    """Estimates of one part under its title, each with its label; ``groups``: those of its groups."""

    title: str
    lines: tuple[tuple[str, Shown], ...]
    groups: tuple[PartNumbers, ...] = ()

    @property
    def every(self) -> Iterator[Shown]:
        """Its estimates and those of its groups."""
        yield from (one for _, one in self.lines)
        for group in self.groups:
            yield from group.every


def numbers(runs: Sequence[ReportRun]) -> list[PartNumbers]:
    """The tables of all runs: treatments, control edits (once, where runs share them), repeats."""
    out: list[PartNumbers] = []
    shared = shared_controls(runs)
    for number, (run, names) in enumerate(zip(runs, row_names(runs), strict=True)):
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        out += [_table(run, prefix + names[spelt(p.treatment)], p) for p in run.result.treatments]
        of = shared[number]
        if run.result.control is not None and number == of[-1]:
            whose = f"{', '.join(runs[i].name for i in of)}: " if len(runs) > 1 else ""
            out.append(_table(run, f"{whose}control edits (made without protection)", run.result.control))
        for entry in run.result.reliability:
            found = {one.name: one for one in repeats_in(entry)}
            title = f"{prefix}{entry['repeats']} repeats, {entry['judge']}, {entry['question']} ({entry['measures']})"
            out.append(PartNumbers(title, _lines(found)))
    return out


def _table(run: ReportRun, title: str, part: Part) -> PartNumbers:
    groups = (PartNumbers(group_in_words(g.by), _lines(shown_in(run.result, g))) for g in part.groups)
    return PartNumbers(title, _lines(shown_in(run.result, part)), tuple(groups))


def _lines(found: dict[str, Shown]) -> tuple[tuple[str, Shown], ...]:
    return tuple((LABELS.get(one.name, one.name), one) for one in in_order(found))

"""Every treatment and the control edits with interval and bounds: the rows of the page's forest plot, without its groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isr.report.forest import Row, blocks, judges
from isr.report.plots.canvas import Drawn
from isr.report.plots.captions import caption, intervals, percent_level, sizes
from isr.report.plots.intervals import Line, Mark, Span, interval_figure, percent_axis
from isr.report.runs import ReportRun
from isr.text import hundredths


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One mark of the plot: the row in which it stands, its series, and its numbers."""

    label: str
    series: str
    control: bool
    row: Row


def draw(runs: Sequence[ReportRun]) -> Drawn:
    """The figure of ``entries``."""
    found = entries(runs)
    series = list(dict.fromkeys(e.series for e in found))
    alone = len(series) == 1
    names = list(dict.fromkeys(e.label for e in sorted(found, key=lambda e: e.control)))
    controls = {e.label for e in found if e.control}
    first = next((n for n in names if n in controls), None) if len(controls) < len(names) else None
    lines = []
    for name in names:
        marks = [e for e in found if e.label == name]
        lines.append(
            Line(
                label=name,
                panels=(tuple(mark(e.row, series.index(e.series)) for e in marks),),
                said=said(marks[0].row) if alone else "",
                after_rule=name == first,
            )
        )
    head = f"ISR (%) [{' and '.join(dict.fromkeys(percent_level(r.level) for r in runs))}]" if alone else ""
    figure = interval_figure(lines, [percent_axis("Immunization Success Rate (%)")], series=series, head=head)
    shown = "Immunization Success Rate (ISR) of each method"
    shown += ", and how often the same edits fail without protection (control edits)" if controls else ""
    shown += f". Mark: rate of the decided edits; line: {intervals(runs)}."
    return Drawn(
        figure,
        caption(
            runs,
            shown + told_open(e.row for e in found),
            sizes((e.label, e.row.n, e.row.clusters) for e in found),
        ),
    )


def told_open(rows: Iterable[Row]) -> str:
    """What bands and hollow marks mean, where there are any."""
    known, told = list(rows), ""
    if any(r.shown.band for r in known):
        told += " Band: the rates with all undecided edits at one extreme and at the other; dashed: the interval that holds whatever they are."
    if any(r.shown.is_range for r in known):
        told += (
            " Hollow band without a mark: too many edits are undecided for the rate of the decided ones to stand for all."
        )  # fmt: skip
    return told


def entries(runs: Sequence[ReportRun]) -> list[Entry]:
    """The marks in the order of the runs; control edits that are the same in runs of one instrument have one."""
    called = [judge.name for judge in judges(runs)]
    return [
        Entry(label=line.label, series=called[row.series], control=row.kind == "control", row=row)
        for line in blocks(runs)[0].lines
        for row in line.rows
    ]


def mark(row: Row, series: int = 0) -> Mark:
    """A row as a mark on an axis of percent: bounds as a band; hollow, without a point, where they are the headline."""
    one = row.shown
    return Mark(
        value=None if one.point is None else 100 * one.point,
        interval=_span(one.interval) if one.kind == "point" else None,
        outer=_span(one.held),
        band=_span(one.band),
        series=series,
        hollow=one.is_range,
    )


def _span(ends: Span | None) -> Span | None:
    return None if ends is None else (100 * ends[0], 100 * ends[1])


def said(row: Row) -> str:
    """``62.5 [52.9, 71.2]``; of a range its bounds with the interval of the set."""
    if row.shown.kind == "nothing":
        return "–"
    held = row.shown.spanned(hundredths, ", ")
    return row.shown.written(hundredths) + (f" [{held}]" if held else "")

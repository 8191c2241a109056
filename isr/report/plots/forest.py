"""Every treatment and the control edits with interval and bounds: the rows of the page's forest plot, without its groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isr.report.forest import Row, blocks
from isr.report.plots.canvas import Drawn
from isr.report.plots.captions import caption, intervals, percent_level, sizes
from isr.report.plots.instruments import Instrument, Labels, instruments
from isr.report.plots.intervals import Line, Mark, Span, interval_figure, percent_axis
from isr.report.runs import ReportRun


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
    if any(r.is_open for r in known):
        told += " Band: the rates with all undecided edits at one extreme and at the other; dashed: the interval that holds whatever they are."
    if any(r.is_range for r in known):
        told += (
            " Hollow: too many edits are undecided for the rate of the decided ones to stand for all; read the band."
        )  # fmt: skip
    return told


def entries(runs: Sequence[ReportRun]) -> list[Entry]:
    """The marks in the order of the runs; control edits that are the same in runs of one instrument have one."""
    held = instruments(runs)
    labels = Labels(runs, held)
    out: dict[tuple[str, str], Entry] = {}
    for block in blocks(runs):
        number = next(i for i, run in enumerate(runs) if run is block.run)
        control = block.treatment is None
        label = labels.controls(number) if block.treatment is None else labels.of(number, block.treatment)
        for row in block.rows:
            if row.kind not in ("isr", "control", "judge"):
                continue
            series = _instrument(held, number).name
            if row.kind == "judge":
                series = row.label.removeprefix("by ")
            out.setdefault((label, series), Entry(label=label, series=series, control=control, row=row))
    return list(out.values())


def _instrument(held: Sequence[Instrument], run: int) -> Instrument:
    return next(one for one in held if run in one.runs)


def mark(row: Row, series: int = 0) -> Mark:
    """A row as a mark on an axis of percent: bounds as a band; hollow and without its interval where they are the headline."""
    return Mark(
        value=None if row.value is None else 100 * row.value,
        interval=None if row.is_range else _span(row.low, row.high),
        outer=_span(*row.identified) if row.is_open and row.identified else None,
        band=_span(*row.bounds) if row.is_open and row.bounds else None,
        series=series,
        hollow=row.is_range,
    )


def _span(low: float | None, high: float | None) -> Span | None:
    return None if low is None or high is None else (100 * low, 100 * high)


def said(row: Row) -> str:
    """``62.5 [52.9, 71.2]``; of a range its bounds with the interval of the set."""
    low, high = row.low, row.high
    value = "–" if row.value is None else f"{100 * row.value:.1f}"
    if row.is_range and row.bounds is not None:
        value = f"{100 * row.bounds[0]:.1f} to {100 * row.bounds[1]:.1f}"
        low, high = row.identified or (None, None)
    return value if low is None or high is None else f"{value} [{100 * low:.1f}, {100 * high:.1f}]"

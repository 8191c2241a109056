"""ISR against the budget of the perturbation, where a method has several."""

from __future__ import annotations

from collections.abc import Sequence

from isr.report.plots.canvas import SMALL, Drawn, NoFigure, text_width
from isr.report.plots.captions import caption, intervals, sizes
from isr.report.plots.curves import (
    Panel,
    Series,
    control_told,
    curve_figure,
    named_sizes,
    panels_of,
    series_of,
)
from isr.report.plots.forest import told_open
from isr.report.runs import ReportRun
from isr.scoring.row_names import eps_in_words

AXIS = "budget eps (L-inf, pixels in [0, 1])"


def budgets(runs: Sequence[ReportRun]) -> tuple[list[Series], list[Panel]]:
    """The methods with budgets, and what each instrument says of them. Raises ``NoFigure`` where no method has two that are numbers."""
    series = [s for s in series_of(runs) if s.budgets]
    if not any(len(s.budgets) > 1 for s in series):
        raise NoFigure("no method has two budgets (the column eps) that are numbers")
    return series, panels_of(runs, series, lambda p: p.eps)


def draw(runs: Sequence[ReportRun]) -> Drawn:
    """The figure. Raises ``NoFigure`` where no method has two budgets that are numbers."""
    series, panels = budgets(runs)
    figure, drawn = curve_figure(panels, AXIS, dodge=True)
    ticks = ticks_of(series)
    top = ticks[-1][0]
    low, high = min(0.0, ticks[0][0]), top * 1.08 if top > 0 else 1.0
    for axes in drawn:
        axes.set_xlim(low, high)
        wide = axes.get_position().width * figure.get_size_inches()[0]
        kept = _apart(ticks, wide / (high - low))
        axes.set_xticks([at for at, _ in kept], [word for _, word in kept])
    shown = (
        "Immunization Success Rate (ISR) against the budget of the perturbation (eps), one series for each method; marks at one budget "
        f"stand a little beside each other. Vertical lines: {intervals(runs)}."
    )
    shown += control_told(panels)
    rows = (p.row for s in series for p in s.points)
    return Drawn(figure, caption(runs, shown + told_open(rows), sizes(named_sizes(series))))


def ticks_of(series: Sequence[Series]) -> list[tuple[float, str]]:
    """Every budget with its word, ``8/255`` where it is one."""
    words = {p.eps: eps_in_words(p.word) for s in series for p in s.points if p.eps is not None}
    return sorted(words.items())


def _apart(ticks: Sequence[tuple[float, str]], scale: float) -> list[tuple[float, str]]:
    """The ticks whose words do not run into those before; the last one always. scale: inches of one."""
    kept: list[tuple[float, str]] = []
    for at, word in reversed(ticks):
        half = text_width(word, SMALL) / 2
        if not kept or (kept[-1][0] - at) * scale > half + text_width(kept[-1][1], SMALL) / 2 + 0.06:
            kept.append((at, word))
    return kept[::-1]

"""Rows of intervals: labels to the left, one axis or two, numbers to the right. Forest plots of all kinds are drawn by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isr.report.plots.canvas import (
    COLUMN,
    INK,
    LEGEND_ROW,
    RULE,
    SIZE,
    SMALL,
    SOFT,
    WIDE,
    NoFigure,
    axes_at,
    blank,
    fitted,
    legend,
    legend_rows,
    style,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Span = tuple[float, float]
MOST_ROWS = 60
MOST_LABEL, LEAST_AXIS = 3.6, 1.25  # inches
ROW, NEXT_MARK, GAP = 0.23, 0.12, 0.1


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A value with its interval, in units of its axis.

    ``outer``: a wider interval (thin). ``band``: bounds. ``hollow``: the band is an outline, for it stands in the place of a value.
    """

    value: float | None
    interval: Span | None = None
    outer: Span | None = None
    band: Span | None = None
    series: int = 0
    hollow: bool = False


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line: a title, or a row of marks for each panel. ``after_rule``: a thin rule stands above it."""

    label: str
    panels: tuple[tuple[Mark, ...], ...] = ()
    kind: Literal["title", "row"] = "row"
    said: str = ""
    after_rule: bool = False

    @property
    def height(self) -> float:
        most = max((len(marks) for marks in self.panels), default=1)
        return ROW + NEXT_MARK * max(most - 1, 0)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis from ``low`` to ``high`` with its ticks and their words. ``zero``: where a line of no difference stands."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    zero: float | None = None


PERCENT = tuple((float(t), f"{t}") for t in (0, 25, 50, 75, 100))


def percent_axis(label: str) -> Axis:
    """From 0 to 100 percent."""
    return Axis(label=label, low=0, high=100, ticks=PERCENT)


def interval_figure(
    lines: Sequence[Line], axes: Sequence[Axis], *, series: Sequence[str] = (), head: str = ""
) -> Figure:
    """The figure: as wide as a column where that is enough, else as a text. series: names of marks, for a legend.

    head: what ``said`` of the rows is. Raises ``NoFigure`` for more rows than a page has.
    """
    rows = sum(line.kind == "row" for line in lines)
    if rows > MOST_ROWS:
        raise NoFigure(f"{rows} rows are more than fit a page ({MOST_ROWS})")
    indent = 0.1 if any(line.kind == "title" for line in lines) else 0.0
    right = max((text_width(t, SMALL) for t in (head, *(line.said for line in lines))), default=0.0)
    right = right + 0.22 if right else 0.14
    between = 0.3
    taken = right + LEAST_AXIS * len(axes) + between * (len(axes) - 1) + 0.21 + indent
    most = min(MOST_LABEL, WIDE - taken)
    labels = [fitted(line.label, most) for line in lines]
    left = 0.21 + indent + max(text_width(t) for t in labels)
    width = COLUMN if taken + left - 0.21 - indent <= COLUMN else WIDE
    shown = list(series) if len(series) > 1 else []
    beside = len(legend_rows(shown, width - left - 0.05)) == 1  # else the legend has the whole width
    key = left - 0.02 if beside else 0.05
    above = 0.08 + LEGEND_ROW * len(legend_rows(shown, width - key - 0.05)) if shown else 0.06
    above += 0.16 if head else 0.0
    tall = sum(line.height + GAP * line.after_rule for line in lines) + 0.08
    below = 0.42
    figure = blank(width, above + tall + below)
    if shown:
        legend(figure, shown, [style(i) for i in range(len(shown))], key)
    each = (width - left - right - between * (len(axes) - 1)) / len(axes)
    for number, axis in enumerate(axes):
        drawn = axes_at(figure, left + number * (each + between), below, each, tall)
        _axis(drawn, axis, tall)
        y = 0.04
        for line in lines:
            if line.after_rule:
                y += GAP
                if number == 0:
                    _rule(figure, below + tall - y + GAP / 2, width)
            if line.panels:
                _marks(drawn, line.panels[number], y + line.height / 2)
            y += line.height
    y = above + 0.04
    h = above + tall + below
    if head:
        figure.text(1 - 0.05 / width, 1 - (above - 0.07) / h, head, size=SMALL, color=SOFT, ha="right", va="baseline")  # fmt: skip
    for line, label in zip(lines, labels, strict=True):
        y += GAP * line.after_rule
        at = 1 - (y + line.height / 2) / h
        title = line.kind == "title"
        figure.text((0.05 + (0 if title else indent)) / width, at, label, size=SIZE, va="center_baseline",
                    color=SOFT if title else INK)  # fmt: skip
        if line.said:
            figure.text(1 - 0.05 / width, at, line.said, size=SMALL, ha="right", va="center_baseline")
        y += line.height
    return figure


def _rule(figure: Figure, height: float, width: float) -> None:
    from matplotlib.lines import Line2D

    y = height / figure.get_size_inches()[1]
    figure.add_artist(Line2D([0.05 / width, 1 - 0.05 / width], [y, y], color=RULE, linewidth=0.6))


def _axis(drawn: Axes, axis: Axis, tall: float) -> None:
    drawn.set_xlim(axis.low, axis.high)
    drawn.set_ylim(tall, 0)
    drawn.set_yticks([])
    drawn.set_xticks([at for at, _ in axis.ticks], [word for _, word in axis.ticks])
    drawn.set_xlabel(axis.label, labelpad=2)
    drawn.grid(visible=True, axis="x", color=RULE, linewidth=0.4)
    drawn.set_axisbelow(True)
    if axis.zero is not None:
        drawn.axvline(axis.zero, color=SOFT, linewidth=0.8, zorder=1.5)


def _marks(drawn: Axes, marks: Sequence[Mark], y: float) -> None:
    for number, mark in enumerate(marks):
        at = y + (number - (len(marks) - 1) / 2) * NEXT_MARK
        look = style(mark.series)
        colour = look["color"]
        if mark.band is not None:
            a, b = mark.band
            look_of_band = {"facecolor": "none", "edgecolor": colour, "linewidth": 1.0} if mark.hollow else {
                "color": colour, "alpha": 0.22, "linewidth": 0}  # fmt: skip
            drawn.fill_betweenx([at - 0.05, at + 0.05], a, b, **look_of_band)
        if mark.outer is not None:
            dashed = mark.band is not None
            drawn.plot(mark.outer, [at, at], color=colour, linewidth=0.7, linestyle=(0, (2, 1.5)) if dashed else "-",
                       solid_capstyle="butt", label="outer")  # fmt: skip
        if mark.interval is not None:
            thick = 2.0 if mark.outer is not None and mark.band is None else 1.3
            drawn.plot(mark.interval, [at, at], color=colour, linewidth=thick, solid_capstyle="butt", label="interval")  # fmt: skip
        if mark.value is not None:
            drawn.plot([mark.value], [at], linestyle="", label="value", clip_on=False, zorder=4, **look,
                       markerfacecolor=colour, markeredgecolor="white", markeredgewidth=0.4)  # fmt: skip

"""Methods as series of their budgets, for plots of the rate against a number; and the axes that these plots share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isr.report.controls import shared_controls
from isr.report.forest import Row
from isr.report.names import as_called, run_names
from isr.report.plots.canvas import (
    COLUMN,
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
)
from isr.report.plots.forest import mark
from isr.report.plots.instruments import instruments
from isr.report.plots.intervals import Span
from isr.report.runs import ReportRun
from isr.scoring.result import TreatmentPart
from isr.scoring.row_names import short_names
from isr.scoring.shown import Shown, shown_in
from isr.types import Treatment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SERIES, MOST_PANELS = 14, 9
TALL, LOW = 2.1, 1.7  # inches of the axes: of a single panel, of several
MOST_BUDGET = 1e6  # beyond which a number is no budget
BY_RUN = 2  # the last way to take a series apart
LINES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)))
DASHED = (0, (5, 2))
HALF_BAND = 3.0  # points
DODGE = 3.2  # points between marks at one place


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """One treatment of a series: its budget (``None`` where it is none), its rate, and where to read more of it."""

    eps: float | None
    word: str
    row: Row
    run: ReportRun
    treatment: Treatment


@dataclass(frozen=True)
class Series:
    """A method under one instrument (its number), by growing budget."""

    label: str
    points: tuple[Point, ...]
    instrument: int = 0

    @property
    def budgets(self) -> list[float]:
        """The distinct budgets."""
        return sorted({p.eps for p in self.points if p.eps is not None})


def series_of(runs: Sequence[ReportRun]) -> list[Series]:
    """The methods as series; a configuration or a run makes two of one only where a budget would stand in it twice."""
    held = instruments(runs)
    of = {i: number for number, one in enumerate(held) for i in one.runs}
    parts = [(i, part) for i, run in enumerate(runs) for part in run.result.treatments]
    called = {(i, part.treatment): as_called(runs[i], part.treatment) for i, part in parts}

    def base(i: int, part: TreatmentPart) -> tuple[Hashable, ...]:
        name = called[i, part.treatment]
        return (of[i], name.method, name.surrogate)

    keys: tuple[Callable[[int, TreatmentPart], tuple[Hashable, ...]], ...] = (
        base,
        lambda i, part: (*base(i, part), part.treatment.config),
        lambda i, part: (*base(i, part), part.treatment.config, i),
    )
    groups = _grouped(parts, keys)
    shown = [
        called[group[0][0], group[0][1].treatment]._replace(
            eps="", config="" if level == 0 else group[0][1].treatment.config
        )
        for level, group in groups
    ]
    places, out = run_names(runs), []
    for name, (level, group) in zip(short_names(shown), groups, strict=True):
        i = group[0][0]
        label = f"{name} [{places[i]}]" if level == BY_RUN else name
        points = [_point(runs[number], part) for number, part in group]
        in_order = tuple(sorted(points, key=lambda p: (p.eps is None, p.eps or 0.0)))
        out.append(Series(label, in_order, of[i]))
    return out


def _grouped(
    parts: Sequence[tuple[int, TreatmentPart]],
    keys: Sequence[Callable[[int, TreatmentPart], tuple[Hashable, ...]]],
    level: int = 0,
) -> list[tuple[int, list[tuple[int, TreatmentPart]]]]:
    """Groups by the first key; one in which a budget stands twice is taken apart by the next."""
    groups: dict[tuple[Hashable, ...], list[tuple[int, TreatmentPart]]] = {}
    for i, part in parts:
        groups.setdefault(keys[level](i, part), []).append((i, part))
    out = []
    for group in groups.values():
        most = max(Counter(budget(part.treatment) for _, part in group).values())
        if most > 1 and level + 1 < len(keys):
            out += _grouped(group, keys, level + 1)
        else:
            out.append((level, group))
    return out


def budget(treatment: Treatment) -> float | None:
    """The budget as a number, ``None`` where it is none."""
    try:
        value = float(treatment.eps)
    except ValueError:
        return None
    return value if 0 <= value <= MOST_BUDGET else None


def _point(run: ReportRun, part: TreatmentPart) -> Point:
    return Point(
        eps=budget(part.treatment),
        word=part.treatment.eps,
        row=Row(kind="isr", label="ISR", shown=shown_in(run.result, part)["isr"]),
        run=run,
        treatment=part.treatment,
    )


@dataclass(frozen=True)
class Curve:
    """A series as it is drawn: rates at places of the axis."""

    label: str
    points: tuple[tuple[float, Row], ...]


@dataclass(frozen=True)
class Panel:
    """What one instrument says: its name, its curves, and the rate of its control edits where there is one for all."""

    title: str
    curves: tuple[Curve, ...]
    control: Shown | None = None


def panels_of(
    runs: Sequence[ReportRun], series: Sequence[Series], place: Callable[[Point], float | None]
) -> list[Panel]:
    """A panel for each instrument that has a curve. place: where a point stands, ``None`` where nowhere."""
    out = []
    for number, one in enumerate(instruments(runs)):
        curves = [
            Curve(s.label, tuple((x, p.row) for p in s.points if (x := place(p)) is not None))
            for s in series
            if s.instrument == number
        ]
        if kept := tuple(c for c in curves if c.points):
            out.append(Panel(one.name, kept, _control([runs[i] for i in one.runs])))
    return out


def _control(runs: Sequence[ReportRun]) -> Shown | None:
    """The rate of control edits, or its bounds, where these runs have the same ones."""
    shared = shared_controls(runs)
    kinds = {tuple(shared[i]): run.result for i, run in enumerate(runs) if run.result.control}
    if len(kinds) != 1:
        return None
    (result,) = kinds.values()
    assert result.control is not None
    found = shown_in(result, result.control)["control"]
    return None if found.kind == "nothing" else found


def curve_figure(panels: Sequence[Panel], label: str, *, dodge: bool) -> tuple[Figure, list[Axes]]:
    """ISR against a number (``label``): one panel a column wide, or panels side by side, two or three in a row.

    dodge: marks of several series at one place stand beside each other by a few points.
    Raises ``NoFigure`` for more series or panels than can be told apart.
    """
    labels = list(dict.fromkeys(c.label for p in panels for c in p.curves))
    if len(labels) > MOST_SERIES or len(panels) > MOST_PANELS:
        raise NoFigure(
            f"{len(labels)} series of {len(panels)} judges are more than fit ({MOST_SERIES} of {MOST_PANELS})"
        )
    across = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    down = -(-len(panels) // across)
    width, tall = (COLUMN, TALL) if len(panels) == 1 else (WIDE, LOW)
    left, below, right, title = 0.52, 0.44, 0.1, 0.2 if len(panels) > 1 else 0.0
    lines = {c.label for p in panels for c in p.curves if len(c.points) > 1}
    keys = [_look(i, line=name in lines) for i, name in enumerate(labels)]
    names = [fitted(name, width - left - 0.5, SMALL) for name in labels]
    if any(p.control for p in panels):
        names.append("control edits")
        keys.append({"color": SOFT, "linestyle": DASHED, "linewidth": 0.8})
    above = 0.12 + LEGEND_ROW * len(legend_rows(names, width - left - 0.05))
    figure = blank(width, above + down * (title + tall + below))
    legend(figure, names, keys, left)
    each = (width - left - right - (across - 1) * 0.25) / across
    drawn = []
    for number, panel in enumerate(panels):
        row, column = divmod(number, across)
        x, y = left + column * (each + 0.25), below + (down - 1 - row) * (title + tall + below)
        axes = axes_at(figure, x, y, each, tall)
        if title:
            axes.set_title(fitted(panel.title, each), size=SIZE, loc="left", pad=4)
        _scales(axes, label, first=column == 0)
        if panel.control is not None:
            _level(axes, panel.control)
        for curve in panel.curves:
            i = labels.index(curve.label)
            _curve(axes, curve, _look(i), DODGE * (i - (len(labels) - 1) / 2) if dodge else 0.0)
        drawn.append(axes)
    return figure, drawn


def control_told(panels: Sequence[Panel]) -> str:
    """What the grey band and its dashed lines are, where there are any."""
    told = ""
    kinds = {p.control.kind for p in panels if p.control is not None}
    if "point" in kinds:
        told += " Dashed, with its interval as a grey band: the rate of the same edits without protection."
    if "range" in kinds:
        told += " Between two dashed lines: the bounds of that rate, too many of these edits are undecided for one value."
    return told


def _scales(axes: Axes, label: str, *, first: bool) -> None:
    axes.spines["left"].set_visible(True)
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 25, 50, 75, 100], None if first else [""] * 5)
    axes.grid(visible=True, axis="y", color=RULE, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.set_xlabel(label, labelpad=2)
    if first:
        axes.set_ylabel("Immunization Success Rate (%)" if axes.get_position().height > 0.5 else "ISR (%)", labelpad=3)  # fmt: skip


def _look(number: int, *, line: bool = True) -> dict[str, Any]:
    return {**style(number), "linestyle": LINES[number % len(LINES)] if line else "", "linewidth": 1.0,
            "markeredgecolor": "white", "markeredgewidth": 0.4}  # fmt: skip


def _level(drawn: Axes, control: Shown) -> None:
    """The rate without protection with its interval over the whole width; both bounds in the place of a rate."""
    if (grey := control.ends or control.interval) is not None:
        drawn.axhspan(100 * grey[0], 100 * grey[1], color=SOFT, alpha=0.1, linewidth=0, label="control")
    for value in control.ends or (control.point,):
        if value is not None:
            drawn.axhline(100 * value, color=SOFT, linestyle=DASHED, linewidth=0.8, label="control")


def _curve(drawn: Axes, curve: Curve, look: dict[str, Any], aside: float) -> None:
    """One series. aside: points by which it stands to the right of its place."""
    from matplotlib.transforms import ScaledTranslation

    scale = drawn.figure.dpi_scale_trans
    at = drawn.transData + ScaledTranslation(aside / 72, 0, scale)
    colour = look["color"]
    marks = [(x, mark(row)) for x, row in curve.points]
    path = [(x, m.value) for x, m in marks if m.value is not None]
    drawn.plot(
        [x for x, _ in path], [y for _, y in path], transform=at, label="line", **{**look, "marker": ""}
    )
    for x, m in marks:
        if m.band is not None:
            _band(drawn, x, m.band, at, colour=colour, hollow=m.hollow)
        if m.outer is not None:
            drawn.plot([x, x], m.outer, color=colour, linewidth=0.8, linestyle=(0, (2, 1.5)), transform=at, label="outer")  # fmt: skip
        if m.interval is not None:
            drawn.plot([x, x], m.interval, color=colour, linewidth=1.1, solid_capstyle="butt", transform=at, label="interval")  # fmt: skip
        if m.value is not None:
            shown = {**look, "linestyle": "", "markerfacecolor": colour}
            drawn.plot([x], [m.value], transform=at, clip_on=False, zorder=4, label="value", **shown)


def _band(drawn: Axes, x: float, band: Span, at: Any, *, colour: str, hollow: bool) -> None:
    """The bounds at a place: pale beside a value, an outline in the place of one."""
    from matplotlib.transforms import ScaledTranslation

    if not hollow:
        drawn.plot([x, x], band, color=colour, alpha=0.22, linewidth=6, solid_capstyle="butt", transform=at)
        return
    for aside in (-HALF_BAND, HALF_BAND):
        side = at + ScaledTranslation(aside / 72, 0, drawn.figure.dpi_scale_trans)
        drawn.plot([x, x], band, color=colour, linewidth=0.9, transform=side, label="hollow")
    drawn.plot([x, x], band, color=colour, linestyle="", marker="_", markersize=2 * HALF_BAND, markeredgewidth=0.9, transform=at, label="hollow")  # fmt: skip


def named_sizes(series: Sequence[Series]) -> Iterator[tuple[str, int, int]]:
    """Each point's name, edits and images, for a caption."""
    for one in series:
        for p in one.points:
            name = f"{one.label}, eps {p.word}" if len(one.points) > 1 else one.label
            yield name, p.row.n, p.row.clusters

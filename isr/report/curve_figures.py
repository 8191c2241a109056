"""ISR against the budget and against the distortion of the protected images, as figures of the page: the control as a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from isr.report.figures import ACCENT, INK, LINE, SOFT, Figure, cut, document, mark, words
from isr.report.plots.budget import AXIS as BUDGET
from isr.report.plots.budget import budgets, ticks_of
from isr.report.plots.canvas import NoFigure
from isr.report.plots.curves import Curve, Panel, control_told
from isr.report.plots.distortion import AXIS as DISTORTION
from isr.report.plots.distortion import distortions
from isr.report.runs import ReportRun
from isr.scoring.shown import Shown
from isr.tables import csv_table

WIDTH, LEFT, TOP, WIDE, TALL = 440, 56.0, 16.0, 356.0, 220.0
DASHES = ("", "6 3", "2 3", "7 3 2 3", "10 4")
TONES = (ACCENT, INK, "#7fa8c4", SOFT, "#b9892f")
APART = 8.0  # between marks at one place
LEAST_POINTS = 2
MOST_TICKS = 6
Ticks = Sequence[tuple[float, str]]


def curve_figures(runs: Sequence[ReportRun]) -> list[Figure]:
    """The figures that these runs allow, one for each judge: none where there is one budget, and nothing measured twice."""
    return [*_of_budgets(runs), *_of_distortions(runs)]


def _of_budgets(runs: Sequence[ReportRun]) -> Iterator[Figure]:
    try:
        series, panels = budgets(runs)
    except NoFigure:
        return
    for number, panel in enumerate(panels):
        title = _title("ISR against the budget", panel, panels)
        yield curve_figure(f"budget-{number + 1}", title, panel, BUDGET, ticks_of(series), aside=APART)


def _of_distortions(runs: Sequence[ReportRun]) -> Iterator[Figure]:
    try:
        _, _, panels = distortions(runs)
    except NoFigure:
        return
    for number, panel in enumerate(panels):
        places = [x for c in panel.curves for x, _ in c.points]
        if len(set(places)) < LEAST_POINTS:
            continue
        title = _title("ISR against distortion", panel, panels)
        near = (
            min((b - a for a, b in pairwise(sorted(places))), default=0.0) < (max(places) - min(places)) / 40
        )
        ticks = _round_ticks(min(places), max(places))
        yield curve_figure(
            f"distortion-{number + 1}", title, panel, DISTORTION, ticks, aside=APART if near else 0.0
        )


def _title(what: str, panel: Panel, panels: Sequence[Panel]) -> str:
    return f"{what}, judge {panel.title}" if len(panels) > 1 else what


def _round_ticks(low: float, high: float) -> Ticks:
    """Three to six round numbers that hold the places."""
    span = max(high - low, 1e-9)
    step = next(
        s for k in range(-12, 13) for s in (10.0**k, 2 * 10.0**k, 5 * 10.0**k) if span / s <= MOST_TICKS - 2
    )
    first, last = int(low // step), -int(-high // step)
    return [(i * step, f"{i * step:g}") for i in range(first, last + 1)]


def curve_figure(
    name: str, title: str, panel: Panel, axis: str, ticks: Ticks, *, aside: float = 0.0
) -> Figure:
    """One judge's curves with intervals; bounds as a pale band, and as a hollow one in the place of a value, the mark of its method above it.

    ticks: places of the axis with their words; the outer ones are its ends, with room beside them. aside: pixels between the marks of
    several curves at one place.
    """
    ends = (ticks[0][0], ticks[-1][0])
    span = (ends[1] - ends[0]) or 1.0

    def x(value: float) -> float:
        return LEFT + 24 + (WIDE - 48) * (value - ends[0]) / span

    def y(value: float) -> float:
        return TOP + TALL * (1 - min(max(value, 0.0), 1.0))

    return Figure(
        name,
        title,
        document(_height(panel), title, list(_parts(panel, axis, ticks, (x, y), aside)), WIDTH),
        _csv(panel, axis),
    )


def _height(panel: Panel) -> float:
    return TOP + TALL + 62 + 18 * (len(panel.curves) + (panel.control is not None))


Scale = Callable[[float], float]


def _parts(panel: Panel, axis: str, ticks: Ticks, scales: tuple[Scale, Scale], aside: float) -> Iterator[str]:
    x, y = scales
    right = LEFT + WIDE
    for share in (0, 0.25, 0.5, 0.75, 1):
        yield f"<line x1='{LEFT}' x2='{right}' y1='{y(share):.1f}' y2='{y(share):.1f}' stroke='{LINE}'/>"
        yield words(LEFT - 8, y(share) + 4, f"{share:.0%}", 12, text_anchor="end", fill=SOFT)
    last = -1e9
    for place, word in ticks:
        if x(place) - last < 9 + 6.5 * len(word):
            continue
        last = x(place)
        yield f"<line x1='{last:.1f}' x2='{last:.1f}' y1='{TOP + TALL}' y2='{TOP + TALL + 4}' stroke='{SOFT}'/>"
        yield words(last, TOP + TALL + 18, word, 12, text_anchor="middle", fill=SOFT)
    yield words(LEFT + WIDE / 2, TOP + TALL + 38, axis, 12, text_anchor="middle")
    if panel.control is not None:
        yield from _control(panel.control, y)
    middle = (len(panel.curves) - 1) / 2
    for number, curve in enumerate(panel.curves):
        yield from _curve(curve, number, (x, y), aside * (number - middle))
    yield from _key(panel)


def _control(one: Shown, y: Scale) -> Iterator[str]:
    """The rate without protection with its interval, over the whole width; both bounds where there is no value."""
    if (grey := one.ends or one.interval) is not None:
        yield f"<rect x='{LEFT}' y='{y(grey[1]):.1f}' width='{WIDE}' height='{y(grey[0]) - y(grey[1]):.1f}' fill='{SOFT}' opacity='.12'/>"
    for value in one.ends or (one.point,):
        if value is not None:
            yield f"<line x1='{LEFT}' x2='{LEFT + WIDE}' y1='{y(value):.1f}' y2='{y(value):.1f}' stroke='{SOFT}' stroke-dasharray='5 3'/>"


def _curve(curve: Curve, number: int, scales: tuple[Scale, Scale], aside: float) -> Iterator[str]:
    x, y = scales
    tone, dash = TONES[number % len(TONES)], DASHES[number % len(DASHES)]
    known = [
        (x(place) + aside, y(row.shown.point)) for place, row in curve.points if row.shown.point is not None
    ]
    if len(known) > 1:
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in known)
        yield f"<polyline points='{path}' fill='none' stroke='{tone}' stroke-width='1.2' stroke-dasharray='{dash}'/>"
    for place, row in curve.points:
        one, at = row.shown, x(place) + aside
        if one.band is not None:
            look = f"fill='none' stroke='{tone}'" if one.is_range else f"fill='{tone}' opacity='.16'"
            yield f"<rect x='{at - 4:.1f}' y='{y(one.band[1]):.1f}' width='8' height='{y(one.band[0]) - y(one.band[1]):.1f}' {look}/>"
        for ends, dots in ((one.held, "2 3"), (one.interval if one.kind == "point" else None, "")):
            if ends is not None:
                yield f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{y(ends[0]):.1f}' y2='{y(ends[1]):.1f}' stroke='{tone}' stroke-width='1.4' stroke-dasharray='{dots}'/>"
        if one.point is not None:
            yield mark(number, at, y(one.point), 4, tone=tone)
        elif one.is_range and one.band is not None:
            yield mark(number, at, y((one.held or one.band)[1]) - 9, 2.5, hollow=True, tone=tone)


def _key(panel: Panel) -> Iterator[str]:
    at = TOP + TALL + 62.0
    for number, curve in enumerate(panel.curves):
        yield mark(number, LEFT + 6, at - 4, 4, tone=TONES[number % len(TONES)])
        yield words(LEFT + 20, at, cut(curve.label, 48), 12)
        at += 18
    if panel.control is not None:
        yield f"<line x1='{LEFT - 4}' x2='{LEFT + 16}' y1='{at - 4}' y2='{at - 4}' stroke='{SOFT}' stroke-dasharray='5 3'/>"
        yield words(LEFT + 20, at, f"control edits, {panel.control.value}", 12)


def _csv(panel: Panel, axis: str) -> str:
    header = ("judge", "method", axis, "value", "low", "high", "level", "bound_low", "bound_high", "identified_low", "identified_high", "n", "images", "shown")  # fmt: skip
    points: list[tuple[str, float | None, Shown]] = [
        (c.label, place, row.shown) for c in panel.curves for place, row in c.points
    ]
    points += [("control edits", None, panel.control)] if panel.control is not None else []
    return csv_table(
        header,
        [
            (panel.title, label, place, e.value, e.low, e.high, e.level, *(e.bounds or (None, None)), *(e.identified or (None, None)), e.n, e.clusters, one.kind)
            for label, place, one in points
            for e in (one.estimate,)
        ],
    )  # fmt: skip


def told(runs: Sequence[ReportRun]) -> str:
    """What lines, bands and hollow bands of these figures are."""
    try:
        panels = budgets(runs)[1]
    except NoFigure:
        try:
            panels = distortions(runs)[2]
        except NoFigure:
            return ""
    said = "Vertical lines are intervals."
    rows = [row for p in panels for c in p.curves for _, row in c.points]
    if any(row.shown.is_range for row in rows):
        said += " A hollow band stands where too many edits are undecided for one value; its dotted line is the interval that holds whatever they are, the small mark above it its method's, and no estimate."
    return said + control_told(panels).replace("grey band", "pale band")

"""Methods compared on the same units: each pair's difference with its interval, and the one that holds over all pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from isr import text
from isr.report.comparison import Compared, PairRow, compared, drawn_ends
from isr.report.plots.canvas import Drawn, NoFigure
from isr.report.plots.captions import judged, percent_level, sizes
from isr.report.plots.intervals import Axis, Line, Mark, Span, interval_figure
from isr.report.runs import ReportRun
from isr.stats.rows import Interval
from isr.text import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REACHES = (5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0)
"""How far an axis reaches to both sides of zero, in percentage points."""


def draw(runs: Sequence[ReportRun]) -> Drawn:
    """The figure of ``compared``. Raises ``NoFigure`` where no pair was compared."""
    found = compared(runs)
    families = [f for f in found if f.rows]
    if not families:
        reasons = [f.reason for f in found if f.reason]
        raise NoFigure("; ".join(reasons) or "there is a single treatment, and nothing to compare it with")
    if all(row.found.difference.value is None for f in families for row in f.rows):
        raise NoFigure("no pair has a unit that is decided on both sides")
    return Drawn(figure_of(families), _caption(runs, families))


def figure_of(families: Sequence[Compared]) -> Figure:
    """The forest plot of the pairs' differences in percentage points, around zero."""
    ends = [abs(x) for f in families for row in f.rows for x in drawn_ends(row) if x is not None]
    reach = next((step for step in REACHES if step >= 100 * max(ends, default=0.0)), REACHES[-1])
    words = [(share * reach, f"{share * reach:+g}" if share else "0") for share in (-1, -0.5, 0, 0.5, 1)]
    axis = Axis(
        label="difference (percentage points)", low=-reach, high=reach,
        ticks=tuple((at, w.replace("-", "−")) for at, w in words), zero=0.0,
    )  # fmt: skip
    lines: list[Line] = []
    for family in families:
        if len(families) > 1:
            lines.append(Line(label=family.runs or "all runs", kind="title", after_rule=bool(lines)))
        lines += [_line(row, family) for row in family.rows]
    levels = " and ".join(dict.fromkeys(percent_level(f.level) for f in families))
    return interval_figure(lines, [axis], head=f"pp [{levels}]")


def _line(row: PairRow, family: Compared) -> Line:
    one = family.shown(row)
    mark = Mark(
        value=None if one.point is None else 100 * one.point,
        interval=_span(row.found.difference) if one.kind == "point" else None,
        outer=_held(one.held) if one.is_range else _span(row.found.simultaneous) if family.several else None,
        band=_held(one.ends),
        hollow=one.is_range,
    )
    held = one.spanned(text.points, ", ")
    said = "–" if one.kind == "nothing" else one.written(text.points) + (f" [{held}]" if held else "")
    return Line(label=_name(row, family), panels=((mark,),), said=said.replace("-", "−"))


def _name(row: PairRow, family: Compared) -> str:
    """Both sides; the run that stands behind each where others are beside it is the title of the family."""
    first, second = (side.removesuffix(f" [{family.runs}]") for side in (row.first, row.second))
    return f"{first} − {second}"


def _span(found: Interval) -> Span | None:
    return None if found.low is None or found.high is None else (100 * found.low, 100 * found.high)


def _held(ends: Span | None) -> Span | None:
    return None if ends is None else (100 * ends[0], 100 * ends[1])


def _caption(runs: Sequence[ReportRun], families: Sequence[Compared]) -> str:
    return " ".join(_sentences(runs, families))


def _sentences(runs: Sequence[ReportRun], families: Sequence[Compared]) -> Iterator[str]:
    level = percent_level(families[0].level)
    together = ""
    if any(f.several for f in families):
        pairs = counted(len(families[0].rows), "pair") if len(families) == 1 else "pairs of its judge"
        together = f"; thin line: the interval that holds together with those of all {pairs} (Bonferroni)"
    yield (
        "Differences of the Immunization Success Rate on the same units, first minus second. Mark: difference; "
        f"{'thick ' if together else ''}line: its {level} interval, clustered on {families[0].clusters}{together}."
    )
    yield sizes(
        ((_name(r, f), r.found.difference.n, r.found.difference.clusters) for f in families for r in f.rows),
        word="unit",
    )
    undecided = sum(r.found.undecided for f in families for r in f.rows)
    if undecided:
        yield "Units that are undecided on either side are left out."
    if any(f.shown(r).is_range for f in families for r in f.rows):
        yield "Hollow band: the bounds, where too many units are undecided for one value; dashed: the interval that holds whatever they are."
    yield judged(runs)
    said = dict.fromkeys(text.plain(f.signature) for f in families)
    yield f"Signature{'s' if len(said) > 1 else ''}: {' ; '.join(said)}."

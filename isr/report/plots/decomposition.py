"""Which question fails, as shares of all edits of each treatment and of the control edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from isr.report.decompositions import decompositions
from isr.report.plots.canvas import (
    COLUMN,
    INK,
    LEGEND_ROW,
    RULE,
    SIZE,
    SMALL,
    SOFT,
    WIDE,
    Drawn,
    NoFigure,
    axes_at,
    blank,
    fitted,
    text_width,
)
from isr.report.plots.captions import caption
from isr.report.plots.intervals import MOST_ROWS, ROW
from isr.report.runs import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS: Mapping[str, tuple[str, str, str]] = {
    "semantic only": ("#0072B2", "", "white"),
    "both": ("#1f1f1f", "", "white"),
    "perceptual only": ("#E69F00", "", INK),
    "neither": ("#ebebeb", "", INK),
    "undecided": ("#ffffff", "//////", INK),
}
"""Colour, hatch and the colour of the number of each part; in grey they are five steps, dark beside light."""


def draw(runs: Sequence[ReportRun]) -> Drawn:
    """The figure of ``decompositions``."""
    rows = list(decompositions(runs))
    shown = (
        "Which question fails: the share of edits of which only the semantic question fails, both, only the perceptual one, or neither "
        "(numbers: percent), and of those that are undecided. The first three make the ISR where no edit is undecided. No interval is shown."
    )
    return Drawn(bars(rows), caption(runs, shown, "n: at the right of each bar, all edits."))


def bars(rows: Sequence[tuple[str, Mapping[str, int]]]) -> Figure:
    """Stacked bars. rows: (label, edits by part). Raises ``NoFigure`` for more than a page has."""
    if len(rows) > MOST_ROWS:
        raise NoFigure(f"{len(rows)} rows are more than fit a page ({MOST_ROWS})")
    used = [part for part in PARTS if any(counts.get(part) for _, counts in rows)]
    labels = [fitted(label, 3.0) for label, _ in rows]
    totals = [sum(counts.values()) for _, counts in rows]
    left = 0.05 + max(text_width(t) for t in labels) + 0.1
    right = max(text_width(f"{n:,}", SMALL) for n in (*totals, 0)) + 0.2
    width = COLUMN if left + right + 1.5 <= COLUMN else WIDE
    keys = _key_rows(used, width)
    above, below, tall = 0.1 + LEGEND_ROW * len(keys), 0.42, ROW * len(rows) + 0.04
    figure = blank(width, above + tall + below)
    h = above + tall + below
    _key(figure, keys)
    drawn = axes_at(figure, left, below, width - left - right, tall)
    drawn.set_xlim(0, 100)
    drawn.set_ylim(tall, 0)
    drawn.set_yticks([])
    drawn.set_xticks([0, 25, 50, 75, 100])
    drawn.set_xlabel("share of edits (%)", labelpad=2)
    inch = (width - left - right) / 100
    for number, ((_, counts), total) in enumerate(zip(rows, totals, strict=True)):
        y, at = 0.02 + ROW * (number + 0.5), 0.0
        for part in used:
            share = 100 * counts.get(part, 0) / total if total else 0.0
            if not share:
                continue
            colour, hatch, ink = PARTS[part]
            drawn.barh(y, share, left=at, height=ROW * 0.72, color=colour, hatch=hatch, edgecolor=SOFT if hatch else "white",
                       linewidth=0.4, label=part)  # fmt: skip
            word = f"{share:.0f}"
            if share * inch > text_width(word, SMALL) + 0.05:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8} if hatch else None
                drawn.text(at + share / 2, y, word, size=SMALL, color=ink, ha="center", va="center_baseline", bbox=box)  # fmt: skip
            at += share
        row = 1 - (above + y) / h
        figure.text(0.05 / width, row, labels[number], size=SIZE, va="center_baseline")
        figure.text(1 - 0.05 / width, row, f"{total:,}", size=SMALL, ha="right", va="center_baseline")
    figure.text(1 - 0.05 / width, 1 - (above - 0.03) / h, "n", size=SMALL, color=SOFT, ha="right")
    return figure


def _key_rows(parts: Sequence[str], width: float) -> list[list[str]]:
    rows: list[list[str]] = [[]]
    x = 0.05
    for part in parts:
        takes = 0.3 + text_width(part, SMALL)
        if rows[-1] and x + takes > width - 0.15:
            rows.append([])
            x = 0.05
        rows[-1].append(part)
        x += takes
    return rows


def _key(figure: Figure, rows: Sequence[Sequence[str]]) -> None:
    from matplotlib.patches import Rectangle

    w, h = figure.get_size_inches()
    for number, row in enumerate(rows):
        x, y = 0.05, h - 0.14 - number * LEGEND_ROW
        for part in row:
            colour, hatch, _ = PARTS[part]
            box = Rectangle((x / w, (y - 0.045) / h), 0.12 / w, 0.09 / h, facecolor=colour, hatch=hatch, edgecolor=SOFT if hatch else RULE,
                            linewidth=0.4)  # fmt: skip
            figure.add_artist(box)
            figure.text((x + 0.17) / w, y / h, part, size=SMALL, va="center_baseline")
            x += 0.3 + text_width(part, SMALL)

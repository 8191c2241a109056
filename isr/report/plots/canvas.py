"""What all figures share: sizes, colours, marks, widths of texts, and how a figure becomes bytes.

``matplotlib`` is imported inside functions, and its global state (``pyplot``, settings) is left as it was.
"""

from __future__ import annotations

import io
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isr.errors import IsrError, MissingExtraError
from isr.text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, WIDE = 3.35, 6.9
"""Widths in inches: a column of a paper, and its text."""
SIZE, SMALL = 8.0, 7.0
MOST_LETTERS = 200  # of a name, whatever room there is
INK, SOFT, RULE = "#1a1a1a", "#595959", "#d0d0d0"
SERIES = (
    ("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#000000", "X"),
    ("#56B4E9", "P"),
)  # fmt: skip
"""Colours of Okabe and Ito (2008) with a mark each, so that grey prints tell them apart too."""
FORMATS: Mapping[str, Mapping[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
}
"""Formats, and what else would be written into them: times and versions."""
_SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same figure on every machine
    "font.size": SIZE,
    "text.parse_math": False,  # names of strangers are text
    "svg.hashsalt": "isr",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "axes.linewidth": 0.6,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.labelsize": SIZE,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": SMALL,
    "hatch.linewidth": 0.6,
}


class NoFigure(IsrError):
    """A figure cannot be made of these runs; the message says why in a sentence."""


@dataclass(frozen=True)
class Drawn:
    """A figure with the paragraph that says what it shows."""

    figure: Figure
    caption: str


@contextmanager
def settings() -> Iterator[None]:
    """Inside, figures are made with the settings of ours. Raises ``MissingExtraError`` without matplotlib."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"figures: expected the extra 'figures'; found no {error.name}; pip install 'isr-eval[figures]'"
        ) from error
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def rendered(figure: Figure) -> dict[str, bytes]:
    """The figure's bytes by format; the same figure has the same bytes, whenever and wherever it is made."""
    out = {}
    for name, metadata in FORMATS.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=name, dpi=300, facecolor="white", metadata=dict(metadata))
        out[name] = buffer.getvalue()
    return out


def blank(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the lower left, with no frame but the lower line."""
    w, h = figure.get_size_inches()
    made: Axes = figure.add_axes((left / w, bottom / h, width / w, height / h))
    for side in ("top", "right", "left"):
        made.spines[side].set_visible(False)
    return made


def text_width(text: str, size: float = SIZE, *, bold: bool = False) -> float:
    """Inches that a text takes."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def fitted(text: str, width: float, size: float = SIZE) -> str:
    """A stranger's text as one line of at most so many inches.

    What is too long loses its middle: rows of one method differ at their ends.
    """
    text = plain(text)
    if len(text) <= MOST_LETTERS and text_width(text, size) <= width:
        return text

    def cut(n: int) -> str:
        tail = n * 2 // 5
        return f"{text[: n - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"

    most = min(len(text), MOST_LETTERS)
    return cut(bisect_left(range(1, most), True, key=lambda n: text_width(cut(n), size) > width))


def style(number: int) -> dict[str, Any]:
    """Colour and mark of a series; after seven the two no longer go together as before."""
    colour, mark = SERIES[number % len(SERIES)][0], SERIES[(number + number // len(SERIES)) % len(SERIES)][1]
    return {"color": colour, "marker": mark, "markersize": 5.5 if mark in "XP" else 4.8}


LEGEND_ROW = 0.17


def legend_rows(names: Sequence[str], width: float) -> list[list[int]]:
    """The numbers of the entries of each row of a legend that is so many inches wide."""
    rows: list[list[int]] = []
    left = 0.0
    for number, name in enumerate(names):
        takes = 0.36 + text_width(name, SMALL)
        if not rows or left < takes:
            rows.append([])
            left = width
        rows[-1].append(number)
        left -= takes
    return rows


def legend(figure: Figure, names: Sequence[str], styles: Sequence[dict[str, Any]], left: float) -> float:
    """Draws a legend at the top of the figure, from ``left`` inches on; returns its height in inches.

    styles: those of ``matplotlib.lines.Line2D``, by name.
    """
    from matplotlib.lines import Line2D

    w, h = figure.get_size_inches()
    names = [fitted(n, w - left - 0.5, SMALL) for n in names]
    rows = legend_rows(names, w - left - 0.05)
    for number, row in enumerate(rows):
        x, y = left, h - 0.14 - number * LEGEND_ROW
        for i in row:
            line = Line2D([(x) / w, (x + 0.2) / w], [y / h, y / h], **{"linewidth": 1.1, **styles[i]})
            line.set(marker="")
            mark = Line2D([(x + 0.1) / w], [y / h], **{**styles[i], "linestyle": ""})
            figure.add_artist(line)
            figure.add_artist(mark)
            figure.text((x + 0.25) / w, y / h, names[i], size=SMALL, va="center_baseline")
            x += 0.36 + text_width(names[i], SMALL)
    return 0.08 + len(rows) * LEGEND_ROW

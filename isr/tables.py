"""Tables whose cells know what they are: a value with its interval, a published figure, something not known."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

from isr.scoring.shown import Shown, shown
from isr.spreadsheet import Writer
from isr.stats.independent import wilson
from isr.text import open_interval, open_range, plain
from isr.types import Estimate

Kind = Literal["rate", "points", "number", "signed"]
NOT_KNOWN = "not known"
COMPUTED = "*"
UNVERIFIED = "?"
_TEX_ARROWS = {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "λ": r"$\lambda$"}
_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*_[]|#~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


@dataclass(frozen=True)
class Cell:
    """One figure of ours, or a text in its place."""

    estimate: Estimate | None = None
    kind: Kind = "number"
    digits: int = 4
    text: str = ""
    headline: str = "value"

    @property
    def shown(self) -> Shown | None:
        """Whether the estimate is a point or a range."""
        name = "uplift" if self.kind == "points" else "isr"
        return None if self.estimate is None else shown(name, self.estimate, self.headline)

    @property
    def value(self) -> str:
        return self.text or "-" if self.shown is None else self.shown.written(self._told)

    @property
    def interval(self) -> str:
        one = self.shown
        if one is None or one.kind == "nothing":
            return ""
        held = one.spanned(self._bare, ", ")
        if one.is_range:
            return f"bounds [{held}]" if held else "bounds"
        return f"[{held}]" if held else "no interval"

    @property
    def undecided(self) -> str:
        """How far undecided edits leave the value open, with the interval that holds whatever they are."""
        one = self.shown
        if one is None or one.kind != "point" or one.band is None:
            return ""
        held = open_interval(one.estimate, self._bare, ", ")
        return open_range(one.estimate, self._bare) + (f" [{held}]" if held else "")

    @property
    def size(self) -> str:
        e = self.estimate
        return "" if e is None or e.value is None else f"n {e.n}, {e.clusters} im."

    @property
    def reason(self) -> str:
        """Why there is no value, or no interval."""
        e = self.estimate
        if e is None or (e.value is not None and e.low is not None):
            return ""
        return "; ".join(e.notes) or "no value"

    def _bare(self, value: float) -> str:
        return self._told(value, False)

    def _told(self, value: float, unit: bool = True) -> str:
        if self.kind == "rate":
            return f"{100 * value:.1f}" + "%" * unit
        if self.kind == "points":
            return f"{100 * value:+.1f}" + " pp" * unit
        return f"{value:{'+' if self.kind == 'signed' else ''}.{self.digits}f}"


@dataclass(frozen=True, kw_only=True)
class Known:
    """One published figure with, for a rate, Wilson's interval at its n."""

    value: float | None = None
    rate: bool = False
    n: int | None = None
    digits: int = 4
    unverified: bool = False
    level: float = 0.95

    @property
    def span(self) -> tuple[float, float] | None:
        if self.value is None or not self.rate or self.n is None:
            return None
        low, high = wilson(round(self.value * self.n), self.n, level=self.level)
        return float(low), float(high)

    @property
    def lines(self) -> tuple[str, ...]:
        if self.value is None:
            return (NOT_KNOWN,)
        mark = UNVERIFIED * self.unverified
        if not self.rate:
            return (f"{self.value:.{self.digits}f}{mark}",)
        told = f"{100 * self.value:g}%{mark}"
        if self.span is None:
            return (told, "n not known")
        return (told, f"[{100 * self.span[0]:.1f}, {100 * self.span[1]:.1f}]{COMPUTED}", f"n {self.n}")


@dataclass(frozen=True)
class Line:
    """One line: a label, cells of ours by column, and the paper's figures by column where the line has any."""

    label: str
    cells: Mapping[str, Cell]
    section: str = ""
    known: Mapping[str, Known] = field(default_factory=dict)
    signature: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that can be printed, and written as markdown, CSV and LaTeX.

    ``columns``: headings by key; the first is that of the labels, under ``""``. ``inline``: each cell on one line.
    """

    name: str
    title: str
    columns: Mapping[str, str]
    rows: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    inline: bool = False
    paper: str = ""

    # ------------------------------------------------------------------ what stands where

    def _keys(self) -> list[str]:
        return [k for k in self.columns if k]

    def physical(self) -> Iterator[tuple[str, list[list[str]]]]:
        """(section, lines of text cells) for each line of the table and, beneath, for the paper's."""
        keys = self._keys()
        for row in self.rows:
            cells = [row.cells.get(k, Cell()) for k in keys]
            parts = [[c.value, c.interval, c.undecided, c.size] for c in cells]
            if self.inline:
                stack = [["; ".join(filter(None, (" ".join(filter(None, p[:2])), p[2])))] for p in parts]
            else:
                stack = [
                    _trimmed([p[0], *([p[1]] if p[1] or p[3] else []), *filter(None, p[2:])]) for p in parts
                ]
            yield row.section, [list(t) for t in zip_longest([row.label], *stack, fillvalue="")]
            if row.known:
                if all(k.value is None for k in row.known.values()):
                    yield row.section, [[f"  {self.paper}", NOT_KNOWN, *[""] * (len(keys) - 1)]]
                    continue
                said = [list(row.known[k].lines) if k in row.known else [""] for k in keys]
                yield row.section, [list(t) for t in zip_longest([f"  {self.paper}"], *said, fillvalue="")]

    # ------------------------------------------------------------------ renderings

    def text(self) -> str:
        """For the terminal: labels to the left, figures to the right, one empty line between sections."""
        head = [plain(h) for h in self.columns.values()]
        blocks = [(s, [[plain(c) for c in line] for line in lines]) for s, lines in self.physical()]
        widths = [max([len(h)] + [len(ln[i]) for _, b in blocks for ln in b]) for i, h in enumerate(head)]
        said = [plain(self.title), "", _aligned(head, widths)]
        last = ""
        for section, lines in blocks:
            if section != last:
                said += ["", plain(section)]
                last = section
            said += [_aligned(line, widths) for line in lines]
        said += ["", *(f"  {plain(n)}" for n in self.notes)] if self.notes else []
        return "\n".join(said) + "\n"

    def markdown(self) -> str:
        """A GitHub table; what is not of this program is escaped."""
        head = [markdown(h) for h in self.columns.values()]
        said = [
            f"**{markdown(self.title)}**",
            "",
            f"| {' | '.join(head)} |",
            "|---|" + "---:|" * (len(head) - 1),
        ]
        last = ""
        for section, lines in self.physical():
            if section != last:
                said.append(f"| **{markdown(section)}** |" + " |" * (len(head) - 1))
                last = section
            columns = [[markdown(c) for c in column if c] for column in zip(*lines, strict=True)]
            said.append(f"| {' | '.join('<br>'.join(c) for c in columns)} |")
        said += ["", *(f"- {markdown(n)}" for n in self.notes)] if self.notes else []
        return "\n".join(said) + "\n"

    def csv(self) -> str:
        """One row for each figure, unrounded, with its interval, n, method, notes, signature and the paper's."""
        header = (
            "table", "section", "row", "column", "value", "low", "high", "level", "bound_low", "bound_high",
            "identified_low", "identified_high", "n", "images", "method", "notes", "text", "published", "published_low", "published_high", "published_n",
            "published_unverified", "signature",
        )  # fmt: skip
        return csv_table(header, (self._csv_row(row, k) for row in self.rows for k in self._keys()))

    def _csv_row(self, row: Line, key: str) -> tuple[object, ...]:
        cell, known = row.cells.get(key, Cell()), row.known.get(key, Known())
        e = cell.estimate
        text = _unmarked(cell.text)
        ours: tuple[object, ...] = (*[None] * 10, "", "", text)
        if e is not None:
            open_ = (*(e.bounds or (None, None)), *(e.identified or (None, None)))
            ours = (
                e.value, e.low, e.high, e.level, *open_, e.n, e.clusters, e.method, plain("; ".join(e.notes)), text,
            )  # fmt: skip
        span = known.span or (None, None)
        said = (known.value, *span, known.n, known.unverified or None)
        names = (_unmarked(self.name), _unmarked(row.section), _unmarked(row.label), key)
        return (*names, *ours, *said, plain(row.signature))

    def latex(self) -> str:
        """A tabular with booktabs' rules; the lines of a cell stand beneath each other."""
        head = [tex_cell(h) for h in self.columns.values()]
        said = [
            "% " + r"\usepackage{booktabs}",
            *(f"% {plain(n)}" for n in [self.title, *self.notes]),
            r"\begin{tabular}{l" + "r" * (len(head) - 1) + "}",
            r"\toprule",
            " & ".join(head) + r" \\",
            r"\midrule",
        ]
        last = ""
        for section, lines in self.physical():
            if section != last:
                rule = [r"\midrule"] if last else []
                said += [*rule, rf"\multicolumn{{{len(head)}}}{{l}}{{\textit{{{tex_cell(section)}}}}} \\"]
                last = section
            for i, line in enumerate(lines):
                small = [rf"{{\scriptsize {tex_cell(c)}}}" if c and i else tex_cell(c) for c in line]
                said.append(" & ".join(small) + r" \\")
        return "\n".join([*said, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _trimmed(part: list[str]) -> list[str]:
    while len(part) > 1 and not part[-1]:
        part.pop()
    return part


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
    return "  ".join(cells).rstrip()


def markdown(text: str) -> str:
    """Text with what Markdown and HTML would read as theirs escaped."""
    return plain(text).strip().translate(_MARKDOWN)


def tex_cell(text: str) -> str:
    """A text that may begin a row of a tabular."""
    escaped = tex(text.strip())
    for sign, command in _TEX_ARROWS.items():
        escaped = escaped.replace(sign, command)
    # a bracket at the start of a row would be read as the argument of the line break before it
    return "{}" + escaped if escaped.startswith("[") else escaped


def _unmarked(text: str) -> str:
    """A name on one line that no spreadsheet takes for a formula."""
    said = plain(text)
    return f"'{said}" if said[:1] in ("=", "+", "-", "@") and len(said) > 1 else said


def csv_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV text; ``None`` is an empty cell."""
    out = io.StringIO()
    writer = Writer(out)
    writer.writerow(header)
    writer.writerows(["" if c is None else c for c in row] for row in rows)
    return out.getvalue()


_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(_SPECIAL.get(c, c) for c in text if c.isprintable())


def tex_points(value: float | None, low: float | None, high: float | None) -> str:
    """Percentage points in LaTeX, each number with its sign in math mode: ``$+50.0$ [$+39.5$, $+60.5$]``."""
    span = "" if low is None or high is None else f"[${100 * low:+.1f}$, ${100 * high:+.1f}$]"
    said = "" if value is None else f"${100 * value:+.1f}$"
    return " ".join(filter(None, (said, span))) or "--"

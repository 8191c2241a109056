"""The paper's tables II, VI and VII from rows of ours, the published figures beside them; and the general table.

Every figure of ours stands with its interval and n. A published rate comes without an interval; the one shown is
Wilson's at the paper's n, and is marked as computed here. What the paper's figures are not known to be is said to be
not known.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from isr.bench.rows import EVERY, Row, number
from isr.errors import InputError, Problem
from isr.report.figures import table as csv_table
from isr.report.paper import tex
from isr.stats.rate import wilson
from isr.types import Estimate

Kind = Literal["rate", "points", "number", "signed"]

SEEN, UNSEEN = "seen", "unseen"
NO_PURIFIER = ("", "none")
WORST = "all, worst"
NOT_KNOWN = "not known"
COMPUTED = "*"
UNVERIFIED = "?"
PAPER = "paper, by its panel"
METRICS = {"psnr": "PSNR", "ssim": "SSIM", "vifp": "VIFp", "fsim": "FSIM", "lpips": "LPIPS"}
ARROWS = {"psnr": "↓", "ssim": "↓", "vifp": "↓", "fsim": "↓", "lpips": "↑"}
DIGITS = {"psnr": 2}
_TEX_ARROWS = {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "λ": r"$\lambda$"}
_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*_[]|#~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


# ------------------------------------------------------------------------------------------ published figures


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Annotated[float, Field(ge=0.0, le=1.0)]


class PublishedRow(_Strict):
    """What is known of one line of a published table; a figure that is absent is not known."""

    editor: str
    method: str = ""
    ablation: str = ""
    lam: Annotated[float | None, Field(alias="lambda")] = None
    psnr: float | None = None
    ssim: float | None = None
    vifp: float | None = None
    fsim: float | None = None
    lpips: float | None = None
    isr_seen: Share | None = None
    isr_unseen: Share | None = None
    unverified: tuple[str, ...] = ()


class PublishedTable(_Strict):
    """The lines of one published table and what else is known of it."""

    row: tuple[PublishedRow, ...] = ()
    notes: tuple[str, ...] = ()


class Published(_Strict):
    """A paper's figures: its name, where they were read, n behind a rate by split, tables by number."""

    paper: str
    source: str
    eps: float | None = None  # the budget of all of them; a row of ours at another one stands by itself
    n: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    not_implemented: Mapping[str, str] = Field(default_factory=dict)  # method -> why no row of ours
    tables: Mapping[str, PublishedTable] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Published:
        """The figures in a TOML file. Raises ``InputError`` with all that is wrong in it."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text("utf-8")))
        except ValidationError as error:
            problems = [
                Problem(
                    str(path), ".".join(map(str, e["loc"])), e["msg"], repr(e["input"])[:80], "correct it"
                )
                for e in error.errors()
            ]
            raise InputError("published figures cannot be read", problems) from error
        except (OSError, ValueError) as error:
            problem = Problem(str(path), "", "a TOML file of published figures", str(error), "correct it")
            raise InputError("published figures cannot be read", [problem]) from error

    def lines(self, table: str) -> tuple[PublishedRow, ...]:
        return self.tables[table].row if table in self.tables else ()

    def notes(self, table: str) -> tuple[str, ...]:
        return self.tables[table].notes if table in self.tables else ()


def same_name(one: str, other: str) -> bool:
    """Whether two names differ only in case and in what is no letter or digit."""
    a, b = ("".join(c for c in s.casefold() if c.isalnum()) for s in (one, other))
    return a == b


# ------------------------------------------------------------------------------------------ cells and tables


@dataclass(frozen=True)
class Cell:
    """One figure of ours, or a text in its place."""

    estimate: Estimate | None = None
    kind: Kind = "number"
    digits: int = 4
    text: str = ""
    headline: str = "value"

    @property
    def value(self) -> str:
        e = self.estimate
        if e is None:
            return self.text or "-"
        if self.headline == "bounds" and e.bounds is not None:
            return f"{self._told(e.bounds[0])} to {self._told(e.bounds[1])}"
        return "-" if e.value is None else self._told(e.value)

    @property
    def interval(self) -> str:
        e = self.estimate
        if e is None or e.value is None:
            return ""
        if self.headline == "bounds" and e.bounds is not None:
            return "bounds"
        if e.low is None or e.high is None:
            return "no interval"
        return f"[{self._told(e.low, False)}, {self._told(e.high, False)}]"

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

    def _told(self, value: float, unit: bool = True) -> str:
        if self.kind == "rate":
            return f"{100 * value:.1f}" + "%" * unit
        if self.kind == "points":
            return f"{100 * value:+.1f}" + " pp" * unit
        return f"{value:{'+' if self.kind == 'signed' else ''}.{self.digits}f}"


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
            parts = [[c.value, c.interval, c.size] for c in cells]
            if self.inline:
                stack = [[" ".join(p for p in part[:2] if p)] for part in parts]
            else:
                stack = [_trimmed(part) for part in parts]
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
        head = [_plain(h) for h in self.columns.values()]
        blocks = [(s, [[_plain(c) for c in line] for line in lines]) for s, lines in self.physical()]
        widths = [max([len(h)] + [len(ln[i]) for _, b in blocks for ln in b]) for i, h in enumerate(head)]
        said = [_plain(self.title), "", _aligned(head, widths)]
        last = ""
        for section, lines in blocks:
            if section != last:
                said += ["", _plain(section)]
                last = section
            said += [_aligned(line, widths) for line in lines]
        said += ["", *(f"  {_plain(n)}" for n in self.notes)] if self.notes else []
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
            "table", "section", "row", "column", "value", "low", "high", "level", "bound_low", "bound_high", "n",
            "images", "method", "notes", "text", "published", "published_low", "published_high", "published_n",
            "published_unverified", "signature",
        )  # fmt: skip
        return csv_table(header, (self._csv_row(row, k) for row in self.rows for k in self._keys()))

    def _csv_row(self, row: Line, key: str) -> tuple[object, ...]:
        cell, known = row.cells.get(key, Cell()), row.known.get(key, Known())
        e = cell.estimate
        text = _unmarked(cell.text)
        ours: tuple[object, ...] = (*[None] * 8, "", "", text)
        if e is not None:
            bounds = e.bounds or (None, None)
            ours = (
                e.value, e.low, e.high, e.level, *bounds, e.n, e.clusters, e.method, _plain("; ".join(e.notes)), text,
            )  # fmt: skip
        span = known.span or (None, None)
        said = (known.value, *span, known.n, known.unverified or None)
        names = (_unmarked(self.name), _unmarked(row.section), _unmarked(row.label), key)
        return (*names, *ours, *said, _plain(row.signature))

    def latex(self) -> str:
        """A tabular with booktabs' rules; the lines of a cell stand beneath each other."""
        head = [_tex(h) for h in self.columns.values()]
        said = [
            "% " + r"\usepackage{booktabs}",
            *(f"% {_plain(n)}" for n in [self.title, *self.notes]),
            r"\begin{tabular}{l" + "r" * (len(head) - 1) + "}",
            r"\toprule",
            " & ".join(head) + r" \\",
            r"\midrule",
        ]
        last = ""
        for section, lines in self.physical():
            if section != last:
                rule = [r"\midrule"] if last else []
                said += [*rule, rf"\multicolumn{{{len(head)}}}{{l}}{{\textit{{{_tex(section)}}}}} \\"]
                last = section
            for i, line in enumerate(lines):
                small = [rf"{{\scriptsize {_tex(c)}}}" if c and i else _tex(c) for c in line]
                said.append(" & ".join(small) + r" \\")
        return "\n".join([*said, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _trimmed(part: list[str]) -> list[str]:
    while len(part) > 1 and not part[-1]:
        part.pop()
    return part


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
    return "  ".join(cells).rstrip()


def _plain(text: str) -> str:
    """Without control characters: a name must not break the table or the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def markdown(text: str) -> str:
    """Text with what Markdown and HTML would read as theirs escaped."""
    return _plain(text).strip().translate(_MARKDOWN)


def _tex(text: str) -> str:
    escaped = tex(text.strip())
    for sign, command in _TEX_ARROWS.items():
        escaped = escaped.replace(sign, command)
    # a bracket at the start of a row would be read as the argument of the line break before it
    return "{}" + escaped if escaped.startswith("[") else escaped


def _unmarked(text: str) -> str:
    """A name on one line that no spreadsheet takes for a formula."""
    plain = _plain(text)
    return f"'{plain}" if plain[:1] in ("=", "+", "-", "@") and len(plain) > 1 else plain


# ------------------------------------------------------------------------------------------ the paper's tables


def table_ii(rows: Sequence[Row], published: Published | None = None) -> Table:
    """Methods by editor: conventional metrics, ISR on the original and on unseen prompts (the paper's Table II)."""
    columns = {"": "method"} | {m: f"{n}{ARROWS[m]}" for m, n in METRICS.items()}
    columns |= {"isr_seen": "ISR orig. prompt", "isr_unseen": "ISR unseen"}
    ours = [r for r in _white_box(rows) if r.role != "ablation"]
    found = _lines("II", ours, columns, published, label=_method_label(ours), matches=_same_method)
    return _table("II", "Table II: immunization of each editor", columns, found, published)


def table_vi(rows: Sequence[Row], published: Published | None = None) -> Table:
    """The ablation of the loss (the paper's Table VI)."""
    columns = {"": "loss", "isr_seen": "ISR orig. prompt", "isr_unseen": "ISR unseen"}
    every = [r for r in _white_box(rows) if r.ablation]
    ours = _ablated(every)
    found = _lines(
        "VI", ours, columns, published,
        label=_told_apart(ours, lambda r: r.ablation), matches=lambda r, p: same_name(r.ablation, p.ablation),
    )  # fmt: skip
    title = "Table VI: what each term of the loss contributes"
    return _table("VI", title, columns, found, published, _budgets(ours, every))


def table_vii(rows: Sequence[Row], published: Published | None = None) -> Table:
    """The sweep of lambda (the paper's Table VII)."""
    columns = {"": "λ"} | {m: f"{METRICS[m]}{ARROWS[m]}" for m in ("psnr", "ssim", "lpips")}
    columns |= {"isr_seen": "ISR orig. prompt"}
    every = sorted((r for r in _white_box(rows) if r.lam is not None), key=lambda r: r.lam or 0.0)
    ours = _ablated(every)
    found = _lines(
        "VII", ours, columns, published,
        label=_told_apart(ours, lambda r: f"{r.lam:g}"), matches=lambda r, p: r.lam == p.lam,
    )  # fmt: skip
    title = "Table VII: the weight of the divergence"
    return _table("VII", title, columns, found, published, _budgets(ours, every))


LAYOUTS: Mapping[str, Callable[[Sequence[Row], Published | None], Table]] = {
    "II": table_ii,
    "VI": table_vi,
    "VII": table_vii,
}


def _white_box(rows: Iterable[Row]) -> list[Row]:
    """What the paper's tables speak of: no purifier, the editor that the method was optimised on."""
    return [r for r in rows if r.purifier in NO_PURIFIER and r.surrogate in ("", r.editor)]


def _ablated(rows: Iterable[Row]) -> list[Row]:
    """The rows of editors and budgets at which an ablation was run."""
    found = list(rows)
    places = {(r.editor, r.eps) for r in found if r.role == "ablation"}
    return [r for r in found if (r.editor, r.eps) in places]


def _budgets(shown: Sequence[Row], rows: Sequence[Row]) -> Iterator[str]:
    """At which budgets the ablations were run, and which others have none."""
    by = ((editor, [r.eps for r in some]) for editor, some in _by_editor(shown).items())
    told = [f"{editor} {', '.join(sorted(set(eps), key=number))}" for editor, eps in by]
    if told:
        yield f"only budgets (eps) at which an ablation was run: {'; '.join(told)}"
    left = sorted({r.eps for r in rows} - {r.eps for r in shown}, key=number)
    if left:
        yield f"no ablation was run at eps {', '.join(left)}: see the general table"


def _same_method(row: Row, known: PublishedRow) -> bool:
    return not row.is_control and same_name(row.label, known.method)


def _method_label(rows: Sequence[Row]) -> Callable[[Row], str]:
    """The method's name, with its budget where the same name stands for several."""
    return _told_apart(rows, lambda r: "no protection" if r.is_control else r.label)


def _told_apart(rows: Sequence[Row], name: Callable[[Row], str]) -> Callable[[Row], str]:
    """A row's name with, where it stands for several treatments, what tells them apart: budget, method, config."""
    parts: tuple[Callable[[Row], str], ...] = (
        lambda r: f"eps {r.eps}",
        lambda r: r.label,
        lambda r: r.config,
    )
    held: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        held.setdefault((r.editor, name(r)), []).append(r)

    def told(row: Row) -> str:
        said, some = [name(row)], held[row.editor, name(row)]
        for part in parts:
            if len({part(r) for r in some}) > 1:
                said.append(part(row))
                some = [r for r in some if part(r) == part(row)]
        return ", ".join(said)

    return told


def _lines(
    table: str,
    rows: Sequence[Row],
    columns: Mapping[str, str],
    published: Published | None,
    *,
    label: Callable[[Row], str],
    matches: Callable[[Row, PublishedRow], bool],
) -> list[Line]:
    """The lines of each editor: controls first, the paper's methods in its order, then those of ours alone."""
    known = list(published.lines(table)) if published else []
    found: list[tuple[tuple[bool, int], Line]] = []
    for (editor, judge), some in _by_judged(rows).items():
        section = _section(editor, judge)
        groups: dict[tuple[str, ...], list[Row]] = {}
        for r in some:
            groups.setdefault((r.label, r.method, r.config, r.eps, r.surrogate), []).append(r)
        missing = {i for i, p in enumerate(known) if same_name(p.editor, editor)}
        for group in groups.values():
            first, level = group[0], group[0].rate.level
            same = (i for i in range(len(known)) if same_name(known[i].editor, editor))
            at = next((i for i in same if _budget(first, published) and matches(first, known[i])), None)
            missing.discard(-1 if at is None else at)
            side = (
                {} if first.is_control or published is None else _known(at, table, columns, published, level)
            )
            line = Line(label(first), _cells(group, columns), section, side, first.signature)
            found.append(((not first.is_control, len(known) if at is None else at), line))
        if published:
            for i in missing:
                line = _only_published(i, table, columns, published, section, some[0].rate.level)
                found.append(((True, i), line))
    places = _by_section([line for _, line in found])
    return [line for _, line in sorted(found, key=lambda pair: (places(pair[1]), pair[0]))]


def _section(editor: str, judge: str) -> str:
    """An editor's edits and whose verdicts their rates rest on."""
    return f"{editor or 'edits'}, judged by {judge}"


def _by_judged(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        found.setdefault((r.editor, r.judge), []).append(r)
    return found


def _budget(row: Row, published: Published | None) -> bool:
    """Whether a row of ours has the paper's budget, as far as the paper's is known."""
    return published is None or published.eps is None or number(row.eps) == published.eps


def _by_section(lines: Sequence[Line]) -> Callable[[Line], int]:
    """Sections stay together, in the order in which they first come."""
    order = {s: i for i, s in enumerate(dict.fromkeys(line.section for line in lines))}
    return lambda line: order[line.section]


def _by_editor(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for r in rows:
        found.setdefault(r.editor, []).append(r)
    return found


def _only_published(
    at: int, table: str, columns: Mapping[str, str], published: Published, section: str, level: float
) -> Line:
    """A line of the paper's that this study has none for: it says so, and why where that is known."""
    known = published.lines(table)[at]
    name = known.ablation or (f"{known.lam:g}" if known.lam is not None else known.method)
    missing = any(same_name(m, known.method) for m in published.not_implemented)
    first = next(k for k in columns if k)
    cell = Cell(text="not implemented" if missing else "not run")
    return Line(name, {first: cell}, section, _known(at, table, columns, published, level))


def _known(
    at: int | None, table: str, columns: Mapping[str, str], published: Published, level: float
) -> dict[str, Known]:
    """The published figures of one line by column; of no line, that none is known."""
    row = None if at is None else published.lines(table)[at]
    out = {}
    for key in columns:
        if key:
            rate = key.startswith("isr_")
            n = published.n.get(key.removeprefix("isr_")) if rate else None
            doubtful = row is not None and key in row.unverified
            out[key] = Known(getattr(row, key, None), rate, n, DIGITS.get(key, 4), doubtful, level)
    return out


def _cells(rows: Sequence[Row], columns: Mapping[str, str]) -> dict[str, Cell]:
    """The cells of one treatment from its rows over all splits and over each."""
    by_split, level = {r.split: r for r in rows}, rows[0].rate.level
    seen = by_split.get(SEEN)
    metric_row = seen or by_split.get("", rows[0])
    cells: dict[str, Cell] = {}
    for key in columns:
        if key.startswith("isr_"):
            split = key.removeprefix("isr_")
            row = by_split.get(split)
            cells[key] = Cell(row.rate, "rate", headline=row.headline) if row else _absent(split, level)
        elif key:
            cells[key] = _metric(metric_row, key)
    return cells


def _absent(split: str, level: float) -> Cell:
    reason = f"no edit is of the split {split}"
    return Cell(Estimate(None, None, None, level, "", 0, 0, None, (reason,)), "rate")


def _metric(row: Row, name: str) -> Cell:
    if row.is_control:
        return Cell()  # a control edit has no other edit to be compared with
    found = row.metrics.get(f"edit:{name}")
    if found is None:
        reason = f"{METRICS[name]} was not measured"
        found = Estimate(None, None, None, row.rate.level, "", 0, 0, None, (reason,))
    return Cell(found, "number", DIGITS.get(name, 4))


def _table(
    name: str,
    title: str,
    columns: Mapping[str, str],
    lines: Sequence[Line],
    published: Published | None,
    also: Iterable[str] = (),
) -> Table:
    notes = [*_notes(columns, lines), *also]
    if published:
        notes += _published_notes(name, lines, published)
        title = f"{title} (layout of {published.paper})"
    if not lines:
        notes.append("no edit of this study belongs in this table")
    return Table(name, title, columns, tuple(lines), tuple(notes), paper=PAPER if published else "")


def _notes(columns: Mapping[str, str], lines: Sequence[Line]) -> Iterator[str]:
    """The intervals' level and kind, and every reason for which a figure or an interval is missing."""
    levels = sorted({c.estimate.level for ln in lines for c in ln.cells.values() if c.estimate})
    if levels:
        told = " and ".join(f"{level:.0%}" for level in levels)
        yield f"[low, high]: {told} intervals clustered by source image; n edits, im. source images"
    if any("isr_seen" in ln.cells for ln in lines):
        yield "conventional metrics: edit of the protected image against the control edit, original prompt"
    reasons: dict[tuple[str, str], int] = {}
    for line in lines:
        for key, cell in line.cells.items():
            if cell.reason:
                where = (columns[key], cell.reason)
                reasons[where] = reasons.get(where, 0) + 1
    for (column, reason), count in reasons.items():
        yield f"{column}: {reason}" + (f" ({count} lines)" if count > 1 else "")


def _published_notes(name: str, lines: Sequence[Line], published: Published) -> Iterator[str]:
    known = [k for ln in lines for k in ln.known.values()]
    yield f"paper: {published.paper}; figures from {published.source}"
    yield "the paper's ISR is by the paper's own panel of judges, in every section: no figure of the section's judge"
    if levels := sorted({k.level for k in known if k.span}):
        told = " and ".join(f"{level:.0%}" for level in levels)
        yield (
            f"{COMPUTED} computed by us: Wilson's {told} interval of the published rate at the paper's n, "
            "edits as independent"
        )
    if any(k.unverified for k in known):
        yield f"{UNVERIFIED} transcribed, not verified"
    used = {ln.label for ln in lines}
    yield from (f"{m}: not implemented, {why}" for m, why in published.not_implemented.items() if m in used)
    yield from published.notes(name)


# ------------------------------------------------------------------------------------------ the general table


def general(rows: Sequence[Row], split: str = "") -> Table:
    """Every method, surrogate, budget, editor and purifier: ISR, uplift, distortion and what the metrics say."""
    wanted = [r for r in rows if r.split == split and (r.purifier != EVERY or not r.is_control)]
    metrics = [m for m in METRICS if any(f"edit:{m}" in r.metrics for r in wanted)]
    columns = {"": "method", "surrogate": "surrogate", "eps": "eps", "purifier": "purifier"}
    columns |= {"isr": "ISR", "n": "n", "images": "im.", "uplift": "over control"}
    columns |= {"isr_conditional": "ISR, control fine"}
    columns |= {m: f"{METRICS[m]}{ARROWS[m]}" for m in metrics}
    lines = [_general_line(r, metrics) for r in sorted(wanted, key=_place(wanted))]
    title = "ISR of every method, editor and purifier" + (f", {split} prompts" if split else "")
    notes = [n for n in _notes(columns, lines) if not n.startswith("conventional")]
    if any(r.purifier == EVERY for r in wanted):
        notes.append(
            f"{WORST}: immunized under every purifier and seed; n counts images with prompt, not edits"
        )
    return Table("general", title, columns, tuple(lines), tuple(notes), inline=True)


def _place(rows: Sequence[Row]) -> Callable[[Row], tuple[int, ...]]:
    """Editors and judges as they come; controls first in each purifier."""
    sections = {s: i for i, s in enumerate(dict.fromkeys((r.editor, r.judge) for r in rows))}
    purifiers = {
        p: i
        for i, p in enumerate(
            sorted({r.purifier for r in rows}, key=lambda p: (p == EVERY, p not in NO_PURIFIER, p))
        )
    }
    return lambda r: (sections[r.editor, r.judge], purifiers[r.purifier], not r.is_control)


def _general_line(row: Row, metrics: Sequence[str]) -> Line:
    worst = row.purifier == EVERY
    rate = row.estimates["isr_worst"] if worst else row.rate
    cells = {
        "surrogate": Cell(text=row.surrogate or "-"),
        "eps": Cell(text=row.eps or "-"),
        "purifier": Cell(text=WORST if worst else row.purifier or "none"),
        "isr": Cell(rate, "rate", headline=row.headline),
        "n": Cell(text=str(rate.n)),
        "images": Cell(text=str(rate.clusters)),
    }
    if not (row.is_control or worst):
        cells["uplift"] = Cell(row.estimates["uplift"], "points")
        cells["isr_conditional"] = Cell(row.estimates["isr_conditional"], "rate")
        cells |= {m: _metric(row, m) for m in metrics}
    name = "no protection" if row.is_control else row.label
    return Line(name, cells, _section(row.editor, row.judge), {}, row.signature)


__all__ = [
    "LAYOUTS", "Cell", "Known", "Line", "Published", "PublishedRow", "PublishedTable", "Table", "general", "markdown", "table_ii",
    "table_vi", "table_vii",
]  # fmt: skip

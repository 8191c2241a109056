"""The rows of a forest plot: every method, split, editor and judge with its interval, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from isr import text
from isr.report.names import row_names
from isr.report.runs import ReportRun, spelt
from isr.scoring.estimates import UNDECIDED_SHARE
from isr.scoring.result import Part, Result, TreatmentPart
from isr.scoring.row_names import short_names
from isr.types import Estimate, Treatment

Kind = Literal["isr", "control", "group", "judge", "control group"]
GROUPS = ("split", "editor", "purifier")
MOST_VALUES = 12  # of a column that is taken apart without being asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a forest plot. ``bounds``: the value with all undecided edits at one extreme, then at the other."""

    kind: Kind
    label: str
    value: float | None
    low: float | None
    high: float | None
    bounds: tuple[float, float] | None
    n: int
    clusters: int
    note: str = ""
    headline: str = "value"
    identified: tuple[float, float] | None = None

    @property
    def is_open(self) -> bool:
        return self.bounds is not None and self.bounds[1] > self.bounds[0]

    @property
    def is_range(self) -> bool:
        """Whether the bounds stand where else the value does."""
        return self.headline == "bounds" and self.is_open

    @property
    def rate(self) -> str:
        """The value, or the bounds where too many edits are undecided for one."""
        return text.open_range(self, percent, "–") if self.is_range else percent(self.value)

    @property
    def said(self) -> str:
        """The interval, and that which holds whatever the undecided edits are."""
        held = text.open_interval(self, percent)
        none = self.low is None or self.high is None
        own = "no interval" if none else f"{percent(self.low)} to {percent(self.high)}"
        if self.is_range:
            return held or f"decided edits {percent(self.value)}, {own}"
        return self.note or (f"{own}; {held} with the undecided" if held else own)

    @property
    def depth(self) -> int:
        return 0 if self.kind in ("isr", "control") else 1


@dataclass(frozen=True, slots=True)
class Block:
    """Rows under one title: a treatment of a run, or its control edits (no ``treatment``)."""

    title: str
    rows: tuple[Row, ...]
    run: ReportRun
    treatment: Treatment | None = None


def row_of(kind: Kind, label: str, e: Estimate, headline: str = "value") -> Row:
    note = "; ".join(e.notes) if e.value is None else ""
    return Row(
        kind=kind,
        label=text.plain(label),
        value=e.value,
        low=e.low,
        high=e.high,
        bounds=e.bounds,
        n=e.n,
        clusters=e.clusters,
        note=note,
        headline=headline,
        identified=e.identified,
    )


def blocks(runs: Sequence[ReportRun]) -> list[Block]:
    """One block for each treatment of each run, one for the control edits of each run."""
    out = []
    for run, names in zip(runs, row_names(runs), strict=True):
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        for part in run.result.treatments:
            title = prefix + names[spelt(part.treatment)]
            out.append(Block(title, tuple(_treatment(run, part)), run, part.treatment))
        if run.result.control is not None:
            control = run.result.control
            rows = [row_of("control", "Control edits", control.estimates["control"], control.headline)]
            rows += _groups(run, control, run.controls, "control group")
            out.append(Block(f"{prefix}no protection", tuple(rows), run))
    return out


def _treatment(run: ReportRun, part: TreatmentPart) -> Iterator[Row]:
    yield row_of("isr", "ISR", part.estimates["isr"], part.headline)
    rows = run.of(part.treatment)
    if len(run.judges) > 1:
        for judge in run.judges:
            yield _rate(run, "judge", f"by {judge} alone", rows, judge)
    yield from _groups(run, part, rows, "group")


def _groups(run: ReportRun, part: Part, rows: Sequence[Mapping[str, str]], kind: Kind) -> Iterator[Row]:
    """The rows of each column's values; an estimate that the result holds is taken from there as it is."""
    columns = list(dict.fromkeys([*GROUPS, *_grouped(run.result)]))
    name = "isr" if kind == "group" else "control"
    for column in columns:
        held = {str(g.by[column]): g for g in part.groups if list(g.by) == [column]}
        values = sorted(held or {r.get(column, "") for r in rows})
        if not 1 < len(values) <= MOST_VALUES:
            continue
        for value in values:
            label = f"{column} {text.value_in_words(column, value)}"
            if value in held:
                yield row_of(kind, label, held[value].estimates[name], held[value].headline)
            else:
                yield _rate(run, kind, label, [r for r in rows if r.get(column, "") == value])


def _grouped(result: Result) -> Iterator[str]:
    """The columns that the run was asked to group by."""
    for part in result.treatments:
        for group in part.groups:
            yield from group.by


def _rate(run: ReportRun, kind: Kind, label: str, rows: Sequence[Mapping[str, str]], judge: str = "") -> Row:
    found = run.rate(rows, judge)
    undecided = len(rows) - found.n
    return row_of(kind, label, found, "bounds" if undecided > UNDECIDED_SHARE * len(rows) else "value")


# --------------------------------------------------------------------------- as text


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def text_forest(result: Result, width: int = 41) -> str:
    """A small forest plot of a result for a terminal: one line for each treatment and the control edits."""
    names = short_names([p.treatment for p in result.treatments])
    rows = [
        row_of("isr", name, p.estimates["isr"], p.headline)
        for name, p in zip(names, result.treatments, strict=True)
    ]
    if result.control is not None:
        control = result.control
        rows.append(row_of("control", "control edits", control.estimates["control"], control.headline))
    label = min(max((len(r.label) for r in rows), default=0), 34)
    lines = [_text_row(r, label, width) for r in rows]
    axis = "".join("|" if i % ((width - 1) // 4) == 0 else "-" for i in range(width))
    ends = f"0%{'50%':^{width - 6}}100%"
    return "\n".join([*lines, f"  {'':{label}}  {axis}", f"  {'':{label}}  {ends}"]) + "\n"


def _text_row(row: Row, label: int, width: int) -> str:
    cells = [" "] * width

    def at(value: float) -> int:
        return min(max(round(value * (width - 1)), 0), width - 1)

    if row.bounds is not None:  # the range of the undecided; around it the interval of what is identified
        for end, sign in zip(row.identified or (), "()", strict=False):
            cells[at(end)] = sign
        cells[at(row.bounds[0]) : at(row.bounds[1]) + 1] = "." * (at(row.bounds[1]) - at(row.bounds[0]) + 1)
    if row.low is not None and row.high is not None and not row.is_range:
        cells[at(row.low) : at(row.high) + 1] = "-" * (at(row.high) - at(row.low) + 1)
        cells[at(row.low)], cells[at(row.high)] = "[", "]"
    if row.value is not None and not row.is_range:
        cells[at(row.value)] = "o" if row.kind == "control" else "#"
    name = row.label if len(row.label) <= label else row.label[: label - 1] + "~"
    return f"  {name:{label}}  {''.join(cells)}  {row.rate:>6}  {row.said}, n {row.n}"

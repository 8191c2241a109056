"""The lines of a forest plot: methods, with a mark for each judge; their splits, editors and purifiers; as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from isr import text
from isr.report.plots.instruments import Instrument, Labels, instruments
from isr.report.runs import ReportRun
from isr.scoring.judge_words import named
from isr.scoring.result import Part, Result
from isr.scoring.row_names import short_names
from isr.scoring.shown import Shown, headline, shown, shown_in

Kind = Literal["isr", "control", "group", "control group"]
GROUPS = ("split", "editor", "purifier")
MOST_VALUES = 12  # of a column that is taken apart without being asked for
ALL = "All edits"


@dataclass(frozen=True, slots=True)
class Judge:
    """Who made the marks of one shape: a judge, a panel under its rule, or a member of a panel alone. ``said``: with model."""

    name: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One mark: a rate by one judge (the number of its shape, ``series``)."""

    kind: Kind
    label: str
    shown: Shown
    series: int = 0

    @property
    def value(self) -> float | None:
        return self.shown.estimate.value

    @property
    def low(self) -> float | None:
        return self.shown.estimate.low

    @property
    def high(self) -> float | None:
        return self.shown.estimate.high

    @property
    def bounds(self) -> tuple[float, float] | None:
        return self.shown.estimate.bounds

    @property
    def identified(self) -> tuple[float, float] | None:
        return self.shown.estimate.identified

    @property
    def n(self) -> int:
        return self.shown.estimate.n

    @property
    def clusters(self) -> int:
        return self.shown.estimate.clusters

    @property
    def depth(self) -> int:
        return 0 if self.kind in ("isr", "control") else 1


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the plot: what it is of, and a mark for each judge of it."""

    label: str
    rows: tuple[Row, ...]

    @property
    def kind(self) -> Kind:
        return self.rows[0].kind

    @property
    def depth(self) -> int:
        return self.rows[0].depth


@dataclass(frozen=True, slots=True)
class Block:
    """Lines under one title: the methods and the control edits; then the parts of one of them."""

    title: str
    lines: tuple[Line, ...]

    @property
    def rows(self) -> list[Row]:
        """Every mark."""
        return [row for line in self.lines for row in line.rows]


@dataclass(frozen=True, slots=True)
class Of:
    """What one run says of one method, or of the control edits."""

    run: ReportRun
    part: Part
    judge: Judge
    edits: frozenset[tuple[str, str]]
    rows: Sequence[Mapping[str, str]]


def judges(runs: Sequence[ReportRun]) -> list[Judge]:
    """Everybody who made marks, in the order of their shapes: each instrument, and the members of a panel."""
    out: list[Judge] = []
    for one in instruments(runs):
        run = runs[one.runs[0]]
        out.append(_instrument(run, one))
        out += [Judge(str(j["name"]), f"{named(j)} alone") for j in run.result.judges if len(run.judges) > 1]
    said = [j.said for j in out]
    return [replace(j, said=j.name) if said.count(j.said) > 1 else j for j in dict.fromkeys(out)]


def _instrument(run: ReportRun, one: Instrument) -> Judge:
    members = ", ".join(map(named, run.result.judges))
    return Judge(one.name, f"{one.name} of {members}" if len(run.judges) > 1 else members)


def blocks(runs: Sequence[ReportRun]) -> list[Block]:
    """The methods and the control edits in one block, with a mark for each judge of the same edits; then their parts.

    A method, or control edits, that several judges judged stand once; so do control edits that are the same in several runs.
    """
    shapes = judges(runs)
    number = {j.name: i for i, j in enumerate(shapes)}
    held = held_by_line(runs)
    whole, parted = [], []
    for label, some in held.items():
        control = "control" in some[0].part.estimates
        kind: Kind = "control" if control else "isr"
        marks = [row for of in some for row in _marks(of, kind, label, number)]
        whole.append(Line(label, tuple(marks)))
        if lines := _grouped(some, "control group" if control else "group", number):
            parted.append(Block(label, lines))
    return [Block(ALL, tuple(whole)), *parted]


def held_by_line(runs: Sequence[ReportRun]) -> dict[str, list[Of]]:
    """By the name of each line what runs say of it: methods in their order, then control edits."""
    found = instruments(runs)
    labels = Labels(runs, found)
    out: dict[str, list[Of]] = {}
    last: dict[str, list[Of]] = {}
    for i, run in enumerate(runs):
        one = next(one for one in found if i in one.runs)
        judge = _instrument(run, one)
        for part in run.result.treatments:
            rows = run.of(part.treatment)
            _put(out, labels.of(i, part.treatment), Of(run, part, judge, _pixels(rows), rows))
        if run.result.control is not None:
            rows = run.controls
            _put(last, labels.controls(i), Of(run, run.result.control, judge, _pixels(rows), rows))
    return out | last


def _put(held: dict[str, list[Of]], label: str, of: Of) -> None:
    """Adds what a run says to the line of that name; to one of its own where the edits are others."""
    there = held.setdefault(label, [])
    if there and there[0].edits != of.edits:
        held.setdefault(f"{label} [{of.run.name}]", []).append(of)
    elif all(of.judge != other.judge for other in there):
        there.append(of)


def _pixels(rows: Iterable[Mapping[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset(
        (r.get("edit_sha256", "") and "pixels", r.get("edit_sha256") or r["edit_id"]) for r in rows
    )


def _marks(of: Of, kind: Kind, label: str, number: Mapping[str, int]) -> Iterator[Row]:
    """The mark of the run's own rule, and of a panel those of its members alone."""
    name = "control" if kind == "control" else "isr"
    yield Row(
        kind=kind, label=label, shown=shown_in(of.run.result, of.part)[name], series=number[of.judge.name]
    )
    members = of.run.judges if len(of.run.judges) > 1 else []
    for judge in members:
        yield Row(kind=kind, label=label, shown=rate_of(of.run, name, of.rows, judge), series=number[judge])


def _grouped(some: Sequence[Of], kind: Kind, number: Mapping[str, int]) -> tuple[Line, ...]:
    """The parts of a line by each column's values; an estimate that a result holds is taken from there as it is."""
    lines: dict[str, list[Row]] = {}
    for of in some:
        for label, one in _groups(of, kind):
            row = Row(kind=kind, label=label, shown=one, series=number[of.judge.name])
            lines.setdefault(label, []).append(row)
    return tuple(Line(label, tuple(rows)) for label, rows in lines.items())


def _groups(of: Of, kind: Kind) -> Iterator[tuple[str, Shown]]:
    run, part, rows = of.run, of.part, of.rows
    columns = list(dict.fromkeys([*GROUPS, *_asked(run.result)]))
    name = "isr" if kind == "group" else "control"
    for column in columns:
        held = {str(g.by[column]): g for g in part.groups if list(g.by) == [column]}
        values = sorted(held or {r.get(column, "") for r in rows})
        if not 1 < len(values) <= MOST_VALUES:
            continue
        for value in values:
            label = text.plain(f"{column} {text.value_in_words(column, value)}")
            if value in held:
                yield label, shown_in(run.result, held[value])[name]
            else:
                yield label, rate_of(run, name, [r for r in rows if r.get(column, "") == value])


def _asked(result: Result) -> Iterator[str]:
    """The columns that the run was asked to group by."""
    for part in result.treatments:
        for group in part.groups:
            yield from group.by


def rate_of(run: ReportRun, name: str, rows: Sequence[Mapping[str, str]], judge: str = "") -> Shown:
    found = run.rate(rows, judge)
    return shown(name, found, headline(found.n, len(rows)), of=len(rows))


# --------------------------------------------------------------------------- as text


def text_forest(result: Result, width: int = 41) -> str:
    """A small forest plot of a result for a terminal: one line for each treatment and the control edits."""
    names = short_names([p.treatment for p in result.treatments])
    rows = [
        Row(kind="isr", label=name, shown=shown_in(result, p)["isr"])
        for name, p in zip(names, result.treatments, strict=True)
    ]
    if result.control is not None:
        control = shown_in(result, result.control)["control"]
        rows.append(Row(kind="control", label="control edits", shown=control))
    label = min(max((len(r.label) for r in rows), default=0), 34)
    lines = [_text_row(r, label, width) for r in rows]
    axis = "".join("|" if i % ((width - 1) // 4) == 0 else "-" for i in range(width))
    ends = f"0%{'50%':^{width - 6}}100%"
    return "\n".join([*lines, f"  {'':{label}}  {axis}", f"  {'':{label}}  {ends}"]) + "\n"


def _text_row(row: Row, label: int, width: int) -> str:
    cells = [" "] * width
    one = row.shown

    def at(value: float) -> int:
        return min(max(round(value * (width - 1)), 0), width - 1)

    def line(ends: tuple[float, float], sign: str) -> None:
        cells[at(ends[0]) : at(ends[1]) + 1] = sign * (at(ends[1]) - at(ends[0]) + 1)

    if (
        band := one.estimate.bounds
    ):  # the range of the undecided; around it the interval of what is identified
        for end, sign in zip(one.estimate.identified or (), "()", strict=False):
            cells[at(end)] = sign
        line(band, ".")
    if one.kind == "point":
        if one.interval is not None:
            line(one.interval, "-")
            cells[at(one.interval[0])], cells[at(one.interval[1])] = "[", "]"
        if one.point is not None:
            cells[at(one.point)] = "o" if row.kind == "control" else "#"
    name = row.label if len(row.label) <= label else row.label[: label - 1] + "~"
    return f"  {name:{label}}  {''.join(cells)}  {one.value:>6}  {one.told}, n {one.size}"

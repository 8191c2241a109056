"""What conventional metrics say of the judge's outcomes: the records of the thesis section, as tables and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from isr.tables import Cell, Line, Table, markdown
from isr.text import plain
from isr.types import Estimate, Treatment

SHOWN = 3
"""Units of disagreement on each side of each metric."""


@dataclass(frozen=True)
class Strength:
    """How well one metric tells outcomes apart among some edits: rank correlation and AUC.

    ``of``: the treatment and purifier of these edits, which ``name`` says in words; ``None``: all edits.
    """

    name: str
    correlation: Estimate
    auc: Estimate
    of: tuple[Treatment, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Separation:
    """What one metric says of one editor's edits, against what one judge says.

    ``overall``: all edits; ``within``: pairs of edits of one treatment and purifier only; ``between``:
    methods' means at one budget. ``false_protected``: share of edits that are not immunized and that the metric calls protected at its
    best threshold of other images; ``missed``: the reverse.
    """

    editor: str
    judge: str
    metric: str
    metric_title: str
    overall: Strength
    within: Estimate
    between: Estimate
    false_protected: Estimate
    missed: Estimate
    treatments: tuple[Strength, ...]
    signature: str


@dataclass(frozen=True)
class Said:
    """One judge's verdict on one question, and its reasoning."""

    judge: str
    question: str
    verdict: str
    reasoning: str


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """An edit of which a metric and the judge say opposite things.

    ``name``: its treatment in words. ``rank`` of ``of``: 1 is the edit that the metric finds most changed. ``called``: what the metric's best threshold
    of other images says; ``None`` where there is none. ``value``: ``None`` where infinite (PSNR of equal images). ``pictures``: source, protected, edit, control.
    """

    editor: str
    judge: str
    metric: str
    metric_title: str
    edit_id: str
    image_id: str
    treatment: Treatment
    name: str
    purifier: str
    prompt: str
    outcome: str
    value: float | None
    rank: int
    of: int
    called: bool | None
    verdicts: tuple[Said, ...]
    pictures: Mapping[str, Path | None] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """``SSIM 0.412, rank 3 of 144 (most changed first); judge: not immunized``."""
        said = self.outcome.replace("_", " ")
        value = "infinite" if self.value is None else f"{self.value:.3f}"
        return (
            f"{self.metric_title} {value}, rank {self.rank} of {self.of} (most changed first); judge: {said}"
        )


@dataclass(frozen=True)
class Thesis:
    """The section on conventional metrics: separations, units of largest disagreement, what could not be told."""

    separations: tuple[Separation, ...]
    units: tuple[Disagreement, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def table(self) -> Table:
        """Every metric by editor and judge."""
        columns = {
            "": "metric",
            "rho": "rank correlation",
            "auc": "AUC",
            "within": "AUC within methods",
            "between": "rank corr. of methods",
            "false": "calls protected, not immunized",
            "missed": "misses, immunized",
        }
        lines = [_line(s) for s in self.separations]
        notes = [
            "turned so that + means: the metric sides with the judge; 0, and an AUC of 0.5, are no better than chance",
            "AUC: how often a random immunized edit looks more changed than a random one that is not, ties half",
            "rank corr. of methods: of methods' means within one budget (eps, norm, surrogate), without ablations",
            "no interval is adjusted for the number of metrics, editors and columns: some miss their value by chance",
            "calls protected, misses: at the metric's best threshold (Youden) on the edits of all other images",
            *_reasons(lines, columns),
            *self.notes,
        ]
        title = "How well conventional metrics tell immunized edits from those that are not"
        return Table(name="thesis", title=title, columns=columns, rows=tuple(lines), notes=tuple(notes))

    @cached_property
    def by_treatment(self) -> Table:
        """Rank correlation and AUC of every metric within each method and purifier."""
        metrics = {s.metric: s.metric_title for s in self.separations}
        columns = {"": "method"} | {
            f"{k}_{m}": f"{n} {title}" for m, title in metrics.items() for k, n in _SHORT
        }
        lines: dict[_Where, dict[str, Cell]] = {}
        signatures: dict[_Where, str] = {}
        for s in self.separations:
            for part in s.treatments:
                where = (f"{s.editor or 'edits'}, judged by {s.judge}", part.name, part.of)
                cells = lines.setdefault(where, {})
                cells[f"rho_{s.metric}"] = Cell(part.correlation, "signed", 2)
                cells[f"auc_{s.metric}"] = Cell(part.auc, "number", 3)
                signatures[where] = s.signature
        made = [Line(w[1], cells, w[0], {}, signatures[w]) for w, cells in lines.items()]
        title = "The same within each method"
        return Table(
            name="thesis-methods",
            title=title,
            columns=columns,
            rows=tuple(made),
            notes=tuple(_reasons(made, columns)),
        )

    def tables(self) -> list[Table]:
        return [self.table, self.by_treatment]

    def text(self, most: int = SHOWN) -> str:
        """The tables, and ``most`` units of each side for an editor and a judge, for the terminal."""
        lines = [t.text() for t in self.tables()] if self.separations else [*self.notes, ""]
        for side, title in SIDES.items():
            some = _different([u for u in self.units if u.outcome == side], most)
            if some:
                lines += [title, *(f"  {plain(t)}" for u in some for t in told(u)), ""]
        return "\n".join(lines)

    def markdown(self) -> str:
        """The tables and every unit."""
        lines = [t.markdown() for t in self.tables()] if self.separations else [*self.notes, ""]
        for side, title in SIDES.items():
            some = [u for u in self.units if u.outcome == side]
            if some:
                lines += [f"**{title}**", ""]
                for u in some:
                    first, *rest = (markdown(t) for t in told(u))
                    lines += [f"- {first}", *(f"  - {t}" for t in rest)]
                lines.append("")
        return "\n".join(lines)


def _different(units: Sequence[Disagreement], most: int) -> list[Disagreement]:
    """At most ``most`` units of each editor and judge, a metric's strongest first, no image twice."""
    found: list[Disagreement] = []
    queues: dict[tuple[str, str, str], list[Disagreement]] = {}
    for u in units:
        queues.setdefault((u.editor, u.judge, u.metric), []).append(u)
    for place in range(max(map(len, queues.values()), default=0)):
        for (editor, judge, _), queue in queues.items():
            have = [u.image_id for u in found if (u.editor, u.judge) == (editor, judge)]
            if place < len(queue) and len(have) < most and queue[place].image_id not in have:
                found.append(queue[place])
    return found


SIDES = {
    "not_immunized": "Among the most changed by a metric, and not immunized:",
    "immunized": "Among the least changed by a metric, and immunized:",
}
_Where = tuple[str, str, tuple[Treatment, str] | None]  # section, name, treatment and purifier
_SHORT = (("rho", "rank corr."), ("auc", "AUC"))


def told(unit: Disagreement) -> Iterator[str]:
    """A unit in words: figures, prompt, files, what each judge said and why."""
    calls = {
        None: "no threshold",
        True: "its threshold says protected",
        False: "its threshold says unprotected",
    }
    yield f"{unit.edit_id}: {unit.title}; {calls[unit.called]}"
    yield f"  editor {unit.editor or '-'}, {unit.name}, purifier {unit.purifier or 'none'}: {unit.prompt!r}"
    yield "  " + "  ".join(f"{k}: {p.name if p else '-'}" for k, p in unit.pictures.items())
    for said in unit.verdicts:
        yield f"  {said.judge}, {said.question}: {said.verdict}. {said.reasoning}"


def _line(s: Separation) -> Line:
    cells = {
        "rho": Cell(s.overall.correlation, "signed", 2),
        "auc": Cell(s.overall.auc, "number", 3),
        "within": Cell(s.within, "number", 3),
        "between": Cell(s.between, "signed", 2),
        "false": Cell(s.false_protected, "rate"),
        "missed": Cell(s.missed, "rate"),
    }
    return Line(s.metric_title, cells, f"{s.editor or 'edits'}, judged by {s.judge}", {}, s.signature)


def _reasons(lines: Sequence[Line], columns: Mapping[str, str]) -> Iterator[str]:
    found = {
        (k, n): None for ln in lines for k, c in ln.cells.items() if c.estimate for n in c.estimate.notes
    }
    for key, note in found:
        if not note.startswith("design effect"):
            yield f"{columns[key]}: {note}"

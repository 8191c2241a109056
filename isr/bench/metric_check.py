"""Does dissimilarity mislead? How well each conventional metric tells immunized edits from those that are not.

A metric says "protected" of an edit that is far from its control edit: low PSNR, SSIM, VIFp, FSIM, high LPIPS. All
figures here are turned so that plus means that the metric sides with the judge. They are about edits of one editor
judged by one judge; images are drawn again, with all their edits, for every interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from isr.bench.paper_tables import METRICS
from isr.bench.rows import EditRow, edit_of, judge_name, number, numbers, settings_of
from isr.report.runs import ReportRun, read_report_run
from isr.scoring.estimates import Frame, Settings, missing, rate_estimate
from isr.scoring.finished import OUTCOME
from isr.scoring.metrics import outcome_correlation
from isr.stats.discrimination import auc, between, called
from isr.tables import Cell, Line, Table, markdown
from isr.types import Arm, Bools, Estimate, Floats, Treatment

ORIENTATION: Mapping[str, int] = {"psnr": -1, "ssim": -1, "vifp": -1, "fsim": -1, "lpips": 1}
SHOWN = 3
"""Units of disagreement on each side of each metric."""


@dataclass(frozen=True)
class Named:
    """What a study calls a treatment, and what it is in it: ``ours``, ``baseline`` or ``ablation``."""

    label: str
    role: str = "baseline"
    norm: str = "linf"


Naming = Callable[[Treatment], Named | None]
"""A study's names of treatments; ``None`` for one that is none of its own."""


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
            f"{METRICS[self.metric]} {value}, rank {self.rank} of {self.of} (most changed first); "
            f"judge: {said}"
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
        metrics = list(dict.fromkeys(s.metric for s in self.separations))
        columns = {"": "method"} | {f"{k}_{m}": f"{n} {METRICS[m]}" for m in metrics for k, n in _SHORT}
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
                lines += [title, *(f"  {plain_text(t)}" for u in some for t in told(u)), ""]
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


def plain_text(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _line(s: Separation) -> Line:
    cells = {
        "rho": Cell(s.overall.correlation, "signed", 2),
        "auc": Cell(s.overall.auc, "number", 3),
        "within": Cell(s.within, "number", 3),
        "between": Cell(s.between, "signed", 2),
        "false": Cell(s.false_protected, "rate"),
        "missed": Cell(s.missed, "rate"),
    }
    return Line(METRICS[s.metric], cells, f"{s.editor or 'edits'}, judged by {s.judge}", {}, s.signature)


def _reasons(lines: Sequence[Line], columns: Mapping[str, str]) -> Iterator[str]:
    found = {
        (k, n): None for ln in lines for k, c in ln.cells.items() if c.estimate for n in c.estimate.notes
    }
    for key, note in found:
        if not note.startswith("design effect"):
            yield f"{columns[key]}: {note}"


def study(
    folders: Sequence[Path],
    level: float | None = None,
    shown: int = SHOWN,
    naming: Naming = lambda treatment: None,
) -> Thesis:
    """The findings of finished runs of ``isr score --metrics``, in a study's words where ``naming`` has any.

    Raises ``InputError`` where a folder is no run's.
    """
    separations: list[Separation] = []
    units: list[Disagreement] = []
    notes: list[str] = []
    for folder in folders:
        run = read_report_run(folder)
        rows = [r for r in run.rows if r["arm"] == Arm.PROTECTED.value]
        measured = [m for m in METRICS if any(r.get(f"edit:{m}") for r in rows)]
        absent = [METRICS[m] for m in METRICS if m not in measured]
        if absent:
            notes.append(f"{folder.name}: {', '.join(absent)} not measured")
        for editor in sorted({r["editor"] for r in rows}):
            some = _Edits(run, [r for r in rows if r["editor"] == editor], settings_of(run, level), naming)
            if equal := int(some.equal.sum()):
                notes.append(
                    f"{folder.name}, {editor or 'edits'}: {equal} edits equal their control edit: their PSNR, infinite, "
                    "ranks last (least changed), and is in no mean"
                )
            for metric in measured:
                separations.append(some.separation(editor, metric))
                units += some.units(editor, metric, shown)
    return Thesis(tuple(separations), tuple(units), tuple(dict.fromkeys(notes)))


def _is_equal(row: EditRow) -> bool:
    """Whether an edit equals its control edit: measured, though not in PSNR, which is infinite and so not written."""
    others = (m for m in METRICS if m != "psnr")
    return math.isnan(number(row.get("edit:psnr"))) and any(
        math.isfinite(number(row.get(f"edit:{m}"))) for m in others
    )


def _words(treatments: Sequence[Treatment], named: Sequence[Named | None]) -> list[str]:
    """What each treatment is called: label, budget, the surrogate where there are several, the config where needed."""
    several = len({t.surrogate for t in treatments}) > 1

    def word(t: Treatment, name: Named | None) -> str:
        parts = [name.label if name else t.method or "no method named", f"eps {t.eps}" * bool(t.eps)]
        return ", ".join(p for p in (*parts, f"on {t.surrogate}" * bool(several and t.surrogate)) if p)

    words = [word(t, n) for t, n in zip(treatments, named, strict=True)]
    return [
        f"{w}, {t.config or 'no config'}" if words.count(w) > 1 else w
        for w, t in zip(words, treatments, strict=True)
    ]


class _Edits:
    """The protected edits of one editor in one run, as arrays."""

    def __init__(self, run: ReportRun, rows: Sequence[EditRow], settings: Settings, naming: Naming) -> None:
        self.run, self.rows, self.settings = run, rows, settings
        self.edits = [edit_of(r) for r in rows]
        self.frame = Frame.of(self.edits)
        self.outcome = np.array([OUTCOME[r["outcome"]] for r in rows], np.float64)
        self.image = [r["image_id"] for r in rows]
        self.names = sorted({e.treatment for e in self.edits})
        self.named = [naming(t) for t in self.names]
        self.words = _words(self.names, self.named)
        self.treatment = np.array([self.names.index(e.treatment) for e in self.edits], np.int64)
        self.equal = np.array([_is_equal(r) for r in rows], np.bool_)
        strata = sorted({(e.treatment, e.unit.purifier) for e in self.edits})
        self.strata = strata
        self.stratum = np.array([strata.index((e.treatment, e.unit.purifier)) for e in self.edits], np.int64)

    def score(self, metric: str) -> Floats:
        """How changed the metric finds each edit: larger is more. An infinite PSNR stands below all others."""
        x = self.measured(metric)
        if metric == "psnr" and self.equal.any():
            x[self.equal] = min(x[np.isfinite(x)], default=0.0) - 1.0
        return x

    def measured(self, metric: str) -> Floats:
        """The metric's figures with its orientation, NaN where there is none or an infinite one."""
        return ORIENTATION[metric] * numbers(self.rows, f"edit:{metric}")

    def separation(self, editor: str, metric: str) -> Separation:
        x, y, level = self.score(metric), self.outcome, self.settings.level
        calls = called(x, y, self.image)
        everything = np.ones(x.size, np.bool_)
        return Separation(
            editor=editor,
            judge=judge_name(self.run),
            metric=metric,
            overall=self._strength("all", x, everything),
            within=auc(x, y, self.image, self.stratum, level=level),
            between=self._between(metric),
            false_protected=self._share(calls == 1.0, calls, y == 0.0),
            missed=self._share(calls == 0.0, calls, y == 1.0),
            treatments=tuple(
                replace(self._strength(self._name(i), x, self.stratum == i), of=self.strata[i])
                for i in range(len(self.strata))
            ),
            signature=self.run.result.signature,
        )

    def _between(self, metric: str) -> Estimate:
        """Over methods at one budget (eps, norm, surrogate), without the ablations of any."""
        x = self.measured(metric)
        roles = [n.role if n else "" for n in self.named]
        places = [
            (number(t.eps), n.norm if n else "", t.surrogate)
            for t, n in zip(self.names, self.named, strict=True)
        ]
        order = {p: i for i, p in enumerate(dict.fromkeys(map(str, places)))}
        budget = np.array([order[str(p)] for p in places], np.int64)[self.treatment]
        ablation = np.array([r == "ablation" for r in roles])[self.treatment]
        x[ablation] = np.nan
        found = between(x, self.outcome, self.image, self.treatment, budget, level=self.settings.level)
        notes = list(found.notes)
        if out := roles.count("ablation"):
            notes.append(f"{out} ablation(s) are left out")
        if unknown := roles.count(""):
            notes.append(
                f"{unknown} treatments of unknown role are in it: ablations among them count as methods"
            )
        return replace(found, notes=tuple(notes))

    def _strength(self, name: str, x: Floats, rows: Bools) -> Strength:
        image = [g for g, inside in zip(self.image, rows, strict=True) if inside]
        level = self.settings.level
        return Strength(
            name,
            outcome_correlation(x[rows], self.outcome[rows], image, level),
            auc(x[rows], self.outcome[rows], image, level=level),
        )

    def _name(self, stratum: int) -> str:
        treatment, purifier = self.strata[stratum]
        return ", ".join(p for p in (self.words[self.names.index(treatment)], purifier) if p)

    def _share(self, said: Bools, calls: Floats, among: Bools) -> Estimate:
        rows = among & np.isfinite(calls)
        if not rows.any():
            return missing(
                "no threshold: the other images have one outcome only, or no such edit", self.settings
            )
        return rate_estimate(said[rows], self.frame.take(rows), self.settings)

    def units(self, editor: str, metric: str, shown: int) -> list[Disagreement]:
        """The edits that are not immunized and look most changed, then those that are and look least changed."""
        x = self.score(metric)
        calls = called(x, self.outcome, self.image)
        known = np.flatnonzero(np.isfinite(x) & np.isfinite(self.outcome))
        order = known[np.argsort(-x[known], kind="stable")]
        rank = {int(row): place for place, row in enumerate(order, 1)}
        found = []
        for outcome, rows in ((0.0, order), (1.0, order[::-1])):
            images: set[str] = set()
            for row in rows:
                if self.outcome[row] == outcome and self.image[row] not in images and len(images) < shown:
                    images.add(self.image[row])
                    call = None if np.isnan(calls[row]) else bool(calls[row])
                    place = (rank[int(row)], len(order))
                    found.append(self._unit(editor, metric, int(row), float(x[row]), place, call))
        return found

    def _unit(
        self, editor: str, metric: str, row: int, score: float, place: tuple[int, int], call: bool | None
    ) -> Disagreement:
        cells, edit = self.rows[row], self.edits[row]
        return Disagreement(
            editor=editor,
            judge=judge_name(self.run),
            metric=metric,
            edit_id=edit.edit_id,
            image_id=edit.unit.image_id,
            treatment=edit.treatment,
            name=self.words[int(self.treatment[row])],
            purifier=edit.unit.purifier,
            prompt=edit.prompt,
            outcome=cells["outcome"],
            value=None if metric == "psnr" and self.equal[row] else ORIENTATION[metric] * score,
            rank=place[0],
            of=place[1],
            called=call,
            verdicts=tuple(
                Said(j, q, cells.get(f"{j}:{q}", ""), cells.get(f"{j}:{q}_reasoning", ""))
                for j in self.run.judges
                for q in ("semantic", "perceptual")
            ),
            pictures=self._pictures(cells),
        )

    def _pictures(self, cells: EditRow) -> dict[str, Path | None]:
        names = {
            "source": cells["source_file_name"],
            "protected": self.run.protected_images.get(cells["edit_id"], ""),
            "edit": cells["file_name"],
            "control": self._controls.get(tuple(edit_of(cells).unit), ""),
        }
        return {name: _inside(self.run.root, path) for name, path in names.items()}

    @cached_property
    def _controls(self) -> dict[tuple[str, ...], str]:
        """Control edit by unit."""
        return {tuple(edit_of(r).unit): r["file_name"] for r in self.run.controls}


def _inside(root: Path | None, name: str) -> Path | None:
    """The file, where its name does not lead out of the edit directory."""
    if root is None or not name:
        return None
    path = (root / name).resolve()
    return path if path.is_relative_to(root.resolve()) and path.is_file() else None

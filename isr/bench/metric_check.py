"""Does dissimilarity mislead? How well each conventional metric tells immunized edits from those that are not.

A metric says "protected" of an edit that is far from its control edit: low PSNR, SSIM, VIFp, FSIM, high LPIPS. All
figures here are turned so that plus means that the metric sides with the judge. They are about edits of one editor
judged by one judge; images are drawn again, with all their edits, for every interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from isr.bench.rows import EditRow, edit_of, judge_name, number, numbers, settings_of
from isr.bench.thesis import SHOWN, Disagreement, Said, Separation, Strength, Thesis
from isr.report.runs import ReportRun, read_report_run
from isr.scoring.estimates import Frame, Settings, missing, rate_estimate
from isr.scoring.finished import OUTCOME
from isr.scoring.metrics import outcome_correlation
from isr.scoring.metrics_csv import EARLIER, Shown, read_shown
from isr.stats.discrimination import auc, between, called
from isr.types import Arm, Bools, Estimate, Floats, Treatment


@dataclass(frozen=True)
class Named:
    """What a study calls a treatment, and what it is in it: ``ours``, ``baseline`` or ``ablation``."""

    label: str
    role: str = "baseline"
    norm: str = "linf"


Naming = Callable[[Treatment], Named | None]
"""A study's names of treatments; ``None`` for one that is none of its own."""


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
        known = read_shown(run.folder)
        measured = [m for m in known if any(r.get(f"edit:{m}") for r in rows)]
        have = {"lpips" if m.startswith("lpips_") else m for m in measured}
        absent = [one.title for m, one in EARLIER.items() if m not in have]
        if absent:
            notes.append(f"{folder.name}: {', '.join(absent)} not measured")
        for editor in sorted({r["editor"] for r in rows}):
            some = _Edits(
                run, [r for r in rows if r["editor"] == editor], settings_of(run, level), naming, known
            )
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
    others = (m for m in EARLIER if m != "psnr")
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

    def __init__(
        self,
        run: ReportRun,
        rows: Sequence[EditRow],
        settings: Settings,
        naming: Naming,
        known: Mapping[str, Shown],
    ) -> None:
        self.run, self.rows, self.settings, self.known = run, rows, settings, known
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
        return self.known[metric].orientation * numbers(self.rows, f"edit:{metric}")

    def separation(self, editor: str, metric: str) -> Separation:
        x, y, level = self.score(metric), self.outcome, self.settings.level
        calls = called(x, y, self.image)
        everything = np.ones(x.size, np.bool_)
        return Separation(
            editor=editor,
            judge=judge_name(self.run),
            metric=metric,
            metric_title=self.known[metric].title,
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
            metric_title=self.known[metric].title,
            edit_id=edit.edit_id,
            image_id=edit.unit.image_id,
            treatment=edit.treatment,
            name=self.words[int(self.treatment[row])],
            purifier=edit.unit.purifier,
            prompt=edit.prompt,
            outcome=cells["outcome"],
            value=None if metric == "psnr" and self.equal[row] else self.known[metric].orientation * score,
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

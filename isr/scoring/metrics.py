"""Conventional metrics beside the verdicts: how far an edit is from its control edit, and how well they tell failures.

What is measured stands in ``isr.scoring.measures`` (extra ``metrics``). These metrics reward different outputs, not
failed ones; that is what their rank correlation with the outcome is for.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isr.calibration.ranking import rank_correlation
from isr.errors import MissingExtraError, UsageError
from isr.judging.plan import Plan
from isr.scoring.edits_csv import rows_of
from isr.scoring.measures import TEXTS, Absent, Given, Measure, Wanted, kinds, model_types, of_tensors
from isr.scoring.measures._checkpoints import OPTION, open_checkpoint
from isr.scoring.metrics_cache import Cache
from isr.scoring.metrics_csv import write_metrics
from isr.scoring.options import Options
from isr.scoring.registered_metrics import registered_metrics
from isr.scoring.stored import read_stored
from isr.text import did_you_mean
from isr.types import Arm, Edit, Estimate, Floats

log = logging.getLogger("isr")
WELL_KNOWN = ("psnr", "vifp", "fsim")  # whose definitions the terminal leaves out
CHUNK = 16  # edits that measures see at a time
TELL_EVERY_S = 10.0
_OUTCOME = {"immunized": 1.0, "not_immunized": 0.0}


@dataclass(kw_only=True)
class Measured:
    """What was measured: means and rank correlations by treatment, and why anything is absent."""

    columns: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)  # metric -> reason
    blank: dict[str, int] = field(default_factory=dict)  # reason -> pairs without a value
    treatments: list[dict[str, Any]] = field(default_factory=list)
    definitions: dict[str, str] = field(default_factory=dict)  # metric -> what exactly it is
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)  # metric -> its title and orientation
    cut: tuple[str, ...] = ()  # texts that a model did not read whole, in words

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``metrics.json``."""
        return {
            "schema": "isr.metrics/1",
            "columns": self.columns,
            "definitions": self.definitions,
            "shown": self.shown,
            "absent": self.absent,
            "blank": self.blank,
            **({"cut": list(self.cut)} if self.cut else {}),
            "treatments": self.treatments,
        }


@dataclass(frozen=True)
class Measures:
    """What a run measures, opened and checked; ``texts``: the column of each text."""

    measures: tuple[Measure, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """``edit:psnr`` ... then ``protected:psnr`` ..."""
        prefixes = dict.fromkeys(p for m in self.measures for p in m.columns)
        return [f"{p}:{m.name}" for p in prefixes for m in self.measures if p in m.columns]


def require_piq() -> None:
    """Raises ``MissingExtraError`` unless the extra ``metrics`` is installed."""
    missing = [name for name in ("torch", "torchvision", "piq") if not importlib.util.find_spec(name)]
    if missing:
        raise MissingExtraError(
            f"--metrics: expected {', '.join(missing)}; found none; pip install 'isr-eval[metrics]'"
        )


def open_measures(options: Options, *, fetch: bool = True) -> Measures:
    """Everything that ``options`` ask to be measured, with weights read and checked: before a judge is asked.

    ``fetch``: what is to be downloaded is downloaded; else it is only said. Raises ``IsrError`` for weights that cannot be read. Metrics of other packages stand last.
    """
    require_piq()
    known = model_types() if options.metric_models else set()
    checkpoints = tuple(open_checkpoint(spec, known) for spec in options.metric_models)
    if len({c.name for c in checkpoints}) < len(checkpoints):
        names = ", ".join(c.name for c in checkpoints)
        raise UsageError(f"{OPTION}: expected a name of its own for each; found {names}; give NAME=FOLDER")
    wanted = Wanted(
        lpips_weights=options.lpips_weights,
        dists_weights=options.dists_weights,
        checkpoints=checkpoints,
        caption=options.caption,
        source_caption=options.source_caption,
        fetch=fetch,
    )
    found = [m for kind in kinds() for m in kind.measures(wanted)]
    measures = sorted(
        (m for m in found if isinstance(m, Measure)), key=lambda m: (not m.plain, "@" in m.name)
    )
    absent = {m.name: m.why for m in found if isinstance(m, Absent)}
    outside = [
        Measure(
            name=name,
            value=of_tensors(f),
            mark=f.release,
            title=name,
            orientation=f.orientation,
        )
        for name, f in registered_metrics(taken=[m.name for m in measures]).items()
    ]
    texts = dict(zip(TEXTS, (options.caption, options.source_caption), strict=True))
    return Measures((*measures, *outside), absent, texts)


def require_captions(options: Options, columns: Collection[str]) -> None:
    """Raises ``UsageError`` where a column of captions is none of the metadata; ``prompt`` is one that is named."""
    known = {*columns, "prompt"}
    for option, column in (("--caption", options.caption), ("--source-caption", options.source_caption)):
        if column and column not in known:
            raise UsageError(
                f"{option}: expected a column of the metadata ({', '.join(sorted(known))}); found {column!r}; "
                f"{f'{near} ' if (near := did_you_mean(column, known)) else ''}an instruction is no caption, so none is taken in its place"
            )


def annotate(
    out: Path,
    plan: Plan,
    found: Measures,
    *,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda text: None,
) -> Measured:
    """Writes columns ``edit:psnr`` ... and ``protected:ssim`` ... to ``out/metrics.csv``, and ``metrics.json``.

    What was measured is kept in ``metrics.jsonl`` by the digests of its inputs and by versions and weights, so that an
    interrupted run goes on. ``stop`` is asked between edits: the rest is then left blank.
    """
    stored = read_stored(out)
    said = Measured(columns=found.columns, absent=dict(found.absent))
    said.definitions = {m.name: m.definition for m in found.measures if m.definition}
    said.shown = {m.name: {"title": m.title, "orientation": m.orientation} for m in found.measures}
    edits = {edit.edit_id: edit for edit in plan.edits}
    protected = [r for r in rows_of(stored.table_bytes) if r["arm"] == Arm.PROTECTED.value]
    said.cut = _cut(found, edits.values())
    rows: list[dict[str, str]] = []
    told = time.monotonic()
    with Cache(out / "metrics.jsonl", found.measures) as cache:
        for start in range(0, len(protected), CHUNK):
            if time.monotonic() - told > TELL_EVERY_S:
                told = time.monotonic()
                tell(f"measuring, {start:,} of {len(protected):,} edits")
            some = protected[start : start + CHUNK]
            rows += _annotated(some, edits, plan.root, found, cache, said, stop)
    said.treatments = list(_treatments(rows, said.columns))
    write_metrics(out, rows, said.as_dict(), stored.digest)
    return said


def _cut(found: Measures, edits: Collection[Edit]) -> tuple[str, ...]:
    """What the models say of captions that are too long for them."""
    said: dict[str, None] = {}
    for measure in found.measures:
        roles = {r for some in measure.columns.values() for r in some if r in TEXTS}
        texts = {t for e in edits for r in roles if (t := _text(e, found.texts[r]))}
        if texts and (words := measure.cut(sorted(texts))):
            said[words] = None
    for words in said:
        log.warning("%s", words)
    return tuple(said)


def _text(edit: Edit, column: str) -> str:
    return edit.prompt if column == "prompt" else edit.column(column)


def _annotated(
    rows: Sequence[Mapping[str, str]],
    edits: Mapping[str, Edit],
    root: Path,
    found: Measures,
    cache: Cache,
    said: Measured,
    stop: Callable[[], bool],
) -> Iterator[dict[str, str]]:
    """Some rows of protected edits with what was measured on them."""
    wanted = list(dict.fromkeys(roles for m in found.measures for roles in m.columns.values()))
    givens = [
        {roles: given_of(edits[r["edit_id"]], roles, root, found.texts) for roles in wanted}
        if r["edit_id"] in edits
        else {}
        for r in rows
    ]
    if not stop():
        for m in found.measures:
            seen = [
                g
                for some in givens
                for roles in m.columns.values()
                if isinstance(g := some.get(roles), Given)
            ]
            if missing := [g for g in seen if not cache.knows(m, g)]:
                m.prepare(missing)
    for row, some in zip(rows, givens, strict=True):
        values: dict[str, str] = dict.fromkeys(said.columns, "")
        for roles, given in some.items():
            why = "interrupted" if stop() else given
            measures = {m.name: m for m in found.measures if roles in m.columns.values()}
            numbers: Mapping[str, float] = {}
            if isinstance(why, str):
                reasons = {why}
            else:
                numbers, reasons = cache.measure(why, list(measures.values()))
            for name, value in numbers.items():
                prefix = next(p for p, named in measures[name].columns.items() if named == roles)
                values[f"{prefix}:{name}"] = f"{value:.6g}"
            for reason in reasons:
                said.blank[reason] = said.blank.get(reason, 0) + 1
        some.clear()  # with the pictures that were decoded for it
        yield {**row, **values}


def given_of(edit: Edit, roles: Sequence[str], root: Path, texts: Mapping[str, str]) -> Given | str:
    """What the roles mean for an edit, or why one of them is not there."""
    pictures = {
        "edit": edit.edited,
        "control": edit.control,
        "protected": edit.protected,
        "source": edit.source,
    }
    images = [pictures[r] for r in roles if r not in TEXTS]
    words = {texts[r]: _text(edit, texts[r]) for r in roles if r in TEXTS}
    if any(i is None for i in images):
        return "no image to compare with"
    if empty := [column for column, text in words.items() if not text]:
        return f"no text in the column {empty[0]!r}"
    return Given(
        root,
        tuple(i for i in images if i is not None),
        tuple(_text(edit, texts[r]) for r in roles if r in TEXTS),
    )


def _treatments(rows: list[dict[str, str]], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Means of each metric over edits, and rank correlation with the outcome over decided ones, by treatment."""
    fields = ("method", "config", "eps", "surrogate")
    parts: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        if row["arm"] == Arm.PROTECTED.value:
            parts.setdefault(tuple(row[f] for f in fields), []).append(row)
    for key in sorted(parts):
        some = parts[key]
        outcome = np.array([_OUTCOME.get(r["outcome"], math.nan) for r in some])
        clusters = [r["image_id"] for r in some]
        columns = {}
        for column in names:
            values = np.array([float(r[column] or "nan") for r in some])
            known = np.isfinite(values)
            columns[column] = {
                "n": int(known.sum()),
                "mean": float(values[known].mean()) if known.any() else None,
                "spearman": _correlation(values, outcome, clusters) if column.startswith("edit:") else None,
            }
        yield {**dict(zip(fields, key, strict=True)), "edits": len(some), "metrics": columns}


def _correlation(values: Any, outcome: Any, clusters: list[str]) -> dict[str, Any]:
    found = outcome_correlation(values, outcome, clusters).as_dict()
    return {k: found[k] for k in ("value", "low", "high", "n", "clusters", "method", "notes")}


def outcome_correlation(
    values: Floats, outcome: Floats, clusters: Sequence[str], level: float = 0.95
) -> Estimate:
    """Spearman's rho of a metric with the outcome (immunized = 1, NaN undecided), clustered on the image."""
    scores = np.where(np.isfinite(outcome), values, np.nan)
    found = rank_correlation(scores, outcome[:, None], list(clusters), level=level)
    text = "Spearman's rho with immunized = 1, delete-one-image jackknife"
    return Estimate(
        value=found.value,
        low=found.low,
        high=found.high,
        level=level,
        method=text,
        n=found.n,
        clusters=found.clusters,
        bounds=None,
        notes=found.notes,
    )


def table(said: Measured) -> str:
    """What was measured, as plain text."""
    lines = [
        "conventional metrics: the edit against its control edit, the protected image against its source"
    ]
    wide = max([15, *map(len, said.columns)]) + 1
    for part in said.treatments:
        named = [f"{k} {part[k]}" for k in ("method", "config", "eps", "surrogate") if part[k]]
        lines += ["", ", ".join(named) or "edits"]
        lines.append(f"  {'':{wide}}{'mean':>10}{'n':>7}   Spearman with immunized (95% interval, n)")
        for column, found in part["metrics"].items():
            mean = "-" if found["mean"] is None else f"{found['mean']:.4f}"
            lines.append(f"  {column:{wide}}{mean:>10}{found['n']:>7}   {_told(found['spearman'])}".rstrip())
    told = [name for name in said.definitions if name not in WELL_KNOWN and "@" not in name]
    lines += [f"{name}: {said.definitions[name]}" for name in told]
    if any("@" in name for name in said.definitions):
        lines.append("name@model: by a checkpoint, which metrics.json defines with its digest")
    lines += [f"{name}: absent, {why}" for name, why in said.absent.items()]
    lines += [f"{n} pair(s) without a value: {why}" for why, n in said.blank.items()]
    lines += said.cut
    return "\n".join(lines) + "\n"


def _told(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["value"] is None:
        return f"-  {'; '.join(found['notes'])}"
    if found["low"] is None:
        return f"{found['value']:+.2f} (no interval: {'; '.join(found['notes'])}; {found['n']})"
    return f"{found['value']:+.2f} ({found['low']:+.2f} to {found['high']:+.2f}, {found['n']})"

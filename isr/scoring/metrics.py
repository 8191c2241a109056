"""Conventional metrics beside the verdicts: how far an edit is from its control edit, and how well they tell failures.

PSNR, SSIM, VIFp, FSIM and LPIPS by ``piq`` (extra ``metrics``). They reward different outputs, not failed ones; that
is what their rank correlation with the outcome is for.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isr.calibration.ranking import rank_correlation
from isr.edits.images import read_checked
from isr.errors import MissingExtraError
from isr.files import naming
from isr.image_file import decode
from isr.judging.plan import Plan
from isr.reading import Unreadable, byte_lines, json_lines
from isr.scoring.edits_csv import rows_of
from isr.scoring.metrics_csv import write_metrics
from isr.scoring.registered_metrics import registered_metrics, releases
from isr.scoring.stored import StoredRun, read_stored
from isr.types import Arm, Edit, Estimate, Floats, ImageRef

if TYPE_CHECKING:
    from torch import Tensor

METRICS = ("psnr", "ssim", "ssim_full", "vifp", "fsim", "lpips")
DEFINITIONS = {
    "psnr": "piq {piq}, at full size, 80 dB at most",
    "ssim": "piq {piq}, averaged over pixels to a shorter side of about 256 first (piq's default): no number of another size",
    "ssim_full": "piq {piq} at full size, window 11, sigma 1.5, no borders: what measured_ssim is",
    "vifp": "piq {piq}, at four scales",
    "fsim": "piq {piq}, averaged over pixels to a shorter side of about 256 first",
    "lpips": "VGG16 by piq {piq}",
}
PAIRS = ("edit", "protected")  # the edit against its control edit; the protected image against its source
LPIPS_WEIGHTS = (
    "https://github.com/photosynthesis-team/photosynthesis.metrics/releases/download/v0.4.0/lpips_weights.pt"
)
LPIPS_LAYERS = ("3", "8", "15", "22", "29")  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 of VGG16
_OUTCOME = {"immunized": 1.0, "not_immunized": 0.0}

Metric = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass
class Measured:
    """What was measured: means and rank correlations by treatment, and why anything is absent."""

    columns: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)  # metric -> reason
    blank: dict[str, int] = field(default_factory=dict)  # reason -> pairs without a value
    treatments: list[dict[str, Any]] = field(default_factory=list)
    definitions: dict[str, str] = field(default_factory=dict)  # metric -> what exactly it is

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``metrics.json``."""
        return {
            "schema": "isr.metrics/1",
            "columns": self.columns,
            "definitions": self.definitions,
            "absent": self.absent,
            "blank": self.blank,
            "treatments": self.treatments,
        }


def require_piq() -> None:
    """Raises ``MissingExtraError`` unless the extra ``metrics`` is installed."""
    missing = [name for name in ("torch", "torchvision", "piq") if not importlib.util.find_spec(name)]
    if missing:
        raise MissingExtraError(
            f"--metrics: expected {', '.join(missing)}; found none; pip install 'isr-eval[metrics]'"
        )


def metrics(lpips: Callable[[], Metric] | None = None) -> tuple[dict[str, Metric], dict[str, str]]:
    """Functions of two images (1, 3, H, W) in [0, 1] by name, and why any is absent. ``lpips``: makes that one.

    Those of other packages stand last (``isr.scoring.registered_metrics``).
    """
    import piq

    found: dict[str, Metric] = {
        "psnr": lambda x, y: piq.psnr(x, y, data_range=1.0),
        "ssim": lambda x, y: piq.ssim(x, y, data_range=1.0),
        "ssim_full": lambda x, y: piq.ssim(x, y, data_range=1.0, downsample=False),
        "vifp": lambda x, y: piq.vif_p(x, y, data_range=1.0),
        "fsim": lambda x, y: piq.fsim(x, y, data_range=1.0),
    }
    outside = registered_metrics(taken=METRICS)
    absent = {}
    try:
        found["lpips"] = (lpips or lpips_vgg)()
    except (OSError, RuntimeError) as error:
        absent = {"lpips": f"its weights cannot be had: {error}"}
    return {**found, **outside}, absent


def definitions(names: Iterable[str]) -> dict[str, str]:
    """What each of the package's own metrics is, with the version that measures it."""
    import piq

    return {n: DEFINITIONS[n].format(piq=piq.__version__) for n in names if n in DEFINITIONS}


def lpips_vgg() -> Metric:
    """LPIPS with VGG16 (Zhang et al. 2018), as ``piq.LPIPS``; weights from its release and torchvision's, no pickle.

    Raises ``OSError`` where they cannot be downloaded and are not in torch's cache.
    """
    import torch
    from piq.perceptual import ContentLoss
    from torchvision.models import VGG16_Weights, vgg16

    def weights(url: str, check_hash: bool) -> Any:
        with contextlib.redirect_stdout(sys.stderr):  # it says what it downloads; stdout is for results
            return torch.hub.load_state_dict_from_url(
                url, progress=False, check_hash=check_hash, map_location="cpu", weights_only=True
            )

    network = vgg16(weights=None)
    network.load_state_dict(weights(VGG16_Weights.IMAGENET1K_V1.url, True))
    linear = weights(LPIPS_WEIGHTS, False)
    return ContentLoss(network.features.eval(), list(LPIPS_LAYERS), linear, normalize_features=True)


def annotate(
    out: Path,
    plan: Plan,
    *,
    stop: Callable[[], bool] = lambda: False,
    made: tuple[Mapping[str, Metric], Mapping[str, str]] | None = None,
) -> Measured:
    """Writes columns ``edit:psnr`` ... and ``protected:ssim`` ... to ``out/metrics.csv``, and ``metrics.json``.

    What was measured is kept in ``metrics.jsonl`` by the digests of the images, so that an interrupted run goes on.
    ``stop`` is asked between pairs: the rest is then left blank. ``made``: metrics other than ``metrics()``.
    """
    stored = read_stored(out)
    functions, absent = made or metrics()
    said = Measured([f"{p}:{m}" for p in PAIRS for m in functions], dict(absent))
    said.definitions = definitions(functions)
    edits = {edit.edit_id: edit for edit in plan.edits}
    with _Cache(out / "metrics.jsonl", functions) as cache:
        rows = list(_annotated(stored, edits, plan.root, cache, said, stop))
    said.treatments = list(_treatments(rows, list(functions)))
    write_metrics(out, rows, said.as_dict(), stored.digest)
    return said


def _annotated(
    stored: StoredRun,
    edits: Mapping[str, Edit],
    root: Path,
    cache: _Cache,
    said: Measured,
    stop: Callable[[], bool],
) -> Iterator[dict[str, str]]:
    """The rows of protected edits with what was measured on them."""
    for row in rows_of(stored.table_bytes):
        if row["arm"] != Arm.PROTECTED.value:
            continue
        values: dict[str, str] = dict.fromkeys(said.columns, "")
        edit = edits.get(row["edit_id"])
        if edit is not None:
            pairs = {"edit": (edit.edited, edit.control), "protected": (edit.protected, edit.source)}
            for name, (one, other) in pairs.items():
                found, why = ({}, "interrupted") if stop() else cache.measure(root, one, other)
                values |= {f"{name}:{metric}": f"{value:.6g}" for metric, value in found.items()}
                if why:
                    said.blank[why] = said.blank.get(why, 0) + 1
        yield {**row, **values}


class _Cache:
    """Values of pairs of images by digest, kept as they are measured."""

    def __init__(self, path: Path, functions: Mapping[str, Metric]) -> None:
        import piq

        self._functions = functions
        self._mark = "|".join([f"piq={piq.__version__}", *releases(functions.values())])
        self._known: dict[tuple[str, str], dict[str, float]] = {}
        for _, _, said in json_lines(byte_lines(path)) if path.is_file() else ():
            try:  # a line that was being written when the run was killed has no value
                if not isinstance(said, Unreadable) and said["by"] == self._mark:
                    self._known.setdefault((said["a"], said["b"]), {}).update(said["values"])
            except (ValueError, KeyError, TypeError):
                continue
        self._path = path
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> _Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def measure(
        self, root: Path, one: ImageRef | None, other: ImageRef | None
    ) -> tuple[dict[str, float], str]:
        """Every metric of a pair, and a reason if any is blank."""
        if one is None or other is None:
            return {}, "no image to compare with"
        key = (one.sha256, other.sha256)
        known = self._known.setdefault(key, {})
        missing = [name for name in self._functions if name not in known]
        why = ""
        if missing:
            found, why = self._compute(root, one, other, missing)
            known |= found
            line = {"by": self._mark, "a": key[0], "b": key[1], "values": found}
            with naming(self._path):
                self._file.write("\n" + json.dumps(line) if self._file.tell() else json.dumps(line))
                self._file.flush()
        return {name: known[name] for name in self._functions if name in known}, why

    def _compute(
        self, root: Path, one: ImageRef, other: ImageRef, names: list[str]
    ) -> tuple[dict[str, float], str]:
        import torch

        images = [decode(read_checked(root, ref.path, ref.sha256)) for ref in (one, other)]
        if images[0].size != images[1].size:
            return {}, "images of different sizes"
        x, y = (
            torch.from_numpy(np.asarray(i, np.uint8).copy()).permute(2, 0, 1)[None].float() / 255
            for i in images
        )
        found: dict[str, float] = {}
        why = ""
        with torch.inference_mode():
            for name in names:
                try:
                    value = float(self._functions[name](x, y))
                except (ValueError, RuntimeError) as error:  # images too small for a metric or its layers
                    why = f"{name}: {error}"
                    continue
                if math.isfinite(value):
                    found[name] = value
                else:
                    why = f"{name}: infinite, as the images are equal"
        return found, why


def _treatments(rows: list[dict[str, str]], names: list[str]) -> Iterator[dict[str, Any]]:
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
        for column in (f"{p}:{m}" for p in PAIRS for m in names):
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
    for part in said.treatments:
        named = [f"{k} {part[k]}" for k in ("method", "config", "eps", "surrogate") if part[k]]
        lines += ["", ", ".join(named) or "edits"]
        lines.append(f"  {'':16}{'mean':>10}{'n':>7}   Spearman with immunized (95% interval, n)")
        for column, found in part["metrics"].items():
            mean = "-" if found["mean"] is None else f"{found['mean']:.4f}"
            lines.append(f"  {column:16}{mean:>10}{found['n']:>7}   {_told(found['spearman'])}".rstrip())
    lines += [f"{name}: {what}" for name, what in said.definitions.items() if name.startswith("ssim")]
    lines += [f"{name}: absent, {why}" for name, why in said.absent.items()]
    lines += [f"{n} pair(s) without a value: {why}" for why, n in said.blank.items()]
    return "\n".join(lines) + "\n"


def _told(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["value"] is None:
        return f"-  {'; '.join(found['notes'])}"
    if found["low"] is None:
        return f"{found['value']:+.2f} (no interval: {'; '.join(found['notes'])}; {found['n']})"
    return f"{found['value']:+.2f} ({found['low']:+.2f} to {found['high']:+.2f}, {found['n']})"

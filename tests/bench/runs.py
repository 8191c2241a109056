"""Finished runs with conventional metrics, for the tests of tables and of the thesis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isr.scoring.metrics_csv import write_metrics
from isr.scoring.stored import read_stored
from tests.runs import recorded_run


def measured_run(
    root: Path,
    *,
    metric: Callable[[Mapping[str, str], np.random.Generator], Mapping[str, float]] | None = None,
    change: Callable[[list[dict[str, Any]]], None] | None = None,
    **options: Any,
) -> Path:
    """A recorded run with columns ``edit:psnr`` and ``edit:lpips``; seen and unseen prompts."""

    def changed(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["prompt_id"] = row["prompt"].split()[-1]
            row["split"] = ("seen", "unseen")[int(row["prompt_id"]) % 2]
        if change:
            change(rows)

    folder = recorded_run(root, change=changed, **options)
    add_metrics(folder, metric or plausible)
    return folder


def plausible(row: Mapping[str, str], rng: np.random.Generator) -> dict[str, float]:
    """Immunized edits look more changed, though not always."""
    shift = 4.0 * (row["outcome"] == "immunized")
    return {"psnr": 25 - shift + 3 * rng.standard_normal(), "lpips": 0.3 + shift / 20 + 0.1 * rng.random()}


def add_metrics(
    folder: Path, metric: Callable[[Mapping[str, str], np.random.Generator], Mapping[str, float]]
) -> None:
    """Writes the columns that ``isr score --metrics`` writes."""
    rng = np.random.default_rng(5)
    rows = read_rows(folder)
    names: list[str] = []
    for row in rows:
        if row["arm"] == "protected":
            values = metric(row, rng)
            names = names or list(values)
            row |= {f"edit:{name}": f"{value:.6g}" for name, value in values.items()}
    measured = [row for row in rows if row["arm"] == "protected"]
    columns = [f"edit:{name}" for name in names]
    write_metrics(folder, measured, {"columns": columns}, read_stored(folder).digest)


def read_rows(folder: Path) -> list[dict[str, str]]:
    return [dict(row) for row in read_stored(folder).rows]

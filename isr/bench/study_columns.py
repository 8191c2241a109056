"""Columns that a study names: those that every edit has, and those of its prompts."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isr.bench.material.dataset import STRATUM
from isr.judging.card_secrets import shown
from isr.reading import Unreadable, csv_file

COLUMNS = ("purifier", "prompt_id", "seed", "editor", "method", "eps", "surrogate")  # of all edits


def column_problems(raw: Mapping[str, Any], root: Path) -> Iterator[tuple[str, str, str, str]]:
    """Names in ``by`` and ``cluster`` that are no column of the edits: field, expected, found, what to do.

    And labels beside prompts that are a sample, which no correction takes so.
    """
    part, by, cluster = raw.get("images"), raw.get("by", []), raw.get("cluster", "")
    if raw.get("prompts") == "random" and "labels" in raw:
        yield (
            "prompts",
            "fixed, beside labels",
            "'random'",
            "a corrected difference takes the prompts as they are",
        )
    if not isinstance(part, dict) or not isinstance(by, list):
        return
    columns = {*COLUMNS, "split"}
    if part.get("dataset"):
        columns.add(STRATUM)
    elif isinstance(part.get("prompts"), str) and (root / part["prompts"]).is_file():
        columns |= _header(root / part["prompts"]) - {"name", "prompt"}
    for field, names in (("by", by), ("cluster", [cluster] if cluster else [])):
        for name in names:
            if isinstance(name, str) and name not in columns:
                yield field, f"columns out of {', '.join(sorted(columns))}", shown(name), "correct or drop it"


def _header(file: Path) -> set[str]:
    """The columns of a table; none where it cannot be read, which is said when its rows are."""
    try:
        with csv_file(file) as lines:
            return {c for c in next(csv.reader(lines), []) if c}
    except Unreadable:
        return set()

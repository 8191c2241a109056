"""Columns that a study names: those that every edit has, and those of its prompts."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isr.bench.material.dataset import STRATUM
from isr.judging.card_secrets import shown
from isr.reading import Unreadable, csv_file

NAMES = {"name", "prompt", "prompt_id", "split"}  # of the prompts' table, with a meaning of their own
COLUMNS = ("purifier", "prompt_id", "seed", "editor", "method", "eps", "surrogate")  # of all edits


def column_problems(raw: Mapping[str, Any], root: Path) -> Iterator[tuple[str, str, str, str]]:
    """Names in ``by`` and ``cluster`` that are no column of the edits: field, expected, found, what to do.

    A column that clusters is one of the prompts' table, with one value for each picture (or, with prompts at random, for each prompt):
    that is known before anything is made. And labels beside prompts that are a sample, which no correction takes so.
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
    own: set[str] = {STRATUM} if part.get("dataset") else set()
    table = _table(part, root)
    if not own and table is not None:
        own = _header(table) - NAMES
        if isinstance(cluster, str) and cluster in own:
            yield from _split(table, cluster, sampled=raw.get("prompts") == "random")
    columns = {*COLUMNS, "split", *own}
    for name in by:
        if isinstance(name, str) and name not in columns:
            yield "by", f"columns out of {', '.join(sorted(columns))}", shown(name), "correct or drop it"
    if isinstance(cluster, str) and cluster and cluster not in own:
        known = (
            f"a column of the prompts' table that groups images, out of {', '.join(sorted(own)) or 'none'}"
        )
        yield "cluster", known, shown(cluster), "correct or drop it"


def own_columns(raw: Mapping[str, Any], root: Path) -> set[str] | None:
    """The columns of texts that prompts have of their own; ``None`` where only the data would say."""
    part = raw.get("images")
    if not isinstance(part, dict):
        return None
    dataset, table = part.get("dataset"), _table(part, root)
    if isinstance(dataset, dict):
        texts = dataset.get("texts", ())
        return {str(t) for t in texts} if isinstance(texts, list | tuple) else None
    return None if table is None else _header(table) - NAMES


def _table(part: Mapping[str, Any], root: Path) -> Path | None:
    """The table of prompts that a study names, where it is there."""
    table = root / str(part.get("prompts")) if isinstance(part.get("prompts"), str) else None
    return table if table is not None and table.is_file() else None


def _split(table: Path, column: str, *, sampled: bool) -> Iterator[tuple[str, str, str, str]]:
    """Where a column of the prompts' table has two values for one picture, and groups no prompts that are a sample either."""
    try:
        with csv_file(table) as lines:
            rows = list(csv.DictReader(lines))
    except Unreadable:
        return  # said when they are read
    for key in ("name", "prompt") if sampled else ("name",):
        held: dict[str, set[str]] = {}
        for row in rows:
            held.setdefault(row.get(key) or "", set()).add(row.get(column) or "")
        split = [(name, values) for name, values in held.items() if len(values) > 1]
        if not split:
            return
    name, values = split[0]
    each = "picture, or for each prompt" if sampled else "picture (for groups of prompts: prompts = 'random')"
    found = f"{shown(name)} in {' and '.join(map(shown, sorted(values)[:2]))}"
    yield "cluster", f"one value of {column} for each {each}", found, "correct the table or drop it"


def _header(file: Path) -> set[str]:
    """The columns of a table; none where it cannot be read, which is said when its rows are."""
    try:
        with csv_file(file) as lines:
            return {c for c in next(csv.reader(lines), []) if c}
    except Unreadable:
        return set()

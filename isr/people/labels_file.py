"""Labels read from and written to files: CSV, JSONL, every problem with its row."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from isr.errors import InputError, Problem
from isr.files import write_text
from isr.people.labels import (
    KNOWN,
    QUESTIONS,
    REQUIRED,
    SHA256,
    WORDS,
    Label,
    Labels,
    Mark,
    Scale,
    cell_of,
    cells_of,
    is_number,
)
from isr.people.meeting import plain_number
from isr.reading import Unreadable, as_text, json_lines, read_text
from isr.spreadsheet import Writer


def read_labels(path: Path, *, scales: Mapping[str, Scale] | None = None, guideline: str = "") -> Labels:
    """The labels in a ``.csv`` or ``.jsonl`` file. Raises ``InputError`` with all problems at once.

    scales: by question, for graded labels. guideline: of rows that name none. Columns of other names are kept.
    """
    found = dict(scales or {})
    reader = {".csv": _csv_rows, ".jsonl": _jsonl_rows}.get(path.suffix)
    if reader is None:
        raise InputError(f"{path}: expected labels in a .csv or .jsonl file; found another ending; rename it")
    try:
        text = read_text(path, encoding="utf-8-sig")
    except Unreadable as error:
        raise InputError(f"{path}: expected a file in UTF-8; found {error.found}; check the path") from error
    problems: list[Problem] = []
    rows: list[tuple[str, Label]] = []
    for where, cells, wrong in reader(path.name, text):
        problems += wrong
        if not wrong:
            label = _label(where, cells, found, guideline, problems)
            if label is not None:
                rows.append((where, label))
    problems += _clashes(rows)
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s)", problems)
    if not rows:
        raise InputError(f"{path}: expected at least one label; found none; export it again")
    return Labels(tuple(label for _, label in rows), found)


_Cells = tuple[str, dict[str, str], list[Problem]]


def _csv_rows(name: str, text: str) -> Iterator[_Cells]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    try:
        header = next(reader, [])
        missing = [c for c in REQUIRED if c not in header]
        if missing or len(set(header)) != len(header):
            what = f"no {', '.join(missing)}" if missing else "a column twice"
            yield (
                f"{name}:1",
                {},
                [Problem(f"{name}:1", "", "edit_id, rater, ...", what, "correct the header")],
            )
            return
        for cells in reader:
            where = f"{name}:{reader.line_num}"
            if cells and len(cells) != len(header):
                found = f"{len(cells)}"
                yield (
                    where,
                    {},
                    [Problem(where, "", f"{len(header)} cells", found, "quote cells with commas")],
                )
            elif cells:
                yield where, {k: v.strip() for k, v in zip(header, cells, strict=True) if v.strip()}, []
    except csv.Error as error:
        where = f"{name}:{reader.line_num}"
        yield where, {}, [Problem(where, "", "CSV", str(error), "export it again")]


def _jsonl_rows(name: str, text: str) -> Iterator[_Cells]:
    for number, _, row in json_lines(io.BytesIO(text.encode())):
        where = f"{name}:{number}"
        if isinstance(row, Unreadable):
            yield where, {}, [Problem(where, "", "one JSON object", row.found, "correct the line")]
        elif not isinstance(row, dict) or not all(_plain(v) for v in row.values()):
            found = json.dumps(row, ensure_ascii=False)[:60]
            yield where, {}, [Problem(where, "", "texts and numbers by column", found, "correct the line")]
        else:
            yield where, {k: as_text(v) for k, v in row.items() if v not in (None, "")}, []


def _plain(value: object) -> bool:
    return value is None or isinstance(value, str) or is_number(value)


def _label(
    where: str, cells: Mapping[str, str], scales: Mapping[str, Scale], guideline: str, problems: list[Problem]
) -> Label | None:
    """The label in a row's cells; what is wrong with them goes to ``problems``."""
    before = len(problems)

    def wrong(name: str, expected: str, found: str, fix: str) -> None:
        problems.append(Problem(where, name, expected, found, fix))

    for name in REQUIRED:
        if name not in cells:
            wrong(name, "a name", "none", "fill it in or drop the row")
    marks = {q: _mark(cells.get(q, ""), scales.get(q)) for q in QUESTIONS}
    for question, mark in marks.items():
        if isinstance(mark, str):
            wrong(question, mark, repr(cells[question]), "correct the value, or declare the scale")
    if all(mark == Mark() for mark in marks.values()):
        wrong("", "a label for semantic or perceptual", "neither", "fill it in or drop the row")
    digest = cells.get("edit_sha256", "")
    if digest and not SHA256.match(digest):
        wrong("edit_sha256", "sha256: and 64 hex digits", digest[:20], "copy it from edits.csv")
    pi = _number(cells["pi"]) if "pi" in cells else None
    if "pi" in cells and (pi is None or not 0 < pi <= 1):
        wrong("pi", "a probability above 0, at most 1", cells["pi"], "correct the value")
    if len(problems) > before:
        return None
    semantic, perceptual = (m if isinstance(m, Mark) else Mark() for m in marks.values())
    texts = {name: cells.get(name, "") for name in ("image_id", "stratum", "plan", "time")}
    extra = {k: v for k, v in cells.items() if k not in KNOWN}
    said = cells.get("guideline", guideline)
    return Label(
        edit_id=cells["edit_id"],
        rater=plain_number(cells["rater"]),
        semantic=semantic,
        perceptual=perceptual,
        edit_sha256=digest,
        pi=pi,
        guideline=said,
        extra=extra,
        **texts,
    )


def _mark(text: str, scale: Scale | None) -> Mark | str:
    """The mark in a cell, or what was expected there."""
    if text in WORDS or not text:
        return Mark(text)
    grade = _number(text)
    if scale is None:
        return "fails, fine or cannot_tell" if grade is None else "a declared scale for grades"
    if grade is None or grade not in scale.anchors:
        return f"one of {', '.join(f'{a:g}' for a in scale.anchors)}, or cannot_tell"
    return Mark(scale.verdict(grade), grade)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _clashes(rows: Sequence[tuple[str, Label]]) -> Iterator[Problem]:
    """Rows that contradict each other; both are named."""
    seen: dict[tuple[str, str], str] = {}
    shared: dict[tuple[str, str], tuple[str, str]] = {}
    for where, label in rows:
        edit = plain_number(label.edit_id)
        key = (edit, label.rater)
        if key in seen:
            found = f"{label.rater} on {label.edit_id} also in {seen[key]}"
            yield Problem(where, "rater", "one label per rater and edit", found, "drop one of them")
        seen.setdefault(key, where)
        for name in ("edit_sha256", "image_id", "stratum", "pi"):
            value = getattr(label, name)
            if value in ("", None):
                continue
            first, other = shared.setdefault((edit, name), (where, str(value)))
            if other != str(value):
                found = f"{value}, but {other} in {first}"
                yield Problem(
                    where, name, f"the same for every label of {label.edit_id}", found, "correct one"
                )


def write_labels(path: Path, labels: Labels) -> None:
    """Writes ``.csv`` or ``.jsonl``; columns that no label has are left out."""
    extra = sorted({name for r in labels.rows for name in r.extra})
    used = [
        c for c in (*KNOWN, *extra) if c in (*REQUIRED, *QUESTIONS) or any(cell_of(r, c) for r in labels.rows)
    ]
    if path.suffix == ".jsonl":
        lines = (dict(zip(used, cells_of(r, used), strict=True)) for r in labels.rows)
        text = "".join(
            json.dumps({k: v for k, v in x.items() if v}, ensure_ascii=False) + "\n" for x in lines
        )
        write_text(path, text)
        return
    held = io.StringIO(newline="")
    writer = Writer(held)
    writer.writerow(used)
    writer.writerows(cells_of(r, used) for r in labels.rows)
    write_text(path, held.getvalue())

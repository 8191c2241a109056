"""Labels read from files of any format, and written to CSV and JSON lines; every problem with its row."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isr.errors import InputError, Problem, UsageError
from isr.files import write_text
from isr.people.declared import Columns, View, Words, views, word_of
from isr.people.formats import format_of
from isr.people.label_rows import Content, Row, content_of
from isr.people.labels import (
    ARM_FIX,
    ARMS,
    KNOWN,
    QUESTIONS,
    REQUIRED,
    SHA256,
    Label,
    Labels,
    Mark,
    Scale,
    attention_told,
    cell_of,
    cells_of,
    seen_told,
)
from isr.people.meeting import plain_number
from isr.spreadsheet import Writer

UNDECLARED = (
    'correct the value, or declare the scale (--scale), or the words: --words "semantic: Yes=fine, No=fails"'
)


def read_labels(
    path: Path,
    *,
    scales: Mapping[str, Scale] | None = None,
    words: Words | None = None,
    columns: Columns | None = None,
    guideline: str = "",
) -> Labels:
    """The labels in a file of any format of ``isr.people.formats``, told by its content.

    scales: by question, for graded labels. words, columns: what the file's words and columns mean (see
    ``isr.people.declared``). guideline: of rows that name none. Columns of other names are kept. Raises ``InputError``
    with all problems at once.
    """
    if "outcome" in {*(columns or {}), *(words or {})}:
        raise UsageError("outcome: expected answers of people to semantic and perceptual; declare those two")
    content = content_of(path)
    form = format_of(content)
    rows = list(form.rows(content))
    problems = list(content.broken)
    present = tuple(dict.fromkeys(c for row in rows for c in row.cells)) or content.columns
    if content.kind == "table":
        present = tuple(dict.fromkeys((*content.columns, *present)))
    meaning = Meaning(scales or {}, words or {}, guideline)
    found = views(form.COLUMNS, columns or {}, present, path.name)
    used = frozenset(column for view in found for column in view.columns.values())
    kept, dropped = list[tuple[str, Label]](), Counter[str]()
    counted = any(not (row.problems or row.dropped) for row in rows)
    if counted or not (rows or problems or form.recognise(content)):
        problems += _missing(content, found, present, form.NAME)
    if not any(p.field == "columns" for p in problems):
        for row in rows:
            if row.dropped:
                dropped[row.dropped] += 1
            elif row.problems:
                problems += row.problems
            else:
                kept += _of_row(row, found, used, meaning, problems)
    problems = [*_grouped(problems), *_clashes(kept)]
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s)", problems)
    if not kept:
        left = "".join(f"; {n} {_row(n)} {why}" for why, n in dropped.items())
        raise InputError(
            f"{path}: expected at least one label; found none{left}; label some edits, export again"
        )
    notes = [f"{path.name}: {n} {_row(n)} {why} left out" for why, n in sorted(dropped.items())]
    labels = tuple(label for _, label in kept)
    return Labels(labels, dict(scales or {}), (*notes, *attention_told(labels), *seen_told(labels)))


def _row(count: int) -> str:
    return "row" if count == 1 else "rows"


@dataclass(frozen=True)
class Meaning:
    """What the cells of a file mean."""

    scales: Mapping[str, Scale]
    words: Words
    guideline: str


def _missing(content: Content, found: Sequence[View], present: Sequence[str], form: str) -> Iterator[Problem]:
    """That the file has no column for what every label needs."""
    there = [t for view in found for t in (*view.columns, *view.fixed)]
    lost = [c for c in REQUIRED if c not in there]
    if not any(q in there for q in QUESTIONS):
        lost.append("semantic or perceptual")
    if lost:
        where = f"{content.name}:1" if content.kind == "table" else content.name
        what = f"no {', '.join(lost)}"
        has = (
            f" ({form} with {', '.join(present[:12])}{', ...' if len(present) > 12 else ''})"
            if present
            else ""
        )
        names = [*(c for c in lost if c in REQUIRED), *(QUESTIONS if lost[-1] not in REQUIRED else ())]
        fix = 'name the columns: --columns "' + ", ".join(f"{n}=COLUMN" for n in names) + '"'
        yield Problem(where, "columns", "edit_id, rater, ...", what + has, fix)


def _of_row(
    row: Row, found: Sequence[View], used: Collection[str], meaning: Meaning, problems: list[Problem]
) -> Iterator[tuple[str, Label]]:
    """The labels in a row, one for each view that says something."""
    others = {k: v for k, v in row.cells.items() if k not in used and k not in KNOWN}
    for view in found:
        cells = view.cells(row.cells)
        if len(found) > 1 and not any(q in cells for q in QUESTIONS):
            continue  # this rater, or this edit of the row, was not asked
        label = _label(row.where, {**others, **cells}, meaning, problems)
        if label is not None:
            yield row.where, label


def _grouped(problems: Sequence[Problem]) -> Iterator[Problem]:
    """One problem for each cause: words that mean nothing here stand once, with how often they came."""
    often = Counter((p.field, p.found) for p in problems if p.fix in (UNDECLARED, ARM_FIX))
    told: set[tuple[str, str]] = set()
    for p in problems:
        key = (p.field, p.found)
        if p.fix not in (UNDECLARED, ARM_FIX):
            yield p
        elif key not in told:
            told.add(key)
            count = f" ({often[key]} rows)" if often[key] > 1 else ""
            yield replace(p, found=p.found + count)


def _label(where: str, cells: Mapping[str, str], meaning: Meaning, problems: list[Problem]) -> Label | None:
    """The label in a row's cells; what is wrong with them goes to ``problems``."""
    before = len(problems)

    def wrong(name: str, expected: str, found: str, fix: str) -> None:
        problems.append(Problem(where, name, expected, found, fix))

    for name in REQUIRED:
        if name not in cells:
            wrong(name, "a name", "none", "fill it in or drop the row")
    marks = {q: _mark(cells.get(q, ""), meaning.scales.get(q), meaning.words.get(q, {})) for q in QUESTIONS}
    for question, mark in marks.items():
        if isinstance(mark, str):
            wrong(question, mark, repr(cells[question]), UNDECLARED)
    if all(mark == Mark() for mark in marks.values()):
        wrong("", "a label for semantic or perceptual", "neither", "fill it in or drop the row")
    digest = cells.get("edit_sha256", "")
    if digest and not SHA256.match(digest):
        wrong("edit_sha256", "sha256: and 64 hex digits", digest[:20], "copy it from edits.csv")
    pi = _number(cells["pi"]) if "pi" in cells else None
    if "pi" in cells and (pi is None or not 0 < pi <= 1):
        wrong("pi", "a probability above 0, at most 1", cells["pi"], "correct the value")
    arm = ARMS.get(cells.get("arm", "").casefold())
    if arm is None:
        wrong("arm", "protected or control", repr(cells["arm"]), ARM_FIX)
    if arm is None or len(problems) > before:
        return None
    semantic, perceptual = (m if isinstance(m, Mark) else Mark() for m in marks.values())
    texts = {name: cells.get(name, "") for name in ("image_id", "stratum", "plan", "time")}
    extra = {k: v for k, v in cells.items() if k not in (*KNOWN, "arm")}
    said = cells.get("guideline", meaning.guideline)
    return Label(
        edit_id=cells["edit_id"],
        rater=plain_number(cells["rater"]),
        semantic=semantic,
        perceptual=perceptual,
        edit_sha256=digest,
        pi=pi,
        guideline=said,
        arm=arm,
        extra=extra,
        **texts,
    )


def _mark(text: str, scale: Scale | None, words: Mapping[str, str]) -> Mark | str:
    """The mark in a cell, or what was expected there."""
    if not text or (word := word_of(text, words)):
        return Mark(word if text else "")
    grade = _number(text)
    if scale is not None and grade is not None and grade in scale.anchors:
        return Mark(scale.verdict(grade), grade)
    if scale is not None:
        return f"one of {', '.join(f'{a:g}' for a in scale.anchors)}, or cannot_tell"
    if words:
        return f"one of {', '.join(words)}, as declared, or fails, fine, cannot_tell"
    return "fails, fine or cannot_tell" if grade is None else "a declared scale for grades"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _clashes(rows: Sequence[tuple[str, Label]]) -> Iterator[Problem]:
    """Rows that contradict each other; both are named."""
    seen: dict[tuple[str, str, str], str] = {}
    shared: dict[tuple[str, str, str], tuple[str, str]] = {}
    for where, label in rows:
        edit = plain_number(label.edit_id)
        key = (edit, label.arm, label.rater)
        if key in seen:
            found = f"{label.rater} on {label.edit_id} also in {seen[key]}"
            yield Problem(where, "rater", "one label per rater and edit", found, "drop one of them")
        seen.setdefault(key, where)
        for name in ("edit_sha256", "image_id", "stratum", "pi"):
            value = getattr(label, name)
            if value in ("", None):
                continue
            first, other = shared.setdefault((edit, label.arm, name), (where, str(value)))
            if other != str(value):
                found = f"{value}, but {other} in {first}"
                yield Problem(
                    where, name, f"the same for every label of {label.edit_id}", found, "correct one"
                )


def write_labels(path: Path, labels: Labels) -> None:
    """Writes ``.csv`` or ``.jsonl``; columns that no label has are left out."""
    extra = sorted({name for r in labels.rows for name in r.extra})
    used = [
        c
        for c in (*KNOWN, "arm", *extra)
        if c in (*REQUIRED, *QUESTIONS) or any(cell_of(r, c) for r in labels.rows)
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

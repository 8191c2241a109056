"""Label Studio's JSON-MIN and CSV exports: a row for each annotation, questions as columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from isr.errors import Problem
from isr.people.formats.label_studio import joined
from isr.people.label_rows import Content, Row, texts
from isr.people.labels import KNOWN
from isr.reading import as_text

NAME = "Label Studio's JSON-MIN or CSV export"
COLUMNS = {**{name: (name,) for name in KNOWN}, "rater": ("annotator",), "time": ("created_at",)}


def recognise(content: Content) -> bool:
    """Columns that only these exports have."""
    return content.has("annotator", "annotation_id")


def rows(content: Content) -> Iterator[Row]:
    """Its rows; a question with several choices is a problem."""
    seen: dict[str, str] = {}
    for where, record in content.records:
        if not isinstance(record, dict):
            problem = Problem(where, "", "an annotation", repr(record)[:60], "export it again")
            yield Row(where, {}, (problem,))
            continue
        cells = texts(record)
        if str(record.get("was_cancelled", "")).casefold() == "true":
            yield Row(where, cells, dropped="cancelled")
            continue
        problems = list(joined(where, cells.get("annotator", ""), record.get("annotation_id"), seen))
        for name, value in record.items():
            chosen = _chosen(value)
            if len(chosen) > 1:
                problems.append(Problem(where, name, "one choice", str(chosen), "correct the annotation"))
            elif chosen:
                cells[name] = as_text(chosen[0])
        who = record.get("annotator")
        if isinstance(who, dict):
            cells["annotator"] = as_text(who.get("email") or who.get("id", ""))
        yield Row(where, cells, tuple(problems))


def _chosen(value: Any) -> list[Any]:
    """Several choices of one question, or one in a list."""
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        return list(value["choices"])
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return list(value)
    return []

"""Output manifests of SageMaker Ground Truth: one consolidated label for each object, of one rater by that name.

Labels that a machine gave (``human-annotated: no``) are never counted, nor are those that failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isr.errors import Problem
from isr.people.label_rows import Content, Row, texts
from isr.people.labels import KNOWN

NAME = "an output manifest of SageMaker Ground Truth"
COLUMNS = {**{name: (name,) for name in KNOWN}, "rater": ("rater",)}
RATER = "SageMaker (consolidated)"
_META = "-metadata"


def recognise(content: Content) -> bool:
    """Records in which a label has its metadata beside it."""
    return any(_jobs(one) for one in content.objects)


def rows(content: Content) -> Iterator[Row]:
    """A row for each object; a label is the name of its class."""
    for where, record in content.records:
        if not isinstance(record, Mapping):
            yield Row(
                where, {}, (Problem(where, "", "an object of labels", repr(record)[:60], "drop the line"),)
            )
            continue
        cells = {"rater": RATER, **texts(record)}
        machine = False
        for name, about in _jobs(record).items():
            if "failure-reason" in about or f"{name}-failure-reason" in record:
                cells.pop(name, None)
                continue
            machine |= str(about.get("human-annotated", "yes")).casefold() == "no"
            if "class-name" in about:
                cells[name] = str(about["class-name"])
        yield Row(where, cells, dropped="that a machine labelled" if machine else "")


def _jobs(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The metadata of every label of a record, by the label's name."""
    return {
        key.removesuffix(_META): value
        for key, value in record.items()
        if key.endswith(_META) and isinstance(value, Mapping) and ("job-name" in value or "type" in value)
    }

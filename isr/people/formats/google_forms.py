"""Responses of a Google Form: a row for each submission, questions as columns, so that columns are declared."""

from __future__ import annotations

from collections.abc import Iterator

from isr.people.label_rows import Content, Row, flat
from isr.people.labels import KNOWN

NAME = "responses of a Google Form"
COLUMNS = {
    **{name: (name,) for name in KNOWN},
    "rater": ("rater", "Email Address", "Username", "Email"),
    "time": ("time", "Timestamp"),
}


def recognise(content: Content) -> bool:
    """A table whose first column is the time of the submission."""
    return content.kind == "table" and [c.casefold() for c in content.columns[:1]] == ["timestamp"]


def rows(content: Content) -> Iterator[Row]:
    """Its rows as they are."""
    return flat(content)

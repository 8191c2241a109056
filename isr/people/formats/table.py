"""A plain table: CSV, JSON lines or a JSON list, with our columns or declared ones."""

from __future__ import annotations

from collections.abc import Iterator

from isr.people.label_rows import Content, Row, flat
from isr.people.labels import KNOWN

NAME = "a table"
COLUMNS = {name: (name,) for name in KNOWN}


def recognise(_: Content) -> bool:
    """Never: it is what is left."""
    return False


def rows(content: Content) -> Iterator[Row]:
    """Its rows as they are."""
    return flat(content)

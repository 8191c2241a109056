"""Formats of labels, one in a file of its own: a new file here is a new format, and nothing else knows of it.

A format is a module with

- ``NAME``: what it is, for messages;
- ``COLUMNS``: where it keeps things: ``edit_id``, ``rater``, ``semantic``, ... -> columns, of which the first is taken;
- ``recognise(content) -> bool``: whether a file is of this format, by what it holds (``isr.people.label_rows.Content``),
  never by its name. At most one format recognises a file;
- ``rows(content) -> Iterator[Row]``: its rows, with cells by column; rejected or cancelled work is ``dropped``.

A file that none recognises is a plain table, whose columns are ours or declared.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Protocol, cast

from isr.errors import InputError
from isr.people.declared import Columns
from isr.people.formats import table
from isr.people.label_rows import Content, Row


class Format(Protocol):
    """What a module of this folder has."""

    NAME: str
    COLUMNS: Columns

    def recognise(self, content: Content) -> bool: ...

    def rows(self, content: Content) -> Iterator[Row]: ...


def formats() -> list[Format]:
    """Every format of the folder, by its file's name."""
    found = sorted(m.name for m in pkgutil.iter_modules(__path__))
    return [cast("Format", importlib.import_module(f"{__name__}.{name}")) for name in found]


def format_of(content: Content) -> Format:
    """The format of a file; a plain table where no other recognises it. Raises ``InputError`` where several do."""
    found = [f for f in formats() if f.recognise(content)]
    if len(found) > 1:
        said = " and ".join(f.NAME for f in found)
        raise InputError(f"{content.name}: expected labels of one format; found {said}; keep the rows of one")
    return found[0] if found else cast("Format", table)

"""Tables as CSV: the one writer, and copies for a spreadsheet, in which nothing that others wrote is computed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

MOST_CELL = 16 * 2**20
"""Bytes of one cell of a table that is read."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Writer:
    """Writes rows of CSV whose lines end with ``\\n``, so that every cell is read again as it was.

    The ``csv`` module of Python up to 3.12 leaves a lone carriage return unquoted, at which every reader ends the row.
    """

    def __init__(self, file: IO[str]) -> None:
        self._plain = csv.writer(file, lineterminator="\n")
        self._quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def writerow(self, row: Sequence[object]) -> None:
        torn = "\r" in "".join([cell for cell in row if isinstance(cell, str)])
        (self._quoted if torn else self._plain).writerow(row)

    def writerows(self, rows: Iterable[Sequence[object]]) -> None:
        for row in rows:
            self.writerow(row)

    def write_named(self, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
        """A header of the columns, and what each row has in them."""
        self.writerow(columns)
        self.writerows([row.get(c, "") for c in columns] for row in rows)


def csv_safe(table: str) -> str:
    """A CSV for a spreadsheet: a text that would be read there as a formula has an apostrophe before it.

    A spreadsheet computes what begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return, whoever wrote it: a
    judge's reasoning, a prompt, a column of somebody's metadata. Numbers stay as they are. No command of ours reads it.
    """
    csv.field_size_limit(MOST_CELL)
    out = io.StringIO(newline="")
    Writer(out).writerows([_inert(c) for c in row] for row in csv.reader(io.StringIO(table, newline="")))
    return out.getvalue()


def _inert(cell: str) -> str:
    if not cell.startswith(_FORMULA) or _is_plain_number(cell):
        return cell
    return f"'{cell}"


def _is_plain_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and cell.strip() == cell

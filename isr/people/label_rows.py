"""What a file of labels holds before anybody says what it means: a table, or records of JSON, told by content."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from isr.errors import InputError, Problem
from isr.reading import Unreadable, as_text, json_lines, json_of, read_text, separated_by


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a format: where it stands, its text cells by column, what is wrong with it.

    ``dropped``: why it is never counted, such as ``of rejected work``.
    """

    where: str
    cells: Mapping[str, str]
    problems: tuple[Problem, ...] = ()
    dropped: str = ""


@dataclass(frozen=True, kw_only=True)
class Content:
    """The rows of a table (``cells`` by column, texts) or the records of a JSON file, each with where it stands.

    ``broken``: lines that cannot be read at all, as problems.
    """

    name: str
    kind: Literal["table", "records"]
    columns: tuple[str, ...]
    records: tuple[tuple[str, Any], ...]
    broken: tuple[Problem, ...] = ()
    objects: tuple[Mapping[str, Any], ...] = field(default=())

    def has(self, *names: str) -> bool:
        """Whether all of the names are columns, whatever their capitals."""
        return {n.casefold() for n in names} <= {c.casefold() for c in self.columns}


def content_of(path: Path) -> Content:
    """What a file holds, by its content and not by its name. Raises ``InputError`` for what is no text in UTF-8."""
    try:
        text = read_text(path, encoding="utf-8-sig")
    except Unreadable as error:
        raise InputError(str(error)) from error
    start = text.lstrip()[:1]
    if start == "[":
        try:
            value = json_of(text, path)
        except Unreadable as error:
            raise InputError(f"{path}: expected labels; found {error.found}; export it again") from error
        return _records(path.name, [(f"{path.name}: record {n}", r) for n, r in enumerate(value, 1)], ())
    if start == "{":
        return _lines(path.name, text)
    return _table(path, text)


def _lines(name: str, text: str) -> Content:
    rows, broken = [], []
    for number, _, value in json_lines(io.BytesIO(text.encode())):
        where = f"{name}:{number}"
        if isinstance(value, Unreadable):
            broken.append(Problem(where, "", "one JSON object", value.found, "correct the line"))
        else:
            rows.append((where, value))
    if broken and not rows:
        try:
            return _records(name, [(name, json_of(text, name))], ())  # one object over several lines
        except Unreadable:
            pass
    return _records(name, rows, tuple(broken))


def _records(name: str, rows: list[tuple[str, Any]], broken: tuple[Problem, ...]) -> Content:
    objects = tuple(value for _, value in rows if isinstance(value, dict))
    columns = tuple(dict.fromkeys(str(k).strip() for one in objects for k in one))
    return Content(
        name=name, kind="records", columns=columns, records=tuple(rows), broken=broken, objects=objects
    )


def _table(path: Path, text: str) -> Content:
    name, reader = path.name, csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, broken = list[tuple[str, Any]](), list[Problem]()
    header: list[str] = []
    try:
        first = next(reader, [])
        header = [" ".join(h.split()) for h in first]
        if len(first) == 1 and (other := separated_by(first[0])):
            raise InputError(
                f"{path}: expected columns separated by commas; found them separated by {other}, as spreadsheets of some "
                "languages write them; save it as CSV with commas"
            )
        folded = [h.casefold() for h in header if h]
        if len(set(folded)) != len(folded):
            twice = next(h for h in header if folded.count(h.casefold()) > 1)
            broken.append(
                Problem(f"{name}:1", "", "each column once", f"a column twice: {twice}", "rename one")
            )
            return Content(name=name, kind="table", columns=(), records=(), broken=tuple(broken))
        for cells in reader:
            where = f"{name}:{reader.line_num}"
            if cells and len(cells) != len(header):
                found = f"{len(cells)}"
                broken.append(Problem(where, "", f"{len(header)} cells", found, "quote cells with commas"))
            elif cells:
                kept = {k: v.strip() for k, v in zip(header, cells, strict=True) if k and v.strip()}
                rows.append((where, kept))
    except csv.Error as error:
        where = f"{name}:{reader.line_num}"
        broken.append(Problem(where, "", "CSV", str(error), "export it again"))
    columns = tuple(h for h in header if h)
    return Content(name=name, kind="table", columns=columns, records=tuple(rows), broken=tuple(broken))


def flat(content: Content) -> Iterator[Row]:
    """The rows of a table, or of records that hold texts and numbers only; empty values are left out."""
    for where, value in content.records:
        if content.kind == "table":
            yield Row(where, value)
        elif not isinstance(value, dict) or not all(_plain(v) for v in value.values()):
            found = json.dumps(value, ensure_ascii=False)[:60]
            problem = Problem(where, "", "texts and numbers by column", found, "correct the line")
            yield Row(where, {}, (problem,))
        else:
            yield Row(where, texts(value))


def texts(record: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The texts and numbers of a record as texts by column; lists, objects and empty values are left out."""
    return {
        f"{prefix}{str(k).strip()}": as_text(v).strip()
        for k, v in record.items()
        if isinstance(v, str | int | float) and _plain(v) and as_text(v).strip()
    }


def _plain(value: object) -> bool:
    if isinstance(value, float):
        return value - value == 0  # neither infinite nor NaN
    return value is None or isinstance(value, str | int)

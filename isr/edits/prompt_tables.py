"""Tables that say what an edit's prompt is, and more: CSV, TSV, JSON, JSON lines, or parquet with pictures inside."""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes
from isr.edits.metadata import PATHS, text_of
from isr.edits.templates import is_template, template
from isr.errors import InputError, Problem, UsageError
from isr.reading import (
    MAX_FILE,
    Unreadable,
    byte_lines,
    csv_file,
    json_lines,
    parquet_rows,
    read_json,
)
from isr.text import counted, did_you_mean

SEPARATORS = "_-. "
_ENDINGS = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"II": ".tif",
    b"MM": ".tif",
}


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One line of the prompts' table: for the image or edit ``name``, and further columns."""

    name: str
    prompt: str
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Stems of edits that this prompt is for."""
        prompt_id = self.columns.get("prompt_id", "")
        return {f"{self.name}{s}{prompt_id}" for s in SEPARATORS} if prompt_id else {self.name}


@dataclass(frozen=True, slots=True)
class Embedded:
    """A picture that lies inside a table. ``name``: by its content, so that one picture in three rows is one file."""

    name: str
    data: bytes = field(repr=False)


Cell = str | Embedded


@dataclass(frozen=True)
class TableRow:
    """A row of a table: where it stands, and its cells that are not empty."""

    where: str
    values: Mapping[str, Cell]
    folder: Path = Path()  # of the table, from which its paths start


def read_prompts(path: Path) -> list[PromptRow]:
    """The prompts' table: columns ``name`` and ``prompt``; any other column goes into the metadata.

    A table without ``name`` has its names in ``image``, as the templates of ``isr init`` call them. Raises ``InputError``.
    """
    rows = read_rows_of(
        path, "a CSV with the columns name and prompt (or the same as TSV, JSON, JSONL, parquet)"
    )
    problems = [
        Problem(
            f"{path}:1",
            column,
            "no such column here",
            "one",
            f"rename it, or say where such files lie: --{column.split('_')[0]} 'folder/{{{column}}}'"
            if column != "file_name"
            else "rename it: the files come from the patterns",
        )
        for column in PATHS
        if any(column in row for _, row in rows)
    ]
    there = [c for c in dict.fromkeys(c for _, row in rows for c in row) if c is not None]
    key = "image" if "name" not in there and _has_texts(rows, "image") else "name"
    asked = [(key, "name or image"), ("prompt", "prompt")]
    for said in [s for c, s in asked if c not in there and rows]:
        found = ", ".join(map(str, there)) or "none"
        problems.append(Problem(str(path), "", f"a column {said}", found, "rename one or add it"))
    for where, row in rows:
        if None in row:
            problems.append(Problem(where, "", "as many cells as columns", "more", "quote cells with commas"))
        for column in (c for c in (key, "prompt") if c in there):
            if not (text_of(row.get(column)) or "").strip():
                problems.append(Problem(where, column, "a text", "none", "fill it in"))
    if problems or not rows:
        raise InputError(
            f"{path}: {counted(len(problems), 'problem')}" if problems else f"{path}: no rows in it", problems
        )
    texts = [{k: v for k, v in ((k, text_of(v)) for k, v in r.items()) if v} for _, r in rows]
    return [
        PromptRow(r[key].strip(), r["prompt"], {k: v for k, v in r.items() if k not in (key, "prompt")})
        for r in texts
    ]


def _has_texts(rows: Sequence[tuple[str, Mapping[Any, Any]]], column: str) -> bool:
    """Whether the column names things: that of a data set holds pictures."""
    return any((text_of(row.get(column)) or "").strip() for _, row in rows)


def read_table(pattern: str, maps: Sequence[str]) -> list[TableRow]:
    """The rows of the table or tables that a path or a glob names, columns renamed as ``maps`` say.

    ``theirs=ours`` renames a column; ``theirs={image}-{turn}.png`` reads columns out of its cells. Raises
    ``InputError`` and ``UsageError``.
    """
    paths = sorted(map(Path, glob.glob(pattern))) if not Path(pattern).exists() else []
    rows = [
        TableRow(where, dict(_cells(values)), path.parent)
        for path in paths or [Path(pattern)]
        for where, values in read_rows_of(path, "a table: CSV, TSV, JSON, JSONL or parquet, as its name ends")
    ]
    if not rows:
        raise InputError(f"{pattern}: expected a table with rows; found none; export it again")
    there = {column for row in rows for column in row.values}
    for text in maps:
        theirs, sign, ours = text.partition("=")
        if not sign or not theirs or not ours:
            raise UsageError(f"--map {text}: expected THEIRS=OURS, e.g. key=edit_id")
        if theirs not in there:
            raise UsageError(
                f"--map {text}: expected a column of {pattern}; found {', '.join(sorted(there))}; "
                f"{did_you_mean(theirs, there, 'correct the name')}"
            )
        if not is_template(ours) and ours in there and ours not in {m.partition("=")[0] for m in maps}:
            raise UsageError(
                f"--map {text}: expected a name that no other column has; found {ours!r} in {pattern}; map that away too"
            )
    return _mapped(rows, maps)


def _mapped(rows: Sequence[TableRow], maps: Sequence[str]) -> list[TableRow]:
    renamed = {m.partition("=")[0]: m.partition("=")[2] for m in maps if not is_template(m)}
    read = [(m.partition("=")[0], template(m.partition("=")[2], "--map")) for m in maps if is_template(m)]
    out, problems = [], []
    for row in rows:
        values = {renamed.get(column, column): cell for column, cell in row.values.items()}
        for column, cells in read:
            cell = row.values.get(column, "")
            found = cells.readings(cell) if isinstance(cell, str) else []
            if len(found) == 1:
                values |= found[0]
            else:
                ways = " and ".join(map(str, found[:2])) or "a value that does not fit"
                what = f"{cells.text}, read in one way"
                problems.append(Problem(row.where, column, what, f"{cell!r}: {ways}", "correct the template"))
        out.append(TableRow(row.where, values, row.folder))
    if problems:
        raise InputError("--map: a template does not fit its column", problems)
    return out


def _cells(values: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    if None in values:
        raise InputError("a row of the table has more cells than there are columns: quote cells with commas")
    for name, value in values.items():
        picture = _picture(value)
        text = picture or text_of(value)
        if text:  # lists and the like are no column of ours
            yield name, text.strip() if isinstance(text, str) and name != "prompt" else text


def _picture(value: Any) -> Embedded | None:
    """The picture in a cell of a data set's image column, as ``datasets`` writes it into parquet."""
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes) or not data:
        return None
    ending = next((e for start, e in _ENDINGS.items() if data.startswith(start)), ".png")
    return Embedded(sha256_bytes(data)[7:23] + ending, data)


# ------------------------------------------------------------------------------------------- formats


def read_rows_of(path: Path, expected: str) -> list[tuple[str, dict[Any, Any]]]:
    """The rows of a table by the ending of its name, each with where it stands. Raises ``InputError`` with ``expected``."""
    readers = {".json": _json, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
    try:
        return list(readers.get(path.suffix.lower(), _csv)(path))
    except Unreadable as error:
        raise InputError(f"{path}: expected {expected}; found {error.found}") from error


def _csv(path: Path) -> Iterator[tuple[str, dict[Any, Any]]]:
    tabs = path.suffix.lower() in (".tsv", ".tab")
    with csv_file(path, MAX_FILE) as file:
        reader = csv.DictReader(file, delimiter="\t" if tabs else ",", strict=True)
        header = reader.fieldnames or ()
        for other, name in ((";", "semicolons"), ("\t", "tabs"), (",", "commas")):
            if len(header) == 1 and other in header[0]:
                raise Unreadable(
                    path, "a table", f"columns parted by {name}: save it with commas, or tabs as .tsv"
                )
        for number, row in enumerate(reader, 2):
            yield f"{path}:{number}", row


def _json(path: Path) -> Iterator[tuple[str, dict[Any, Any]]]:
    """A list of objects; or an object whose names are the ``key`` of rows, of several for a list (``turn`` from 1)."""
    value = read_json(path)
    if not isinstance(value, list | dict):
        raise Unreadable(path, "rows", type(value).__name__)
    pairs = list(value.items()) if isinstance(value, dict) else [(None, one) for one in value]
    for number, (key, inner) in enumerate(pairs, 1):
        where = f"{path}: {key!r}" if key is not None else f"{path}: row {number}"
        named = {} if key is None else {"key": key}
        several = isinstance(inner, list) and key is not None
        for turn, one in enumerate(inner if several else [inner], 1):
            counted = {"turn": turn} if several else {}
            if isinstance(one, dict):
                yield where, {**named, **counted, **one}
            elif key is not None and not isinstance(one, list):
                yield where, {**named, **counted, "value": one}
            else:
                raise Unreadable(
                    path, "a list of objects, or an object of them", f"{type(one).__name__} in it"
                )


def _jsonl(path: Path) -> Iterator[tuple[str, dict[Any, Any]]]:
    for number, _, value in json_lines(byte_lines(path), path):
        if isinstance(value, Unreadable):
            raise value
        if not isinstance(value, dict):
            raise Unreadable(path, "a JSON object in each line", f"{type(value).__name__} in line {number}")
        yield f"{path}:{number}", value


def _parquet(path: Path) -> Iterator[tuple[str, dict[Any, Any]]]:
    for number, values in enumerate(parquet_rows(path, batch=64), 1):  # with pictures in them
        yield f"{path}:{number}", values

"""Rows of an edit directory's metadata file (``metadata.jsonl``, ``.csv`` or ``.parquet``), as text values."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes
from isr.errors import EditDirectoryError, Problem
from isr.reading import (
    TooDeep,
    Unreadable,
    as_text,
    byte_lines,
    csv_file,
    first_bytes,
    json_lines,
    known_kind,
    parquet_rows,
    separated_by,
)
from isr.types import Treatment, Unit

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
PATHS = ("file_name", "source_file_name", "control_file_name", "protected_file_name")
MAX_PROMPT = 20_000  # characters; no editor reads as many, and a judge is paid for each
REQUIRED = ("file_name", "prompt")
DIGESTS = {
    "file_name": "edit_sha256",
    "source_file_name": "source_sha256",
    "control_file_name": "control_sha256",
    "protected_file_name": "protected_sha256",
}
"""By the column of a path: the one in which ``isr edit`` keeps the digest of the file that it wrote."""
KNOWN = frozenset({*PATHS, "prompt", "edit_id", "split", *Unit._fields, *Treatment._fields})

BY_PIXELS = "px-"  # begins the image_id of a source that has none of its own
NUMBERS = ("eps", "seed")  # columns in which 0.03 and 3e-2 are the same; digests and names are never touched
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, its text values (empty ones left out), and what is wrong with its form."""

    where: str
    values: dict[str, str]
    problems: tuple[Problem, ...] = ()


def metadata_file(root: Path) -> Path:
    """The one metadata file of an edit directory. Raises ``EditDirectoryError`` if there is none, or several."""
    if not root.is_dir():
        raise EditDirectoryError(f"{root}: expected an edit directory; found no folder there; check the path")
    found = [root / name for name in NAMES if (root / name).is_file()]
    if len(found) != 1:
        what = " and ".join(f.name for f in found) or "none of them"
        raise EditDirectoryError(
            f"{root}: expected one of {', '.join(NAMES)}; found {what}; "
            + ("remove all but one" if found else "make one with: isr init")
        )
    return found[0]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a metadata file in its order, one at a time. Raises ``EditDirectoryError`` if it has none."""
    reader = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}[path.suffix]
    empty = True
    try:
        _check_kind(path)
        for row in reader(path):
            empty = False
            yield row
    except Unreadable as error:
        raise EditDirectoryError(str(error)) from error
    if empty:
        raise EditDirectoryError(f"{path}: expected at least one row; found none; export it again")


def _check_kind(path: Path) -> None:
    """Raises ``EditDirectoryError`` for a file of another kind than its name says."""
    start = first_bytes(path)
    known = known_kind(start)
    if known and not (path.suffix == ".parquet" and start.startswith(b"PAR1")):
        found, fix = known
        raise EditDirectoryError(
            f"{path}: expected metadata in {path.suffix[1:].upper()}; found {found}; {fix}"
        )


def _read_jsonl(path: Path) -> Iterator[Row]:
    for number, _, value in json_lines(byte_lines(path), once=True):
        where = f"{path.name}:{number}"
        if number == 1 and _begins_list(path, value):
            raise EditDirectoryError(
                f"{path}: expected one JSON object in each line; found a JSON list; write each of its objects in a "
                f"line of its own: jq -c '.[]' list.json > {path.name}"
            )
        if isinstance(value, Unreadable):
            said = Problem(where, "", "one JSON object in UTF-8", value.found, "correct the line")
            yield Row(where, {}, (said,))
        elif not isinstance(value, dict):
            found = type(value).__name__
            yield Row(where, {}, (Problem(where, "", "a JSON object", found, "correct the line"),))
        else:
            yield _row(where, value)


def _begins_list(path: Path, value: Any) -> bool:
    """Whether a first line is a list of objects, or the beginning of a list that goes on below it."""
    if isinstance(value, Unreadable):
        return not isinstance(value, TooDeep) and first_bytes(path).removeprefix(
            b"\xef\xbb\xbf"
        ).lstrip().startswith(b"[")
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _read_csv(path: Path) -> Iterator[Row]:
    with csv_file(path) as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        _check_header(path, header)
        for cells in reader:
            where = f"{path.name}:{reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                problem = Problem(
                    where, "", f"{len(header)} cells", f"{len(cells)}", "quote cells with commas"
                )
                yield Row(where, {}, (problem,))
            else:
                yield _row(where, dict(zip(header, cells, strict=True)))


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) == 1 and (other := separated_by(header[0])):
        raise EditDirectoryError(
            f"{path}:1: expected columns separated by commas; found them separated by {other}; save it as CSV with commas"
        )
    twice = sorted({h for h in header if header.count(h) > 1})
    if twice:
        raise EditDirectoryError(
            f"{path}:1: expected each column once; found twice: {', '.join(twice)}; rename one"
        )


def _read_parquet(path: Path) -> Iterator[Row]:
    for number, values in enumerate(parquet_rows(path), 1):
        yield _row(f"{path.name}:{number}", values)


def _row(where: str, values: Mapping[str, Any]) -> Row:
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for name, value in values.items():
        text = text_of(value)
        if not is_unicode(name):
            problems.append(
                Problem(where, ascii(name)[:60], "a column name in valid Unicode", "this one", "rename it")
            )
        elif text is None or (name == "prompt" and not isinstance(value, str) and value is not None):
            found = f"{type(value).__name__} {str(value)[:60]!r}"
            expected = "text" if name == "prompt" else "a text or a number"
            problems.append(Problem(where, name, expected, found, "correct the value"))
        elif not is_unicode(text):
            problems.append(Problem(where, name, "valid Unicode", ascii(text)[:60], "correct the value"))
        elif text:
            texts[name] = text
    for name in REQUIRED:
        if not texts.get(name, "").strip() and not any(p.field == name for p in problems):
            found = "an empty one" if name in values else "no such column"
            what = "an edit instruction" if name == "prompt" else "the path of the edit"
            problems.append(Problem(where, name, what, found, "fill it in or drop the row"))
    if len(texts.get("prompt", "")) > MAX_PROMPT:
        found = f"{len(texts['prompt']):,} characters"
        problems.append(
            Problem(where, "prompt", f"at most {MAX_PROMPT:,} characters", found, "is it an instruction?")
        )
    return Row(where, texts, tuple(problems))


def text_of(value: Any) -> str | None:
    """A value as text, the same from every file format; ``None`` for a type that no column has."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value
    return as_text(value) if isinstance(value, int | float) else None


def is_unicode(text: str) -> bool:
    """Whether a text can be written to a file: no lone surrogate, no NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def number_text(text: str) -> str:
    """``0.030`` and ``3e-2`` as ``0.03``, ``8.0`` as ``8``; anything that is no such number as it stands."""
    if not _DECIMAL.fullmatch(text) or text.lstrip("+-").isdigit():
        return text
    value = float(text)
    if not math.isfinite(value):
        return text
    return str(int(value)) if value.is_integer() else repr(value)


def prompt_id_of(prompt: str) -> str:
    """The ``prompt_id`` of a prompt that has none of its own: by its text."""
    return f"tx-{sha256_bytes(prompt.encode())[7:23]}"


def image_id_of(pixels: str) -> str:
    """The ``image_id`` of a source that has none of its own: by the digest of its pixels."""
    return f"{BY_PIXELS}{pixels[7:23]}"

"""A copy of the table of edits as Parquet, ``edits.parquet`` beside ``edits.csv``: made of its bytes, read by no command.

Texts are text and numbers are numbers by what the table's columns mean, never by what a cell looks like. The file's metadata
holds the digest of the ``edits.csv`` that it was made of, and the signature of its result.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from isr.errors import InputError, MissingExtraError, Problem
from isr.files import commit, file_digest, growing
from isr.reading import MAX_TABLE, Unreadable, byte_lines, last_bytes, read_bytes
from isr.scoring.bundled import in_its_name
from isr.scoring.places import RESULT, TABLE
from isr.scoring.result import Result
from isr.signature import Signature
from isr.spreadsheet import MOST_CELL
from isr.types import Question

log = logging.getLogger("isr")
PARQUET = "edits.parquet"
DIGEST, SIGNATURE = "isr.table", "isr.signature"
"""Keys of the file's metadata: ``sha256:<hex>`` of the table, and the text of the result's signature."""
ROWS, TEXT = 8192, 32 * 2**20
"""Rows of one batch, and characters of its text: the first of the two that is reached ends it."""
_END = 8  # bytes at the end of a Parquet file: the length of its footer, and the mark
_FOOTER = 64 * 2**20


def require_pyarrow() -> None:
    """Raises ``MissingExtraError`` where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise MissingExtraError(
            "--table parquet: expected pyarrow; found none; pip install 'isr-eval[parquet]', or leave --table out: "
            "edits.csv is written in any case"
        )


@in_its_name()
def write_parquet(folder: Path, file: Path | None = None) -> Path:
    """Writes the table of a run as Parquet and returns the file; default: ``edits.parquet`` in the run's folder.

    Memory holds one batch of rows, however many there are. Raises ``MissingExtraError`` without pyarrow, ``InputError``
    where table and result do not belong together or a cell is not what its column holds.
    """
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, file = folder / TABLE, file or folder / PARQUET
    result = _result(folder)
    wanted = result.table.get(TABLE) or file_digest(table)
    digest = hashlib.sha256()
    try:
        rows = csv.reader(_digested(table, digest.update))
        csv.field_size_limit(MOST_CELL)
        columns = next(rows, [])
        numbers = _numbers(result)
        kinds = [numbers.get(name, str) for name in columns]
        types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
        schema = pa.schema([pa.field(n, types[k]) for n, k in zip(columns, kinds, strict=True)])
        schema = schema.with_metadata({DIGEST: wanted, SIGNATURE: result.signature})
        with growing(file) as out, pq.ParquetWriter(out, schema, compression="zstd") as writer:
            for batch in _batches(rows, len(columns)):
                cells = [
                    _cells(table, *one) for one in zip(columns, kinds, zip(*batch, strict=True), strict=True)
                ]
                arrays = [pa.array(c, f.type) for c, f in zip(cells, schema, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
            writer.close()
            found = f"sha256:{digest.hexdigest()}"
            result.require_table(found, table)
            if found != wanted:  # of a run of 0.1.0, whose result holds no digest
                raise _unlike(table, "a table that stays as it is", "one that changed while it was read")
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unlike(table, "CSV in UTF-8", str(error)) from error
    commit([file])
    return file


@contextmanager
def copied_again(folder: Path, result: Result) -> Iterator[None]:
    """Around the commit of a result and its table: a Parquet copy of another table, or of another result, never stays.

    It is taken away before, and made again after where pyarrow is installed; the log says where it is not.
    """
    file = folder / PARQUET
    stale = file.is_file() and not _is_copy(file, result)
    if stale:
        file.unlink()
    yield
    if stale and find_spec("pyarrow") is not None:
        write_parquet(folder)
    elif stale:
        log.warning(
            "%s: removed, it was of an earlier table; with pyarrow, --table parquet makes it again", file
        )


def _is_copy(file: Path, result: Result) -> bool:
    """Whether a Parquet file says that it was made of this result and its table; looked up without pyarrow."""
    try:
        end = last_bytes(file, _END)
        footer = last_bytes(file, min(int.from_bytes(end[:4], "little"), _FOOTER) + _END)
    except Unreadable:
        return False
    said = (result.table.get(TABLE, ""), result.signature)
    return end[4:] == b"PAR1" and all(text and text.encode() in footer for text in said)


def _result(folder: Path) -> Result:
    try:
        return Result.parse(read_bytes(folder / RESULT), folder / RESULT)
    except Unreadable as error:
        raise _unlike(folder / RESULT, "the result of a run", error.found) from error


def _numbers(result: Result) -> dict[str, type]:
    """The columns that hold numbers: what was measured, and what a judge gave where it was asked once.

    The cell of several repeats joins one number for each, and is a text.
    """
    found: dict[str, type] = {"protected_linf": float, "protected_psnr": float}
    if Signature.parse(result.signature).get("repeats", "1") == "1":
        for judge in result.judges:
            found[f"{judge['name']}:source_kept"] = int
            for question in Question:
                found |= {
                    f"{judge['name']}:{question}_score": int,
                    f"{judge['name']}:{question}_p_yes": float,
                }
    return found


def _digested(table: Path, update: Callable[[bytes], None]) -> Iterator[str]:
    for line in byte_lines(table, MAX_TABLE):
        update(line)
        yield line.decode("utf-8")


def _batches(rows: Iterator[list[str]], width: int) -> Iterator[list[list[str]]]:
    some: list[list[str]] = []
    size = 0
    for row in rows:
        if len(row) != width:
            raise csv.Error(f"a row of {len(row)} cells; the header has {width}")
        some.append(row)
        size += sum(map(len, row))
        if len(some) >= ROWS or size >= TEXT:
            yield some
            some, size = [], 0
    if some:
        yield some


def _cells(table: Path, column: str, kind: type, cells: Sequence[str]) -> Sequence[Any]:
    if kind is str:
        return cells
    try:
        return [kind(cell) if cell else None for cell in cells]
    except ValueError as error:
        raise _unlike(table, f"numbers in the column {column}", str(error)) from error


def _unlike(file: Path, expected: str, found: str) -> InputError:
    problem = Problem(str(file), "", expected, found, "run isr score again")
    return InputError("a run cannot be read", [problem])

"""Files that a user or a stranger hands us: the one place that opens them, and the one that parses TOML and JSON.

Only regular files are read, and never more than a stated number of bytes: a pipe, a device or a link to one is refused
before a byte of it is read, and a file that grows meanwhile is refused at its limit. Whatever is wrong with a file or a
text is an ``Unreadable``, which callers turn into their own error; one that nobody turns is a whole message by itself.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import stat
import tomllib
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from isr.errors import InputError, MissingExtraError

MAX_TOML = 2**20
"""Bytes of a TOML file."""
MAX_LINE = 16 * 2**20
"""Bytes of one line of a table: a JSON value, or a line of CSV."""
MAX_FILE = 256 * 2**20
"""Bytes of a file that is read whole: an image, a JSON document, a text."""
MAX_TABLE = 2 * 2**30
"""Bytes of a table that is read line by line."""
MAX_DEPTH = 100
"""Levels of nesting; what we write has fewer than ten."""

_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_PIECE = 2**20
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


class Unreadable(InputError, ValueError):
    """A file or a text that cannot be read. ``found`` says why, for a caller's own message; ``missing``: there is none."""

    def __init__(
        self,
        where: object,
        expected: str,
        found: str,
        fix: str = "correct the file",
        *,
        missing: bool = False,
    ) -> None:
        self.expected, self.found, self.missing = expected, found, missing
        super().__init__(f"{where}: expected {expected}; found {found}; {fix}")


class TooLarge(Unreadable):
    """A file of more bytes than are read of its kind."""


class TooDeep(Unreadable):
    """TOML or JSON with more than ``MAX_DEPTH`` levels of nesting."""


def why(error: Exception) -> str:
    """What an error found, for a message: of an ``Unreadable`` its words, of another its ``repr``."""
    return error.found if isinstance(error, Unreadable) else repr(error)


class Line(NamedTuple):
    """A line of a file of JSON lines: its number from 1, the offset of its first byte, its value or what is wrong."""

    number: int
    offset: int
    value: Any


# ------------------------------------------------------------------------------------------------ files


def open_regular(path: str | Path, limit: int | None = None) -> io.BufferedReader:
    """A regular file of at most ``limit`` bytes, open for reading. Raises ``Unreadable``; waits for no pipe or device.

    The reader still has to stop at the limit: the file may grow. ``None``: any size, for what is read piece by piece.
    """
    try:
        number = os.open(path, _OPEN)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise _not_read(path, error) from error
    try:
        state = os.fstat(number)
        _require_kind(path, state)
        if limit is not None and state.st_size > limit:
            raise _too_large(path, limit, state.st_size)
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def require_regular(path: str | Path) -> None:
    """Raises ``Unreadable`` where a path leads to something else than a regular file; no file at all is well.

    For files that another library opens by their names.
    """
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise _not_read(path, error) from error
    _require_kind(path, state)


def database_advice(error: Exception, otherwise: str) -> str:
    """What to do about an error of SQLite: another process may hold the file; ``otherwise`` for any other cause."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process holds it: let it finish or end it, then run again"
    if code == sqlite3.SQLITE_FULL:
        return "free the disk, then run again"
    return otherwise


def read_bytes(path: str | Path, limit: int = MAX_FILE) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes. Raises ``Unreadable``."""
    with open_regular(path, limit) as file:
        try:
            data = file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)
            while len(data) <= limit and (more := file.read(_PIECE)):  # it grew, or is of /proc: size 0
                data += more
        except OSError as error:
            raise _not_read(path, error) from error
    if len(data) > limit:
        raise _too_large(path, limit, len(data))
    return data


def read_text(path: str | Path, limit: int = MAX_FILE, encoding: str = "utf-8") -> str:
    """The text of a regular file of at most ``limit`` bytes, every line end as ``\\n``. Raises ``Unreadable``.

    What is no such text is named where its first bytes say what it is.
    """
    data = read_bytes(path, limit)
    if data.startswith(_POINTER):
        raise Unreadable(path, "a text in UTF-8", *_LFS)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        other = (f"{error}, as in a text of another encoding (Latin-1?)", "save it as UTF-8")
        found, fix = known_kind(data) or other
        raise Unreadable(path, "a text in UTF-8", found, fix) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


_POINTER = b"version https://git-lfs.github.com/spec/"
_LFS = ("a Git LFS pointer, not the file itself", "fetch the files: git lfs pull")
_PIXELS = "convert it to PNG, JPEG or WebP"
_KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (_POINTER, *_LFS),
    (b"\xff\xfe", "a text in UTF-16 (a spreadsheet's 'Unicode text')", "save it as CSV UTF-8"),
    (b"\xfe\xff", "a text in UTF-16 (a spreadsheet's 'Unicode text')", "save it as CSV UTF-8"),
    (b"PK\x03\x04", "a zip file, such as an Excel workbook", "unpack it, or save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV UTF-8"),
    (b"PAR1", "a parquet file", "export it as CSV or JSON lines"),
    (b"\x1f\x8b", "a gzip file", "unpack it"),
    (b"%PDF", "a PDF", "give the file that it was made from"),
    (b"GIF8", "a GIF", _PIXELS),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image", _PIXELS),
    (b"\xff\x0a", "a JPEG XL image", _PIXELS),
)
_BRANDS = {
    b"avif": "an AVIF image",
    b"avis": "an AVIF image",
    b"heic": "a HEIC image",
    b"mif1": "a HEIF image",
}


def known_kind(data: bytes) -> tuple[str, str] | None:
    """What a file of another kind than the wanted one is, by its first bytes, and what to do; ``None`` if nothing says."""
    if data[4:8] == b"ftyp":
        return (_BRANDS.get(data[8:12], "a video, or an image in a video's container"), _PIXELS)
    if data[:1] == b"<" and b"<html" in data[:500].lower():
        return ("a web page (an error, or a login page?)", "download the file itself")
    return next(((what, fix) for start, what, fix in _KNOWN if data.startswith(start)), None)


def first_bytes(path: str | Path, count: int = 512) -> bytes:
    """The first bytes of a regular file of any size, for ``known_kind``. Raises ``Unreadable``."""
    with open_regular(path) as file:
        try:
            return file.read(count)
        except OSError as error:
            raise _not_read(path, error) from error


def last_bytes(path: str | Path, count: int) -> bytes:
    """The last bytes of a regular file of any size, fewer where it has not as many. Raises ``Unreadable``."""
    with open_regular(path) as file:
        try:
            file.seek(max(os.fstat(file.fileno()).st_size - count, 0))
            return file.read(count)
        except OSError as error:
            raise _not_read(path, error) from error


def separated_by(header: str) -> str:
    """What separates the columns of a table's first line that has no comma; ``""`` if nothing does."""
    return next((name for sign, name in ((";", "';'"), ("\t", "tabs"), ("|", "'|'")) if sign in header), "")


def byte_lines(path: str | Path, limit: int = MAX_TABLE) -> Iterator[bytes]:
    """The lines of a regular file, each with its ``\\n``. Raises ``Unreadable``, also at a line above ``MAX_LINE`` bytes."""
    with open_regular(path, limit) as file:
        yield from _bounded(path, file, limit)


@contextmanager
def csv_file(path: str | Path, limit: int = MAX_TABLE) -> Iterator[Iterable[str]]:
    """The lines of a regular file in UTF-8, with or without a mark at its start, as ``csv.reader`` wants them.

    Raises ``Unreadable`` for what cannot be read, and for what the ``csv`` module or the decoder raise inside the block.
    """
    try:
        with (
            open_regular(path, limit) as file,
            io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text,
        ):
            yield _bounded(path, text, limit)
    except (UnicodeDecodeError, csv.Error) as error:
        found, fix = known_kind(first_bytes(path)) or (str(error), "export it again")
        raise Unreadable(path, "CSV in UTF-8", found, fix) from error


def _bounded(path: str | Path, file: IO[Any], limit: int) -> Iterator[Any]:
    size = 0
    try:
        while line := file.readline(MAX_LINE + 1):
            size += len(line)
            if len(line) > MAX_LINE:
                raise Unreadable(
                    path, f"lines of at most {MAX_LINE:,} bytes", "a longer one", "is it a table?"
                )
            if size > limit:
                raise _too_large(path, limit, size)
            yield line
    except OSError as error:
        raise _not_read(path, error) from error


# --------------------------------------------------------------------------------------- TOML and JSON


def read_toml(path: str | Path) -> dict[str, Any]:
    """The table in a TOML file. Raises ``Unreadable``."""
    return toml_of(read_text(path, MAX_TOML), path)


def toml_of(text: str, where: object = "a text") -> dict[str, Any]:
    """The table in a text in TOML. Raises ``Unreadable``."""
    try:
        value = tomllib.loads(text)
    except RecursionError as error:
        raise _too_deep(where, "TOML") from error
    except ValueError as error:
        raise Unreadable(where, "TOML", str(error)) from error
    _require_shallow(value, where, "TOML")  # dotted keys nest without any recursion
    return value


def read_json(path: str | Path, limit: int = MAX_FILE) -> Any:
    """The value in a JSON file. Raises ``Unreadable``."""
    return json_of(read_bytes(path, limit), path)


def json_of(data: bytes | str, where: object = "a text", *, once: bool = False, mark: bool = True) -> Any:
    """The value in a JSON text; bytes are UTF-8, after a byte order mark if ``mark`` allows one. Raises ``Unreadable``.

    once: an object in which a name stands twice is refused; otherwise its last value counts.
    """
    try:
        text = data if isinstance(data, str) else _after_mark(data, mark).decode("utf-8")
        value = json.loads(text, object_pairs_hook=_once if once else None)
    except RecursionError as error:
        raise _too_deep(where, "JSON") from error
    except ValueError as error:
        raise Unreadable(where, "JSON in UTF-8", str(error)) from error
    brackets = text.count("[") + text.count("{")
    if brackets > MAX_DEPTH:
        _require_shallow(value, where, "JSON")
    return value


def _after_mark(data: bytes, mark: bool) -> bytes:
    """The bytes behind a byte order mark, where one is allowed and there is one."""
    return data[len(BOM_UTF8) :] if mark and data.startswith(BOM_UTF8) else data


def json_lines(lines: Iterable[bytes], where: object = "a text", *, once: bool = False) -> Iterator[Line]:
    """The lines that are not empty, each with its value, or with the ``Unreadable`` that says why it has none."""
    offset = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                if len(line) > MAX_LINE:
                    raise Unreadable(where, f"lines of at most {MAX_LINE:,} bytes", "a longer one")
                value = json_of(line, f"{where}:{number}", once=once, mark=number == 1)
            except Unreadable as error:
                value = error
            yield Line(number, offset, value)
        offset += len(line)


def as_text(value: object) -> str:
    """A text, number or truth as the text of a cell, the same from every file format: 7 is ``7``, and so is 7.0."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def parquet_rows(path: str | Path, *, batch: int = 1024) -> Iterator[dict[str, Any]]:
    """The rows of a parquet file, ``batch`` at a time in memory.

    Raises ``Unreadable`` for a file that is none, ``MissingExtraError`` without pyarrow.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{path}: reading parquet needs pyarrow: pip install 'isr-eval[parquet]'"
        ) from error
    try:
        with open_regular(path, MAX_TABLE) as file:
            for some in pq.ParquetFile(file).iter_batches(batch_size=batch):
                yield from some.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Unreadable(path, "a parquet file", str(error)) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a column that stands twice in the row")
    return out


def _require_shallow(value: Any, where: object, what: str) -> None:
    """Raises ``TooDeep`` if anything lies deeper than ``MAX_DEPTH``: what is handed on can be written again."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return
    raise _too_deep(where, what)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


# --------------------------------------------------------------------------------------------- messages


def _require_kind(path: str | Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        found = _KINDS.get(stat.S_IFMT(state.st_mode), "something")
        raise Unreadable(path, "a file", f"{found}, which is no regular file", "correct the path")


def _not_read(path: str | Path, error: Exception) -> Unreadable:
    found = getattr(error, "strerror", None) or str(error)
    missing = isinstance(error, FileNotFoundError)
    return Unreadable(path, "a file that can be read", found, "check the path", missing=missing)


def _too_large(path: str | Path, limit: int, size: int) -> TooLarge:
    return TooLarge(path, f"at most {limit:,} bytes", f"{size:,} bytes", "give the right file")


def _too_deep(where: object, what: str) -> TooDeep:
    return TooDeep(where, what, f"more than {MAX_DEPTH} levels of nesting")

"""The answer store: one SQLite file, insert-only, keyed by the digest of the request.

A process may be killed at any moment: an answer is either committed or was never counted. Several processes
may share a store; the first answer to a request stands. WAL is used where the file system is local, a
rollback journal elsewhere.
"""

from __future__ import annotations

import os
import queue
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from isr.errors import InputError, Problem, StoreError
from isr.judging.requests import Request, Template
from isr.judging.store_connection import FAILURES, configure, connect, store_error
from isr.judging.store_format import MAX_BODY, answer_digest, as_bytes, fields_of, pack, text_of
from isr.judging.store_rows import (
    DamagedError,
    Statement,
    exported,
    imported,
    sound_answer,
    sound_part,
    sound_request,
)
from isr.reading import Unreadable, database_advice
from isr.types import Answer

SCHEMA = "isr.store/1"

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (digest TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (key BLOB NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    key BLOB NOT NULL, ask INTEGER NOT NULL, body BLOB NOT NULL, digest BLOB NOT NULL,
    UNIQUE (key, ask));
"""
_INSERT_ONLY = """
CREATE TRIGGER IF NOT EXISTS {t}_no_update BEFORE UPDATE ON {t} BEGIN SELECT RAISE(ABORT, 'insert-only'); END;
CREATE TRIGGER IF NOT EXISTS {t}_no_delete BEFORE DELETE ON {t} BEGIN SELECT RAISE(ABORT, 'insert-only'); END;
"""

RECOVERED = "recovered"  # in meta: this store was made by ``recover``, and may lack requests and parts
Row = tuple[Request, int, str, str]  # request, number of the ask, the request's body, the answer's body
OnDamage = Callable[
    [bytes, str], None
]  # the key of a request (b"" for a part, or for the file), and what is wrong


class AnotherVersionError(StoreError):
    """A store of a version of its own, which this one neither reads nor recovers."""


class Store:
    """Opens (and creates) the store at ``path``. Use as a context manager.

    Raises ``StoreError`` if the file is no store, is of another version, or cannot be written.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        if read_only and not path.is_file():
            raise StoreError(f"{path}: expected an answer store; found no file; check the path")
        with ExitStack() as opened:
            try:
                if not read_only:
                    path.parent.mkdir(parents=True, exist_ok=True)
                self._reader = opened.enter_context(closing(connect(path, read_only)))
                if read_only or self._tables():
                    self._check_version()
                if not read_only:
                    configure(self._reader, path)
                    _create(self._reader)
                self._writer = None if read_only else _Writer(path)
            except (*FAILURES, OSError, Unreadable) as error:
                wanted = f"an answer store that can be {'read' if read_only else 'written'}"
                raise store_error(path, error, wanted) from error
            opened.pop_all()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits until everything that was put is committed, then closes."""
        if self._writer is not None:
            self._writer.close()
        self._reader.close()

    def put(self, request: Request, ask: int, answer: Answer) -> Future[None]:
        """Hands an answer to the writer. The future is done when it is committed to the disk."""
        if self._writer is None:
            raise StoreError(f"{self.path}: opened for reading only")
        try:
            body = text_of(fields_of(answer))
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"{self.path}: expected an answer of texts and numbers; found {error}"
            ) from error
        asked = text_of(request.body)
        for what, text in (("a request", asked), ("an answer", body)):
            if len(text.encode()) > MAX_BODY:
                raise StoreError(
                    f"{self.path}: expected {what} of at most {MAX_BODY:,} bytes; found {len(text.encode()):,}; it was "
                    f"not kept, since it could not be read again"
                )
        return self._writer.put((request, ask, asked, body))

    def asks(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """How many answers each key has; keys without any, or whose first one was lost, are absent."""
        sql = "SELECT key, COUNT(*) FROM answers WHERE key IN ({}) GROUP BY key HAVING MIN(ask) = 0"
        return {bytes(k): n for k, n in self._chunked(sql, keys)}

    def answers(self, keys: Sequence[bytes]) -> dict[bytes, list[Answer | None]]:
        """The answers to each key in the order of asking; keys without any are absent.

        ``None`` stands for an answer whose digest does not hold, or that cannot be read: it is not used.
        """
        found: dict[bytes, list[Answer | None]] = {}
        sql = "SELECT key, ask, CAST(body AS BLOB), digest FROM answers WHERE key IN ({}) ORDER BY key, ask"
        for key, ask, body, digest in self._chunked(sql, keys):
            if (
                ask == 0 or key in found
            ):  # a second answer whose first was lost waits until that is asked again
                found.setdefault(bytes(key), []).append(_answer(key, ask, body, digest))
        return found

    def count(self) -> int:
        """Number of answers."""
        return int(self._reader.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def size(self) -> int:
        """Number of rows: parts, requests and answers."""
        sql = "SELECT (SELECT COUNT(*) FROM parts) + (SELECT COUNT(*) FROM requests) + (SELECT COUNT(*) FROM answers)"
        return int(self._reader.execute(sql).fetchone()[0])

    def verify(self) -> Iterator[str]:
        """Re-derives every digest and key; yields one line for each that does not hold. Empty = sound."""
        try:
            integrity = [row[0] for row in self._reader.execute("PRAGMA integrity_check")]
            yield from (f"database: {line}" for line in integrity if line != "ok")
            parts = set()
            for digest, body in self._reader.execute("SELECT digest, CAST(body AS BLOB) FROM parts"):
                parts.add(digest)
                try:
                    sound_part(digest, body)
                except DamagedError as error:
                    yield f"part {digest}: {error}"
            yield from self._verify_requests(parts)
            yield from self._verify_answers()
        except FAILURES as error:
            yield f"database: {error}"

    def _verify_requests(self, parts: set[str]) -> Iterator[str]:
        sql = "SELECT key, CAST(body AS BLOB), EXISTS (SELECT 1 FROM answers a WHERE a.key = r.key) FROM requests r"
        for key, body, answered in self._reader.execute(sql):
            name = f"request {as_bytes(key).hex()}"
            if not answered:
                yield f"{name}: its answers are missing"
            try:
                fields = sound_request(key, body)
            except DamagedError as error:
                yield f"{name}: {error}"
                continue
            yield from (f"{name}: its {p} is missing" for p in ("rubric", "judge") if fields[p] not in parts)

    def _verify_answers(self) -> Iterator[str]:
        sql = "SELECT a.key, a.ask, CAST(a.body AS BLOB), a.digest, r.key FROM answers a LEFT JOIN requests r ON r.key = a.key"
        for key, ask, body, digest, known in self._reader.execute(sql):
            name = f"answer {as_bytes(key).hex()} ({ask})"
            try:
                sound_answer(key, ask, body, digest)
            except DamagedError as error:
                yield f"{name}: {error}"
            if known is None:
                yield f"{name}: its request is missing"

    def export(self, on_damage: OnDamage | None = None) -> Iterator[dict[str, Any]]:
        """The store as JSON objects: first its parts (rubrics as sent, judges), then every answer with its request.

        ``replay`` and ``import_rows`` read it. on_damage: told of what does not hold its digest and is left out, with
        the key of its request (``b""`` for a part); without it the first such thing raises ``StoreError``.
        """

        def left_out(key: bytes, what: str, error: StoreError) -> None:
            if on_damage is None:
                raise StoreError(f"{self.path}: {what}: {error}; {self._remedy}") from error
            on_damage(key, f"{what}: {error}")

        parts: dict[str, Any] = {}
        for digest, body in self._read("SELECT digest, CAST(body AS BLOB) FROM parts ORDER BY digest"):
            try:
                parts[digest] = sound_part(digest, body)
            except DamagedError as error:
                left_out(b"", f"part {digest}", error)
        yield from ({"part": digest, "body": body} for digest, body in parts.items())
        sql = (
            "SELECT a.key, a.ask, CAST(r.body AS BLOB), CAST(a.body AS BLOB), a.digest "
            "FROM answers a LEFT JOIN requests r ON r.key = a.key ORDER BY a.key, a.ask"
        )
        for key, ask, request, answer, digest in self._read(sql):
            name = f"answer {as_bytes(key).hex()} ({ask})"
            try:
                if request is None:
                    raise DamagedError("its request is missing")
                said = sound_answer(key, ask, answer, digest)
                yield exported(parts, bytes(key), ask, sound_request(key, request), said, digest)
            except DamagedError as error:
                left_out(as_bytes(key), name, error)

    def import_rows(self, rows: Iterable[tuple[str, Any]]) -> int:
        """Adds the rows of an export, given as (where, object); returns the number of answers in it.

        All or nothing. Raises ``InputError`` with every row whose digests do not hold.
        """
        if self._writer is None:
            raise StoreError(f"{self.path}: opened for reading only")
        statements: list[Statement] = []
        problems: list[Problem] = []
        parts: set[str] = set()
        for where, row in rows:
            try:
                statements += imported(row, parts)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                problems.append(
                    Problem(where, "", "a row of isr store export", str(error), "export it again")
                )
        if problems:
            raise InputError(f"{len(problems)} row(s) cannot be imported; nothing was", problems)
        with self._reader as connection:
            connection.execute("BEGIN IMMEDIATE")
            for table, values in statements:
                _insert(connection, table, *values)
        return sum(table == "answers" for table, _ in statements)

    def add(self, rows: Iterable[Statement]) -> None:
        """Adds rows as they were kept in another store; the first answer to a request stands."""
        with self._reader as connection:
            connection.execute("BEGIN IMMEDIATE")
            for table, values in rows:
                _insert(connection, table, *values)

    def mark_recovered(self) -> None:
        """Says in the store that it may lack requests and parts, for ``complete``."""
        with self._reader as connection:
            _insert(connection, "meta", RECOVERED, datetime.now(UTC).isoformat(timespec="seconds"))

    @cached_property
    def is_recovered(self) -> bool:
        """Whether the store was made by ``recover``."""
        sql = "SELECT 1 FROM meta WHERE name = ?"
        return self._reader.execute(sql, (RECOVERED,)).fetchone() is not None

    def describe(self, templates: Iterable[Template]) -> list[str]:
        """Adds rubrics and judges that the store lacks; returns what is wrong with those that it has."""
        wanted = {name: content for t in templates for name, content in _parts(t)}
        there = dict(self._read("SELECT digest, CAST(body AS BLOB) FROM parts"))
        if missing := [("parts", (n, text_of(c))) for n, c in wanted.items() if n not in there]:
            self.add(missing)
        found = []
        for name in wanted:
            try:
                sound_part(name, there.get(name, text_of(wanted[name]).encode()))
            except DamagedError as error:
                found.append(f"{self.path}: part {name}: {error}; {self._remedy}")
        return found

    def complete(self, requests: Sequence[Request]) -> None:
        """Adds what a recovered store lost around its answers: the text of these requests, rubrics and judges."""
        known = self.asks([r.key for r in requests])
        self.add(row for request in requests if request.key in known for row in _around(request))

    def _tables(self) -> set[str]:
        return {row[0] for row in self._reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def _check_version(self) -> None:
        """Raises ``StoreError`` for a database that is no store of this version; nothing in it is changed."""
        row = None
        if "meta" in self._tables():
            row = self._reader.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        if row is None or row[0] != SCHEMA:
            found = row[0] if row else "a database without one"
            known = isinstance(found, str) and re.fullmatch(r"isr\.store/\d{1,6}", found)
            raise (AnotherVersionError if known else StoreError)(
                f"{self.path}: expected a store of version {SCHEMA}; found {found}; use another path"
                + ("" if known else f"; if it was one, {self._remedy}")
            )

    def _chunked(self, sql: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            yield from list(self._read(sql.format(",".join("?" * len(some))), some))

    def _read(self, sql: str, values: Sequence[bytes] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._reader.execute(sql, values)
        except FAILURES as error:
            raise store_error(self.path, error, "an answer store that can be read") from error

    @property
    def _remedy(self) -> str:
        return f"`isr store recover {self.path}` saves every answer that is sound"


def _answer(key: object, ask: object, body: object, digest: object) -> Answer | None:
    try:
        return Answer.recorded(sound_answer(key, ask, body, digest))
    except (DamagedError, TypeError, ValueError):  # an answer's digest holds, but it is none
        return None


class _Writer:
    """One thread that commits whatever has come in since its last commit, as one transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[tuple[Row, Future[None]] | None] = queue.SimpleQueue()
        self._known_parts: set[str] = set()
        self._connection = connect(path, read_only=False)
        configure(self._connection, path)
        self._identity = _identity(path)
        self._thread = threading.Thread(target=self._run, name="isr-store", daemon=True)
        self._thread.start()

    def put(self, row: Row) -> Future[None]:
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()  # an answer is kept even if nobody waits for it any more
        self._queue.put((row, future))
        return future

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._commit(self._connection, batch)
        finally:
            self._connection.close()

    def _next_batch(self) -> list[tuple[Row, Future[None]]] | None:
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while not self._queue.empty() and len(batch) < 1000:
            item = self._queue.get()
            if item is None:
                self._queue.put(None)  # seen again after this batch
                break
            batch.append(item)
        return batch

    def _commit(self, connection: sqlite3.Connection, batch: Iterable[tuple[Row, Future[None]]]) -> None:
        batch = list(batch)
        fault = ""
        if _identity(self._path) != self._identity:  # what is written into it now nobody would find
            fault = "the file was replaced by another meanwhile); run again"
        else:
            try:
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    for row, _ in batch:
                        self._insert(connection, *row)
            except sqlite3.Error as error:
                fault = f"{error}); {database_advice(error, 'free the disk, then run again')}"
        if fault:
            failure = StoreError(f"{self._path}: an answer could not be kept ({fault}")
            for _, future in batch:
                future.set_exception(failure)
            return
        for (request, *_), future in batch:
            self._known_parts |= {request.template.digest, request.template.card.digest}
            future.set_result(None)

    def _insert(
        self, connection: sqlite3.Connection, request: Request, ask: int, asked: str, body: str
    ) -> None:
        for name, content in _parts(request.template):
            if name not in self._known_parts:
                _insert(connection, "parts", name, text_of(content))
        _insert(connection, "requests", request.key, pack(asked))
        digest = answer_digest(request.key, ask, body.encode())
        _insert(connection, "answers", request.key, ask, pack(body), digest)


def _parts(template: Template) -> tuple[tuple[str, Any], ...]:
    """The rubric as sent and the judge, with their digests."""
    return (template.digest, template.body), (template.card.digest, template.card.identity)


def _around(request: Request) -> Iterator[Statement]:
    yield from (("parts", (name, text_of(content))) for name, content in _parts(request.template))
    yield "requests", (request.key, pack(text_of(request.body)))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _insert(connection: sqlite3.Connection, table: str, *values: Any) -> None:
    connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({','.join('?' * len(values))})", values)


def _create(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for table in _TABLES.strip().split(";\n"):
            if table:
                connection.execute(table)
        for name in ("meta", "parts", "requests", "answers"):
            for trigger in _INSERT_ONLY.format(t=name).strip().split("END;\n"):
                connection.execute(trigger.removesuffix("END;") + "END")
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (SCHEMA,))

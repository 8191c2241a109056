"""The answer store: one SQLite file, insert-only, keyed by the digest of the request.

A process may be killed at any moment: an answer is either committed or was never counted. Several processes
may share a store; the first answer to a request stands. WAL is used where the file system is local, a
rollback journal elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import sqlite3
import sys
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any

from isr.canonical import canonical_json, sha256_bytes
from isr.errors import InputError, Problem, StoreError
from isr.judging.requests import Request, content_digest
from isr.judging.store_format import pack, unpack, unpacked
from isr.reading import Unreadable, database_advice, require_regular
from isr.types import Answer

SCHEMA = "isr.store/1"

_BUSY_S = 60.0
_SHARED_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "glusterfs",
    "lustre",
    "gpfs",
    "beegfs",
    "afs",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.rclone",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "virtiofs",
}
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

Row = tuple[Request, int, str]  # request, number of the ask, the answer's body


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
                self._reader = opened.enter_context(closing(_connect(path, read_only)))
                if read_only or self._tables():
                    self._check_version()
                if not read_only:
                    _configure(self._reader, path)
                    _create(self._reader)
                self._writer = None if read_only else _Writer(path)
            except (sqlite3.Error, OSError, Unreadable) as error:
                advice = database_advice(error, "check the path, the disk and its permissions")
                raise StoreError(
                    f"{path}: expected an answer store that can be {'read' if read_only else 'written'}; "
                    f"found: {getattr(error, 'found', error)}; {advice}"
                ) from error
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
            body = _text(_fields(answer))
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"{self.path}: expected an answer of texts and numbers; found {error}"
            ) from error
        return self._writer.put((request, ask, body))

    def asks(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """How many answers each key has; keys without any are absent."""
        sql = "SELECT key, COUNT(*) FROM answers WHERE key IN ({}) GROUP BY key"
        return {bytes(k): n for k, n in self._chunked(sql, keys)}

    def answers(self, keys: Sequence[bytes]) -> dict[bytes, list[Answer]]:
        """The answers to each key in the order of asking; keys without any are absent."""
        found: dict[bytes, list[Answer]] = {}
        for key, body in self._chunked(
            "SELECT key, body FROM answers WHERE key IN ({}) ORDER BY key, ask", keys
        ):
            found.setdefault(bytes(key), []).append(self._answer(key, body))
        return found

    def _answer(self, key: bytes, body: bytes) -> Answer:
        try:
            return Answer.recorded(json.loads(unpack(body)))
        except (zlib.error, ValueError, TypeError) as error:
            name = f"{self.path}: the answer {_bytes(key).hex()}"
            raise StoreError(f"{name} cannot be read ({error}); isr store verify says more") from error

    def count(self) -> int:
        """Number of answers."""
        return int(self._reader.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def verify(self) -> Iterator[str]:
        """Re-derives every digest and key; yields one line for each that does not hold. Empty = sound."""
        try:
            integrity = [row[0] for row in self._reader.execute("PRAGMA integrity_check")]
            yield from (f"database: {line}" for line in integrity if line != "ok")
            parts = set()
            for digest, body in self._reader.execute("SELECT digest, body FROM parts"):
                parts.add(digest)
                if sha256_bytes(_bytes(body)) != digest:
                    yield f"part {digest}: its content has another digest"
            yield from self._verify_requests(parts)
            yield from self._verify_answers()
        except sqlite3.DatabaseError as error:
            yield f"database: {error}"

    def _verify_requests(self, parts: set[str]) -> Iterator[str]:
        sql = "SELECT key, CAST(body AS BLOB), EXISTS (SELECT 1 FROM answers a WHERE a.key = r.key) FROM requests r"
        for key, body, answered in self._reader.execute(sql):
            name = f"request {_bytes(key).hex()}"
            if not answered:
                yield f"{name}: its answers are missing"
            content = unpacked(body)
            if hashlib.sha256(content).digest() != key:
                yield f"{name}: its content has another key"
                continue
            fields = json.loads(content)
            yield from (f"{name}: its {p} is missing" for p in ("rubric", "judge") if fields[p] not in parts)

    def _verify_answers(self) -> Iterator[str]:
        sql = "SELECT a.key, a.ask, CAST(a.body AS BLOB), a.digest, r.key FROM answers a LEFT JOIN requests r ON r.key = a.key"
        for key, ask, body, digest, known in self._reader.execute(sql):
            name = f"answer {_bytes(key).hex()} ({ask})"
            if _answer_digest(_bytes(key), ask, unpacked(body)) != digest:
                yield f"{name}: its content has another digest"
            if known is None:
                yield f"{name}: its request is missing"

    def export(self) -> Iterator[dict[str, Any]]:
        """The store as JSON objects: first its parts (rubrics as sent, judges), then every answer with its request.

        ``replay`` and ``import_rows`` read it.
        """
        parts: dict[str, Any] = {
            d: json.loads(b)
            for d, b in self._reader.execute("SELECT digest, body FROM parts ORDER BY digest")
        }
        yield from ({"part": digest, "body": body} for digest, body in parts.items())
        sql = "SELECT a.key, a.ask, r.body, a.body FROM answers a JOIN requests r ON r.key = a.key ORDER BY a.key, a.ask"
        for key, ask, request_body, answer_body in self._reader.execute(sql):
            request = json.loads(unpack(request_body))
            rubric = parts[request["rubric"]]
            yield {
                "key": bytes(key).hex(),
                "content": content_digest(rubric["rubric_digest"], request),
                "ask": ask,
                "rubric": rubric["rubric"],
                "judge": request["judge"],
                "model": parts[request["judge"]]["model"],
                "request": request,
                "answer": json.loads(unpack(answer_body)),
            }

    def import_rows(self, rows: Iterable[tuple[str, Any]]) -> int:
        """Adds the rows of an export, given as (where, object); returns the number of answers in it.

        All or nothing. Raises ``InputError`` with every row whose digests do not hold.
        """
        if self._writer is None:
            raise StoreError(f"{self.path}: opened for reading only")
        statements: list[tuple[str, tuple[Any, ...]]] = []
        problems: list[Problem] = []
        parts: set[str] = set()
        for where, row in rows:
            try:
                statements += _imported(row, parts)
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

    def _tables(self) -> set[str]:
        return {row[0] for row in self._reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def _check_version(self) -> None:
        """Raises ``StoreError`` for a database that is no store of this version; nothing in it is changed."""
        row = None
        if "meta" in self._tables():
            row = self._reader.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        if row is None or row[0] != SCHEMA:
            found = row[0] if row else "a database without one"
            raise StoreError(
                f"{self.path}: expected a store of version {SCHEMA}; found {found}; use another path"
            )

    def _chunked(self, sql: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            try:
                rows = self._reader.execute(sql.format(",".join("?" * len(some))), some).fetchall()
            except sqlite3.Error as error:
                raise StoreError(
                    f"{self.path}: cannot be read ({error}); isr store verify says more"
                ) from error
            yield from rows


class _Writer:
    """One thread that commits whatever has come in since its last commit, as one transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[tuple[Row, Future[None]] | None] = queue.SimpleQueue()
        self._known_parts: set[str] = set()
        self._connection = _connect(path, read_only=False)
        _configure(self._connection, path)
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
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for row, _ in batch:
                    self._insert(connection, *row)
        except sqlite3.Error as error:
            failure = StoreError(
                f"{self._path}: an answer could not be kept ({error}); "
                f"{database_advice(error, 'free the disk, then run again')}"
            )
            for _, future in batch:
                future.set_exception(failure)
            return
        for (request, _, _), future in batch:
            self._known_parts |= {request.template.digest, request.template.card.digest}
            future.set_result(None)

    def _insert(self, connection: sqlite3.Connection, request: Request, ask: int, body: str) -> None:
        template = request.template
        for name, content in (
            (template.digest, template.body),
            (template.card.digest, template.card.identity),
        ):
            if name not in self._known_parts:
                _insert(connection, "parts", name, _text(content))
        _insert(connection, "requests", request.key, pack(_text(request.body)))
        digest = _answer_digest(request.key, ask, body.encode())
        _insert(connection, "answers", request.key, ask, pack(body), digest)


def _imported(row: Any, parts: set[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The inserts for one row of an export. Raises ``ValueError`` where a digest does not hold."""
    if "part" in row:
        text = _text(row["body"])
        if sha256_bytes(text.encode()) != row["part"]:
            raise ValueError("a part whose content has another digest")
        parts.add(row["part"])
        yield "parts", (row["part"], text)
        return
    request, key = _text(row["request"]), bytes.fromhex(row["key"])
    if hashlib.sha256(request.encode()).digest() != key:
        raise ValueError("a request whose content has another key")
    missing = [p for p in ("rubric", "judge") if row["request"][p] not in parts]
    if missing:
        raise ValueError(f"a request whose {' and '.join(missing)} did not come before it")
    fields = _fields(Answer.recorded(row["answer"]))
    answer = _text(
        {**fields, "finish_reason": row["answer"]["finish_reason"]}
    )  # its own word, whatever it is
    yield "requests", (key, pack(request))
    yield "answers", (key, row["ask"], pack(answer), _answer_digest(key, row["ask"], answer.encode()))


def _insert(connection: sqlite3.Connection, table: str, *values: Any) -> None:
    connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({','.join('?' * len(values))})", values)


def _answer_digest(key: bytes, ask: int, body: bytes) -> bytes:
    """SHA-256 over key, ask and body: an answer cannot be moved to another request unnoticed."""
    return hashlib.sha256(b"%s:%d:%s" % (key.hex().encode(), ask, body)).digest()


def _bytes(value: object) -> bytes:
    """A cell as bytes, whatever type it was given by whoever edited the file."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _text(value: Any) -> str:
    return canonical_json(value).decode("utf-8", "replace")


def _fields(answer: Answer) -> dict[str, Any]:
    """The answer's fields as JSON values, those without a value left out."""
    fields = {name: getattr(answer, name) for name in Answer.__slots__}
    return {
        name: v
        for name, v in fields.items()
        if v or name in ("text", "finish_reason") or (name == "p_yes" and v is not None)
    }


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    require_regular(path)
    if read_only:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
            uri += "&immutable=1"  # a copy in a folder where no journal can be made
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_S, check_same_thread=False)
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    wal = file_system(path) not in _SHARED_FILE_SYSTEMS
    connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=256")


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


def file_system(path: Path, mounts: str = "/proc/self/mountinfo") -> str:
    """Type of the file system that ``path`` is on (``"ext4"``, ``"nfs4"``); ``""`` where unknown."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        lines = Path(mounts).read_bytes().splitlines()
    except OSError:
        return ""
    target = os.fsencode(os.path.dirname(os.path.realpath(path)))
    best, kind = b"", b""
    for line in lines:
        left, _, right = line.partition(b" - ")
        point = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), left.split(b" ")[4])
        inside = target == point or target.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split(b" ")[0]
    return kind.decode("ascii", "replace")

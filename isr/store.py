"""The answer store: one SQLite file, insert-only, keyed by the digest of the request.

A process may be killed at any moment: an answer is either committed or was never counted. Several processes
may share a store; the first answer to a request stands. WAL is used where the file system is local, a
rollback journal elsewhere.
"""

from __future__ import annotations

import json
import os
import queue
import sqlite3
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from isr.canonical import canonical_json, sha256_bytes
from isr.errors import StoreError
from isr.requests import Request, content_digest
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
CREATE TABLE IF NOT EXISTS requests (key BLOB PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    key BLOB NOT NULL, ask INTEGER NOT NULL, body TEXT NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (key, ask)) WITHOUT ROWID;
"""
_INSERT_ONLY = """
CREATE TRIGGER IF NOT EXISTS {t}_no_update BEFORE UPDATE ON {t} BEGIN SELECT RAISE(ABORT, 'insert-only'); END;
CREATE TRIGGER IF NOT EXISTS {t}_no_delete BEFORE DELETE ON {t} BEGIN SELECT RAISE(ABORT, 'insert-only'); END;
"""

Row = tuple[Request, int, Answer]


class Store:
    """Opens (and creates) the store at ``path``. Use as a context manager.

    Raises ``StoreError`` if the file is no store, is of another version, or cannot be written.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        if read_only and not path.is_file():
            raise StoreError(f"{path}: expected an answer store; found no file; check the path")
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = _connect(path, read_only)
            if not read_only:
                _create(self._reader)
            self._check_version()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"{path}: expected an answer store that can be {'read' if read_only else 'written'}; "
                f"found: {error}; check the path, the disk and its permissions"
            ) from error
        self._writer = None if read_only else _Writer(path)

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
        return self._writer.put((request, ask, answer))

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
            found.setdefault(bytes(key), []).append(Answer(**json.loads(body)))
        return found

    def count(self) -> int:
        """Number of answers."""
        return int(self._reader.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def verify(self) -> Iterator[str]:
        """Re-derives every digest and key; yields one line for each that does not hold. Empty = sound."""
        integrity = [row[0] for row in self._reader.execute("PRAGMA integrity_check")]
        yield from (f"database: {line}" for line in integrity if line != "ok")
        parts = set()
        for digest, body in self._reader.execute("SELECT digest, body FROM parts"):
            parts.add(digest)
            if sha256_bytes(body.encode()) != digest:
                yield f"part {digest}: its content has another digest"
        for key, body in self._reader.execute("SELECT key, body FROM requests"):
            name = f"request {bytes(key).hex()}"
            if sha256_bytes(body.encode()) != f"sha256:{bytes(key).hex()}":
                yield f"{name}: its content has another key"
                continue
            fields = json.loads(body)
            yield from (f"{name}: its {p} is missing" for p in ("rubric", "judge") if fields[p] not in parts)
        sql = "SELECT a.key, a.ask, a.body, a.digest, r.key FROM answers a LEFT JOIN requests r ON r.key = a.key"
        for key, ask, body, digest, known in self._reader.execute(sql):
            name = f"answer {bytes(key).hex()} ({ask})"
            if bytes.fromhex(sha256_bytes(body.encode())[7:]) != bytes(digest):
                yield f"{name}: its content has another digest"
            if known is None:
                yield f"{name}: its request is missing"

    def export(self) -> Iterator[dict[str, Any]]:
        """Every answer as one JSON object with its request; also the format that ``replay`` reads."""
        parts: dict[str, Any] = {
            d: json.loads(b) for d, b in self._reader.execute("SELECT digest, body FROM parts")
        }
        sql = "SELECT a.key, a.ask, r.body, a.body FROM answers a JOIN requests r ON r.key = a.key ORDER BY a.key, a.ask"
        for key, ask, request_body, answer_body in self._reader.execute(sql):
            request = json.loads(request_body)
            rubric = parts[request["rubric"]]
            yield {
                "key": bytes(key).hex(),
                "content": content_digest(rubric["rubric_digest"], request),
                "ask": ask,
                "rubric": rubric["rubric"],
                "judge": parts[request["judge"]],
                "request": request,
                "answer": json.loads(answer_body),
            }

    def _check_version(self) -> None:
        row = self._reader.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        if row is None or row[0] != SCHEMA:
            found = row[0] if row else "no version"
            raise StoreError(
                f"{self.path}: expected a store of version {SCHEMA}; found {found}; use another path"
            )

    def _chunked(self, sql: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            yield from self._reader.execute(sql.format(",".join("?" * len(some))), some).fetchall()


class _Writer:
    """One thread that commits whatever has come in since its last commit, as one transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[tuple[Row, Future[None]] | None] = queue.SimpleQueue()
        self._known_parts: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="isr-store", daemon=True)
        self._thread.start()

    def put(self, row: Row) -> Future[None]:
        future: Future[None] = Future()
        self._queue.put((row, future))
        return future

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = _connect(self._path, read_only=False)
        try:
            while (batch := self._next_batch()) is not None:
                self._commit(connection, batch)
        finally:
            connection.close()

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
                f"{self._path}: an answer could not be kept ({error}); free the disk, then run again"
            )
            for _, future in batch:
                future.set_exception(failure)
            return
        for _, future in batch:
            future.set_result(None)

    def _insert(self, connection: sqlite3.Connection, request: Request, ask: int, answer: Answer) -> None:
        template = request.template
        for digest, part in (
            (template.digest, template.body),
            (template.card.digest, template.card.identity),
        ):
            if digest not in self._known_parts:
                _insert(connection, "parts", digest, _text(part))
                self._known_parts.add(digest)
        _insert(connection, "requests", request.key, _text(request.body))
        body = _text(_without_empty(asdict(answer)))
        _insert(connection, "answers", request.key, ask, body, bytes.fromhex(sha256_bytes(body.encode())[7:]))


def _insert(connection: sqlite3.Connection, table: str, *values: Any) -> None:
    connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({','.join('?' * len(values))})", values)


def _text(value: Any) -> str:
    return canonical_json(value).decode("utf-8", "replace")


def _without_empty(body: Mapping[str, Any]) -> dict[str, Any]:
    required = ("text", "finish_reason")
    return {k: v for k, v in body.items() if k in required or v}


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    if read_only:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_S, check_same_thread=False)
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    wal = file_system(path) not in _SHARED_FILE_SYSTEMS
    connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=256")
    return connection


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
        lines = Path(mounts).read_text().splitlines()
    except OSError:
        return ""
    target = os.path.realpath(path.parent)
    best, kind = "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4].encode().decode("unicode_escape")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split(" ")[0]
    return kind

"""A labelling study on disk: which edits, in which order for each rater, and every click, in one SQLite file.

Clicks are only ever added; what a rater said is what remains of them once undone clicks are taken away. A click
is committed to the disk before it counts, and has an id, so that sending it again changes nothing.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isr.errors import InputError, UsageError
from isr.people.labelling_plan import Item, Study, order_for
from isr.people.labels import ATTENTION, QUESTIONS, SEEN, WORDS, Label
from isr.people.looks import RANGES, UNKNOWN, Look
from isr.reading import database_advice, json_of, require_regular

SCHEMA = "isr.labelling/1"
FILE = "labels.db"
ACTIONS = ("mark", "note", "done", "undo")
MAX_NOTE = 2000
RATER_NAME = re.compile(r"[\w][\w .@+'’-]{0,59}\Z")
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (item INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS raters (rater TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks (rater TEXT, position INTEGER, item INTEGER NOT NULL, PRIMARY KEY (rater, position))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, rater TEXT NOT NULL,
    position INTEGER NOT NULL, action TEXT NOT NULL, question TEXT NOT NULL, value TEXT NOT NULL, seconds REAL NOT NULL,
    time TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_rater ON events (rater, seq);
CREATE TABLE IF NOT EXISTS looks (event TEXT PRIMARY KEY, window_px REAL, pixel_ratio REAL, fit_scale REAL,
    largest_scale REAL) WITHOUT ROWID;
"""
_INSERT = "INSERT INTO events (id, rater, position, action, question, value, seconds, time) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_LOOK = (
    "INSERT INTO looks (event, window_px, pixel_ratio, fit_scale, largest_scale) VALUES (?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a rater said about one item."""

    position: int
    item: int
    marks: Mapping[str, str]
    note: str = ""
    seconds: float = 0.0
    time: str = ""
    look: Look = UNKNOWN


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a rater stands: ``position`` of ``total``; the answers so far about the item that is shown."""

    rater: str
    position: int
    total: int
    prompt: str
    has_source: bool
    marks: Mapping[str, str]
    note: str

    @property
    def finished(self) -> bool:
        return self.position >= self.total


class LabelStore:
    """The study in a folder. Every method commits before it returns; several raters may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        require_regular(folder / FILE)
        self._db = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise InputError(
                f"{folder / FILE}: expected a labelling study; found: {error}; "
                f"{database_advice(error, 'use another --out')}"
            ) from error

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> LabelStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def begun(self) -> bool:
        """Whether the study was planned before."""
        return self._meta("schema") is not None

    def begin(self, study: Study) -> None:
        """Keeps the plan; it never changes after that."""
        with self._lock, closing(self._db.cursor()) as db:
            db.execute("BEGIN IMMEDIATE")
            for number, item in enumerate(study.items):
                body = {name: getattr(item, name) for name in Item.__slots__} | {
                    "expected": dict(item.expected)
                }
                db.execute("INSERT INTO items VALUES (?, ?)", (number, json.dumps(body)))
            fixed = {
                "schema": SCHEMA,
                "plan": json.dumps(study.plan),
                "guideline": study.guideline,
                "seed": str(study.seed),
                "repeat": repr(study.repeat),
                "directory": study.directory,
                "options": json.dumps(dict(study.options)),
            }
            db.executemany("INSERT INTO meta VALUES (?, ?)", fixed.items())
            db.execute("COMMIT")

    def study(self) -> Study:
        """The plan that was kept. Raises ``InputError`` if it is of another version."""
        if self._meta("schema") != SCHEMA:
            raise InputError(
                f"{self.folder / FILE}: expected a study of version {SCHEMA}; found another; use another --out"
            )
        items = [json_of(b) for (b,) in self._db.execute("SELECT body FROM items ORDER BY item")]
        return Study(
            items=tuple(Item(**i) for i in items),
            plan=json_of(self._meta("plan") or "{}"),
            guideline=self._meta("guideline") or "",
            seed=int(self._meta("seed") or 0),
            repeat=float(self._meta("repeat") or 0),
            directory=self._meta("directory") or "",
            options=json_of(self._meta("options") or "{}"),
        )

    def _meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def raters(self) -> list[str]:
        return [r for (r,) in self._db.execute("SELECT rater FROM raters ORDER BY number")]

    def sign_in(self, rater: str, first: Sequence[int] = ()) -> None:
        """Gives a new rater an order of its own (``first``: items that come first); an old one goes on.

        Raises ``UsageError`` for a name that is none.
        """
        if not RATER_NAME.match(rater):
            raise UsageError(
                "name: expected 1 to 60 letters, digits, spaces or . @ + ' -; found another; correct it"
            )
        study = self.study()
        with self._lock, closing(self._db.cursor()) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                if db.execute("SELECT 1 FROM raters WHERE rater = ?", (rater,)).fetchone() is None:
                    _enrol(db, study, rater, first)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def attention(self, rater: str) -> str:
        """How a rater whose labels were taken in did on the attention checks of another study, as ``3/4``; ``""``."""
        return self._meta(f"{ATTENTION}:{rater}") or ""

    def seen(self, rater: str) -> str:
        """What a rater whose labels were taken in saw beside the pictures, such as ``verdicts``; ``""``."""
        return self._meta(f"{SEEN}:{rater}") or ""

    def take_in(self, rows: Mapping[str, Sequence[Given]]) -> None:
        """Keeps labels of new raters as their first answers: all of them, or none."""
        study = self.study()
        with self._lock, closing(self._db.cursor()) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                for rater, found in rows.items():
                    _enrol(db, study, rater, [one.item for one in found])
                    for position, one in enumerate(found):
                        clicks = list(_as_clicks(rater, position, one))
                        db.executemany(_INSERT, clicks)
                        _keep_look(db, clicks[-1][0], one.look)
                    for name in (ATTENTION, SEEN):
                        said = (one.label.extra[name] for one in found if name in one.label.extra)
                        if first := next(said, ""):
                            db.execute(
                                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"{name}:{rater}", first)
                            )
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def item(self, rater: str, position: int) -> Item | None:
        """The item at a rater's position."""
        sql = (
            "SELECT i.body FROM tasks t JOIN items i ON i.item = t.item WHERE t.rater = ? AND t.position = ?"
        )
        row = self._db.execute(sql, (rater, position)).fetchone()
        return None if row is None else Item(**json_of(row[0]))

    def state(self, rater: str) -> State:
        """Where a rater stands. Raises ``UsageError`` for a name that nobody signed in with."""
        with self._lock:
            return self._state(rater)

    def _state(self, rater: str) -> State:
        total = self._db.execute("SELECT COUNT(*) FROM tasks WHERE rater = ?", (rater,)).fetchone()[0]
        if not total:
            raise UsageError(f"rater {rater[:60]!r}: expected one who signed in; found none; sign in first")
        done, current, note = folded(self._events(rater))
        position = len(done)
        item = self.item(rater, position)
        return State(
            rater=rater,
            position=position,
            total=total,
            prompt=item.prompt if item else "",
            has_source=bool(item and item.source),
            marks=current,
            note=note,
        )

    def _events(self, rater: str) -> list[tuple[Any, ...]]:
        sql = (
            "SELECT position, action, question, value, seconds, time, window_px, pixel_ratio, fit_scale, largest_scale "
            "FROM events LEFT JOIN looks ON looks.event = events.id WHERE rater = ? ORDER BY seq"
        )
        return self._db.execute(sql, (rater,)).fetchall()

    def add(
        self,
        rater: str,
        event_id: str,
        position: int,
        action: str,
        question: str = "",
        value: str = "",
        seconds: float = 0.0,
        look: Look = UNKNOWN,
    ) -> State:
        """Keeps one click and returns where the rater stands then. A click that was kept before changes nothing.

        seconds, look: how long and how closely the item was looked at, for ``done``.
        Raises ``UsageError`` for a click that cannot be: of another position, without both answers, unknown words.
        """
        with self._lock, closing(self._db.cursor()) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                known = db.execute("SELECT rater FROM events WHERE id = ?", (event_id,)).fetchone()
                if known is None:
                    self._check(self._state(rater), position, action, question, value)
                    now = datetime.now(UTC).isoformat(timespec="milliseconds")
                    row = (
                        event_id,
                        rater,
                        position,
                        action,
                        question,
                        value[:MAX_NOTE],
                        min(max(seconds, 0.0), 86400.0),
                        now,
                    )
                    db.execute(_INSERT, row)
                    _keep_look(db, event_id, look)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            return self._state(rater)

    @staticmethod
    def _check(state: State, position: int, action: str, question: str, value: str) -> None:
        wrong = ""
        if action not in ACTIONS:
            wrong = f"one of {', '.join(ACTIONS)}"
        elif position != state.position:
            wrong = f"an answer about item {state.position + 1}, which is shown"
        elif action == "mark" and (question not in QUESTIONS or value not in WORDS):
            wrong = f"one of {', '.join(WORDS)} for one of {', '.join(QUESTIONS)}"
        elif action == "done" and (set(state.marks) != set(QUESTIONS) or state.finished):
            wrong = "both questions answered"
        if wrong:
            raise UsageError(f"a click: expected {wrong}; found another; load the page again")

    def said(self, rater: str) -> list[Said]:
        """Everything that a rater confirmed, in order."""
        done, _, _ = folded(self._events(rater))
        sql = "SELECT item FROM tasks WHERE rater = ? ORDER BY position"
        items = [i for (i,) in self._db.execute(sql, (rater,))]
        return [
            Said(position=p, item=items[p], marks=marks, note=note, seconds=seconds, time=time, look=look)
            for p, (marks, note, seconds, time, look) in enumerate(done)
        ]


def _enrol(db: sqlite3.Cursor, study: Study, rater: str, first: Sequence[int]) -> None:
    """A new rater and the order of its items."""
    number = db.execute("SELECT COUNT(*) FROM raters").fetchone()[0] + 1
    db.execute("INSERT INTO raters VALUES (?, ?)", (rater, number))
    order = order_for(study, number, first)
    db.executemany("INSERT INTO tasks VALUES (?, ?, ?)", [(rater, p, i) for p, i in enumerate(order)])


def _keep_look(db: sqlite3.Cursor, event_id: str, look: Look) -> None:
    """How an item was looked at, beside the click that confirmed it; nothing where nothing is known."""
    if look != UNKNOWN:
        db.execute(_INSERT_LOOK, (event_id, *(getattr(look, name) for name in RANGES)))


@dataclass(frozen=True, kw_only=True)
class Given:
    """A label that is taken in, of an item."""

    item: int
    label: Label
    seconds: float = 0.0
    look: Look = UNKNOWN


def _as_clicks(rater: str, position: int, given: Given) -> Iterator[tuple[Any, ...]]:
    """A label as the clicks that would have made it, at its own time; the last one confirms it."""
    row = given.label
    steps = [("mark", q, row.mark(q).value, 0.0) for q in QUESTIONS]
    if row.extra.get("note"):
        steps.append(("note", "", row.extra["note"], 0.0))
    steps.append(("done", "", "", given.seconds))
    for step, (action, question, value, took) in enumerate(steps):
        name = f"import-{rater}-{position}-{step}"
        yield (name, rater, position, action, question, value, took, row.time)


_Done = tuple[dict[str, str], str, float, str, Look]


def folded(events: Iterable[tuple[Any, ...]]) -> tuple[list[_Done], dict[str, str], str]:
    """What remains of clicks: (confirmed items, marks of the item that is shown, its note).

    ``undo`` takes back the last mark or confirmation that stands; notes stay. An event is (position, action, question,
    value, seconds, time) and, where it is known, the numbers of a ``Look``.
    """
    kept: list[tuple[Any, ...]] = []
    notes: dict[int, str] = {}
    for event in events:
        position, action, _, value, *_ = event
        if action == "undo":
            if kept:
                kept.pop()
        elif action == "note":
            notes[position] = value
        else:
            kept.append(event)
    done: list[_Done] = []
    marks: dict[str, str] = {}
    for _, action, question, value, seconds, time, *look in kept:
        if action == "done":
            looked = Look(**dict(zip(RANGES, look, strict=False)))
            done.append((marks, notes.get(len(done), ""), seconds, time, looked))
            marks = {}
        else:
            marks = {**marks, question: value}
    return done, marks, notes.get(len(done), "")

"""A labelling study on disk: which edits, in which order for each rater, and every click, in one SQLite file.

Clicks are only ever added; what a rater said is what remains of them once undone clicks are taken away. A click
is committed to the disk before it counts, and has an id, so that sending it again changes nothing.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
from PIL import Image

from isr.calibration.agreement import cohen_kappa, confusion
from isr.canonical import sha256_bytes, sha256_json, short
from isr.edits.directory import EditDirectory
from isr.errors import InputError, Problem, UsageError
from isr.image_file import decode, read_file
from isr.judging.loop import arms_of
from isr.judging.rubrics import Rubric
from isr.people.judgements import EditInfo, Judgements
from isr.people.labels import QUESTIONS, WORDS, Label, Labels, Mark, write_labels
from isr.people.labelstudio import export_labels
from isr.people.sampling import Sample, draw
from isr.stats.rate import rate_interval
from isr.types import Arm, Edit, ImageRef, Treatment

SCHEMA = "isr.labelling/1"
FILE = "labels.db"
Kind = Literal["edit", "control", "attention"]
Design = Literal["random", "within_verdict", "disagreement"]
ACTIONS = ("mark", "note", "done", "undo")
MAX_NOTE = 2000
_NAME = re.compile(r"[\w][\w .@+'’-]{0,59}\Z")
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
"""
_INSERT = "INSERT INTO events (id, rater, position, action, question, value, seconds, time) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to label. Paths start at the edit directory, those of attention checks at the study's folder.

    ``expected``: the answers that an attention check must get, by question.
    """

    kind: Kind
    edit_id: str
    prompt: str
    edit: str
    edit_sha256: str
    source: str = ""
    image_id: str = ""
    pi: float | None = None
    stratum: str = ""
    expected: Mapping[str, str] = field(default_factory=dict)
    source_sha256: str = ""


@dataclass(frozen=True)
class Study:
    """What is fixed before the first click."""

    items: tuple[Item, ...]
    plan: Mapping[str, Any]  # as in plan.json
    guideline: str
    seed: int
    repeat: float  # share of the items that a rater sees twice
    directory: str = ""  # digest of the items, as the directory had them
    options: Mapping[str, Any] = field(default_factory=dict)  # that the study was planned with


# --------------------------------------------------------------------------- what is labelled


def plan_study(
    directory: EditDirectory,
    rubrics: Sequence[Rubric],
    out: Path,
    *,
    design: Design = "random",
    judges: Sequence[Judgements] = (),
    edits: int = 150,
    strata: Sequence[str] = (),
    controls: float = 0.2,
    repeat: float = 0.1,
    attention: int = 4,
    disputed: float = 0.5,
    seed: int = 0,
) -> Study:
    """Draws the edits, control edits and attention checks of a study. Raises ``UsageError``.

    random: every edit with the same chance, within ``strata`` if there are any. within_verdict: within the judge's
    outcome. disagreement: a share ``disputed`` of the edits on which judges differ. The probabilities are kept.
    """
    _check_ranges(edits, controls, repeat, attention, disputed)
    n = min(edits, len(directory.edits))
    guideline = "+".join(f"{r.name}:{short(r.digest)}" for r in rubrics)
    by_id = {e.edit_id: e for e in directory.edits}
    judged = _judged(directory, judges, design)
    rows = {i: _columns(e) for i, e in by_id.items()}
    by, shares = list(strata), None
    if design == "within_verdict":
        by = ["verdict", *by]
    if design == "disagreement":
        for i, row in rows.items():
            row["disagreement"] = "disputed" if _disputed(i, judges) else "agreed"
        by, share = ["disagreement"], disputed
        shares = {"disputed": share, "agreed": 1 - share}
    sample = draw(judged, rows, n=n, by=by, seed=seed, guideline=guideline, shares=shares)
    items = [_item("edit", by_id[label.edit_id], by_id[label.edit_id].edited, label) for label in sample.rows]
    rng = np.random.default_rng([seed, 1])
    controlled = [e for e, arm in arms_of(directory.edits) if arm is Arm.CONTROL]
    count = min(round(controls * n), len(controlled))
    for i in sorted(rng.choice(len(controlled), size=count, replace=False).tolist()) if count else ():
        edit = controlled[i]
        if edit.control is not None:
            items.append(_item("control", edit, edit.control, None))
    items += _attention(directory, sample, out, attention, rng)
    plan = {"plan": sample.plan, "design": _calibration_design(design), **sample.content}
    return Study(tuple(items), plan, guideline, seed, repeat, items_digest(directory, items))


def _check_ranges(edits: int, controls: float, repeat: float, attention: int, disputed: float) -> None:
    for name, value, good, expected in (
        ("edits", edits, edits >= 1, "1 or more"),
        ("controls", controls, 0 <= controls <= 1, "a share from 0 to 1"),
        ("repeat", repeat, 0 <= repeat <= 1, "a share from 0 to 1"),
        ("attention", attention, 0 <= attention <= 1000, "a number from 0 to 1000"),
        ("disputed", disputed, 0 < disputed < 1, "a share above 0 and below 1"),
    ):
        if not good:
            raise UsageError(f"--{name}: expected {expected}; found {value}; correct it")


def _calibration_design(design: Design) -> str:
    """The design that ``isr calibrate`` takes; unequal probabilities are in the labels."""
    return "within_verdict" if design == "within_verdict" else "random"


def _judged(directory: EditDirectory, judges: Sequence[Judgements], design: Design) -> Judgements:
    """The judge that edits are drawn by; without one only what the directory says."""
    known = {e.edit_id: EditInfo(e.unit.image_id, e.edited.sha256) for e in directory.edits}
    if design == "random":
        return Judgements("", "", {}, {}, {}, known)
    if not judges:
        raise UsageError(f"--design {design}: expected a finished run (--judge RUN); found none")
    if design == "disagreement":
        if sum(bool(j.verdicts) for j in judges) < 2:
            raise UsageError(
                "--design disagreement: expected two judges or more; found one; give --judge RUN twice"
            )
        return Judgements("", "", {}, {}, {}, known)
    judge = judges[-1]
    if missing := sorted(set(known) - set(judge.edits)):
        raise UsageError(f"--judge: expected a run of this directory; it has no answer about {missing[0]}")
    kept = {i: judge.edits[i] for i in known}
    return Judgements(
        judge.name,
        judge.judge,
        judge.rubrics,
        judge.verdicts,
        judge.outcomes,
        kept,
        judge.rule,
        judge.signature,
    )


def _disputed(edit: str, judges: Sequence[Judgements]) -> bool:
    return any(
        len({c for j in judges if (c := j.code(question, edit)) is not None and c >= 0}) > 1
        for question in QUESTIONS
    )


def _columns(edit: Edit) -> dict[str, str]:
    named = {c: edit.column(c) for c in ("split", *edit.unit._fields, *Treatment._fields)}
    source = edit.source.path if edit.source else ""
    return {
        **edit.extra,
        **named,
        "file_name": edit.edited.path,
        "source_file_name": source,
        "prompt": edit.prompt,
    }


def _item(kind: Kind, edit: Edit, shown: ImageRef, label: Label | None) -> Item:
    return Item(
        kind,
        edit.edit_id,
        edit.prompt,
        shown.path,
        shown.sha256,
        edit.source.path if edit.source else "",
        edit.unit.image_id,
        label.pi if label else None,
        label.stratum if label else "",
        source_sha256=edit.source.sha256 if edit.source else "",
    )


def items_digest(directory: EditDirectory, items: Iterable[Item]) -> str:
    """Digest of what a directory has where the items of a study were: prompts and pictures."""
    by_id = {e.edit_id: e for e in directory.edits}
    rows: list[list[str]] = []
    for item in items:
        edit = by_id.get(item.edit_id)
        if item.kind != "attention":
            shown = None if edit is None else edit.control if item.kind == "control" else edit.edited
            source = edit.source if edit else None
            refs = [(r.path, r.sha256) if r else ("", "") for r in (shown, source)]
            rows.append([item.edit_id, edit.prompt if edit else "", *refs[0], *refs[1]])
    return sha256_json(rows)


def check_plan(study: Study, directory: EditDirectory | None, given: Mapping[str, Any]) -> None:
    """Raises ``UsageError`` if a study was planned of other edits, or with other options than are given now."""
    for name, value in given.items():
        kept = study.options.get(name, value)
        if kept != value:
            raise UsageError(
                f"--{name}: expected {kept!r}, which the study was planned with; found {value!r}; "
                "leave it out, or plan another study with --out"
            )
    if directory and study.directory and items_digest(directory, study.items) != study.directory:
        raise UsageError(
            f"{directory.root}: expected the edits that the study was planned of; found others in their place; "
            "give the directory as it was, or plan another study with --out"
        )


def _attention(
    directory: EditDirectory, sample: Sample, out: Path, count: int, rng: np.random.Generator
) -> Iterator[Item]:
    """Pictures whose right answer is plain: a black one, one of noise, and the source itself as its own edit.

    Without any source there is nothing that could be seen to be unchanged: only the first two.
    """
    sourced = [e for e in directory.edits if e.source is not None]
    with_source = sourced or list(directory.edits)
    kinds = ("black", "noise", "unchanged") if sourced else ("black", "noise")
    folder = out / "attention"
    for number in range(count):
        edit = with_source[int(rng.integers(len(with_source)))]
        ref = edit.source or edit.edited
        image = decode(read_file(directory.root / ref.path))
        kind = kinds[number % len(kinds)]
        if kind == "black":
            image = Image.new("RGB", image.size)
        elif kind == "noise":
            image = Image.fromarray(rng.integers(0, 256, (image.height, image.width, 3), np.uint8))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number}.png"
        image.save(path)
        expected = (
            {"perceptual": "fine"} if kind == "unchanged" else {"semantic": "fails", "perceptual": "fails"}
        )
        digest = sha256_bytes(path.read_bytes())
        yield Item(
            "attention", f"attention-{number}-{kind}", edit.prompt, f"attention/{number}.png", digest,
            edit.source.path if edit.source else "", edit.unit.image_id, expected=expected,
            source_sha256=edit.source.sha256 if edit.source else "",
        )  # fmt: skip


# --------------------------------------------------------------------------- the study on disk


@dataclass(frozen=True)
class Said:
    """What a rater said about one item."""

    position: int
    item: int
    marks: Mapping[str, str]
    note: str = ""
    seconds: float = 0.0
    time: str = ""


@dataclass(frozen=True)
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
        self._db = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise InputError(
                f"{folder / FILE}: expected a labelling study; found: {error}; use another --out"
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
        items = [json.loads(b) for (b,) in self._db.execute("SELECT body FROM items ORDER BY item")]
        return Study(
            tuple(Item(**i) for i in items),
            json.loads(self._meta("plan") or "{}"),
            self._meta("guideline") or "",
            int(self._meta("seed") or 0),
            float(self._meta("repeat") or 0),
            self._meta("directory") or "",
            json.loads(self._meta("options") or "{}"),
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
        if not _NAME.match(rater):
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

    def take_in(self, rows: Mapping[str, Sequence[tuple[int, Label, float]]]) -> None:
        """Keeps labels (item, label, seconds) of new raters as their first answers: all of them, or none."""
        study = self.study()
        with self._lock, closing(self._db.cursor()) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                for rater, found in rows.items():
                    _enrol(db, study, rater, [item for item, *_ in found])
                    events = [e for p, (_, row, s) in enumerate(found) for e in _as_clicks(rater, p, row, s)]
                    db.executemany(_INSERT, events)
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
        return None if row is None else Item(**json.loads(row[0]))

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
            rater, position, total, item.prompt if item else "", bool(item and item.source), current, note
        )

    def _events(self, rater: str) -> list[tuple[Any, ...]]:
        sql = (
            "SELECT position, action, question, value, seconds, time FROM events WHERE rater = ? ORDER BY seq"
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
    ) -> State:
        """Keeps one click and returns where the rater stands then. A click that was kept before changes nothing.

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
            Said(p, items[p], marks, note, seconds, time)
            for p, (marks, note, seconds, time) in enumerate(done)
        ]


def _enrol(db: sqlite3.Cursor, study: Study, rater: str, first: Sequence[int]) -> None:
    """A new rater and the order of its items."""
    number = db.execute("SELECT COUNT(*) FROM raters").fetchone()[0] + 1
    db.execute("INSERT INTO raters VALUES (?, ?)", (rater, number))
    order = order_for(study, number, first)
    db.executemany("INSERT INTO tasks VALUES (?, ?, ?)", [(rater, p, i) for p, i in enumerate(order)])


def _as_clicks(rater: str, position: int, row: Label, seconds: float) -> Iterator[tuple[Any, ...]]:
    """A label as the clicks that would have made it, at its own time."""
    steps = [("mark", q, row.mark(q).value, 0.0) for q in QUESTIONS]
    if row.extra.get("note"):
        steps.append(("note", "", row.extra["note"], 0.0))
    steps.append(("done", "", "", seconds))
    for step, (action, question, value, took) in enumerate(steps):
        name = f"import-{rater}-{position}-{step}"
        yield (name, rater, position, action, question, value, took, row.time)


_Done = tuple[dict[str, str], str, float, str]


def folded(events: Iterable[tuple[Any, ...]]) -> tuple[list[_Done], dict[str, str], str]:
    """What remains of clicks: (confirmed items, marks of the item that is shown, its note).

    ``undo`` takes back the last mark or confirmation that stands; notes stay.
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
    for _, action, question, value, seconds, time in kept:
        if action == "done":
            done.append((marks, notes.get(len(done), ""), seconds, time))
            marks = {}
        else:
            marks = {**marks, question: value}
    return done, marks, notes.get(len(done), "")


def order_for(study: Study, number: int, first: Sequence[int] = ()) -> list[int]:
    """A rater's own order: all items shuffled, and a share of them once more, far from their first time."""
    rng = np.random.default_rng([study.seed, 7, number])
    rest = [i for i in range(len(study.items)) if i not in set(first)]
    order = [*first, *(rest[i] for i in rng.permutation(len(rest)))]
    again = [i for i in order if study.items[i].kind == "edit"]
    count = min(round(study.repeat * len(again)), len(again))
    early = again[: max(count, len(again) // 2)]
    chosen = (
        [early[i] for i in sorted(rng.choice(len(early), size=count, replace=False).tolist())]
        if count
        else []
    )
    for item in chosen:
        soonest = min(max(order.index(item) + max(len(study.items) // 3, 2), len(first)), len(order))
        order.insert(int(rng.integers(soonest, len(order) + 1)), item)
    return order


# --------------------------------------------------------------------------- what comes out


def labels_of(store: LabelStore, kind: Kind = "edit") -> Labels:
    """The first answers of every rater about items of one kind."""
    study = store.study()
    rows = []
    for rater in store.raters():
        seen: set[int] = set()
        for said in store.said(rater):
            item = study.items[said.item]
            if item.kind == kind and said.item not in seen:
                rows.append(_label(study, rater, item, said))
            seen.add(said.item)
    return Labels(tuple(rows))


def _label(study: Study, rater: str, item: Item, said: Said) -> Label:
    extra = {"seconds": f"{said.seconds:.1f}"} | ({"note": said.note} if said.note else {})
    return Label(
        item.edit_id,
        rater,
        Mark(said.marks.get("semantic", "")),
        Mark(said.marks.get("perceptual", "")),
        item.edit_sha256,
        item.image_id,
        item.pi,
        item.stratum,
        str(study.plan.get("plan", "")) if item.kind == "edit" else "",
        said.time,
        study.guideline,
        extra,
    )


def rater_reports(store: LabelStore) -> list[dict[str, Any]]:
    """Each rater's progress, attention checks, self-consistency on repeated items, and time."""
    study = store.study()
    return [_report(study, store, rater) for rater in store.raters()]


def _report(study: Study, store: LabelStore, rater: str) -> dict[str, Any]:
    said = store.said(rater)
    first: dict[int, Said] = {}
    twice: list[tuple[Said, Said]] = []
    for one in said:
        if one.item in first:
            twice.append((first[one.item], one))
        first.setdefault(one.item, one)
    checks = [(study.items[s.item], s) for s in said if study.items[s.item].kind == "attention"]
    passed = [all(s.marks.get(q) == v for q, v in item.expected.items()) for item, s in checks]
    return {
        "rater": rater,
        "done": len(said),
        "of": store.state(rater).total,
        "attention": {"passed": sum(passed), "of": len(passed)},
        "self_consistency": {q: _consistency(study, twice, q) for q in QUESTIONS},
        "cannot_tell": {q: sum(s.marks.get(q) == "cannot_tell" for s in said) for q in QUESTIONS},
        "median_seconds": median(s.seconds for s in said) if said else None,
    }


def _consistency(study: Study, twice: Sequence[tuple[Said, Said]], question: str) -> dict[str, Any]:
    """How often a rater said the same again, with its interval, and kappa with itself."""
    code = {"fails": 1, "fine": 0}
    pairs = [
        (study.items[a.item].image_id or str(a.item), code[a.marks[question]], code[b.marks[question]])
        for a, b in twice
        if a.marks.get(question) in code and b.marks.get(question) in code
    ]
    if not pairs:
        return {"n": 0, "same": None, "low": None, "high": None, "kappa": None}
    found = rate_interval([a == b for _, a, b in pairs], [i for i, *_ in pairs])
    kappa = float(cohen_kappa(confusion([a for _, a, _ in pairs], [b for *_, b in pairs])))
    return {
        "n": found.n,
        "same": found.value,
        "low": found.low,
        "high": found.high,
        "kappa": kappa if np.isfinite(kappa) else None,
    }


def export(store: LabelStore, out: Path) -> list[Path]:
    """Writes labels.csv, labels-controls.csv, label-studio.json, plan.json and raters.json; returns the files."""
    out.mkdir(parents=True, exist_ok=True)
    study, labels, controls = store.study(), labels_of(store), labels_of(store, "control")
    files = []
    for name, found in (("labels.csv", labels), ("labels-controls.csv", controls)):
        if found.rows:
            write_labels(out / name, found)
            files.append(out / name)
    texts = {
        "plan.json": json.dumps(study.plan, indent=1) + "\n",
        "raters.json": json.dumps(rater_reports(store), indent=1) + "\n",
    }
    if labels.rows:
        texts["label-studio.json"] = export_labels(labels)
    for name, text in texts.items():
        (out / name).write_text(text, "utf-8")
        files.append(out / name)
    return files


@dataclass(frozen=True)
class Taken:
    """What an import took in, rows by rater, and what it left out: reason -> rows."""

    raters: Mapping[str, int]
    left: Mapping[str, int]


def import_into(store: LabelStore, labels: Labels) -> Taken:
    """Takes labels of a file as answers of raters who have not begun: all of them, or none.

    Raises ``UsageError`` where a rater has begun already, ``InputError`` with every row that cannot be taken in.
    """
    study = store.study()
    places = {item.edit_id: i for i, item in enumerate(study.items) if item.kind == "edit"}
    if begun := [r for r in labels.raters if r in store.raters()]:
        raise UsageError(
            f"--import: expected raters who have not begun; found {', '.join(begun)}; rename them"
        )
    problems = [
        Problem(
            rater, "rater", "1 to 60 letters, digits, spaces or . @ + ' -", rater[:80], "rename the rater"
        )
        for rater in labels.raters
        if not _NAME.match(rater)
    ]
    left: Counter[str] = Counter()
    kept: dict[str, list[tuple[int, Label, float]]] = {rater: [] for rater in labels.raters}
    for row in labels.rows:
        if row.edit_id not in places:
            left["of edits that are not in the study"] += 1
        elif not (row.semantic.value and row.perceptual.value):
            left["with one question answered"] += 1
        else:
            place = places[row.edit_id]
            problems += _row_problems(row, study.items[place])
            kept[row.rater].append((place, row, _seconds(row) or 0.0))
    if problems:
        raise InputError(f"--import: {len(problems)} problem(s)", problems)
    rows = {rater: found for rater, found in kept.items() if found}
    store.take_in(rows)
    return Taken({rater: len(found) for rater, found in rows.items()}, dict(left))


def _seconds(row: Label) -> float | None:
    """The seconds that a label took; ``None`` if that is no number of seconds."""
    try:
        value = float(row.extra.get("seconds", "") or 0)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _row_problems(row: Label, item: Item) -> Iterator[Problem]:
    where = f"{row.rater} on {row.edit_id}"
    if row.edit_sha256 and row.edit_sha256 != item.edit_sha256:
        expected = f"{item.edit_sha256[:19]}, which the study shows"
        yield Problem(
            where, "edit_sha256", expected, row.edit_sha256[:19], "the label is of another picture: drop it"
        )
    if _seconds(row) is None:
        yield Problem(where, "seconds", "a number, 0 or more", row.extra["seconds"][:40], "correct it")
    if len(row.extra.get("note", "")) > MAX_NOTE:
        yield Problem(where, "note", f"{MAX_NOTE} characters at most", "more", "shorten it")

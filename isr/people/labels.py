"""Labels: what people said about edits, from ``labels.csv`` or ``labels.jsonl``, and consensus by named rules.

A label belongs to one rater and one edit. ``semantic`` and ``perceptual`` are ``fails``, ``fine`` or
``cannot_tell``, or a grade on a scale whose anchors and direction are declared. Raters are never averaged.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from isr.calibration.aggregation import UNDECIDED, dawid_skene, majority
from isr.canonical import sha256_bytes, sha256_json
from isr.errors import InputError, Problem
from isr.types import Floats, Ints, Question

Consensus = Literal["majority", "strict", "dawid-skene"]
CONSENSUS: tuple[Consensus, ...] = ("majority", "strict", "dawid-skene")

WORDS = ("fails", "fine", "cannot_tell")
REQUIRED = ("edit_id", "rater")
QUESTIONS = tuple(q.value for q in Question)
KNOWN = (
    *REQUIRED, *QUESTIONS, "edit_sha256", "image_id", "pi", "stratum", "plan", "time", "guideline",
)  # fmt: skip

_SHA = re.compile(r"sha256:[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Scale:
    """How a grade becomes a verdict: the allowed ``anchors``, and on which side of a threshold it ``fails``.

    Exactly one of ``fails_below`` and ``fails_above`` is set; it is the declared direction.
    """

    anchors: tuple[float, ...]
    fails_below: float | None = None
    fails_above: float | None = None

    def verdict(self, grade: float) -> str:
        """``fails`` or ``fine``; a grade at the threshold is ``fine``."""
        if self.fails_below is not None:
            return "fails" if grade < self.fails_below else "fine"
        return "fails" if self.fails_above is not None and grade > self.fails_above else "fine"

    @property
    def rising(self) -> bool:
        """Whether higher grades are better edits."""
        return self.fails_below is not None

    def as_dict(self) -> dict[str, Any]:
        side = {"fails_below": self.fails_below} if self.rising else {"fails_above": self.fails_above}
        return {"anchors": list(self.anchors), **side}


def parse_scale(where: str, raw: object) -> Scale:
    """A scale from a table ``{anchors, fails_below | fails_above}``. Raises ``InputError``."""
    good = isinstance(raw, Mapping) and set(raw) <= {"anchors", "fails_below", "fails_above"}
    anchors = raw.get("anchors") if isinstance(raw, Mapping) else None
    sides = [k for k in ("fails_below", "fails_above") if isinstance(raw, Mapping) and k in raw]
    numbers = isinstance(anchors, list) and len(anchors) > 1 and all(map(_is_number, anchors))
    if not good or not numbers or len(sides) != 1 or not isinstance(raw, Mapping):
        expected = "anchors = [two numbers or more], and fails_below or fails_above"
        raise InputError("a scale", [Problem(where, "", expected, repr(raw)[:80], "declare the scale so")])
    assert isinstance(anchors, list)
    cut, ordered = raw[sides[0]], tuple(sorted(float(a) for a in anchors))
    if not _is_number(cut) or not any(_splits(ordered, float(cut), sides[0])):
        expected = "a threshold with anchors on both sides"
        raise InputError("a scale", [Problem(where, sides[0], expected, repr(cut), "correct the threshold")])
    return Scale(ordered, **{sides[0]: float(cut)})


def _splits(anchors: tuple[float, ...], cut: float, side: str) -> Iterator[bool]:
    one = Scale(anchors, **{side: cut})
    yield len({one.verdict(a) for a in anchors}) == 2


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, slots=True)
class Mark:
    """What one rater said to one question: a verdict, and the grade it came from. ``""``: not asked."""

    value: str = ""
    grade: float | None = None

    @property
    def code(self) -> int:
        """1 ``fails``, 0 ``fine``, -1 ``cannot_tell`` or not asked."""
        return {"fails": 1, "fine": 0}.get(self.value, UNDECIDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One rater's label of one edit. ``pi``: known probability with which the edit was drawn for labelling."""

    edit_id: str
    rater: str
    semantic: Mark = Mark()
    perceptual: Mark = Mark()
    edit_sha256: str = ""
    image_id: str = ""
    pi: float | None = None
    stratum: str = ""
    plan: str = ""
    time: str = ""
    guideline: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    def mark(self, question: str) -> Mark:
        """The mark of ``semantic`` or ``perceptual``."""
        return self.semantic if question == "semantic" else self.perceptual

    @property
    def outcome(self) -> int:
        """1 immunized, 0 not, -1 unless both questions are decided."""
        codes = (self.semantic.code, self.perceptual.code)
        return UNDECIDED if UNDECIDED in codes else int(any(codes))


@dataclass(frozen=True)
class Labels:
    """All labels of a study. ``digest`` is of their content, whatever file format they came in."""

    rows: tuple[Label, ...]
    scales: Mapping[str, Scale] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return sha256_json(sorted(_cells(r, KNOWN) for r in self.rows))

    @property
    def raters(self) -> list[str]:
        return sorted({r.rater for r in self.rows})

    @property
    def edits(self) -> list[str]:
        return sorted({r.edit_id for r in self.rows})

    @property
    def guidelines(self) -> list[str]:
        return sorted({r.guideline for r in self.rows})

    @property
    def plans(self) -> list[str]:
        return sorted({r.plan for r in self.rows})

    def of_edits(self, keep: Iterable[str]) -> Labels:
        """The labels of some edits."""
        kept = frozenset(keep)
        return replace(self, rows=tuple(r for r in self.rows if r.edit_id in kept))

    @cached_property
    def first(self) -> dict[str, Label]:
        """One row per edit, for what all rows of an edit share (image, pixels, probability, other columns)."""
        return {r.edit_id: r for r in reversed(self.rows)}

    def codes(self, edits: Sequence[str], question: str) -> Ints:
        """Codes (edits, raters) 1 fails, 0 fine, -1 otherwise; ``question`` may be ``outcome``."""
        out = np.full((len(edits), len(self.raters)), UNDECIDED, np.int64)
        place = {e: i for i, e in enumerate(edits)}
        column = {r: i for i, r in enumerate(self.raters)}
        for row in self.rows:
            if row.edit_id in place:
                code = row.outcome if question == "outcome" else row.mark(question).code
                out[place[row.edit_id], column[row.rater]] = code
        return out

    def grades(self, edits: Sequence[str], question: str) -> Floats:
        """Grades (edits, raters), NaN where there is none."""
        out = np.full((len(edits), len(self.raters)), np.nan)
        place = {e: i for i, e in enumerate(edits)}
        column = {r: i for i, r in enumerate(self.raters)}
        for row in self.rows:
            grade = row.mark(question).grade
            if row.edit_id in place and grade is not None:
                out[place[row.edit_id], column[row.rater]] = grade
        return out


def one_guideline(labels: Labels, *, pool: bool = False) -> str:
    """The guideline that all raters read. Several: ``InputError``, or with ``pool`` all of them, joined by ``+``.

    One clause of a guideline can flip which judge looks best, so labels of different guidelines are not pooled
    unless somebody says so, and then the result says it.
    """
    found = labels.guidelines
    if len(found) > 1 and not pool:
        said = ", ".join(
            f"{g or '(none named)'} ({sum(r.guideline == g for r in labels.rows)})" for g in found
        )
        problem = Problem(
            "labels",
            "guideline",
            "labels of one guideline",
            said,
            "keep one of them, or say --pool-guidelines",
        )
        raise InputError("labels of several guidelines", [problem])
    return "+".join(g or "(none named)" for g in found)


def text_guideline(path: Path) -> str:
    """The version of a guideline that is a text file: its name and digest."""
    return f"{path.name}:{sha256_bytes(path.read_bytes())}"


# --------------------------------------------------------------------------- consensus


def consensus(votes: Ints, rule: Consensus = "majority") -> Ints:
    """One code per edit from votes (edits, raters): 1, 0, or -1 where the rule leaves it open.

    ``majority``: the more frequent; a tie stays open. ``strict``: 1 where every vote says so, else 0 (the
    paper's rule for its judges); open without a vote. ``dawid-skene``: the more probable class under Dawid and
    Skene's model, which needs three raters (``InputError`` below); open at exactly one half and without a vote.
    """
    voted = (votes != UNDECIDED).any(axis=1)
    if rule == "majority":
        return majority(votes).labels
    if rule == "strict":
        every = np.where(votes == UNDECIDED, 1, votes).min(axis=1, initial=1)
        return np.where(voted, every, UNDECIDED).astype(np.int64)
    if rule != "dawid-skene":
        raise InputError(f"consensus: expected one of {', '.join(CONSENSUS)}; found {rule!r}")
    if votes.shape[1] < 3:
        raise InputError(
            f"consensus dawid-skene: expected three raters or more; found {votes.shape[1]}; use majority"
        )
    return _dawid_skene(votes)


def _dawid_skene(votes: Ints) -> Ints:
    item, rater = np.nonzero(votes != UNDECIDED)
    fit = dawid_skene(item.tolist(), rater.tolist(), votes[item, rater].tolist())
    out = np.full(votes.shape[0], UNDECIDED, np.int64)
    for row, shares in zip(fit.items, fit.posterior, strict=True):
        if shares.size == 1 or shares[0] != shares[1]:
            out[row] = fit.classes[int(shares.argmax())]
    return out


# --------------------------------------------------------------------------- reading


def read_labels(path: Path, *, scales: Mapping[str, Scale] | None = None, guideline: str = "") -> Labels:
    """The labels in a ``.csv`` or ``.jsonl`` file. Raises ``InputError`` with all problems at once.

    scales: by question, for graded labels. guideline: of rows that name none. Columns of other names are kept.
    """
    found = dict(scales or {})
    reader = {".csv": _csv_rows, ".jsonl": _jsonl_rows}.get(path.suffix)
    if reader is None:
        raise InputError(f"{path}: expected labels in a .csv or .jsonl file; found another ending; rename it")
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a file in UTF-8; found {error}; check the path") from error
    problems: list[Problem] = []
    rows: list[tuple[str, Label]] = []
    for where, cells, wrong in reader(path.name, text):
        problems += wrong
        if not wrong:
            label = _label(where, cells, found, guideline, problems)
            if label is not None:
                rows.append((where, label))
    problems += _clashes(rows)
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s)", problems)
    if not rows:
        raise InputError(f"{path}: expected at least one label; found none; export it again")
    return Labels(tuple(label for _, label in rows), found)


_Cells = tuple[str, dict[str, str], list[Problem]]


def _csv_rows(name: str, text: str) -> Iterator[_Cells]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    try:
        header = next(reader, [])
        missing = [c for c in REQUIRED if c not in header]
        if missing or len(set(header)) != len(header):
            what = f"no {', '.join(missing)}" if missing else "a column twice"
            yield (
                f"{name}:1",
                {},
                [Problem(f"{name}:1", "", "edit_id, rater, ...", what, "correct the header")],
            )
            return
        for cells in reader:
            where = f"{name}:{reader.line_num}"
            if cells and len(cells) != len(header):
                found = f"{len(cells)}"
                yield (
                    where,
                    {},
                    [Problem(where, "", f"{len(header)} cells", found, "quote cells with commas")],
                )
            elif cells:
                yield where, {k: v.strip() for k, v in zip(header, cells, strict=True) if v.strip()}, []
    except csv.Error as error:
        where = f"{name}:{reader.line_num}"
        yield where, {}, [Problem(where, "", "CSV", str(error), "export it again")]


def _jsonl_rows(name: str, text: str) -> Iterator[_Cells]:
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{name}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield where, {}, [Problem(where, "", "one JSON object", str(error), "correct the line")]
            continue
        if not isinstance(row, dict) or not all(_plain(v) for v in row.values()):
            yield (
                where,
                {},
                [Problem(where, "", "texts and numbers by column", line[:60], "correct the line")],
            )
            continue
        yield where, {k: _as_text(v) for k, v in row.items() if v not in (None, "")}, []


def _plain(value: object) -> bool:
    return value is None or isinstance(value, str) or _is_number(value)


def _as_text(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _label(
    where: str, cells: Mapping[str, str], scales: Mapping[str, Scale], guideline: str, problems: list[Problem]
) -> Label | None:
    """The label in a row's cells; what is wrong with them goes to ``problems``."""
    before = len(problems)

    def wrong(name: str, expected: str, found: str, fix: str) -> None:
        problems.append(Problem(where, name, expected, found, fix))

    for name in REQUIRED:
        if name not in cells:
            wrong(name, "a name", "none", "fill it in or drop the row")
    marks = {q: _mark(cells.get(q, ""), scales.get(q)) for q in QUESTIONS}
    for question, mark in marks.items():
        if isinstance(mark, str):
            wrong(question, mark, repr(cells[question]), "correct the value, or declare the scale")
    if all(mark == Mark() for mark in marks.values()):
        wrong("", "a label for semantic or perceptual", "neither", "fill it in or drop the row")
    digest = cells.get("edit_sha256", "")
    if digest and not _SHA.match(digest):
        wrong("edit_sha256", "sha256: and 64 hex digits", digest[:20], "copy it from edits.csv")
    pi = _number(cells["pi"]) if "pi" in cells else None
    if "pi" in cells and (pi is None or not 0 < pi <= 1):
        wrong("pi", "a probability above 0, at most 1", cells["pi"], "correct the value")
    if len(problems) > before:
        return None
    semantic, perceptual = (m if isinstance(m, Mark) else Mark() for m in marks.values())
    texts = {name: cells.get(name, "") for name in ("image_id", "stratum", "plan", "time")}
    extra = {k: v for k, v in cells.items() if k not in KNOWN}
    said = cells.get("guideline", guideline)
    return Label(
        edit_id=cells["edit_id"],
        rater=cells["rater"],
        semantic=semantic,
        perceptual=perceptual,
        edit_sha256=digest,
        pi=pi,
        guideline=said,
        extra=extra,
        **texts,
    )


def _mark(text: str, scale: Scale | None) -> Mark | str:
    """The mark in a cell, or what was expected there."""
    if text in WORDS or not text:
        return Mark(text)
    grade = _number(text)
    if scale is None:
        return "fails, fine or cannot_tell" if grade is None else "a declared scale for grades"
    if grade is None or grade not in scale.anchors:
        return f"one of {', '.join(f'{a:g}' for a in scale.anchors)}, or cannot_tell"
    return Mark(scale.verdict(grade), grade)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _clashes(rows: Sequence[tuple[str, Label]]) -> Iterator[Problem]:
    """Rows that contradict each other; both are named."""
    seen: dict[tuple[str, str], str] = {}
    shared: dict[tuple[str, str], tuple[str, str]] = {}
    for where, label in rows:
        key = (label.edit_id, label.rater)
        if key in seen:
            found = f"{label.rater} on {label.edit_id} also in {seen[key]}"
            yield Problem(where, "rater", "one label per rater and edit", found, "drop one of them")
        seen.setdefault(key, where)
        for name in ("edit_sha256", "image_id", "stratum", "pi"):
            value = getattr(label, name)
            if value in ("", None):
                continue
            first, other = shared.setdefault((label.edit_id, name), (where, str(value)))
            if other != str(value):
                found = f"{value}, but {other} in {first}"
                yield Problem(
                    where, name, f"the same for every label of {label.edit_id}", found, "correct one"
                )


# --------------------------------------------------------------------------- writing


def _cells(label: Label, columns: Sequence[str]) -> list[str]:
    return [_cell(label, name) for name in columns]


def _cell(label: Label, name: str) -> str:
    if name in QUESTIONS:
        mark = label.mark(name)
        return mark.value if mark.grade is None else f"{mark.grade:g}"
    if name == "pi":
        return "" if label.pi is None else repr(label.pi)
    return str(getattr(label, name)) if name in KNOWN else label.extra.get(name, "")


def write_labels(path: Path, labels: Labels) -> None:
    """Writes ``.csv`` or ``.jsonl``; columns that no label has are left out."""
    extra = sorted({name for r in labels.rows for name in r.extra})
    used = [
        c for c in (*KNOWN, *extra) if c in (*REQUIRED, *QUESTIONS) or any(_cell(r, c) for r in labels.rows)
    ]
    if path.suffix == ".jsonl":
        lines = (dict(zip(used, _cells(r, used), strict=True)) for r in labels.rows)
        text = "".join(
            json.dumps({k: v for k, v in x.items() if v}, ensure_ascii=False) + "\n" for x in lines
        )
        path.write_text(text, "utf-8")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(used)
        writer.writerows(_cells(r, used) for r in labels.rows)

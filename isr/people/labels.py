"""Labels: what people said about edits, and consensus by named rules. They are read from files by ``labels_file``.

A label belongs to one rater and one edit. ``semantic`` and ``perceptual`` are ``fails``, ``fine`` or
``cannot_tell``, or a grade on a scale whose anchors and direction are declared. Raters are never averaged.
"""

from __future__ import annotations

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
from isr.errors import DesignError, InputError, Problem
from isr.reading import read_bytes
from isr.types import Floats, Ints, Question

Consensus = Literal["majority", "strict", "dawid-skene"]
CONSENSUS: tuple[Consensus, ...] = ("majority", "strict", "dawid-skene")

WORDS = ("fails", "fine", "cannot_tell")
REQUIRED = ("edit_id", "rater")
QUESTIONS = tuple(q.value for q in Question)
KNOWN = (
    *REQUIRED, *QUESTIONS, "edit_sha256", "image_id", "pi", "stratum", "plan", "time", "guideline",
)  # fmt: skip

ATTENTION = "attention"
"""A column of ``isr label``: how many of the attention checks that a rater answered were passed, as ``3/4``."""

SEEN = "seen"
"""A column that says what a rater saw beside the pictures; ``verdicts``: the judges', so that no judge can be measured by them."""
VERDICTS = "verdicts"

ARMS = {"": "", "protected": "", "control": "control"}
"""The words of a column ``arm``, and how labels keep them."""
ARM_FIX = "write one of these, or give the column another name if it means something else"

SHA256 = re.compile(r"sha256:[0-9a-f]{64}\Z")


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
    numbers = isinstance(anchors, list) and len(anchors) > 1 and all(map(is_number, anchors))
    if not good or not numbers or len(sides) != 1 or not isinstance(raw, Mapping):
        expected = "anchors = [two numbers or more], and fails_below or fails_above"
        raise InputError("a scale", [Problem(where, "", expected, repr(raw)[:80], "declare the scale so")])
    assert isinstance(anchors, list)
    cut, ordered = raw[sides[0]], tuple(sorted(float(a) for a in anchors))
    if not is_number(cut) or not any(_splits(ordered, float(cut), sides[0])):
        expected = "a threshold with anchors on both sides"
        raise InputError("a scale", [Problem(where, sides[0], expected, repr(cut), "correct the threshold")])
    return Scale(ordered, **{sides[0]: float(cut)})


def _splits(anchors: tuple[float, ...], cut: float, side: str) -> Iterator[bool]:
    one = Scale(anchors, **{side: cut})
    yield len({one.verdict(a) for a in anchors}) == 2


def is_number(value: object) -> bool:
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
    """One rater's label of one edit. ``pi``: known probability with which the edit was drawn for labelling.

    ``arm``: ``control`` of the edit of the unprotected image, which has the ``edit_id`` of the edit that it is a control of.
    """

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
    arm: str = ""
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
    """All labels of a study. ``digest`` is of their content, whatever file format they came in.

    ``notes``: what a reader left out of the files, such as rejected work.
    """

    rows: tuple[Label, ...]
    scales: Mapping[str, Scale] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return sha256_json(sorted([*cells_of(r, KNOWN), *([r.arm] if r.arm else [])] for r in self.rows))

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

    def of_arm(self, *, control: bool) -> Labels:
        """The labels of control edits, or those of the others, as labels of one arm."""
        own = (r for r in self.rows if (r.arm == "control") is control)
        rows = tuple(replace(r, arm="") if r.arm else r for r in own)
        return replace(self, rows=rows)

    def of_edits(self, keep: Iterable[str]) -> Labels:
        """The labels of some edits."""
        kept = frozenset(keep)
        return replace(self, rows=tuple(r for r in self.rows if r.edit_id in kept))

    @cached_property
    def first(self) -> dict[str, Label]:
        """One row per edit, for what all rows of an edit share (image, pixels, probability, other columns)."""
        return {r.edit_id: r for r in reversed(self.rows)}

    def codes(self, edits: Sequence[str], question: str) -> Ints:
        """Codes (edits, raters) 1 fails, 0 fine, -1 otherwise; ``question`` may be ``outcome``.

        Raises ``InputError`` where one rater's labels of an edit contradict each other: in which order files came must not matter.
        """
        out = np.full((len(edits), len(self.raters)), UNDECIDED, np.int64)
        place = {e: i for i, e in enumerate(edits)}
        column = {r: i for i, r in enumerate(self.raters)}
        given: dict[tuple[int, int], int] = {}
        problems = []
        for row in self.rows:
            if row.edit_id in place:
                code = row.outcome if question == "outcome" else row.mark(question).code
                at = (place[row.edit_id], column[row.rater])
                if given.setdefault(at, code) != code:
                    found = f"two of {row.edit_id} that differ"
                    problems.append(
                        Problem(
                            row.rater, question, "one label per rater and edit", found, "drop one of them"
                        )
                    )
                out[at] = code
        if problems:
            raise InputError(f"{len(problems)} labels of one rater contradict each other", problems)
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


def attention_told(rows: Iterable[Label]) -> Iterator[str]:
    """Which raters failed attention checks, in one sentence; nothing where none did, or none were asked."""
    found: dict[str, tuple[int, int]] = {}
    for row in rows:
        passed, slash, of = row.extra.get(ATTENTION, "").partition("/")
        if slash and passed.isdecimal() and of.isdecimal() and len(passed) < 6 and len(of) < 6:
            found[row.rater] = (int(of) - int(passed), int(of))
    failed = [f"{rater} {n} of {of}" for rater, (n, of) in sorted(found.items()) if n > 0]
    if failed:
        yield (
            f"attention checks were failed: {', '.join(failed)}; these raters' labels count as the others', and whether they were "
            "given with care is in doubt"
        )


def saw_verdicts(label: Label) -> bool:
    """Whether the rater had the judges' verdicts in view (column ``seen``)."""
    return label.extra.get(SEEN, "").casefold() == VERDICTS


def seen_told(rows: Iterable[Label]) -> Iterator[str]:
    """Whose labels were given with the judges' verdicts in view, in one sentence; nothing where none were."""
    found: dict[str, int] = {}
    for row in rows:
        if saw_verdicts(row):
            found[row.rater] = found.get(row.rater, 0) + 1
    if found:
        said = ", ".join(f"{rater} {n}" for rater, n in sorted(found.items()))
        yield (
            f"labels given with the judges' verdicts in view (column {SEEN}): {said}; they are not independent of the judges: "
            "agreement with them flatters a judge, and no rate or threshold is made of them"
        )


def independent(labels: Labels) -> Labels:
    """The labels without those that were given with the judges' verdicts in view; ``notes`` says which.

    Raises ``DesignError`` where none is left.
    """
    rows = tuple(r for r in labels.rows if not saw_verdicts(r))
    if len(rows) == len(labels.rows):
        return labels
    told = tuple(seen_told(labels.rows))
    if not rows:
        raise DesignError(
            "labels: expected labels of people who did not see what the judges said; found only labels that were given with the "
            "judges' verdicts in view, on edits that a reader chose; label edits blinded: isr label"
        )
    return replace(labels, rows=rows, notes=tuple(dict.fromkeys((*labels.notes, *told))))


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
    return f"{path.name}:{sha256_bytes(read_bytes(path))}"


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


def cells_of(label: Label, columns: Sequence[str]) -> list[str]:
    return [cell_of(label, name) for name in columns]


def cell_of(label: Label, name: str) -> str:
    if name in QUESTIONS:
        mark = label.mark(name)
        return mark.value if mark.grade is None else f"{mark.grade:g}"
    if name == "pi":
        return "" if label.pi is None else repr(label.pi)
    return str(getattr(label, name)) if name in (*KNOWN, "arm") else label.extra.get(name, "")


def scale_parts(labels: Labels) -> list[tuple[str, str]]:
    """What a signature says of the scales of graded labels, by question."""
    return [(f"{q}-scale", json.dumps(s.as_dict(), separators=(",", ":"))) for q, s in labels.scales.items()]

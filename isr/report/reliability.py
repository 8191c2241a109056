"""What people say of edits by what the judge said of them: by its probability of a failure, or by its score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isr.people.labels import Labels, consensus
from isr.report.figures import ACCENT, INK, LINE, SOFT, Figure, document, mark, words
from isr.report.runs import ReportRun, told_apart, verdict
from isr.scoring.estimates import estimate_of
from isr.scoring.shown import GRADE_TOP, Shown, shown
from isr.stats.rate import rate_interval
from isr.tables import csv_table
from isr.types import Question, Value

BINS = 10
LEAST = 5
"""Edits of a step below which it has no mark in the figure; it stands in the list."""
PROBABILITY = "the judge's probability of a failure"
SCORE = f"the judge's score (0 is worst, {GRADE_TOP} is best)"


@dataclass(frozen=True, slots=True)
class Step:
    """Edits of which the judge said the same: in words, where that stands on the axis, and the share that people call a failure."""

    words: str
    place: float
    share: Shown


@dataclass(frozen=True, slots=True)
class Reliability:
    """One judge and question. ``by_probability``: whether the judge gave one, so that the diagonal means something."""

    name: str
    title: str
    by_probability: bool
    steps: tuple[Step, ...]

    @property
    def axis(self) -> str:
        return PROBABILITY if self.by_probability else SCORE

    @property
    def figure(self) -> Figure:
        """The shares with their intervals; small steps are only in the list and in the CSV."""
        header = (self.axis, "share of people", "low", "high", "level", "edits", "images")
        rows = [
            (s.words, e.value, e.low, e.high, e.level, e.n, e.clusters)
            for s in self.steps
            for e in (s.share.estimate,)
        ]
        return Figure(
            self.name, self.title, document(430, self.title, list(_parts(self)), 440), csv_table(header, rows)
        )


def reliabilities(runs: Sequence[ReportRun], found: Sequence[Labels]) -> list[Reliability]:
    """One for each judge and question with a decided, labelled edit. found: the labels of each run's protected edits."""
    names = told_apart(runs, [run.judges for run in runs])
    out: list[Reliability] = []
    for run, labels, called in zip(runs, found, names, strict=True):
        rows = {r["edit_id"]: r for r in run.rows if r["arm"] == "protected"}
        known = [e for e in labels.edits if e in rows]
        for judge, name in zip(run.judges, called, strict=True):
            for question in Question:
                truth = consensus(labels.codes(known, question.value))
                column = f"{judge}:{question.value}"
                decided = [
                    (rows[e], int(t))
                    for e, t in zip(known, truth, strict=True)
                    if t >= 0 and verdict(rows[e].get(column, "")) is not Value.UNDECIDED
                ]
                title = f"{name}, {question.value}"
                made = _reliability(f"reliability-{len(out) + 1}", title, column, decided, run.level)
                out += [made] if made else []
    return out


def _reliability(
    name: str, title: str, column: str, decided: Sequence[tuple[Mapping[str, str], int]], level: float
) -> Reliability | None:
    """By probability where any is known, else by score."""
    for suffix, by_probability in (("_p_yes", True), ("_score", False)):
        said = [
            (x, row["image_id"], t)
            for row, t in decided
            if (x := number(row.get(f"{column}{suffix}", ""))) is not None
        ]
        if said:
            steps = _steps(said, level, _bin if by_probability else _score)
            return Reliability(name, title, by_probability, tuple(steps))
    return None


def _bin(x: float) -> tuple[float, str]:
    i = min(int(min(max(x, 0.0), 1.0) * BINS), BINS - 1)
    return i / BINS, f"{i / BINS:.0%} to {(i + 1) / BINS:.0%}"


def _score(x: float) -> tuple[float, str]:
    return x, f"{x:g}"


def _steps(
    said: Sequence[tuple[float, str, int]], level: float, step: Callable[[float], tuple[float, str]]
) -> Iterator[Step]:
    groups: dict[tuple[float, str], list[tuple[float, str, int]]] = {}
    for one in said:
        groups.setdefault(step(one[0]), []).append(one)
    for (_, told), some in sorted(groups.items()):
        y, images = np.array([t for _, _, t in some], np.float64), np.array([i for _, i, _ in some], np.str_)
        share = estimate_of(rate_interval(y, images, level=level), level)
        yield Step(told, float(np.mean([x for x, _, _ in some])), shown("share", share))


def number(cell: str) -> float | None:
    """The mean of a cell's repeats, ``None`` where it has none."""
    try:
        values = [float(c) for c in cell.split("|") if c]
    except ValueError:
        return None
    return sum(values) / len(values) if values else None


LEFT, TOP, SIDE = 80.0, 20.0, 300.0


def _parts(one: Reliability) -> Iterator[str]:
    edge = 0.0 if one.by_probability else 0.09

    def x(place: float) -> float:
        share = place if one.by_probability else place / GRADE_TOP
        return LEFT + SIDE * (edge + (1 - 2 * edge) * min(max(share, 0.0), 1.0))

    def y(share: float) -> float:
        return TOP + SIDE * (1 - share)

    for share in (0, 0.25, 0.5, 0.75, 1):
        yield f"<line x1='{LEFT}' x2='{LEFT + SIDE}' y1='{y(share):.1f}' y2='{y(share):.1f}' stroke='{LINE}'/>"
        yield words(LEFT - 8, y(share) + 4, f"{share:.0%}", 12, text_anchor="end", fill=SOFT)
    if one.by_probability:
        yield f"<line x1='{LEFT}' y1='{y(0)}' x2='{LEFT + SIDE}' y2='{y(1)}' stroke='{SOFT}' stroke-dasharray='4 4'/>"
        ticks = [(t, f"{t:.0%}") for t in (0, 0.5, 1)]
    else:
        ticks = [(float(t), f"{t}") for t in range(GRADE_TOP + 1)]
    for place, word in ticks:
        yield words(x(place), TOP + SIDE + 20, word, 12, text_anchor="middle", fill=SOFT)
    drawn = [s for s in one.steps if s.share.estimate.n >= LEAST and s.share.point is not None]
    for s in drawn:
        if (ends := s.share.interval) is not None:
            yield f"<line x1='{x(s.place):.1f}' x2='{x(s.place):.1f}' y1='{y(ends[0]):.1f}' y2='{y(ends[1]):.1f}' stroke='{ACCENT}' stroke-width='1.6'/>"
        assert s.share.point is not None
        yield mark(0, x(s.place), y(s.share.point), 4)
    for s in drawn:  # above the plot's foot, beside the mark: no label lies under one
        yield words(
            x(s.place), TOP + SIDE + 38, f"n {s.share.estimate.n}", 10, text_anchor="middle", fill=INK
        )
    yield words(LEFT + SIDE / 2, TOP + SIDE + 62, one.axis, 12, text_anchor="middle")
    yield words(
        LEFT + SIDE / 2,
        TOP + SIDE + 82,
        "up: share that people call a failure, with its interval",
        11,
        text_anchor="middle",
        fill=SOFT,
    )
    small = len(one.steps) - len(drawn)
    if small:
        yield words(
            LEFT + SIDE / 2,
            TOP + SIDE + 100,
            f"fewer than {LEAST} edits: {small} in the list only",
            11,
            text_anchor="middle",
            fill=SOFT,
        )

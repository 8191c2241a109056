"""Judges against each rater, and raters with each other: percent agreement and Cohen's kappa with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isr.calibration.agreement.summary import Agreement
from isr.people.agree import agree
from isr.people.agreement_study import Choices
from isr.people.arms import with_arms
from isr.people.judgements import read_source
from isr.people.label_files import load_labels
from isr.people.labels import attention_told, seen_told
from isr.people.meeting import meet
from isr.people.study_file import named_apart
from isr.report.people import find_labels, labels_of, with_controls
from isr.report.plots.canvas import Drawn, NoFigure
from isr.report.plots.captions import judged, percent_level, signatures, sizes
from isr.report.plots.intervals import MOST_ROWS, Axis, Line, Mark, interval_figure, percent_axis
from isr.report.runs import ReportRun, told_apart
from isr.stats.rows import Interval
from isr.text import plain

KINDS = ("judge – rater", "rater – rater")
TITLES = {"outcome": "Outcome of both questions", "semantic": "Semantic question", "perceptual": "Perceptual question"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A judge with a rater, or two raters; ``people``: both are raters."""

    question: str
    first: str
    second: str
    people: bool
    agreement: Agreement

    @property
    def name(self) -> str:
        return f"{self.first} – {self.second}"


def draw(runs: Sequence[ReportRun], labels: Path | None = None) -> Drawn:
    """The figure from a file of labels, by default the one beside a run. Raises ``NoFigure`` where there is none to compare."""
    file = labels or find_labels(runs)
    if file is None:
        raise NoFigure("there are no labels beside the runs; --labels FILE gives them")
    found = list(pairs_of(runs, file))
    judges = list(dict.fromkeys(p.first for p in found if not p.people))
    pairs = sorted(found, key=lambda p: (p.people, 0 if p.people else judges.index(p.first)))
    if not pairs:
        raise NoFigure(f"no edit of these runs is labelled in {file.name}")
    every = [q for q in TITLES if any(p.question == q for p in pairs)]
    questions = every if len(pairs) <= MOST_ROWS or "outcome" not in every else ["outcome"]
    lines: list[Line] = []
    for question in questions:
        lines.append(Line(label=TITLES[question], kind="title", after_rule=bool(lines)))
        lines += [_line(p) for p in pairs if p.question == question]
    kept = [p for p in pairs if p.question in questions]
    low = min((x for p in kept for x in (p.agreement.kappa.low, p.agreement.kappa.value) if x is not None), default=0.0)  # fmt: skip
    series = KINDS if len({p.people for p in kept}) > 1 else ()
    figure = interval_figure(lines, [percent_axis("agreement (%)"), _kappa_axis(low)], series=series)
    level = " and ".join(dict.fromkeys(percent_level(r.level) for r in runs))
    shown = (
        "Agreement of each judge with each rater, and of raters with each other, on the protected edits that both decide: percent of "
        f"edits, and Cohen's kappa. Lines: {level} intervals clustered by source image. Labels: {plain(file.name)}."
    )
    if questions != every:
        shown += " Only the outcome is shown."
    given = load_labels(with_controls(file)).rows
    for doubt in (*attention_told(given), *seen_told(given)):
        shown += f" {doubt[0].upper()}{plain(doubt[1:])}."
    counts = ((p.name, p.agreement.n, p.agreement.clusters) for p in kept if p.question == questions[0])
    of = "" if len(questions) == 1 else f" Of the {TITLES[questions[0]].lower()}:"
    return Drawn(figure, " ".join([shown + of, sizes(counts), judged(runs), signatures(runs)]))


def _line(pair: Pair) -> Line:
    series = int(pair.people)
    return Line(
        label=pair.name,
        panels=(
            (_mark(pair.agreement.percent, 100, series),),
            (_mark(pair.agreement.kappa, 1, series),),
        ),
    )


def _mark(found: Interval, unit: float, series: int) -> Mark:
    none = found.low is None or found.high is None
    return Mark(
        value=None if found.value is None else unit * found.value,
        interval=None if none else (unit * (found.low or 0.0), unit * (found.high or 0.0)),
        series=series,
    )


def _kappa_axis(low: float) -> Axis:
    """From 0, or from as far below as a kappa reaches, to 1."""
    if low >= 0:
        every = ((0.0, "0"), (0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1.0, "1"))
        return Axis(label="Cohen's kappa", low=0, high=1, ticks=every)
    start = -0.1 if low >= -0.1 else -0.5 if low >= -0.5 else -1.0
    ticks = tuple((x, f"{x:g}".replace("-", "−")) for x in (-1.0, -0.5, 0.0, 0.5, 1.0) if x >= start)
    return Axis(label="Cohen's kappa", low=start, high=1, ticks=ticks, zero=0.0)


def pairs_of(runs: Sequence[ReportRun], file: Path) -> Iterator[Pair]:
    """Every judge with every rater, then every two raters; question by question for each run that has labels.

    A judge is held against one rater by the study of that rater's labels alone. Raises ``InputError`` for a file that is none.
    """
    labels = load_labels(with_controls(file))
    labels = meet(labels, {r["edit_id"] for run in runs for r in run.rows if r["arm"] == "protected"})
    sources = [[j for j in read_source(run.folder) if not j.is_people] for run in runs]
    names = told_apart(runs, [[j.name for j in some] for some in sources])
    seen: set[tuple[str, str, str, frozenset[str]]] = set()
    for run, some, called in zip(runs, sources, names, strict=True):
        own = with_arms(labels_of(run, labels), some).of_arm(control=False)
        if not own.rows:
            continue
        judges = named_apart([replace(j, name=n) for j, n in zip(some, called, strict=True)])
        choices = Choices(consensus="majority", level=run.level)
        for rater in own.raters:
            alone = replace(own, rows=tuple(r for r in own.rows if r.rater == rater))
            for question, answers in agree(alone, judges, choices).questions.items():
                for judge in answers.judges:
                    if judge.agreement.n:
                        yield Pair(question=question, first=judge.judge, second=rater, people=False, agreement=judge.agreement)  # fmt: skip
        for question, answers in agree(own, judges, choices).questions.items():
            for pair in answers.rater_pairs:
                key = (question, pair.first, pair.second, frozenset(own.edits))
                if pair.agreement.n and key not in seen:
                    seen.add(key)
                    yield Pair(question=question, first=pair.first, second=pair.second, people=True, agreement=pair.agreement)  # fmt: skip

"""People as the only judge: the human ISR of an edit directory, from labels alone.

The verdict on each question is the consensus of its raters, so that semantic + perceptual - both = ISR holds as for any judge.
Estimates, intervals and bounds are those of ``isr score``; a tie or ``cannot_tell`` is undecided and never a number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.agreement.many_raters import RatersAgreement
from isr.calibration.agreement.summary import Ceiling, human_ceiling
from isr.canonical import sha256_bytes, sha256_json, short
from isr.edits.directory import EditDirectory, columns, load_edits
from isr.edits.pictures import Level, require
from isr.errors import InputError, Problem, UsageError
from isr.files import commit, file_digest, naming, partial_name, stage
from isr.judging.cards import Panel
from isr.judging.judged import Judged
from isr.judging.plan import Plan, arms_of
from isr.judging.progress import Progress
from isr.judging.recorded_card import recorded_card
from isr.people.agree import agree
from isr.people.agreement_study import Choices
from isr.people.arms import arms_by_pixels
from isr.people.labels import Consensus, Labels, consensus, one_guideline
from isr.people.meeting import meet, named, unmet, unmet_told
from isr.scoring.bundled import edits_in, in_its_name
from isr.scoring.edits_csv import EditsTable
from isr.scoring.edits_parquet import copied_again
from isr.scoring.estimates import Settings
from isr.scoring.options import Options, check_options
from isr.scoring.places import PEOPLE, RECORD, RESULT, TABLE, cache_if_there
from isr.scoring.question import asked
from isr.scoring.record import run_record
from isr.scoring.result import Result
from isr.scoring.row_names import short_names
from isr.scoring.run import folder_for, writable
from isr.scoring.tally import Tally
from isr.signature import Signature
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval
from isr.text import counted, html_table, rate_with_interval, summary
from isr.types import Arm, Edit, Ints, PeopleReason, Question, Reason, Treatment, Unit, Value, Verdict

RULE = "single"
SHOWN = 3  # treatments, and rates by rater, in a repr, which has ten lines


@dataclass(frozen=True, kw_only=True)
class HumanAgreement:
    """How far raters agree on one question, and what a held-out rater reaches against the others: no judge is expected to do more."""

    question: str
    raters: RatersAgreement
    ceiling: Interval | None


@dataclass(frozen=True, kw_only=True)
class HumanScore:
    """The human ISR: its result, where it lies, the rate by each rater, and how far raters agree."""

    result: Result
    out: Path
    by_rater: Mapping[tuple[Treatment, str], Interval]  # of each treatment, by each rater alone
    agreement: tuple[HumanAgreement, ...]

    def __repr__(self) -> str:
        data, parts = self.result.data, self.result.treatments
        raters = dict.fromkeys(rater for _, rater in self.by_rater)
        lines = [
            f"{data['edits']} edits of {data['images']} images, {counted(len(raters), 'rater')}; run: {self.out}",
            *(f"  {part._told()}" for part in parts[:SHOWN]),
            *(f"  {', '.join(t)}: ISR {i}, n {n}" for *t, i, n in self._rates()[:SHOWN]),
        ]
        if more := len(parts[SHOWN:]) + len(self.by_rater) - min(SHOWN, len(self.by_rater)):
            lines.append(f"  and {more} more rates: result, by_rater")
        if self.agreement:
            said = (f"{a.question} {_two(a.raters.fleiss.value)}" for a in self.agreement)
            lines.append(f"  Fleiss kappa of the raters: {', '.join(said)}")
        return summary("HumanScore", [*lines, f"  {self.result.signature}"])

    def _repr_html_(self) -> str:
        """The result, the rate by each rater and how far raters agree as small tables, for notebooks."""
        rates = html_table(("treatment", "rater alone", "ISR", "n"), self._rates())
        rows = [
            (a.question, _two(a.raters.fleiss.value), _two(a.raters.ac1.value), rate_with_interval(a.ceiling, none="-"))
            for a in self.agreement
        ]  # fmt: skip
        head = ("question", "Fleiss kappa", "AC1", "held-out rater with the rest")
        return self.result._repr_html_() + rates + (html_table(head, rows) if rows else "")

    def _rates(self) -> list[tuple[str, str, str, str]]:
        treatments = list(dict.fromkeys(t for t, _ in self.by_rater))
        names = dict(zip(treatments, short_names(treatments), strict=True))
        return [(names[t], r, rate_with_interval(i), str(i.n)) for (t, r), i in self.by_rater.items()]


def _two(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 2) + 0:.2f}"  # no -0.00


class _People(Tally):
    """A tally of labels: its signature says whose, and nothing of it depends on a rubric or a parser."""

    def __init__(
        self,
        plan: Plan,
        directory: EditDirectory,
        settings: Settings,
        by: Sequence[str],
        *,
        labels: Labels,
        parts: Sequence[tuple[str, object]],
        told: Sequence[str],
    ) -> None:
        super().__init__(plan, directory, settings, by)
        self.limit, self.limited = None, False  # which edits are labelled is in the digest of the labels
        self.refusals = directory.refusals if len(plan.edits) == len(directory.edits) else ()
        self.parts, self.told = (("labels", short(labels.digest)), *parts), tuple(told)

    def signature(self) -> Signature:
        return super().signature().plus(*self.parts)

    def _notes(self, progress: Progress | None) -> tuple[str, ...]:
        return (*super()._notes(progress), *self.told)


@in_its_name()
def score_labels(
    options: Options, labels: Labels, *, rule: Consensus = "majority", pool_guidelines: bool = False
) -> HumanScore:
    """Scores the labelled edits of a directory by people alone, and writes the run as ``isr score`` does.

    Edits without a label are in no estimate, which is said. Raises ``InputError`` where labels meet no edit or are of other
    pixels, ``UsageError`` where edits were drawn with unequal probabilities: their plain mean is of no population.
    """
    check_options(options)
    root = edits_in(options.directory)
    directory = load_edits(
        root,
        needs_source=False,
        skip_invalid=options.skip_invalid,
        cache=cache_if_there(options.home),
    )
    require(directory.findings, options.accept, str(options.directory))
    labels, told = _met(labels, directory)
    guideline = one_guideline(labels, pool=pool_guidelines)
    edits, votes = _labelled(directory, labels)
    by = options.by or directory.settings.by
    if unknown := sorted(set(by) - columns(edits)):
        raise UsageError(f"--by: expected columns of the metadata; found {', '.join(unknown)}")
    settings = Settings(
        options.level or directory.settings.level, options.interval, options.prompts, options.estimand
    )
    panel = Panel(PEOPLE, (_card(labels, guideline, rule),), RULE)
    accepted = frozenset(f.kind for f in directory.findings if f.level is Level.REFUSAL)
    plan = Plan(root=root, edits=edits, rubrics={}, panel=panel, accepted=accepted)
    own = labels.of_edits(e.edit_id for e in edits).of_arm(control=False)
    if len(edits) < len(directory.edits):
        told = [
            *told,
            f"{len(edits)} of {len(directory.edits)} edits are labelled; the others are in no estimate",
        ]
    told += _otherwise(own, rule)
    tally = _People(
        plan,
        directory,
        settings,
        by,
        labels=labels,
        parts=(("guideline", guideline), ("consensus", rule)),
        told=[*labels.notes, *told],
    )
    out = folder_for(options, panel, asked(tally))
    writable(out)
    result = _commit(options, panel, tally, votes, rule, out)
    return HumanScore(
        result=result,
        out=out,
        by_rater=dict(_by_rater(own, edits, settings.level)),
        agreement=tuple(_agreement(own, edits, rule, settings.level)),
    )


def _card(labels: Labels, guideline: str, rule: Consensus) -> Any:
    """The people as a judge: who they are, what they read, how their votes are joined."""
    raters = labels.raters
    one = "1 rater" if len(raters) == 1 else f"{len(raters)} raters, joined by {rule}"
    engine = {"raters": sha256_json(raters), "guideline": guideline, "consensus": rule}
    identity = {
        "backend": PEOPLE, "model": f"{one}, guideline {guideline}", "revision": "", "deployment": "", "decoding": {}, "images": {},
        "engine": engine,
    }  # fmt: skip
    return recorded_card({"name": PEOPLE, "backend": PEOPLE}, identity)


def _met(labels: Labels, directory: EditDirectory) -> tuple[Labels, list[str]]:
    """The labels with the spelling of the directory, each in its arm; and what is said of those that meet nothing."""
    known = {e.edit_id for e in directory.edits}
    labels = meet(labels, known)
    protected = {(e.edit_id, e.edited.sha256) for e in directory.edits}
    controls = {(e.edit_id, e.control.sha256) for e in directory.edits if e.control is not None}
    labels = arms_by_pixels(labels, controls - protected)
    lost = unmet(labels, known)
    if len(lost) == len(labels.edits):
        raise InputError(f"{unmet_told(lost, labels, known)}; expected labels of edits of {directory.root}")
    _check_pixels(labels, directory)
    _check_drawn(labels)
    return labels, [f"{unmet_told(lost, labels, known)}; they are left out"] if lost else []


def _check_drawn(labels: Labels) -> None:
    """Raises ``UsageError`` where labels say that edits were drawn with unequal probabilities."""
    found = {r.pi for r in labels.rows if r.arm != "control"}
    known = sorted(pi for pi in found if pi is not None)
    if known and len(found) > 1:
        raise UsageError(
            f"--labels: expected edits that were drawn with one probability; found several (column pi, {known[0]:g} to "
            f"{known[-1]:g}{', and rows without one' if None in found else ''}): the plain mean of such labels is of no "
            "population; isr calibrate RUN --labels LABELS --design ... --plan PLAN weighs them"
        )


def _check_pixels(labels: Labels, directory: EditDirectory) -> None:
    """Raises ``InputError`` where labels were given to other pictures than those of the directory."""
    shown = {(e.edit_id, ""): e.edited.sha256 for e in directory.edits}
    shown |= {(e.edit_id, "control"): e.control.sha256 for e in directory.edits if e.control is not None}
    other = sorted(
        {
            r.edit_id
            for r in labels.rows
            if r.edit_sha256 and shown.get((r.edit_id, r.arm), r.edit_sha256) != r.edit_sha256
        }
    )
    if other:
        found = f"{len(other)} labelled edits of other pixels: {named(other)}"
        fix = "labels belong to pixels: label these pictures, or score the labelled ones"
        raise InputError(
            "labels of other pictures",
            [Problem(str(directory.root), "edit_sha256", "the pictures that were labelled", found, fix)],
        )


Votes = Mapping[tuple[str, Arm], Mapping[Question, Ints]]


def _labelled(directory: EditDirectory, labels: Labels) -> tuple[tuple[Edit, ...], Votes]:
    """The labelled edits, a control edit only where it is labelled; and what each rater said, by edit, arm and question."""
    votes: dict[tuple[str, Arm], Mapping[Question, Ints]] = {}
    for arm in Arm:
        own = labels.of_arm(control=arm is Arm.CONTROL)
        codes = {q: _codes(own, q.value, labels.raters) for q in Question}
        for place, edit_id in enumerate(own.edits):
            votes[edit_id, arm] = {q: codes[q][place] for q in Question}
    units: dict[Unit, Mapping[Question, Ints]] = {}
    for edit in directory.edits:
        if (said := votes.get((edit.edit_id, Arm.CONTROL))) is not None:
            units[edit.unit] = _together(units.get(edit.unit), said, edit.edit_id, labels.raters)
    kept = []
    for edit in directory.edits:
        if (edit.edit_id, Arm.PROTECTED) in votes:
            labelled = units.get(edit.unit)
            if labelled is not None:
                votes[edit.edit_id, Arm.CONTROL] = labelled
            kept.append(edit if labelled is not None else replace(edit, control=None))
    if not kept:
        raise InputError(
            "labels: expected labels of protected edits; found those of control edits only; give both files"
        )
    return tuple(kept), votes


def _codes(own: Labels, question: str, raters: Sequence[str]) -> Ints:
    """Codes (edits, raters) with a column for each of all raters, those of the other arm too."""
    out = np.full((len(own.edits), len(raters)), MISSING, np.int64)
    places = [raters.index(r) for r in own.raters]
    out[:, places] = own.codes(own.edits, question)
    return out


def _together(
    before: Mapping[Question, Ints] | None, now: Mapping[Question, Ints], edit_id: str, raters: Sequence[str]
) -> Mapping[Question, Ints]:
    """The votes on one control edit that labels name by several edits of its unit. Raises ``InputError`` where a rater contradicts."""
    if before is None:
        return now
    for question in Question:
        a, b = before[question], now[question]
        if (clash := (a != MISSING) & (b != MISSING) & (a != b)).any():
            rater = raters[int(np.flatnonzero(clash)[0])]
            found = f"two that differ, one under {edit_id!r}"
            raise InputError(
                "labels of one rater contradict each other",
                [
                    Problem(
                        rater, question.value, "one label for each control edit", found, "drop one of them"
                    )
                ],
            )
    return {q: np.where(before[q] != MISSING, before[q], now[q]) for q in Question}


def _judged(plan: Plan, votes: Votes, rule: Consensus) -> Iterator[Judged]:
    """Each edit in each arm with the consensus of its raters; the rule sees all of them at once, as Dawid and Skene's must."""
    arms = list(arms_of(plan.edits))
    tables = {q: np.stack([votes[edit.edit_id, arm][q] for edit, arm in arms]) for q in Question}
    codes = {q: consensus(table, rule) for q, table in tables.items()}
    for row, (edit, arm) in enumerate(arms):
        said = {(0, q): (_verdict(int(codes[q][row]), tables[q][row]),) for q in Question}
        yield Judged(edit, arm, said)


def _verdict(code: int, votes: Ints) -> Verdict:
    """A consensus as a verdict; undecided where raters tie, or nobody can tell."""
    if code != MISSING:
        return Verdict(value=Value.FAILS if code else Value.FINE)
    reason: Reason = PeopleReason.RATERS_TIE if (votes != MISSING).any() else PeopleReason.CANNOT_TELL
    return Verdict(value=Value.UNDECIDED, reason=reason)


def _otherwise(own: Labels, rule: Consensus) -> list[str]:
    """On how many edits the raters' outcomes, joined by the same rule, say otherwise than their verdicts joined by question."""
    marks = [consensus(own.codes(own.edits, q.value), rule) for q in Question]
    known = (marks[0] != MISSING) & (marks[1] != MISSING)
    by_question = (marks[0] == 1) | (marks[1] == 1)
    whole = consensus(own.codes(own.edits, "outcome"), rule)
    n = int((known & (whole != MISSING) & ((whole == 1) != by_question)).sum())
    said = "verdicts are joined by question, so that semantic + perceptual - both = ISR"
    return (
        [f"{said}; the raters' outcomes joined instead, as isr calibrate does, differ on {n} edits"]
        if n
        else []
    )


def _commit(options: Options, panel: Panel, tally: Tally, votes: Votes, rule: Consensus, out: Path) -> Result:
    partial = partial_name(out / TABLE)
    question = asked(tally)
    try:
        with naming(out / TABLE), closing(EditsTable(partial, tally.plan)) as table:
            for judged in _judged(tally.plan, votes, rule):
                tally.add(judged)
                table.add(judged)
        result = replace(tally.result(), table={TABLE: file_digest(partial)})
        text = result.to_json().encode()
        record = run_record(
            replace(options, judge=PEOPLE), panel, out, question=question.digest, result=sha256_bytes(text), exit_code=0 if result.decided else 3,
            stopped="", seconds={}, progress=Progress(), unfinished={}, qualification=[],
        )  # fmt: skip
        stage(out / RECORD, (json.dumps(record, indent=1) + "\n").encode())
        stage(out / RESULT, text)
        with copied_again(out, result):
            commit([out / TABLE, out / RECORD, out / RESULT])
    finally:
        for name in (TABLE, RECORD, RESULT):
            partial_name(out / name).unlink(missing_ok=True)
    return result


def _by_rater(
    own: Labels, edits: Sequence[Edit], level: float
) -> Iterator[tuple[tuple[Treatment, str], Interval]]:
    """The ISR of each treatment that each rater alone gives, over the edits that the rater decided."""
    for treatment in sorted({e.treatment for e in edits}):
        some = [e for e in edits if e.treatment == treatment]
        codes = own.codes([e.edit_id for e in some], "outcome")
        image = np.array([e.cluster for e in some], np.str_)
        for column, rater in enumerate(own.raters):
            use = codes[:, column] != MISSING
            if use.any():
                yield (treatment, rater), rate_interval(codes[use, column] == 1, image[use], level=level)


def _agreement(own: Labels, edits: Sequence[Edit], rule: Consensus, level: float) -> Iterator[HumanAgreement]:
    if len(own.raters) < 2:
        return
    study = agree(replace(own, notes=()), [], Choices(consensus=rule, level=level, pool_guidelines=True))
    image = {e.edit_id: e.cluster for e in edits}
    for question, found in study.questions.items():
        votes = own.codes(own.edits, question)
        cast = (votes != MISSING).any(axis=1)
        clusters = np.array([image[e] for e in own.edits], np.str_)
        ceiling: Ceiling | None = human_ceiling(
            np.zeros(int(cast.sum()), np.int64), votes[cast], clusters[cast], level=level
        )
        yield HumanAgreement(
            question=question,
            raters=found.raters[0].verdicts,
            ceiling=ceiling.human if ceiling and ceiling.human.n else None,
        )

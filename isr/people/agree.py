"""Judge-agreement studies: judges against raters and against each other, and raters among themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.agreement.many_raters import raters_agreement
from isr.calibration.agreement.summary import human_ceiling, two_rater_agreement
from isr.calibration.agreement.two_raters import gwet_ac1
from isr.calibration.ranking import coefficient_difference, pairwise_share, rank_correlation
from isr.canonical import short
from isr.errors import InputError, UsageError
from isr.people.agreement_study import (
    AgreementStudy,
    Answers,
    Baseline,
    Choices,
    Confusion,
    Disputed,
    JudgeAgreement,
    JudgeDifference,
    Pair,
    Raters,
)
from isr.people.arms import with_arms
from isr.people.chance import swapped_in
from isr.people.judgements import QUESTIONS, Judgements
from isr.people.labels import Labels, consensus, one_guideline, scale_parts
from isr.people.meeting import meet, unmet, unmet_told
from isr.people.single_raters import left_open, with_each
from isr.people.study_file import check_pixels
from isr.people.themselves import require_no_people
from isr.signature import Signature
from isr.stats.multiplicity import HOLM, holm_family
from isr.stats.paired import compare_methods
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval
from isr.text import did_you_mean, plain
from isr.types import Floats, Ints
from isr.version import __version__

MOSTLY = 0.5  # share of unusable answers above which a judge's figures say little of it
CONSTANT = 0.01  # share of other verdicts up to which a judge always says the same
ASKED = (*QUESTIONS, "outcome")


@dataclass(frozen=True, kw_only=True)
class _Table:
    """The labelled edits in order with what everybody said about them."""

    labels: Labels
    judges: Sequence[Judgements]
    choices: Choices
    edits: list[str]
    image: Ints
    group: list[str]
    votes: Mapping[str, Ints] = field(default_factory=dict)
    truth: Mapping[str, Ints] = field(default_factory=dict)
    said: Mapping[str, Ints] = field(default_factory=dict)


def agree(labels: Labels, judges: Sequence[Judgements], choices: Choices) -> AgreementStudy:
    """The whole study; labels of control edits make a second one in it, ``controls``.

    Raises ``InputError`` where labels and judges have no edit in common.
    """
    guideline = one_guideline(labels, pool=choices.pool_guidelines)
    digest, judged = labels.digest, frozenset(e for j in judges for e in j.edits)
    every = with_arms(meet(labels, judged), judges)
    labels = every.of_arm(control=False)
    if not labels.rows:
        raise InputError(
            "labels and judges: expected labels of protected edits; found those of control edits only; give both files"
        )
    for judge in judges:
        check_pixels(labels, judge)
    table = _table(labels, judges, choices)
    questions = {q: _answers(table, q) for q in ASKED if (table.votes[q] != MISSING).any()}
    first = labels.first
    counts = {
        "labels": len(labels.rows),
        "edits": len(first),
        "edits_judged": len(table.edits),
        "images": int(table.image.max()) + 1,
        "raters": len(labels.raters),
        "judges": len(judges),
    }
    notes = [*labels.notes, *_swapped(questions.values())]
    if lost := unmet(labels, judged) if judges else []:
        notes.append(f"{unmet_told(lost, labels, judged)}; they count for raters only")
    if len(labels.guidelines) > 1:
        notes.append(f"labels of several guidelines were pooled: {guideline}")
    if any(r.pi is not None for r in labels.rows):
        notes.append(
            "labels carry inclusion probabilities; agreement is that of the labelled edits, unweighted"
        )
    of_controls, said = (
        replace(every.of_arm(control=True), notes=()),
        [j.controls for j in judges if j.controls],
    )
    if of_controls.rows and not said:
        notes.append(
            f"{len(of_controls.edits)} labelled control edits were judged by no judge; they are left out"
        )
    return AgreementStudy(
        signature=_signature(labels, judges, choices, guideline, digest),
        title=choices.title,
        judges=tuple(f"{plain(j.name)} ({j.model})" for j in judges),
        counts=counts,
        questions=questions,
        disputed=tuple(_disputed(table)),
        notes=tuple(notes),
        controls=agree(of_controls, said, choices) if of_controls.rows and said else None,
    )


def _swapped(questions: Iterable[Answers]) -> Iterator[str]:
    """Judges and people, or two raters, who contradict each other more often than chance would."""
    for q in questions:
        pairs = [(f"{p.first} and {p.second}", p.agreement) for p in q.rater_pairs]
        for who, found in [*((f"{j.judge} and the labels", j.agreement) for j in q.judges), *pairs]:
            if said := swapped_in(f"{q.question}: {who}", found):
                yield said


def _signature(
    labels: Labels, judges: Sequence[Judgements], choices: Choices, guideline: str, digest: str
) -> str:
    pairs = len(judges) * (len(judges) - 1) // 2
    made = Signature.of(
        ("isr", __version__),
        ("labels", short(digest)),
        ("guideline", guideline),
        *scale_parts(labels),
        ("consensus", choices.consensus),
        *(("judge", j.identity) for j in judges),
        ("primary", choices.primary),
        ("family", f"{pairs}:{HOLM}") if pairs else None,
        ("least", choices.least) if pairs else None,
        ("level", f"{choices.level:g}"),
        ("seed", choices.seed),
        ("study", short(choices.digest)) if choices.digest else None,
    )
    return str(made)


def require_column(option: str, column: str, labels: Labels, judges: Sequence[Judgements]) -> None:
    """Raises ``UsageError`` where a column is neither one of a judged edit nor one of a label; nobody has to have ``editor``."""
    known = {c for j in judges for e in j.edits.values() for c in e.columns}
    known |= {c for label in labels.first.values() for c in label.extra}
    if column and column != "editor" and column not in known:
        there = f"there are {', '.join(sorted(known)) or 'none'}"
        raise UsageError(
            f"{option} {column}: expected a column of the run's edits or of the labels; found none; "
            f"{did_you_mean(column, known, there)}"
        )


def _table(labels: Labels, judges: Sequence[Judgements], choices: Choices) -> _Table:
    first = labels.first
    answered: set[str] = set().union(*(j.edits for j in judges)) if judges else set(first)
    edits = sorted(answered & set(first))
    if not edits:
        one, other = next(iter(first)), next(iter(answered), "none")
        raise InputError(
            f"labels and judges: expected edits in common, by edit_id; found none (a label of {one!r}, an answer "
            f"about {other!r}); use the same edit_id in both"
        )
    require_column("--by", choices.by, labels, judges)
    image = [image_of(e, labels, judges) for e in edits]
    codes = {name: i for i, name in enumerate(dict.fromkeys(image))}
    votes = {q: labels.codes(edits, q) for q in ASKED}
    return _Table(
        labels=labels,
        judges=judges,
        choices=choices,
        edits=edits,
        image=np.array([codes[i] for i in image], np.int64),
        group=[column_of(e, choices.by, labels, judges) for e in edits],
        votes=votes,
        truth={q: consensus(v, choices.consensus) for q, v in votes.items() if (v != MISSING).any()},
        said={q: _said(judges, q, edits) for q in ASKED},
    )


def image_of(edit: str, labels: Labels, judges: Sequence[Judgements]) -> str:
    """The image of an edit as its labels name it, or else its judges; an edit without one stands alone."""
    label = labels.first.get(edit)
    if label is not None and label.image_id:
        return label.image_id
    return next((j.edits[edit].image_id for j in judges if edit in j.edits and j.edits[edit].image_id), edit)


def column_of(edit: str, column: str, labels: Labels, judges: Sequence[Judgements]) -> str:
    """The value of a column of an edit, from the judged rows or from the labels' other columns."""
    found = (j.edits[edit].columns.get(column, "") for j in judges if edit in j.edits)
    label = labels.first.get(edit)
    return next((v for v in found if v), label.extra.get(column, "") if label is not None else "")


def _said(judges: Sequence[Judgements], question: str, edits: Sequence[str]) -> Ints:
    """Codes (edits, judges); -1 where undecided or never asked."""
    codes = [[j.code(question, e) for j in judges] for e in edits]
    return np.array([[MISSING if c is None else c for c in row] for row in codes], np.int64).reshape(
        len(edits), len(judges)
    )


# --------------------------------------------------------------------------- one question


def _answers(table: _Table, question: str) -> Answers:
    votes, truth, said = table.votes[question], table.truth[question], table.said[question]
    level = table.choices.level
    words = {1: "fails", 0: "fine", MISSING: "open"}
    counted = Counter(words[int(c)] for c in truth)
    shares = {"human-human": pairwise_share(votes, None, table.image, level=level)}
    if said.shape[1] > 1:
        shares["MLLM-MLLM"] = pairwise_share(said, None, table.image, level=level)
    if said.shape[1]:
        shares["human-MLLM"] = pairwise_share(votes, said, table.image, level=level)
    names = [j.name for j in table.judges]
    return Answers(
        question=question,
        labelled={w: counted.get(w, 0) for w in words.values()},
        left_open=left_open(votes, truth),
        raters=tuple(_raters(table, question)),
        rater_pairs=tuple(_pairs(table.labels.raters, votes, table.image, level)),
        judges=tuple(_judge(table, question, number) for number in range(len(names))),
        judge_pairs=tuple(_pairs(names, said, table.image, level)),
        differences=tuple(_differences(table, question)),
        table_one=shares,
    )


def _raters(table: _Table, question: str) -> Iterator[Raters]:
    """All labelled edits of the study, judged or not, then by group."""
    edits = table.labels.edits
    image = _image_codes([image_of(e, table.labels, table.judges) for e in edits])
    group = [column_of(e, table.choices.by, table.labels, table.judges) for e in edits]
    votes = table.labels.codes(edits, question)
    grades = None if question == "outcome" else table.labels.grades(edits, question)
    for name in ("", *sorted(set(group) - {""})):
        rows = np.array([not name or g == name for g in group])
        verdicts = raters_agreement(votes[rows], image[rows], level=table.choices.level)
        graded = None
        scale = table.labels.scales.get(question)
        if grades is not None and scale is not None and np.isfinite(grades).any():
            ranks = _ranks(grades[rows], scale.anchors)
            graded = raters_agreement(
                ranks, image[rows], classes=len(scale.anchors), metric="ordinal", level=table.choices.level
            )
        yield Raters(name, verdicts, graded, int(rows.sum()))


def _image_codes(names: Sequence[str]) -> Ints:
    known: dict[str, int] = {}
    return np.array([known.setdefault(n, len(known)) for n in names], np.int64)


def _ranks(grades: Floats, anchors: Sequence[float]) -> Ints:
    place = np.searchsorted(np.array(anchors), np.nan_to_num(grades))
    return np.where(np.isfinite(grades), place, MISSING).astype(np.int64)


def _pairs(names: Sequence[str], codes: Ints, image: Ints, level: float) -> Iterator[Pair]:
    for a, b in combinations(range(len(names)), 2):
        both = (codes[:, a] != MISSING) & (codes[:, b] != MISSING)
        yield Pair(
            names[a], names[b], two_rater_agreement(codes[both, a], codes[both, b], image[both], level=level)
        )


def _judge(table: _Table, question: str, number: int) -> JudgeAgreement:
    judge, level = table.judges[number], table.choices.level
    truth, j = table.truth[question], table.said[question][:, number]
    asked = np.array([judge.code(question, e) is not None for e in table.edits])
    own = [e for e, a in zip(table.edits, asked, strict=True) if a]
    use = (j != MISSING) & (truth != MISSING)
    votes = table.votes[question]
    spearman, kendall = _correlations(table, question, judge)
    unusable = rate_interval(j[asked] == MISSING, table.image[asked], level=level)
    return JudgeAgreement(
        judge=judge.name,
        unusable=unusable,
        notes=tuple(_degenerate(unusable, j[use], truth[use], table.image[use], table.choices.least)),
        reasons=judge.reasons(question, own),
        unanswered=int((~asked).sum()),
        agreement=two_rater_agreement(j[use], truth[use], table.image[use], level=level),
        baseline=_baseline(truth[use], table.image[use], level),
        ceiling=human_ceiling(j[j != MISSING], votes[j != MISSING], table.image[j != MISSING], level=level)
        if votes.shape[1] >= 2
        else None,
        spearman=spearman,
        kendall=kendall,
        by=tuple(_confusions(table, question, number)),
        each=tuple(with_each(judge.name, j, table.labels.raters, votes, table.image, level)),
    )


def _degenerate(unusable: Interval, said: Ints, truth: Ints, image: Ints, least: int) -> Iterator[str]:
    """That a judge's figures rest on next to nothing, or that it says the same whatever it sees."""
    n = said.size
    rest = f"its figures rest on {n} edits of {np.unique(image).size} images" if n else "it has no figure"
    if unusable.value is not None and unusable.value > MOSTLY:
        yield f"{unusable.value:.1%} of its answers are unusable: {rest}"
    elif n < least:
        yield rest
    if n >= least:
        most = int(2 * said.sum() >= n)
        other = int((said != most).sum())
        if other <= CONSTANT * n < int((truth != most).sum()):
            yield (
                f"it says {'fails' if most else 'fine'} of {n - other} of {n} edits, whatever they are: a threshold or a scale "
                "that was read wrongly, or a blind judge"
            )


def _baseline(truth: Ints, image: Ints, level: float) -> Baseline:
    one = bool(2 * truth.sum() >= truth.size)
    hit = truth == int(one)
    counts = np.array([[0, 0], [0, 0]], np.float64)
    counts[int(one)] = [float((truth == 0).sum()), float((truth == 1).sum())]
    ac1 = float(gwet_ac1(counts)) if truth.size else float("nan")
    return Baseline(
        "fails" if one else "fine", rate_interval(hit, image, level=level), ac1 if np.isfinite(ac1) else None
    )


def _correlations(table: _Table, question: str, judge: Judgements) -> tuple[Interval | None, Interval | None]:
    """Rank correlation of the judge's score with the raters' grades; higher is a better edit on both sides."""
    scale = table.labels.scales.get(question)
    if scale is None or question == "outcome":
        return None, None
    verdicts = judge.verdicts.get(question, {})
    score = np.array(
        [v.score if (v := verdicts.get(e)) and v.score is not None else np.nan for e in table.edits],
        np.float64,
    )
    if not np.isfinite(score).any():
        return None, None
    grades = table.labels.grades(table.edits, question) * (1 if scale.rising else -1)
    level = table.choices.level
    return (
        rank_correlation(score, grades, table.image, level=level),
        rank_correlation(score, grades, table.image, kind="kendall", level=level),
    )


def _confusions(table: _Table, question: str, number: int) -> Iterator[Confusion]:
    truth, j = table.truth[question], table.said[question][:, number]
    for name in sorted(set(table.group) - {""}):
        rows = np.array([g == name for g in table.group])
        use = rows & (j != MISSING) & (truth != MISSING)
        if rows.any():
            found = two_rater_agreement(j[use], truth[use], table.image[use], level=table.choices.level)
            yield Confusion(name, found, int((rows & (j == MISSING)).sum()))


def _differences(table: _Table, question: str) -> Iterator[JudgeDifference]:
    """All pairs of judges as one family (Holm), on the edits that both and the consensus decide."""
    truth, said, names = table.truth[question], table.said[question], [j.name for j in table.judges]
    pairs = list(combinations(range(len(names)), 2))
    if not pairs:
        return
    found = []
    for a, b in pairs:
        use = (said[:, a] != MISSING) & (said[:, b] != MISSING) & (truth != MISSING)
        found.append(
            coefficient_difference(
                said[use, a],
                said[use, b],
                truth[use],
                table.image[use],
                coefficient=table.choices.primary,
                level=table.choices.level,
            )
        )
    right = {
        n: np.where((said[:, i] == MISSING) | (truth == MISSING), np.nan, said[:, i] == truth)
        for i, n in enumerate(names)
    }
    enough = [one.difference.n >= table.choices.least for one in found]
    for inside in (True, False):  # those of too few edits are no members of the family
        chosen = [i for i, e in enumerate(enough) if e is inside]
        if not chosen:
            continue
        adjusted = holm_family([found[i].p_value for i in chosen])
        shares = compare_methods(
            right,
            table.image,
            pairs=[(names[pairs[i][0]], names[pairs[i][1]]) for i in chosen],
            seed=table.choices.seed,
            level=table.choices.level,
        )
        for i, p_holm, share in zip(chosen, adjusted, shares, strict=True):
            one, n = found[i], found[i].difference.n
            yield JudgeDifference(
                first=share.first,
                second=share.second,
                coefficient=one.difference,
                p_value=one.p_value,
                p_holm=p_holm if inside else None,
                percent=share if inside else replace(share, p_holm=None),
                left_out=""
                if inside
                else f"both decide {n} edits, fewer than {table.choices.least}: no member of the family",
            )


# --------------------------------------------------------------------------- where they disagree


def _disputed(table: _Table) -> Iterator[Disputed]:
    """Edits by how many judges contradict the consensus, then by how sure people are."""
    words = {1: "fails", 0: "fine", MISSING: "undecided"}
    found = []
    for question in QUESTIONS:
        if question not in table.truth:
            continue
        votes, truth, said = table.votes[question], table.truth[question], table.said[question]
        against = ((said != MISSING) & (said != truth[:, None])).sum(axis=1)
        cast = (votes != MISSING).sum(axis=1)
        ones = (votes == 1).sum(axis=1)
        for i in map(int, np.flatnonzero((against > 0) & (truth != MISSING))):
            sure = abs(2 * ones[i] - cast[i]) / max(int(cast[i]), 1)
            found.append((-int(against[i]), -float(sure), table.edits[i], question, i))
    for _, _, edit, question, i in sorted(found)[: table.choices.most_disputed]:
        votes, said = table.votes[question], table.said[question]
        ones, cast = int((votes[i] == 1).sum()), int((votes[i] != MISSING).sum())
        says = {j.name: words[int(said[i, n])] for n, j in enumerate(table.judges)}
        yield Disputed(edit, question, f"{ones} of {cast} say fails", says)


def require_judges(judges: Sequence[Judgements]) -> None:
    """Raises ``UsageError`` without a judge, and for one that is people's labels."""
    require_no_people(judges)
    if not judges:
        raise UsageError(
            "isr agree: expected at least one judge; found none; give --judge RUN, or a study file"
        )

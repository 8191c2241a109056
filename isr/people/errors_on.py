"""A judge's errors against people regressed on what is known of the edits: where does it err?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from isr.calibration.agreement.alpha import MISSING
from isr.errors import UsageError
from isr.people.agree import column_of
from isr.people.agreement_study import AgreementStudy, Choices
from isr.people.arms import with_arms
from isr.people.correct_rows import Rows, Settings, rows_of
from isr.people.judge_errors import ErrorModel, JudgeErrors, Term
from isr.people.judgements import Judgements
from isr.people.labels import Labels
from isr.people.meeting import meet
from isr.signature import Signature
from isr.stats.multiplicity import holm_family
from isr.stats.regression import clustered_fit, coefficients, independent_columns
from isr.text import did_you_mean
from isr.types import Bools, Floats

LEAST_ERRORS = 10
"""Errors, and edits without one, that a model needs."""
LEAST_IMAGES = 5
"""Images that a level needs."""
LEAST_DF = 4.0
"""Degrees of freedom below which Satterthwaite's approximation is not to be trusted (Tipton 2015)."""
MOST_LEVELS = 20
NO_WIDTH = 1e-9  # what rounding leaves of none
WORDS = "prompt_words"
NAMED = {"budget": "eps"}
"""Names that a column may have in a question; a column of that very name comes first."""
LEVELS = ":levels"


@dataclass(frozen=True)
class _Column:
    """One column over the labelled edits: numbers, or texts with the levels against the first of them."""

    name: str
    texts: tuple[str, ...]
    levels: tuple[str, ...] = ()
    numbers: Floats | None = None


def errors_on(
    found: AgreementStudy,
    labels: Labels,
    judges: Sequence[Judgements],
    columns: Sequence[str],
    choices: Choices,
) -> AgreementStudy:
    """The study with each judge's errors on the outcome regressed on columns (``COLUMN``, or ``COLUMN:levels``).

    labels, judges: as ``agree`` took them; of protected edits. ``prompt_words`` is counted from the prompt, ``budget`` is ``eps``. Raises
    ``UsageError`` where no edit has a column, or it has too many levels.
    """
    judged = frozenset(e for j in judges for e in j.edits)
    own = with_arms(meet(labels, judged), judges).of_arm(control=False)
    made = tuple(_judge(judge, own, columns, choices) for judge in judges)
    signature = Signature.parse(found.signature).plus(("errors-on", ",".join(columns)))
    return replace(found, signature=str(signature), errors=made)


def _judge(judge: Judgements, labels: Labels, columns: Sequence[str], choices: Choices) -> JudgeErrors:
    rows = rows_of(judge, labels, "outcome", Settings(design="random", consensus=choices.consensus))
    decided = rows.take(rows.judge != MISSING)
    use = decided.take(decided.human != MISSING)
    none = JudgeErrors(judge=judge.name, columns=tuple(columns), weights="", models=())
    if not use.edits:
        return replace(
            none, refused="no edit whose outcome both the judge and the consensus of people decide"
        )
    weight, told, refused = _weights(decided, use, labels)
    if refused:
        return replace(none, refused=refused)
    found = [_column(name, use.edits, labels, judge) for name in columns]
    whole = np.array([all(c.texts[i] for c in found) for i in range(len(use.edits))], np.bool_)
    prompts = [column_of(e, "prompt", labels, [judge]) for e in use.edits]
    notes = [*_left_out(rows, labels), *_missing(found, len(use.edits)), *_by_prompt(found, prompts)]
    ready = [_ready(c, whole) for c in found]
    errors = (use.judge != use.human).astype(np.float64)
    kinds: tuple[tuple[str, Bools], ...] = (
        ("errors", whole),
        ("misses", whole & (use.human == 1)),
        ("false alarms", whole & (use.human == 0)),
    )
    models = [_model(kind, errors, use.image, weight, ready, keep, choices.level) for kind, keep in kinds]
    adjusted = iter(holm_family([t.p_value for m in models for t in m.terms]))
    models = [replace(m, terms=tuple(replace(t, p_holm=next(adjusted)) for t in m.terms)) for m in models]
    return replace(none, weights=told, models=tuple(models), notes=tuple(notes))


def _left_out(rows: Rows, labels: Labels) -> Iterator[str]:
    """Labelled edits that are in no model: neither an error nor none."""
    labelled = np.array([e in labels.first for e in rows.edits], np.bool_)
    undecided = int((labelled & (rows.judge == MISSING)).sum())
    unsettled = int((labelled & (rows.judge != MISSING) & (rows.human == MISSING)).sum())
    for count, why in ((undecided, "are undecided by the judge"), (unsettled, "have no consensus of people")):
        if count:
            yield f"{count} of {int(labelled.sum())} labelled edits {why}: they are in no model"


# --------------------------------------------------------------------------- how the labels were chosen


def _weights(decided: Rows, use: Rows, labels: Labels) -> tuple[Floats, str, str]:
    """(weights, how they were made, why there are none): labels chosen by verdict show shares of errors that are not the edits'.

    The inverse of known probabilities; without them the inverse of the labelled share of each verdict, which is right for labels at
    random and for labels at random within each verdict.
    """
    known = np.isfinite(use.pi)
    none = np.ones(len(use.edits))
    if known.any():
        if not known.all():
            return none, "", (
                f"expected 'pi' of every labelled edit, or of none; found {int(known.sum())} of {known.size}; fill it in, or leave the "
                "column out"
            )  # fmt: skip
        return 1 / use.pi, "each edit weighs the inverse of its probability of a label (pi)", ""
    if any(labels.first[e].stratum or labels.first[e].plan for e in use.edits):
        return (
            none,
            "",
            "the labels name a plan or a stratum, and no probabilities: give them in the column pi",
        )
    weight, said = none.copy(), []
    for verdict, word in ((1, "immunized"), (0, "not immunized")):
        all_of, own = decided.judge == verdict, use.judge == verdict
        if not all_of.any():
            continue
        if not own.any():
            return (
                none,
                "",
                (
                    f"no edit that the judge calls {word} has a label: errors among them cannot be counted; label some"
                ),
            )
        share = own.sum() / all_of.sum()
        weight[own] = 1 / share
        said.append(f"{share:.0%} of {word}")
    if (weight == 1).all():
        return (
            none,
            "every judged edit is labelled: all weigh alike; that they were not chosen by verdict cannot be seen",
            "",
        )
    return (
        weight,
        f"each edit weighs the inverse of the labelled share of its verdict ({', '.join(said)})",
        "",
    )


# --------------------------------------------------------------------------- columns


def _column(asked: str, edits: Sequence[str], labels: Labels, judge: Judgements) -> _Column:
    name = asked.removesuffix(LEVELS)
    texts = [column_of(e, name, labels, [judge]) for e in edits]
    if not any(texts) and name in NAMED:
        name = NAMED[name]
        texts = [column_of(e, name, labels, [judge]) for e in edits]
    if not any(texts) and name == WORDS:
        prompts = [column_of(e, "prompt", labels, [judge]) for e in edits]
        texts = [str(len(p.split())) if p else "" for p in prompts]
    if not any(texts):
        known = sorted({c for e in edits for c, v in judge.edits[e].columns.items() if v})
        raise UsageError(
            f"--errors-on {asked}: expected a column of the run's edits or of the labels; found none with a value; there are "
            f"{', '.join(known) or 'none'}, and {WORDS}; {did_you_mean(name, [*known, WORDS], 'correct the name')}"
        )
    numbers = _numbers(texts) if not asked.endswith(LEVELS) else None
    if numbers is not None:
        return _Column(
            name,
            tuple(t if math.isfinite(x) else "" for t, x in zip(texts, numbers, strict=True)),
            (),
            numbers,
        )
    return _Column(name, tuple(texts))


def _numbers(texts: Sequence[str]) -> Floats | None:
    """The values as numbers, NaN where there is none; ``None`` where one of them is a word."""
    try:
        return np.array([float(t) if t else math.nan for t in texts], np.float64)
    except ValueError:
        return None


def _missing(columns: Sequence[_Column], n: int) -> Iterator[str]:
    for column in columns:
        lost = n - sum(map(bool, column.texts))
        if lost:
            what = "value" if column.numbers is None else "finite value"
            yield f"{lost} of {n} edits have no {what} of {column.name}: they are left out"


def _by_prompt(columns: Sequence[_Column], prompts: Sequence[str]) -> Iterator[str]:
    """What varies between prompts alone: images are many, prompts may be few, and each has its own ease."""
    if not all(prompts):
        return
    asked = len(set(prompts))
    for column in columns:
        values = set(zip(prompts, column.texts, strict=True))
        if len(values) == asked and len(set(column.texts)) > 1:
            yield f"{column.name} has one value for each of {asked} prompts: what is said of it is about these prompts alone"


def _ready(column: _Column, whole: Bools) -> _Column:
    """Numbers per standard deviation of the edits that count; levels with the most frequent one first."""
    if column.numbers is not None:
        return column
    counted = Counter(t for t, k in zip(column.texts, whole, strict=True) if k)
    levels = sorted(counted, key=lambda level: (-counted[level], level))
    if len(levels) > MOST_LEVELS:
        raise UsageError(
            f"--errors-on {column.name}: expected at most {MOST_LEVELS} levels; found {len(levels)}; join some in a column of their own"
        )
    return replace(column, levels=tuple(levels))


# --------------------------------------------------------------------------- one model


def _model(
    kind: str,
    errors: Floats,
    image: np.ndarray,
    weight: Floats,
    columns: Sequence[_Column],
    keep: Bools,
    level: float,
) -> ErrorModel:
    weak = _weak(columns, image, keep)
    left = keep & ~np.array(
        [any(c.texts[i] in weak.get(c.name, {}) for c in columns) for i in range(keep.size)], np.bool_
    )
    wrong, n = int(errors[left].sum()), int(left.sum())
    terms, matrix = _terms(columns, weak, image, left, whole=keep)
    notes = [
        f"{c.name} {name}: its {sum(t == name and k for t, k in zip(c.texts, keep, strict=True))} edits are left out"
        for c in columns for name in weak.get(c.name, {})
    ]  # fmt: skip
    share = float(np.average(errors[left], weights=weight[left])) if n else None
    found = ErrorModel(
        kind=kind, n=n, images=np.unique(image[left]).size, errors=wrong, share=share, terms=terms, notes=tuple(notes)
    )  # fmt: skip
    if min(wrong, n - wrong) < LEAST_ERRORS:
        reason = (
            f"expected {LEAST_ERRORS} errors and {LEAST_ERRORS} right verdicts; found {wrong} and {n - wrong}"
        )
        return replace(
            found, refused=reason, terms=tuple(replace(t, refused=t.refused or reason) for t in terms)
        )
    return replace(found, terms=tuple(_fitted(terms, matrix, errors[left], image[left], weight[left], level)))


def _weak(columns: Sequence[_Column], image: np.ndarray, keep: Bools) -> dict[str, dict[str, int]]:
    """The levels that too few images have, with how many: their edits are left out, until no further one is weak."""
    weak: dict[str, dict[str, int]] = {}
    while True:
        more = False
        out = np.array(
            [any(c.texts[i] in weak.get(c.name, {}) for c in columns) for i in range(keep.size)], np.bool_
        )
        for column in columns:
            texts = np.array(column.texts)
            for name in column.levels:
                images = np.unique(image[keep & ~out & (texts == name)]).size
                if images < LEAST_IMAGES and name not in weak.get(column.name, {}):
                    weak.setdefault(column.name, {})[name] = images
                    more = True
        if not more:
            return weak


def _terms(
    columns: Sequence[_Column],
    weak: Mapping[str, Mapping[str, int]],
    image: np.ndarray,
    left: Bools,
    whole: Bools,
) -> tuple[tuple[Term, ...], list[Floats]]:
    """Every declared term, refused where it cannot be told, and its values over the edits that are left."""
    terms: list[Term] = []
    values: list[Floats] = []
    for column in columns:
        lost = weak.get(column.name, {})
        if column.numbers is not None:
            own = column.numbers[left]
            known = column.numbers[np.isfinite(column.numbers)]
            most = np.abs(known).max(initial=0.0)
            spread = 0.0 if not known.size or np.ptp(known) <= 1e-9 * most else float(known.std())
            flat = not own.size or spread == 0 or float(np.ptp(own)) == 0
            terms.append(
                Term(
                    column=column.name, level="", against=f"per sd ({spread:.3g})", n=own.size, images=np.unique(image[left]).size,
                    refused="no variation" if flat else "",
                )
            )  # fmt: skip
            values.append(np.zeros(own.size) if flat else (own - own.mean()) / spread)
            continue
        base, *others = column.levels or ("",)
        texts = np.array(column.texts)
        if not others:
            terms.append(Term(column=column.name, level=base, against="nothing else", n=int(left.sum()), images=np.unique(image[left]).size,
                              refused="no variation"))  # fmt: skip
            values.append(np.zeros(int(left.sum())))
        for name in others:
            at = whole & (texts == name)
            reason = ""
            for one in (name, base):
                if one in lost and not reason:
                    reason = f"{column.name} {one} has {lost[one]} images here, fewer than {LEAST_IMAGES}"
            terms.append(
                Term(
                    column=column.name, level=name, against=base, n=int(at.sum()), images=np.unique(image[at]).size, refused=reason
                )
            )  # fmt: skip
            values.append((texts[left] == name).astype(np.float64))
    return tuple(terms), values


def _fitted(
    terms: Sequence[Term],
    values: Sequence[Floats],
    errors: Floats,
    image: np.ndarray,
    weight: Floats,
    level: float,
) -> Iterator[Term]:
    alone = independent_columns(np.column_stack([np.ones(errors.size), *(
        np.zeros(errors.size) if t.refused else v for t, v in zip(terms, values, strict=True))]))  # fmt: skip
    used = [v for v, own in zip(values, alone[1:], strict=True) if own]
    fit = clustered_fit(
        errors, np.column_stack([np.ones(errors.size), *used]), image.tolist(), weights=weight, floor=True
    )
    found = iter(coefficients(fit, level=level)[1:])
    for term, own in zip(terms, alone[1:], strict=True):
        if not own:
            reason = "collinear with the terms before it, which carry what belongs to both"
            yield replace(term, refused=term.refused or reason)
            continue
        one = next(found)
        if not one.df >= LEAST_DF:
            yield replace(term, refused=f"rests on {one.df:.1f} degrees of freedom, fewer than {LEAST_DF:g}")
        elif one.high - one.low < NO_WIDTH:
            yield replace(term, refused="the columns tell every error: no variance is left")
        else:
            yield replace(term, value=one.value, low=one.low, high=one.high, df=one.df, p_value=one.p_value)

"""Where a judge errs against people: what was found, and how it is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isr import text


@dataclass(frozen=True, kw_only=True)
class Term:
    """By how much the share of errors differs with one level of a column, or with one standard deviation of numbers.

    ``against``: what it is held against. ``n``, ``images``: edits and images that have the level. Numbers are ``None`` where ``refused``
    says why.
    """

    column: str
    level: str
    against: str
    n: int
    images: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    df: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class ErrorModel:
    """One linear probability model: of all errors, of misses, or of false alarms. ``share``: of errors, weighted."""

    kind: str
    n: int
    images: int
    errors: int
    share: float | None
    terms: tuple[Term, ...]
    refused: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JudgeErrors:
    """One judge. ``weights``: how its edits count. Holm's family is all terms of all models."""

    judge: str
    columns: tuple[str, ...]
    weights: str
    models: tuple[ErrorModel, ...]
    refused: str = ""
    notes: tuple[str, ...] = ()


TITLES = {
    "errors": "errors of all edits",
    "misses": "misses among the edits that people call immunized (1 - sensitivity)",
    "false alarms": "false alarms among the edits that people call not immunized (1 - specificity)",
}


def lines(found: Sequence[JudgeErrors], level: float) -> Iterator[str]:
    """What is said of each judge, after an empty line."""
    for judge in found:
        yield ""
        yield f"WHERE {judge.judge} ERRS, on {', '.join(judge.columns)}"
        if judge.refused:
            yield f"  refused: {judge.refused}"
            continue
        family = sum(len(m.terms) for m in judge.models)
        yield "  points of the share of errors (linear probability models; errors clustered on the image, CR2)"
        yield f"  p adjusted by Holm over the {family} terms of the three models"
        yield f"  {judge.weights}"
        yield from (f"  {note}" for note in judge.notes)
        for model in judge.models:
            yield ""
            yield from _model(model, level)


def _model(model: ErrorModel, level: float) -> Iterator[str]:
    yield f"  {TITLES[model.kind]}: {model.errors} of {text.counted(model.n, 'edit')} of {text.counted(model.images, 'image')} ({text.rate(model.share)})"
    yield from (f"    {note}" for note in model.notes)
    if model.refused:
        yield f"    refused: {model.refused}"
        return
    names = [_name(t) for t in model.terms]
    width = max(map(len, names), default=0) + 2
    yield f"    {'':{width}}{'points':>9}{f'{level:.0%} interval':>22}{'df':>7}{'p':>8}{'Holm':>8}{'edits':>7}{'images':>8}"
    for name, term in zip(names, model.terms, strict=True):
        if term.value is None or term.df is None:
            yield f"    {name:{width}}refused: {term.refused}"
        else:
            yield (
                f"    {name:{width}}{text.difference(term.value):>9}{text.difference_interval(term):>22}{term.df:>7.1f}"
                f"{text.p_value(term.p_value):>8}{text.p_value(term.p_holm):>8}{term.n:>7}{term.images:>8}"
            )


def _name(term: Term) -> str:
    return " ".join(filter(None, (term.column, term.level and f"{term.level} -", term.against)))

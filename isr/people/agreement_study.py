"""What an agreement study decides before it looks, and everything that it says: the records of ``isr agree``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isr.calibration.agreement.many_raters import RatersAgreement
from isr.calibration.agreement.summary import Agreement, Ceiling
from isr.calibration.ranking import Coefficient
from isr.people.judge_errors import JudgeErrors
from isr.people.labels import Consensus
from isr.scoring.frames import framed
from isr.stats.paired import PairedComparison
from isr.stats.rows import Interval
from isr.text import html_table, rate, rate_with_interval, summary

if TYPE_CHECKING:
    import pandas

SCHEMA = "isr.agreement/1"
COEFFICIENTS = ("percent", "kappa", "ac1", "alpha", "mcc", "sensitivity", "specificity", "prevalence")
ROWS_IN_HTML = 40
JUDGES_SHOWN = 6  # in a repr, which has ten lines


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a study decides before it looks: consensus rule, grouping, primary coefficient, level, seed, the least pair."""

    consensus: Consensus = "majority"
    by: str = "editor"
    primary: Coefficient = "kappa"
    level: float = 0.95
    seed: int = 0
    most_disputed: int = 10
    least: int = 10  # decided edits of a pair of judges, below which it is no comparison of the family
    pool_guidelines: bool = False
    title: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Raters:
    """Agreement among people; ``graded`` on the ordinal scale where labels are graded."""

    group: str
    verdicts: RatersAgreement
    graded: RatersAgreement | None
    edits: int


@dataclass(frozen=True)
class Pair:
    """Two raters, or two judges, with each other."""

    first: str
    second: str
    agreement: Agreement


@dataclass(frozen=True)
class Confusion:
    """A judge against the consensus within one group of edits."""

    group: str
    agreement: Agreement
    undecided: int


@dataclass(frozen=True)
class Baseline:
    """The predictor that always says ``says``, on the same edits: what agreement costs nothing."""

    says: str
    percent: Interval
    ac1: float | None


@dataclass(frozen=True, kw_only=True)
class JudgeAgreement:
    """One judge against people. ``unusable``: share of the labelled edits whose answer was not decided.

    ``each``: against each rater alone, on all that both decide: no edit is left out because raters differ about it.
    ``notes``: that its figures rest on next to nothing, or that it says the same of every edit.
    """

    judge: str
    unusable: Interval
    reasons: Mapping[str, int]
    unanswered: int
    agreement: Agreement
    baseline: Baseline
    ceiling: Ceiling | None
    spearman: Interval | None
    kendall: Interval | None
    by: tuple[Confusion, ...]
    each: tuple[Pair, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JudgeDifference:
    """Two judges on the edits that both decide: the primary coefficient, and percent agreement.

    ``left_out``: why it is no member of the family; it has then no adjusted p-values.
    """

    first: str
    second: str
    coefficient: Interval
    p_value: float | None
    p_holm: float | None
    percent: PairedComparison
    left_out: str = ""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Everything about one question, or about the outcome of both."""

    question: str
    labelled: Mapping[str, int]
    raters: tuple[Raters, ...]
    rater_pairs: tuple[Pair, ...]
    judges: tuple[JudgeAgreement, ...]
    judge_pairs: tuple[Pair, ...]
    differences: tuple[JudgeDifference, ...]
    table_one: Mapping[str, Interval]
    left_open: int = 0  # labelled edits without a consensus: with two raters, all on which they differ


@dataclass(frozen=True)
class Disputed:
    """An edit on which judges and people say different things; ``votes`` of people for ``fails``."""

    edit: str
    question: str
    votes: str
    says: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class AgreementStudy:
    """All that ``isr agree`` says."""

    signature: str
    title: str
    counts: Mapping[str, int]
    questions: Mapping[str, Answers]
    disputed: tuple[Disputed, ...]
    judges: tuple[str, ...] = ()  # each by name and model
    notes: tuple[str, ...] = ()
    controls: AgreementStudy | None = None  # the same of the control edits, where they have labels
    errors: tuple[JudgeErrors, ...] = ()  # where each judge errs, where it was asked

    def __repr__(self) -> str:
        lines = [", ".join(f"{n} {what}" for what, n in self.counts.items())]
        judges = [(question, judge) for question, said in self.questions.items() for judge in said.judges]
        shown = judges[:JUDGES_SHOWN]
        for question, j in shown:
            a = j.agreement
            kappa = "-" if a.kappa.value is None else f"{a.kappa.value:.2f}"
            lines.append(
                f"  {j.judge}, {question}: agrees on {rate_with_interval(a.percent)} of {a.n}, kappa {kappa}"
            )
        if more := len(judges) - len(shown):
            lines.append(f"  and {more} more judges and questions: questions")
        if self.notes:
            lines.append(f"  {len(self.notes)} note(s): notes")
        return summary("AgreementStudy", [*lines, f"  {self.signature}"])

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row for each judge and question: with the consensus (``with`` is empty), and with each rater alone."""
        return [
            {
                "question": question, "judge": j.judge, "with": other, "n": a.n, "images": a.clusters,
                **{f"{name}{end}": value for name in COEFFICIENTS for end, value in _limits(getattr(a, name))},
                "signature": self.signature,
            }
            for question, said in self.questions.items()
            for j in said.judges
            for other, a in (("", j.agreement), *((p.second, p.agreement) for p in j.each))
        ]  # fmt: skip

    def to_frame(self) -> pandas.DataFrame:
        """``to_dicts`` as a pandas table. Raises ``MissingExtraError`` where pandas is not installed."""
        return framed(self.to_dicts(), "AgreementStudy.to_frame", "AgreementStudy.to_dicts")

    def _repr_html_(self) -> str:
        """Each judge with the consensus and with each rater, for notebooks."""
        rows = [
            (r["question"], r["judge"], r["with"] or "consensus", str(r["n"]), _said(r, "percent", rate), _said(r, "kappa", _two), _said(r, "ac1", _two))
            for r in self.to_dicts()
        ]  # fmt: skip
        head = ("question", "judge", "with", "n", "agree", "kappa", "AC1")
        more = f"and {len(rows) - ROWS_IN_HTML} more rows: to_frame() has all" if rows[ROWS_IN_HTML:] else ""
        return html_table(head, rows[:ROWS_IN_HTML], [more, self.left_open, *self.notes, self.signature])

    @property
    def left_open(self) -> str:
        """That judges are compared with a consensus only where there is one, and what that does; ``""`` where all have one."""
        found = [
            (q.question, q.left_open, q.labelled["fails"] + q.labelled["fine"] + q.left_open)
            for q in self.questions.values()
            if q.left_open
        ]
        if not found or not self.judges:
            return ""
        counts = ", ".join(f"{question} {n} of {of}" for question, n, of in found)
        why = (
            "the two raters differ, or one cannot tell"
            if self.counts["raters"] == 2
            else "a tie, or cannot tell"
        )
        return (
            f"labelled edits without a consensus ({why}): {counts}. A judge is compared with the consensus on the others alone, which "
            "are likely the easier ones: read it against each rater, and beside the human ceiling"
        )

    @property
    def each(self) -> list[tuple[str, Pair]]:
        """(question, a judge with one rater), the raters with most edits first."""
        return [
            (q.question, pair)
            for q in self.questions.values()
            for j in q.judges
            for pair in sorted(j.each, key=lambda p: (-p.agreement.n, p.second))
        ]

    @property
    def ceilings(self) -> list[tuple[str, str, Ceiling]]:
        """(question, judge, what a held-out rater reaches against the others, and what the judge does)."""
        return [
            (q.question, j.judge, j.ceiling)
            for q in self.questions.values()
            for j in q.judges
            if j.ceiling is not None
        ]

    def as_dict(self) -> dict[str, Any]:
        """The study for a JSON file; without labels of control edits it has no ``controls``, unasked no ``errors``."""
        made = {"schema": SCHEMA, **asdict(self)}
        if not self.errors:
            del made["errors"]
        if self.controls is None:
            del made["controls"]
        else:
            made["controls"] = self.controls.as_dict()
        return made

    def to_json(self) -> str:
        """The same bytes for the same labels, answers and choices."""
        return json.dumps(_plain(self.as_dict()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _limits(i: Interval) -> tuple[tuple[str, float | None], ...]:
    return ("", i.value), ("_low", i.low), ("_high", i.high)


def _said(row: Mapping[str, Any], name: str, one: Callable[[float | None], str]) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return one(row[name]) + ("" if low is None or high is None else f" ({one(low)} to {one(high)})")


def _two(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 2) + 0:.2f}"  # no -0.00


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value

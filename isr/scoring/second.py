"""Two judges' ISR on the same edits, side by side, with the paired difference of their outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from isr import text
from isr.calibration.agreement.summary import Agreement, two_rater_agreement
from isr.edits.metadata import number_text
from isr.scoring.compare import with_undecided
from isr.scoring.estimates import Frame, Rates, Settings, missing
from isr.scoring.finished import EditRow, of_stored
from isr.scoring.judge_words import named
from isr.scoring.outcomes import of_rows
from isr.scoring.result import Part, Result
from isr.scoring.sequenced import without_interval
from isr.scoring.shown import Shown, headline, shown, shown_pair
from isr.scoring.stored import StoredRun
from isr.signature import Signature
from isr.stats.paired import PairedComparison, compare_methods
from isr.stats.rows import Interval
from isr.types import Estimate, Treatment, Unit

NAMES = ("author's", "yours")
Rows = Mapping[Unit, EditRow]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One treatment, or the control edits, by both judges: both rates are of the edits that both runs have.

    ``edits``: how many these are. ``difference``: yours minus the author's, of the outcomes of the same edits, with its test and its interval clustered on the
    image; ``None`` where there is none, and ``why`` says so. ``other``: edits that only one run has, or with other bytes.
    """

    title: str
    authors: Estimate
    yours: Estimate
    difference: Interval | None
    p_value: float | None
    agreement: Agreement | None
    other: int
    edits: int
    shown: Shown | None = None  # the difference as it may be shown
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class BothJudges:
    """Both runs by their judges' names and models, treatment by treatment."""

    judges: tuple[str, str]
    level: float
    pairs: tuple[Pair, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values; rates in [0, 1], agreement as percent and kappa."""
        return {
            "judges": dict(zip(("authors", "yours"), self.judges, strict=True)),
            "level": self.level,
            "pairs": [_as_dict(p) for p in self.pairs],
        }


def _as_dict(pair: Pair) -> dict[str, Any]:
    a = pair.agreement
    said = None if a is None else {"percent": asdict(a.percent), "kappa": asdict(a.kappa), "n": a.n}
    estimates = {name: getattr(pair, name).as_dict() for name in ("authors", "yours")}
    difference = None if pair.difference is None else asdict(pair.difference)
    return {
        "title": pair.title, **estimates, "difference": difference, "p_value": pair.p_value, "agreement": said,
        "other": pair.other, "why": pair.why,
    }  # fmt: skip


def both_judges(author: StoredRun, mine: StoredRun) -> BothJudges:
    """The author's and the reviewer's ISR of each treatment and of the control edits that both runs have."""
    runs = [of_stored(one) for one in (author, mine)]
    results = (author.result, mine.result)
    level = float(Signature.parse(mine.result.signature).get("level", "0.95"))
    stops = any(r.until is not None for r in results)
    keyed = [{_key(t): rows for t, rows in run.treatments.items()} for run in runs]
    parts: list[tuple[str, Part, Part, Rows, Rows]] = []
    for theirs in results[0].treatments:
        key = _key(theirs.treatment)
        own = next((t for t in results[1].treatments if _key(t.treatment) == key), None)
        if own is not None:
            parts.append(
                (_title(theirs.treatment), theirs, own, keyed[0].get(key, {}), keyed[1].get(key, {}))
            )
    if results[0].control is not None and results[1].control is not None:
        parts.append(
            ("control edits", results[0].control, results[1].control, runs[0].controls, runs[1].controls)
        )
    made = [_pair(title, results, (a, b), (x, y), level, stops=stops) for title, a, b, x, y in parts]
    return BothJudges(judges=(_judges(results[0]), _judges(results[1])), level=level, pairs=tuple(made))


def _pair(
    title: str,
    results: tuple[Result, Result],
    parts: tuple[Part, Part],
    rows: tuple[Rows, Rows],
    level: float,
    *,
    stops: bool,
) -> Pair:
    first, second = rows
    same = sorted(u for u in first.keys() & second.keys() if _bytes(first[u]) == _bytes(second[u]))
    image = [u.image_id for u in same]
    table = {
        name: np.array([some[u].outcome for u in same], np.float64)
        for name, some in zip(NAMES, rows, strict=True)
    }
    found: PairedComparison | None = None
    agreement: Agreement | None = None
    why = "no edit is in both runs" if not same else ""
    if stops:
        why = "a run stops by a rule: intervals for a fixed number of images do not hold"
    elif same:
        (found,) = compare_methods(table, image, pairs=[(NAMES[1], NAMES[0])], level=level)
        found = with_undecided(found, {u: second[u] for u in same}, {u: first[u] for u in same}, level)
        both = ~np.isnan(table[NAMES[0]]) & ~np.isnan(table[NAMES[1]])
        if both.any():
            authors, yours = (table[name][both].astype(np.int64) for name in NAMES)
            agreement = two_rater_agreement(yours, authors, np.array(image, np.str_)[both], level=level)
    other = len(first.keys() | second.keys()) - len(same)
    main = [p.estimates["isr"] if "isr" in p.estimates else p.estimates["control"] for p in parts]
    if other:
        main = [_shared(r, [some[u] for u in same]) for r, some in zip(results, rows, strict=True)]
    return Pair(
        title=title,
        authors=main[0],
        yours=main[1],
        difference=None if found is None else found.difference,
        shown=None if found is None else shown_pair(found, level),
        p_value=None if found is None else found.p_value,
        agreement=agreement,
        other=other,
        edits=len(same),
        why=why,
    )


def _shared(result: Result, rows: Sequence[EditRow]) -> Estimate:
    """The rate of a run among the edits that both runs have, by its own settings; no sequence holds for a part."""
    made = Settings.signed(Signature.parse(result.signature))
    settings = replace(made, until=None)
    if not rows:
        return missing("no edit is in both runs", settings)
    frame = Frame.of_units([r.unit for r in rows], [not r.columns.get("source_file_name") for r in rows])
    found = of_rows([r.columns for r in rows], [str(j["name"]) for j in result.judges], result.rule)
    rate = Rates(frame, found, settings).of(found.immunized_low, found.immunized_high)
    return rate if made.until is None else without_interval(rate)


def _bytes(row: EditRow) -> str:
    return row.columns.get("edit_sha256", "")


def _key(treatment: Treatment) -> tuple[str, ...]:
    return tuple(number_text(value) for value in treatment)


def _title(t: Treatment) -> str:
    named = {"": t.method, "config ": t.config, "eps ": t.eps, "surrogate ": t.surrogate}
    return text.plain(", ".join(f"{k}{v}" for k, v in named.items() if v)) or "no method named"


def _judges(result: Result) -> str:
    rule = f" ({result.rule})" if len(result.judges) > 1 else ""
    return ", ".join(map(named, result.judges)) + rule


def lines(both: BothJudges) -> Iterator[str]:
    """Both tables in one, each line with its judge."""
    yield "BOTH JUDGES, on the same edits"
    yield f"  {'':10}{'ISR':>8}  {f'{both.level:.0%} interval':>18}{'n':>7}{'images':>8}   judge"
    for pair in both.pairs:
        yield pair.title
        for name, judge, e in zip(NAMES, both.judges, (pair.authors, pair.yours), strict=True):
            one = shown("isr", e, headline(e.n, pair.edits), of=pair.edits)
            yield f"  {name:10}{one.value:>8}  {one.span or one.reason:>18}{one.size:>7}{e.clusters:>8}   {judge}"
            if one.kind == "point" and one.band is not None:
                yield f"  {'':10}undecided edits leave it open: {text.open_range(e)}"
        yield from (f"  {line}" for line in _difference(pair))


def _difference(pair: Pair) -> Sequence[str]:
    if pair.difference is None:
        return (f"no difference: {pair.why}",)
    one = pair.shown
    assert one is not None
    value = (
        f"{one.value} ({one.told})"
        if one.is_range
        else f"{one.value} ({text.difference_interval(pair.difference)})"
    )
    said = [
        f"yours - author's: {value}, n {one.size}, images {one.estimate.clusters}, p {text.p_value(pair.p_value)}"
    ]
    if (a := pair.agreement) is not None and a.percent.value is not None:
        kappa = "undefined" if a.kappa.value is None else f"{a.kappa.value:.2f}"
        said.append(f"the same outcome on {text.rate_with_interval(a.percent)} of {a.n} edits; kappa {kappa}")
    if pair.other:
        said.append(f"{pair.other} edits are not in both runs, or have other bytes: left out here")
    return said


def second_dict(result: Result, author: Result, both: BothJudges) -> dict[str, Any]:
    """What ``isr score BUNDLE --json`` prints."""
    return {
        "schema": "isr.second/1",
        "yours": result.as_dict(),
        "authors": author.as_dict(),
        "both": both.as_dict(),
    }

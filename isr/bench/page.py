"""The study's ``report.html``: the scores under the study's names for its methods, with the comparisons that it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from isr.bench.cells import Immunization, Scoring
from isr.bench.comparisons import Family
from isr.bench.state import Bench
from isr.report.comparison import MOST_PAIRS, Compared, PairRow
from isr.report.page import Options, write_report
from isr.report.runs import ReportRun, read_report_run
from isr.signature import Signature

Key = tuple[str, str, float, str]  # method, config, eps, surrogate


def write_page(bench: Bench, families: Sequence[Family], known: Mapping[Key, Immunization]) -> None:
    """Writes the report of all scores. known: the study's treatments."""
    runs = [_called(bench, s, known) for s in bench.plan.scorings]
    options = Options(title=bench.study.name, comparisons=tuple(map(shown, families)))
    write_report(runs, bench.out / "report.html", options)


def _called(bench: Bench, scoring: Scoring, known: Mapping[Key, Immunization]) -> ReportRun:
    run = read_report_run(bench.out / scoring.folder)
    names = {}
    for t in run.treatments:
        try:
            cell = known.get((t.method, t.config, float(t.eps), t.surrogate))
        except ValueError:
            continue
        if cell is not None:
            names[t] = cell.label
    return replace(run, name=scoring.title, called=names)


def shown(family: Family) -> Compared:
    """A declared family as a report shows comparisons."""
    name = f"{family.name} family by {family.judge}" + (", the study's claims" if family.claim else "")
    if len(family.members) > MOST_PAIRS:
        return Compared(
            runs=name, reason=f"{len(family.members)} comparisons do not fit here; results.md has them"
        )
    return Compared(
        rows=tuple(_rows(family)),
        level=float(Signature.parse(family.signature)["level"]),
        signature=family.signature,
        runs=name,
        warnings=family.told,
    )


def _rows(family: Family) -> Iterator[PairRow]:
    for m in family.members:
        yield PairRow(
            first=m.pair.first, second=m.pair.second, found=m.found, people=m.people, place=m.pair.place
        )

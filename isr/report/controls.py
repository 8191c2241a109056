"""Control edits that are the same in several runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from isr.report.runs import ReportRun
from isr.types import Question


def shared_controls(runs: Sequence[ReportRun]) -> dict[int, list[int]]:
    """For each run the runs with its control edits: the same pixels, verdicts and estimates, whatever they are called."""
    found: dict[object, list[int]] = {}
    for number, run in enumerate(runs):
        rows = run.controls
        told = Counter((r.get("edit_sha256", ""), r["outcome"], *_verdicts(r, run.judges)) for r in rows)
        judges = tuple(str(j["digest"]) for j in run.result.judges)
        control = run.result.control
        estimates = repr({n: e.as_dict() for n, e in control.estimates.items()}) if control else ""
        known = bool(rows) and all(r.get("edit_sha256") for r in rows)
        key = (judges, estimates, frozenset(told.items())) if known else number
        found.setdefault(key, []).append(number)
    return {number: of for of in found.values() for number in of}


def _verdicts(row: Mapping[str, str], judges: Sequence[str]) -> Iterator[str]:
    yield from (row.get(f"{judge}:{question}", "") for judge in judges for question in Question)

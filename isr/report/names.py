"""What the rows of a report are called: short names in its tables, the full ones once beneath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isr.report.runs import ReportRun, spelt
from isr.scoring.row_names import full_name, short_names
from isr.text import plain
from isr.types import Treatment

Names = Mapping[tuple[str, ...], str]
"""By ``spelt(treatment)``."""


def row_names(runs: Sequence[ReportRun]) -> list[Names]:
    """For each run the short names of its treatments; equal ones of several runs have one name.

    A study's own name of a treatment stands for its method.
    """
    shown = [[as_called(run, t) for t in run.treatments] for run in runs]
    names = iter(short_names([t for some in shown for t in some]))
    return [{spelt(t): next(names) for t in run.treatments} for run in runs]


def run_names(runs: Sequence[ReportRun]) -> list[str]:
    """The names of the runs, with a number behind one that several have."""
    called = [run.name for run in runs]
    return [n if called.count(n) == 1 else f"{n}, {i}" for i, n in enumerate(called, 1)]


def pair_names(runs: Sequence[ReportRun]) -> list[Names]:
    """As ``row_names``, and no name in two runs: the run stands behind a name that several have."""
    names = row_names(runs)
    held = [set(some.values()) for some in names]
    return [
        {k: f"{n} [{place}]" if sum(n in other for other in held) > 1 else n for k, n in some.items()}
        for some, place in zip(names, run_names(runs), strict=True)
    ]


def full_names(runs: Sequence[ReportRun]) -> dict[str, str]:
    """What each short name leaves out: the full one, or what comes after it."""
    found: dict[str, str] = {}
    for run, names in zip(runs, row_names(runs), strict=True):
        for treatment in run.treatments:
            short, full = names[spelt(treatment)], full_name(treatment)
            if short != full:
                found[short] = full.removeprefix(f"{short}, ")
    return found


def said_name(run: ReportRun, treatment: Treatment) -> str:
    """A treatment in a sentence: its full name, behind that of the study where there is one."""
    called, full = as_called(run, treatment).method, full_name(treatment)
    return full if called == treatment.method else f"{plain(called)} ({full})"


def as_called(run: ReportRun, treatment: Treatment) -> Treatment:
    called = next((name for t, name in run.called.items() if spelt(t) == spelt(treatment)), "")
    return treatment._replace(method=called) if called else treatment

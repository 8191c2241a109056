"""What marks and rows of a figure stand for: the instruments that judged, the treatments, the control edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isr.report.controls import shared_controls
from isr.report.names import row_names, run_names
from isr.report.runs import ReportRun, spelt
from isr.scoring.finished import SHARED
from isr.types import Treatment

CONTROLS = "control edits"


@dataclass(frozen=True)
class Instrument:
    """A judge or a panel under its rubrics, with the numbers of the runs that it judged."""

    name: str
    runs: tuple[int, ...]


def instruments(runs: Sequence[ReportRun]) -> list[Instrument]:
    """The instruments of the runs, by what their signatures say; no two have one name."""
    groups: dict[str, list[int]] = {}
    for number, run in enumerate(runs):
        groups.setdefault(str(run.settings.only(SHARED)), []).append(number)
    called = run_names(runs)
    names = [_judges(runs[group[0]]) for group in groups.values()]
    return [
        Instrument(
            name if names.count(name) == 1 else f"{name} ({', '.join(called[i] for i in group)})", tuple(group)
        )
        for name, group in zip(names, groups.values(), strict=True)
    ]  # fmt: skip


def _judges(run: ReportRun) -> str:
    return f"panel ({run.result.rule})" if len(run.judges) > 1 else run.judges[0]


class Labels:
    """What a treatment or the control edits of a run are called in a figure.

    Equal treatments have one name under several instruments; the run stands behind a name that several runs of one
    instrument have.
    """

    def __init__(self, runs: Sequence[ReportRun], found: Sequence[Instrument]) -> None:
        self._names = row_names(runs)
        self._controls = dict.fromkeys(range(len(runs)), CONTROLS)
        shared, called = shared_controls(runs), run_names(runs)
        for one in found:
            own = {i: dict(self._names[i]) for i in one.runs}
            for i in one.runs:
                others = {n for j in one.runs if j != i for n in own[j].values()}
                self._names[i] = {k: f"{n} [{called[i]}]" if n in others else n for k, n in own[i].items()}
            kinds = {i: shared[i] for i in one.runs if runs[i].result.control is not None}
            if len({tuple(of) for of in kinds.values()}) > 1:
                for i, of in kinds.items():
                    self._controls[i] = f"{CONTROLS} [{', '.join(called[j] for j in of if j in one.runs)}]"

    def of(self, run: int, treatment: Treatment) -> str:
        """The name of a treatment of a run."""
        return self._names[run][spelt(treatment)]

    def controls(self, run: int) -> str:
        """The name of a run's control edits."""
        return self._controls[run]

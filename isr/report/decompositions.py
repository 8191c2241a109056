"""Which question fails: the edits of each treatment by semantic only, perceptual only, both, neither, undecided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isr.report.names import row_names
from isr.report.runs import ReportRun, spelt
from isr.scoring.outcomes import Outcomes


def decompositions(runs: Sequence[ReportRun]) -> Iterator[tuple[str, dict[str, int]]]:
    """For each treatment and the control edits of each run: its name, and its edits by which question fails."""
    for run, names in zip(runs, row_names(runs), strict=True):
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        for part in run.result.treatments:
            yield prefix + names[spelt(part.treatment)], _counted(run.outcomes(run.of(part.treatment)))
        if run.result.control is not None:
            yield f"{prefix}control edits", _counted(run.outcomes(run.controls))


def _counted(found: Outcomes) -> dict[str, int]:
    """Edits by which question fails, counted on those that are decided."""
    known, semantic, perceptual = found.decided, found.semantic_low, found.perceptual_low
    sets = {
        "semantic only": semantic & ~perceptual,
        "perceptual only": perceptual & ~semantic,
        "both": semantic & perceptual,
        "neither": ~semantic & ~perceptual,
    }
    counts = {name: int((known & rows).sum()) for name, rows in sets.items()}
    return counts | {"undecided": int((~known).sum())}

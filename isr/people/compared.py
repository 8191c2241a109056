"""Finished runs compared, with what people's labels say of it: what ``isr compare`` prints and a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from isr.errors import UsageError
from isr.people.confirm import confirm
from isr.people.labels import Labels
from isr.people.pair_labels import LabelChoices
from isr.scoring.compare import compare
from isr.scoring.comparison import Comparison
from isr.scoring.conclusion import conclude
from isr.scoring.finished import (
    FinishedRun,
    contenders,
    require_fixed,
    require_one_instrument,
    results_told,
    settings_told,
    shared_instrument,
    versions_told,
)
from isr.scoring.pooled import pool
from isr.scoring.sampling import Sampling
from isr.stats.rows import Prompts


def compare_finished(
    runs: Sequence[FinishedRun],
    labels: Labels | None = None,
    choices: LabelChoices | None = None,
    *,
    baseline: str = "",
    by: Sequence[str] = (),
    choose: bool = False,
    prompts: Prompts = "fixed",
    cluster: str = "",
    margin: float | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Every treatment of the runs against every other (see ``isr.scoring.compare.compare``).

    labels, choices: people's labels of both methods' edits of the same units, and how these units were chosen. Raises
    ``UsageError`` where a run stops by a rule, where the runs were not judged by one instrument or share no unit, and where
    prompts are a sample and labels are given; ``InputError`` and ``DesignError`` where labels do not fit.
    """
    require_fixed("isr compare", {str(run.path): run.signature for run in runs})
    require_one_instrument(runs)
    if labels is not None and prompts == "random":
        raise UsageError(
            "isr compare --labels: expected --prompts fixed; found random; a corrected difference takes the prompts as they are"
        )
    held = contenders(runs)
    drawn = Sampling.of(held, prompts, cluster, margin)
    found = compare(
        held,
        shared_instrument(runs),
        baseline=baseline,
        by=by,
        choose=choose,
        prompts=prompts,
        cluster=cluster,
        margin=margin,
        level=level,
        seed=seed,
        told=[*versions_told(runs), *settings_told(runs, prompts), *results_told(runs)],
    )
    if by:
        found = pool(found, held, by, drawn, level)
    if labels is not None and choices is not None:
        controls = frozenset(c for run in runs for c in run.control_pixels)
        found = confirm(found, held, labels, choices, drawn=drawn, level=level, controls=controls)
    found = replace(found, judges=tuple(dict.fromkeys(j for run in runs for j in run.judges)))
    return replace(found, conclusion=conclude(found, held, level)) if choose else found

"""A labelling study for the tests of its plan, its store and its export."""

from __future__ import annotations

from pathlib import Path

from isr.judging.edits import load_edits
from isr.judging.rubrics import load_pair
from isr.people.labelling_plan import Study, plan_study

RUBRICS = list(load_pair().values())


def planned(run: Path, out: Path, **options: object) -> Study:
    return plan_study(load_edits(run.parent / "edits"), RUBRICS, out, **options)  # type: ignore[arg-type]

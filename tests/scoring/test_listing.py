"""The list of runs: a rate, or the range where no rate speaks for all edits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner

import isr
from isr.cli import cli
from tests.runs import recorded_run


def test_a_run_whose_headline_is_a_range_is_listed_with_it(tmp_path: Path) -> None:
    def say(number: int) -> dict[str, Any]:
        verdict = "???" if number < 4 else "fine"  # of 4 edits, one has no answer that can be read
        return {"reasoning": "seen", "score": 4, "verdict": verdict}

    run = recorded_run(tmp_path, images=4, prompts=1, say=say)
    (part,) = isr.Result.load(run).treatments
    assert (part.headline, part.estimates["isr"].bounds) == ("bounds", (0.0, 0.25))
    done = CliRunner().invoke(cli, ["runs", str(run)], catch_exceptions=False)
    assert "simulated, eps 0.03: ISR between 0.0% and 25.0% (too many edits are undecided" in done.output

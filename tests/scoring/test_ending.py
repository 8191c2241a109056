"""How a run ended, in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isr.errors import Interrupted, UsageError
from isr.scoring.ending import LONGEST, ending_by, ending_in, ending_of
from isr.scoring.result import Result
from tests.runs import recorded_run


def unlike(number: int) -> dict[str, Any]:
    """Every seventh answer is none."""
    score = 9 if number % 7 == 0 else 3 * (number % 2)
    return {"reasoning": "seen", "score": score, "verdict": "fails" if score == 0 else "fine"}


def test_each_kind_of_end_has_words_of_its_own(tmp_path: Path) -> None:
    run = recorded_run(tmp_path)
    found = ending_in(run)
    assert found is not None
    assert (found.state, found.words, found.folder) == ("finished", "every request has its answer", run)
    assert (found.done, found.total) == (48, 48)
    result = Result.load(run / "result.json")
    estimate = result.treatments[0].estimates["isr"]
    assert found.results == (
        f"ISR {estimate.value:.1%} (95% interval {estimate.low:.1%} to {estimate.high:.1%}), n 12",
    )

    def ended(**given: Any) -> tuple[str, str]:
        given = {"exit_code": 0, "stopped": "", "requests": {}} | given
        ending = ending_of(result, folder=run, **given)
        return ending.state, ending.words

    assert ended(exit_code=130)[0] == "interrupted"
    assert ended(exit_code=3, stopped="the budget of 5 USD does not cover another request") == (
        "stopped",
        "the budget of 5 USD does not cover another request; run the same command again to go on",
    )
    assert ended(exit_code=3) == ("unfinished", "not one edit is decided")
    assert ended(stopped="x\x1b[2J" * 500, exit_code=3)[1].startswith("x?[2Jx")
    assert len(ended(stopped="x" * 5000, exit_code=3)[1]) < LONGEST + 50
    until = {
        "half_width": 0.05, "images": 8, "of": 12, "treatments": 1, "order_seed": 0, "met": True,
    }  # fmt: skip
    by_rule = ending_of(replace(result, until=until), exit_code=0, stopped="", requests={}, folder=run)  # type: ignore[arg-type]
    assert by_rule.words.startswith("stopped by its rule: the ISR is known to within 5 points after 8 of 12")


def test_where_too_many_are_undecided_the_bounds_are_told(tmp_path: Path) -> None:
    run = recorded_run(tmp_path, say=unlike)
    (line,) = ending_in(run).results  # type: ignore[union-attr]
    low, high = Result.load(run / "result.json").treatments[0].estimates["isr"].bounds or (0, 0)
    assert line.startswith(f"ISR {low:.1%} to {high:.1%} (95% interval ")
    assert line.endswith("edits decided: too many are undecided for one value")


def test_without_a_record_the_counts_are_not_known(tmp_path: Path) -> None:
    run = recorded_run(tmp_path)
    record = json.loads((run / "run.json").read_text("utf-8"))
    (run / "run.json").write_text(json.dumps({**record, "requests": "many"}), "utf-8")
    found = ending_in(run)
    assert found is not None
    assert (found.done, found.total) == (None, None)
    (run / "result.json").write_text("{", "utf-8")
    assert ending_in(run) is None


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (UsageError("--out x: expected a folder\nBearer abcdefgh1234"), "failed", "--out x: expected a folder [key removed]"),
        (RuntimeError("what a library says"), "failed", "RuntimeError; the terminal says more"),
        (KeyboardInterrupt(), "interrupted", "interrupted before a result was written; run the same command again to go on"),
        (Interrupted("x"), "interrupted", "interrupted before a result was written; run the same command again to go on"),
    ],
)  # fmt: skip
def test_what_an_error_says_at_the_end(error: BaseException, state: str, words: str, tmp_path: Path) -> None:
    found = ending_by(error, tmp_path)
    assert (found.state, found.words) == (state, words)

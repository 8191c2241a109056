"""What a run says edit by edit: the same rows as its tables and its store, from a path and from ``isr.score``."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import isr
from isr.errors import InputError, StoreError, UsageError
from isr.scoring.by_edit import _said
from tests.runs import recorded_run


def say(number: int) -> dict[str, Any]:
    fails = number % 3 == 0
    return {
        "reasoning": f"a | b, {number}",
        "score": 1 if fails else 3,
        "verdict": "fails" if fails else "fine",
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_run(tmp_path_factory.mktemp("by_edit"), images=3, prompts=2, say=say)


def test_edits_are_the_rows_of_the_table_with_numbers_for_what_was_measured(run: Path) -> None:
    said = isr.Result.load(run).to_dicts("edits")
    with (run / "edits.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [r["edit_id"] for r in said] == [r["edit_id"] for r in written]
    for one, row in zip(said, written, strict=True):
        measured = row["protected_linf"]
        assert one["protected_linf"] == (float(measured) if measured else None)
        rest = {k: v for k, v in one.items() if not k.startswith("protected_")}
        assert rest == {k: v for k, v in row.items() if not k.startswith("protected_")}


def test_verdicts_and_answers_have_a_row_for_every_question(run: Path) -> None:
    result = isr.Result.load(run)
    edits, verdicts, answers = (result.to_dicts(t) for t in ("edits", "verdicts", "answers"))
    # 3 images x 2 prompts, each with a control edit: 12 rows, two questions each
    assert (len(edits), len(verdicts), len(answers)) == (12, 24, 24)
    counted = Counter(v["verdict"] for v in verdicts)
    assert counted == {"fails": 8, "fine": 16}  # every third request
    for verdict, answer in zip(verdicts, answers, strict=True):
        assert {k: answer[k] for k in verdict} == verdict
        reply = json.loads(answer["reply"])
        assert (reply["verdict"], reply["score"], reply["reasoning"]) == (
            verdict["verdict"], verdict["score"], verdict["reasoning"],
        )  # fmt: skip
        assert answer["ask"] == 0
    fails = {(v["edit_id"], v["arm"]) for v in verdicts if v["verdict"] == "fails"}
    assert {(e["edit_id"], e["arm"]) for e in edits if e["outcome"] == "immunized"} == fails


def test_the_result_of_a_call_knows_its_rows(run: Path) -> None:
    """From ``isr.score`` as from a path, and from ``DIR.isr``: no answer is asked for again."""
    fresh = isr.score(run.parent / "edits", judge=run.parent / "recorded.toml", out=run)
    assert fresh.folder == run
    assert fresh == isr.Result.load(run / "result.json")
    assert fresh.to_dicts("answers") == isr.Result.load(run).to_dicts("answers")
    assert "folder" not in fresh.as_dict()


def test_repeats_are_told_apart_where_the_table_can(tmp_path: Path) -> None:
    result = isr.Result.load(recorded_run(tmp_path, images=1, prompts=1, repeats=3))
    rows = result.to_dicts("answers")
    assert [r["repeat"] for r in rows] == [0, 1, 2] * 4  # two arms, two questions
    assert all(json.loads(r["reply"])["verdict"] == r["verdict"] for r in rows)
    cells = {"j:semantic": "fails|undecided|fine", "j:semantic_reason": "refusal", "j:semantic_score": "0|4",
             "j:semantic_reasoning": "one | two | three"}  # fmt: skip
    said = _said(cells, "j:semantic")
    assert [(r["verdict"], r["reason"]) for r in said] == [
        ("fails", ""),
        ("undecided", "refusal"),
        ("fine", ""),
    ]
    assert [r["score"] for r in said] == [
        None
    ] * 3  # two scores of three repeats: whose they are, nobody knows
    assert [r["reasoning"] for r in said] == ["one", "two", "three"]


def test_what_cannot_be_told_is_refused(run: Path, tmp_path: Path) -> None:
    result = isr.Result.load(run)
    with pytest.raises(
        UsageError, match="table: expected one of estimates, edits, verdicts, answers; found 'rows'"
    ):
        result.to_dicts("rows")  # type: ignore[arg-type]
    parsed = isr.Result.parse((run / "result.json").read_bytes(), run)
    with pytest.raises(InputError, match=r"isr\.Result\.load"):
        parsed.to_dicts("edits")
    other = recorded_run(tmp_path, images=2, prompts=1)
    stale = isr.Result.load(other)
    isr.score(tmp_path / "edits", judge=tmp_path / "recorded.toml", out=other, limit=1, replace=True)
    with pytest.raises(InputError, match="not the table"):
        stale.to_dicts("verdicts")
    (other / "isr.db").unlink()
    with pytest.raises(StoreError, match="found no file"):
        isr.Result.load(other).to_dicts("answers")
    assert isr.Result.load(other).to_dicts("verdicts")

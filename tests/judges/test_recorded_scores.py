"""Recorded two-score answers as a judge of an edit directory, and the same answers read for a study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import isr
from isr.errors import CardError
from isr.people.judgements import read_recorded, read_source
from tests.directories import make_directory

RUBRICS = ("viescore-sc/v1", "viescore-pq/v1")


def record(folder: Path) -> Path:
    rows = make_directory(folder / "e", images=4, prompts=2, controls=False)
    path = folder / "answers.jsonl"
    scores = [[9, 9], [0, 10], [8], [7, 3], [10, 10], "8, 9", [4, 9], [9, 9]]
    lines = [
        {
            "edit_id": row["file_name"],
            "semantic": {"scores": s, "reasoning": "r"},
            "perceptual": {"scores": [8, 9]},
        }
        for row, s in zip(rows, scores, strict=True)
    ]
    lines[-1]["perceptual"] = None
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_scored_as_recorded_and_read_alike(tmp_path: Path) -> None:
    path = record(tmp_path)
    card = tmp_path / "viescore.toml"
    card.write_text(f'backend = "recorded_scores"\n[engine]\nanswers = "{path}"\n')
    result = isr.score(tmp_path / "e", judge=str(card), rubrics=RUBRICS)
    part = result.treatments[0]
    assert part.counts["decided"] == 5
    assert {(u["question"], u["reason"], u["n"]) for u in part.counts["undecided"]} == {
        ("semantic", "missing_field", 2), ("perceptual", "empty", 1),
    }  # fmt: skip
    assert part.estimates["isr"].value == pytest.approx(3 / 5)
    by_run = read_source(tmp_path / "e.isr")[0]
    by_file = read_recorded(path, name="j", rubrics=RUBRICS)
    for question in ("semantic", "perceptual", "outcome"):
        assert {e: by_run.code(question, e) for e in by_run.edits} == {
            e: by_file.code(question, e) for e in by_file.edits
        }
    assert by_run.rubrics == by_file.rubrics


def test_answers_that_are_not_there_are_transport(tmp_path: Path) -> None:
    path = record(tmp_path)
    path.write_text(path.read_text().split("\n", 1)[1])
    card = tmp_path / "viescore.toml"
    card.write_text(f'backend = "recorded_scores"\n[engine]\nanswers = "{path}"\n')
    part = isr.score(tmp_path / "e", judge=str(card), rubrics=RUBRICS).treatments[0]
    assert {u["reason"] for u in part.counts["undecided"]} == {"missing_field", "empty", "not_asked"}


@pytest.mark.parametrize("text", ["{", "[]", '{"edit": 1}\n', '{"edit_id": "a"}\n{"edit_id": "a"}\n'])
def test_files_that_hold_no_answers(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    make_directory(tmp_path / "e", images=1, prompts=1)
    card = tmp_path / "viescore.toml"
    card.write_text(f'backend = "recorded_scores"\n[engine]\nanswers = "{path}"\n')
    with pytest.raises(CardError, match="one object per edit"):
        isr.score(tmp_path / "e", judge=str(card), rubrics=RUBRICS)
    with pytest.raises(isr.InputError, match="one object per edit"):
        read_recorded(path, name="j", rubrics=RUBRICS)

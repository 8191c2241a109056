"""Tables for a spreadsheet: what others wrote is shown and not computed."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isr.cli import main
from isr.files import file_digest
from isr.spreadsheet import Writer, csv_safe
from tests.runs import recorded_run
from tests.test_reading import calls, sources


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\tx", "\rx", "-", "+a"])
def test_a_formula_becomes_a_text(cell: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerow(["a", cell, "z"])
    assert list(csv.reader(io.StringIO(csv_safe(out.getvalue()), newline=""))) == [["a", f"'{cell}", "z"]]


@pytest.mark.parametrize("cell", ["-0.5", "+3", "-1e-05", "", "a=b", "'=1", " =1", "3", "-inf"])
def test_numbers_and_texts_stay(cell: str) -> None:
    assert csv_safe(f"{cell},x\n") == f"{cell},x\n"


def test_lines_and_quotes_within_a_cell_stay() -> None:
    table = 'a,b\n"one\r\n""two""","=1,2"\n'
    assert list(csv.reader(io.StringIO(csv_safe(table), newline=""))) == [
        ["a", "b"],
        ['one\r\n"two"', "'=1,2"],
    ]


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def isr(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["isr", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        assert stop.code in (None, 0, 3)  # noqa: PT017


def test_score_writes_a_copy_and_leaves_the_table_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = '=HYPERLINK("http://x")'
    recorded_run(tmp_path, images=1, prompts=1, change=lambda rows: rows[0].update(config=hostile))
    command = (
        "score",
        tmp_path / "edits",
        "--judge",
        tmp_path / "recorded.toml",
        "--out",
        tmp_path / "o",
        "--quiet",
    )
    isr(monkeypatch, *command)
    run = tmp_path / "o"
    before = file_digest(run / "edits.csv")
    assert not (run / "edits-safe.csv").exists()
    isr(monkeypatch, *command, "--csv-safe")
    assert (
        file_digest(run / "edits.csv")
        == before
        == json.loads((run / "result.json").read_text())["table"]["edits.csv"]
    )
    rows = table(run / "edits-safe.csv")
    assert {r["config"] for r in rows} == {f"'{hostile}", ""}
    (run / "edits-safe.csv").write_text("old")
    isr(monkeypatch, *command)
    assert table(run / "edits-safe.csv") == rows
    capsys.readouterr()
    isr(monkeypatch, "report", run, "--csv", "--csv-safe")
    assert "signature" in capsys.readouterr().out


@given(st.lists(st.lists(st.text(), min_size=2, max_size=3), min_size=1, max_size=4))
@example([["a", "x\ry", "z"], ["\r", "", "b"]])
def test_what_is_written_is_read_again(rows: list[list[str]]) -> None:
    out = io.StringIO(newline="")
    Writer(out).writerows(rows)
    assert list(csv.reader(io.StringIO(out.getvalue(), newline=""))) == rows


def test_a_carriage_return_in_a_reasoning_tears_no_row(tmp_path: Path) -> None:
    def say(number: int) -> dict[str, Any]:
        return {"reasoning": "one\rtwo", "verdict": "fine", "score": 3}

    run = recorded_run(tmp_path, images=1, prompts=1, say=say)
    assert {r["recorded:semantic_reasoning"] for r in table(run / "edits.csv")} == {"one\rtwo"}


def test_no_other_module_writes_csv() -> None:
    found = {path for path, tree in sources() if {"csv.writer", "csv.DictWriter"} & set(calls(tree))}
    assert found == {"isr/spreadsheet.py"}

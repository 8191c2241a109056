"""Errors: all that is wrong is kept, and a message stays one that can be read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from isr.cli import main
from isr.errors import MOST, InputError, Problem
from tests.directories import make_directory, write_metadata


def problems(n: int, field: str = "file_name") -> list[Problem]:
    return [Problem(f"m:{i}", field, "an image file", repr(f"{i}.png"), "drop the row") for i in range(n)]


def test_up_to_fifty_problems_are_all_told() -> None:
    error = InputError("x: 50 problem(s)", problems(MOST))
    assert str(error).count("\n") == MOST
    assert "more" not in str(error)


def test_of_more_the_first_are_told_and_all_are_counted_by_kind() -> None:
    many = [*problems(300_000), *problems(2, "source_file_name")]
    error = InputError("x: 300,002 problem(s)", many)
    assert len(error.problems) == 300_002
    told = str(error).splitlines()
    assert len(told) == 1 + MOST + 1 + 2
    assert told[51:] == [
        "  and 299,952 more, which --json lists; all 300,002 by kind:",
        "    300,000 x 'file_name': expected an image file",
        "    2 x 'source_file_name': expected an image file",
    ]


def test_kinds_are_bounded_too() -> None:
    error = InputError("x", [p for i in range(100) for p in problems(1, f"column {i}")])
    assert str(error).splitlines()[-1] == "    90 of other kinds"


@pytest.mark.parametrize("command", [["validate"], ["score", "--dry-run", "--judge", "gpt-4o"]])
def test_a_missing_folder_is_a_short_message_and_json_has_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    (row, *_) = make_directory(tmp_path / "d", images=1, prompts=1)
    names = [f"gone/{i}.png" for i in range(1000)]
    write_metadata(tmp_path / "d", [{**row, "file_name": n, "prompt": n} for n in names])
    for more in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["isr", command[0], str(tmp_path / "d"), *command[1:], *more])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        said = capsys.readouterr()
        assert said.err.count("\n") < 60
        assert len(json.loads(said.out)["problems"] if more else []) == 1000 * len(more)

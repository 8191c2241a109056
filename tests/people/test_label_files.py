"""Several files of labels: raters by number may be several people, and nobody labels an edit twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from isr.errors import InputError, UsageError
from isr.people.label_files import Reading, load_labels, parse_prefixes
from tests.people.label_exports import SAID, sheet
from tests.people.label_run import IDS

HEAD = ("edit_id", "rater", "semantic", "perceptual")


def write(path: Path, ids: tuple[str, ...], rater: object) -> Path:
    path.write_text(sheet(HEAD, [(e, rater, *SAID[e]) for e in ids]), "utf-8")
    return path


def test_sheets_of_several_raters_are_one_study(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{r}.csv", IDS, r) for r in ("ann", "ben", "cem")]
    labels = load_labels(files)
    assert labels.raters == ["ann", "ben", "cem"]
    assert len(labels.rows) == 108


def test_a_file_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", IDS, "ann")
    assert len(load_labels([file, tmp_path / "." / "x" / ".." / "a.csv"]).rows) == len(load_labels(file).rows)


def test_two_servers_user_1_is_not_silently_one_person(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.csv", IDS[:18], 1), write(tmp_path / "b.csv", IDS[18:], "1.0")]
    with pytest.raises(InputError) as caught:
        load_labels(files)
    assert "rater 1: 'rater': expected one person; found this number in a.csv and b.csv" in str(caught.value)
    assert "--rater-prefix a.csv=lab1- --rater-prefix b.csv=lab2-" in str(caught.value)
    two = load_labels(files, Reading(prefixes=parse_prefixes(["a.csv=lab1-", f"{files[1]}=lab2-"])))
    assert two.raters == ["lab1-1", "lab2-1"]
    one = load_labels(files, Reading(prefixes={"a.csv": "", "b.csv": ""}))
    assert (one.raters, len(one.rows)) == (["1"], 36)
    half = load_labels(files, Reading(prefixes={"b.csv": "lab2-"}))
    assert half.raters == ["1", "lab2-1"]
    with pytest.raises(UsageError, match=r"expected FILE=PREFIX of a file of --labels; found c\.csv"):
        load_labels(files, Reading(prefixes={"c.csv": "x"}))
    with pytest.raises(UsageError, match="expected FILE=PREFIX; found 'lab1'"):
        parse_prefixes(["lab1"])


def test_a_rater_has_one_label_of_an_edit_in_all_files(tmp_path: Path) -> None:
    files = [write(tmp_path / n, IDS, "ann") for n in ("a.csv", "b.csv")]
    with pytest.raises(InputError) as caught:
        load_labels(files)
    assert len(caught.value.problems) == 1
    assert "found 36 also in" in str(caught.value)
    assert "ann on 0000-1, ann on 0000-2" in str(caught.value)

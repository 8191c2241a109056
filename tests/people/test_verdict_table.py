"""Verdicts made elsewhere, as a table: read by a declared mapping, so that their rates get intervals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.errors import InputError, UsageError
from isr.people.agree import agree
from isr.people.agreement_study import Choices
from isr.people.correct import correct
from isr.people.correct_rows import Settings
from isr.people.declared import parse_columns, parse_words
from isr.people.judgements import Judgements, read_source
from isr.people.labels_file import read_labels, write_labels
from isr.stats.rate import rate_interval
from tests.people.label_exports import sheet
from tests.people.label_run import IDS, the_judge, the_labels, words


def write(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> Path:
    path.write_text(sheet(header, rows), "utf-8")
    return path


def read(path: Path, said: str = "", where: str = "") -> Judgements:
    (found,) = read_source(path, words=parse_words([said]), columns=parse_columns([where]))
    return found


def answers(path: Path) -> Path:
    """As a script that can be resumed writes them: a picture's path, yes or no to each question, an empty cell."""
    rows = [
        (f"out/edits/{e}.png", e.partition("-")[0], *("yes" if w == "fails" else "No" for w in words(n)))
        for n, e in enumerate(IDS)
    ]
    rows[5] = (*rows[5][:2], "", "yes")
    return write(
        path, ("image", "photo", "not_followed", "damaged"), [*rows, rows[0]]
    )  # resumed: one row twice


WORDS = "semantic: yes=fails, no=fine; perceptual: yes=fails, no=fine"
COLUMNS = "edit_id=image as */{edit_id}.png, image_id=photo, semantic=not_followed, perceptual=damaged"


def test_a_table_of_yes_and_no_says_what_the_judge_said(tmp_path: Path) -> None:
    judge, table = the_judge(), read(answers(tmp_path / "veto.csv"), WORDS, COLUMNS)
    assert (table.name, len(table.edits)) == ("veto", 36)
    for question in ("semantic", "perceptual", "outcome"):
        for number, edit in enumerate(IDS):
            open_one = number == 5 and question != "perceptual"
            assert table.code(question, edit) == (-1 if open_one else judge.code(question, edit))
    assert table.reasons("semantic", IDS) == {"not_asked": 1}
    assert (
        read(tmp_path / "veto.csv", WORDS.replace("no=fine", "no=cannot_tell", 1), COLUMNS).judge
        != table.judge
    )


def test_its_rates_get_intervals_clustered_on_the_image(tmp_path: Path) -> None:
    table = read(answers(tmp_path / "veto.csv"), WORDS, COLUMNS)
    report = correct(table, the_labels(), Settings(design="random"))
    fails = [words(n)[1] == "fails" for n in range(36)]
    assert report.rates["perceptual"].raw == rate_interval(fails, [e.partition("-")[0] for e in IDS])
    assert report.rates["semantic"].undecided == 1
    assert agree(the_labels(), [table], Choices()).questions["outcome"].judges[0].agreement.n == 35


def test_a_single_verdict_per_edit_is_the_outcome(tmp_path: Path) -> None:
    judge = the_judge()
    said = ["immunized" if judge.code("outcome", e) else "Not_Immunized" for e in IDS]
    both = [(e, "protected", w) for e, w in zip(IDS, said, strict=True)]
    controls = [(e, "control", "not_immunized") for e in IDS[:6]]
    table = read(write(tmp_path / "t.csv", ("edit_id", "arm", "outcome"), [*both, *controls]))
    assert [table.code("outcome", e) for e in IDS] == [judge.code("outcome", e) for e in IDS]
    assert table.controls is not None
    assert [table.controls.code("outcome", e) for e in IDS[:6]] == [0] * 6
    assert list(correct(table, the_labels(), Settings(design="random")).rates) == ["outcome"]


def test_what_is_wrong_is_told_once_for_each_cause(tmp_path: Path) -> None:
    path = answers(tmp_path / "v.csv")
    with pytest.raises(
        InputError, match=r"columns image, photo, not_followed, damaged; name them: --judge-columns"
    ):
        read(path)
    with pytest.raises(InputError) as caught:
        read(path, "", COLUMNS)
    assert len(caught.value.problems) == 4
    assert '--judge-words "semantic: yes=fails"' in str(caught.value)
    rows: list[tuple[object, ...]] = [("a", "fails"), ("a", "fine"), ("", "fine")]
    with pytest.raises(InputError) as caught:
        read(write(tmp_path / "w.csv", ("edit_id", "semantic"), rows))
    assert "found a with other verdicts in w.csv:2" in str(caught.value)
    assert "'edit_id': expected a name" in str(caught.value)
    with pytest.raises(UsageError, match="answers of people to semantic and perceptual"):
        read_labels(path, words=parse_words(["outcome: yes=fails"]))
    people = write(tmp_path / "l.csv", ("edit_id", "rater", "yes"), [("a", "r", "fails")])
    with pytest.raises(UsageError, match="answers of people to semantic and perceptual"):
        read_labels(people, columns=parse_columns(["outcome=yes"]))


def test_the_commands_take_it(tmp_path: Path) -> None:
    table, labels = answers(tmp_path / "veto.csv"), tmp_path / "labels.csv"
    write_labels(labels, the_labels())
    declared = ["--judge-words", WORDS, "--judge-columns", COLUMNS, "--labels", str(labels), "--json"]
    done = CliRunner().invoke(cli, ["calibrate", str(table), "--design", "random", *declared])
    assert done.exception is None, done.exception
    assert json.loads(done.output)["rates"]["perceptual"]["raw"]["low"] is not None
    done = CliRunner().invoke(cli, ["agree", "--judge", str(table), *declared])
    assert done.exception is None, done.exception
    assert json.loads(done.output)["counts"]["edits_judged"] == 36

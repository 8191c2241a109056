"""The options by which commands, study files and Python read labels of other tools."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import isr
from isr.cli import cli
from isr.errors import InputError, IsrError, UsageError
from isr.people.chance import ASK
from isr.people.study_file import read_study, study_judges, study_labels
from isr.report.people import people
from isr.report.runs import named_runs, read_report_run
from tests.people.label_exports import MTURK, SAID, WORDS, mturk, sheet
from tests.people.label_run import IDS
from tests.people.test_verdict_table import COLUMNS, answers
from tests.people.test_verdict_table import WORDS as JUDGE_WORDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A table of verdicts, and a batch of Mechanical Turk with one rejected assignment."""
    root = tmp_path_factory.mktemp("options")
    answers(root / "veto.csv")
    (root / "batch.csv").write_text(mturk(lambda n: "Rejected" if n == 35 else "Approved"), "utf-8")
    return root


def said(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in args])


def test_commands_read_labels_and_verdicts_by_what_is_declared(folder: Path) -> None:
    labels = (
        "--labels",
        folder / "batch.csv",
        "--words",
        WORDS[0],
        "--columns",
        MTURK[0],
        "--allow-unmatched",
    )
    table = ("--judge-words", JUDGE_WORDS, "--judge-columns", COLUMNS)
    done = said("calibrate", folder / "veto.csv", "--design", "random", *labels, *table)
    assert done.exception is None, done.exception
    assert "warning: batch.csv: 1 row of rejected work left out" in done.output
    done = said("agree", "--judge", folder / "veto.csv", *labels[:-1], *table)
    assert done.exception is None, done.exception
    assert "35 labels by 1 raters of 35 edits" in done.output
    assert "note: batch.csv: 1 row of rejected work left out" in done.output


def test_without_labels_a_table_has_its_own_rates(folder: Path) -> None:
    """Every fourth of 36 edits is damaged, 9 of 36 = .25; the answer to the other question is missing for one edit."""
    table = ("--judge-words", JUDGE_WORDS, "--judge-columns", COLUMNS)
    done = said("calibrate", folder / "veto.csv", *table, "--json")
    rates = json.loads(done.output)["rates"]
    assert set(rates) == {"isr_semantic", "isr_perceptual", "isr"}
    assert (rates["isr_semantic"]["n"], rates["isr_semantic"]["undecided"]) == (35, 1)
    assert (rates["isr_perceptual"]["value"], rates["isr_perceptual"]["clusters"]) == (0.25, 12)
    assert rates["isr_perceptual"]["low"] < 0.25 < rates["isr_perceptual"]["high"]
    text = said("calibrate", folder / "veto.csv", *table).output
    assert "1 undecided" in text
    assert "stand alone" not in text
    alone = said("calibrate", folder / "veto.csv", *table[:3], COLUMNS.replace("image_id=photo, ", "")).output
    assert "36 edits name no image_id and stand alone" in alone


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--design", "random"), "expected --labels for --design"),
        (("--labels", "batch.csv"), "expected --design"),
        (("--out", "cal.toml"), "expected --labels for --design and --out"),
    ],
)
def test_labels_and_their_design_go_together(folder: Path, args: tuple[str, ...], told: str) -> None:
    done = said("calibrate", folder / "veto.csv", *args)
    assert isinstance(done.exception, UsageError)
    assert told in str(done.exception)


def test_a_study_file_declares_the_same(folder: Path) -> None:
    half = [(e, 1, *SAID[e]) for e in IDS]
    for name, rows in (("a.csv", half[:18]), ("b.csv", half[18:])):
        (folder / name).write_text(sheet(("id", "rater", "semantic", "perceptual"), rows), "utf-8")
    text = f"""
[labels]
file = ["a.csv", "b.csv"]
columns = "edit_id=id"
words = "semantic: broken=fails"
prefixes = {{ "a.csv" = "", "b.csv" = "lab2-" }}
[[judges]]
table = "veto.csv"
words = "{JUDGE_WORDS}"
columns = "{COLUMNS}"
"""
    (folder / "study.toml").write_text(text, "utf-8")
    study = read_study(folder / "study.toml")
    labels = study_labels(study.labels, folder)
    assert labels.raters == ["1", "lab2-1"]
    (judge,) = study_judges(study, folder, labels)
    assert judge.name == "veto"
    assert isr.agree(
        [folder / "a.csv", folder / "b.csv"],
        [folder / "veto.csv"],
        columns="edit_id=id",
        rater_prefixes={"a.csv": "", "b.csv": ""},
        judge_words=JUDGE_WORDS,
        judge_columns=COLUMNS,
    ).counts == {"labels": 36, "edits": 36, "edits_judged": 36, "images": 12, "raters": 1, "judges": 1}
    with pytest.raises(InputError, match="raters known by numbers only"):
        isr.agree([folder / "a.csv", folder / "b.csv"], [folder / "veto.csv"], columns="edit_id=id")


def test_the_digest_of_a_study_file_that_says_none_of_it_is_what_it_was() -> None:
    """It stands in signatures that were published."""
    study = read_study(Path(__file__).parents[2] / "examples/imagenhub/study.toml")
    assert study.digest == "sha256:481caccbf47a95af7c4eb6a64ead39321ac05cb186bca1b5b01e8f3bba8b8d2b"


def test_the_report_says_what_it_has_no_use_for_and_asks_about_swapped_words(
    run: Path, tmp_path: Path
) -> None:
    with (run / "edits.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["arm"] == "protected"]
    judge = next(c.partition(":")[0] for c in rows[0] if c.endswith(":semantic"))
    other = {"fails": "fine", "fine": "fails"}
    marks = [
        (r["edit_id"], "ann", *(other[r[f"{judge}:{q}"]] for q in ("semantic", "perceptual"))) for r in rows
    ]
    file_of = tmp_path / "labels.csv"
    file_of.write_text(
        sheet(("edit_id", "rater", "semantic", "perceptual"), [*marks, ("lost", "ann", "fine", "fine")])
    )
    (shown,) = named_runs([read_report_run(run, None)])
    page = people([shown], file_of)
    assert page.notes == (f"1 of {len(rows) + 1} labelled edits are none of the judged ones: lost",)
    asked = [n for _, study in page.studies for n in study.notes if ASK in n]
    assert {n.partition(":")[0] for n in asked} >= {"perceptual"}
    done = said("report", run, "--labels", file_of, "--out", tmp_path / "r.html")
    assert not isinstance(done.exception, IsrError), done.exception
    html = (tmp_path / "r.html").read_text("utf-8")
    assert ASK in html
    assert "labelled edits are none of the judged ones: lost" in html

"""A judge beside two raters: what `agree` and the report say where raters differ."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import isr
from isr.calibration.agreement.alpha import MISSING
from isr.cli import cli
from isr.people.labels import Label, Labels, Mark, attention_told
from isr.people.labels_file import read_labels, write_labels
from isr.people.single_raters import left_open, with_each
from tests.examples.test_shapes import SHAPES


def test_the_judge_with_each_rater_by_hand() -> None:
    # five edits; the judge is right with a on 1, 2, 3, 5 (4 of 5) and with b, who labelled four, on 1, 2, 4 (3 of 4)
    said = np.array([1, 0, 1, 0, 1])
    votes = np.array([[1, 1], [0, 0], [1, 0], [1, 0], [1, MISSING]])
    pairs = list(with_each("j", said, ["a", "b"], votes, np.arange(5), 0.95))
    assert [(p.first, p.second, p.agreement.n, p.agreement.percent.value) for p in pairs] == [
        ("j", "a", 5, 0.8), ("j", "b", 4, 0.75),
    ]  # fmt: skip
    assert not list(
        with_each("j", said, ["a"], votes[:, :1], np.arange(5), 0.95)
    )  # the consensus is that rater


def test_what_is_left_open_is_counted() -> None:
    votes = np.array([[1, 1], [1, 0], [0, 1], [MISSING, MISSING]])  # the last is not labelled
    assert left_open(votes, np.array([1, MISSING, MISSING, MISSING])) == 2
    assert left_open(votes[:1], np.array([1])) == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raters")
    isr.score(SHAPES, judge="shapes-oracle", limit=40, store=root / "isr.db", out=root / "run")
    return root / "run"


def two_raters(run: Path) -> Labels:
    """Labels of 40 edits: `a` differs from the judge on 3, `b` on 2 others, so that they agree on 35."""
    rows = []
    other = {"fails": "fine", "fine": "fails"}
    for number, edit in enumerate(_edits(run)):
        for rater, wrong in (("a", {1, 11, 21}), ("b", {5, 15})):
            marks = {
                q: Mark(other[edit[q]] if number in wrong else edit[q]) for q in ("semantic", "perceptual")
            }
            checks = "1/4" if rater == "a" else "4/4"
            rows.append(
                Label(
                    edit_id=edit["edit_id"],
                    rater=rater,
                    edit_sha256=edit["edit_sha256"],
                    extra={"attention": checks},
                    **marks,
                )
            )
    return Labels(tuple(rows))


def _edits(run: Path) -> list[dict[str, str]]:

    with (run / "edits.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["arm"] == "protected"]
    return [{**r, **{q: r[f"shapes-oracle:{q}"] for q in ("semantic", "perceptual")}} for r in rows]


def test_agree_and_the_report_lead_with_each_rater_and_say_what_is_left_out(
    run: Path, tmp_path: Path
) -> None:
    write_labels(tmp_path / "labels.csv", two_raters(run))
    printed = CliRunner().invoke(
        cli, ["agree", "--labels", str(tmp_path / "labels.csv"), "--judge", str(run)], catch_exceptions=False
    )
    assert printed.exit_code == 0
    text = printed.stdout
    # both marks of an edit are turned round: an outcome stays where one of them fails
    warned = "labelled edits without a consensus (the two raters differ, or one cannot tell): semantic 5 of 40, perceptual 5 of 40"
    assert text.count(f"WARNING: {warned}") == 1
    assert text.index("shapes-oracle with each rater") < text.index(
        "shapes-oracle against the consensus: 35 edits"
    )
    assert "a: percent .93" in text  # 37 of 40
    assert "b: percent .95" in text  # 38 of 40
    assert "attention checks were failed: a 3 of 4;" in text
    isr.write_report(run, out=tmp_path / "r.html", labels=tmp_path / "labels.csv")
    page = (tmp_path / "r.html").read_text("utf-8")
    for said in (
        warned, "Judges against each rater", "The human ceiling",
        "attention checks were failed: a 3 of 4;",
    ):  # fmt: skip
        assert said in page


@pytest.mark.parametrize("words", ["", "3", "a/b", "3/4/5", "9999999/99999999", "4/4"])
def test_other_cells_of_that_column_say_nothing(words: str) -> None:
    assert not list(attention_told([Label(edit_id="e", rater="a", extra={"attention": words})]))


def test_failed_checks_follow_the_labels_through_a_file(run: Path, tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.csv", two_raters(run))
    labels = read_labels(tmp_path / "labels.csv")
    assert labels.digest == two_raters(run).digest
    (note,) = labels.notes
    assert note.startswith("attention checks were failed: a 3 of 4;")
    done = CliRunner().invoke(
        cli, ["calibrate", str(run), "--labels", str(tmp_path / "labels.csv"), "--design", "random"], catch_exceptions=False
    )  # fmt: skip
    assert note in done.stdout


def test_failed_checks_follow_the_labels_into_a_papers_sentences_and_captions(
    run: Path, tmp_path: Path
) -> None:
    write_labels(tmp_path / "labels.csv", two_raters(run))
    given = ["report", str(run), "--labels", str(tmp_path / "labels.csv")]
    methods = (
        CliRunner().invoke(cli, [*given, "--design", "random", "--methods"], catch_exceptions=False).stdout
    )
    assert "Attention checks were failed: a 3 of 4;" in methods
    pytest.importorskip("matplotlib", reason="needs isr-eval[figures]")
    CliRunner().invoke(cli, [*given, "--figures", str(tmp_path / "figures")], catch_exceptions=False)
    assert "Attention checks were failed: a 3 of 4;" in (tmp_path / "figures" / "captions.txt").read_text(
        "utf-8"
    )

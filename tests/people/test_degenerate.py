"""Judges that answer nothing, or always the same: what their figures rest on is said, and nobody else pays for them."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.people.agree import agree
from isr.people.agreement_study import AgreementStudy, Choices
from isr.people.declared import parse_columns, parse_words
from isr.people.judgements import read_source
from isr.people.labels_file import read_labels

N, IMAGES = 200, 40


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """People say ``fails`` of 60 of 200 edits; two good judges, one that answers 6 edits, one that always says fails."""
    draw = random.Random(3)
    truth = ["fails" if n % 10 < 3 else "fine" for n in range(N)]
    other = {"fails": "fine", "fine": "fails"}

    def noisy(error: float) -> list[str]:
        return [other[w] if draw.random() < error else w for w in truth]

    said = {
        "good": noisy(0.05),
        "fair": noisy(0.15),
        "silent": [w if n in range(0, 12, 2) else "" for n, w in enumerate(truth)],
        "constant": ["fails"] * 199 + ["fine"],
    }
    out = {}
    for name, words in said.items():
        out[name] = tmp_path / f"{name}.csv"
        table = [(f"e{n}", f"i{n % IMAGES}", w) for n, w in enumerate(words)]
        write(out[name], ("edit_id", "image_id", "semantic"), table)
    out["labels"] = tmp_path / "labels.csv"
    rows = [(f"e{n}", "ann", f"i{n % IMAGES}", w) for n, w in enumerate(truth)]
    write(out["labels"], ("edit_id", "rater", "image_id", "semantic"), rows)
    return out


def write(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def study(files: dict[str, Path], *names: str, least: int = 10) -> AgreementStudy:
    judges = [
        j for n in names for j in read_source(files[n], words=parse_words([]), columns=parse_columns([]))
    ]
    return agree(read_labels(files["labels"], guideline="g"), judges, Choices(least=least))


def test_what_the_figures_of_a_silent_judge_rest_on_is_told(files: dict[str, Path]) -> None:
    by = {j.judge: j for j in study(files, "good", "silent", "constant").questions["semantic"].judges}
    assert by["good"].notes == ()
    assert by["silent"].notes == (
        "97.0% of its answers are unusable: its figures rest on 6 edits of 6 images",
    )
    few = study(files, "silent", "good", least=3).questions["semantic"].judges[0]
    assert few.notes[0].startswith("97.0% of its answers are unusable")
    (note,) = by["constant"].notes
    assert note.startswith("it says fails of 199 of 200 edits, whatever they are")


def test_a_useless_judge_costs_no_other_comparison_its_p_value(files: dict[str, Path]) -> None:
    alone = study(files, "good", "fair").questions["semantic"].differences
    beside = study(files, "good", "fair", "silent").questions["semantic"].differences
    first = next(d for d in beside if {d.first, d.second} == {"good", "fair"})
    assert (first.p_holm, first.percent.p_holm) == (alone[0].p_holm, alone[0].percent.p_holm)
    assert first.percent.simultaneous == alone[0].percent.simultaneous
    others = [d for d in beside if d is not first]
    assert len(others) == 2
    assert all(d.left_out == "both decide 6 edits, fewer than 10: no member of the family" for d in others)
    assert all(d.p_holm is None and d.percent.p_holm is None for d in others)
    declared = study(files, "good", "fair", "silent", least=5)
    assert all(not d.left_out for d in declared.questions["semantic"].differences)
    assert "|least=5" in declared.signature


def test_the_lines_say_how_many_edits_they_rest_on(files: dict[str, Path]) -> None:
    words = ["agree", "--labels", str(files["labels"]), "--guideline", "g"]
    for name in ("good", "fair", "silent", "constant"):
        words += ["--judge", str(files[name])]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert (
        "WARNING: 97.0% of its answers are unusable: its figures rest on 6 edits of 6 images" in done.output
    )
    assert "WARNING: it says fails of 199 of 200 edits" in done.output
    pair = next(line for line in done.output.splitlines() if line.startswith("  good - silent: percent"))
    assert pair.endswith(", 6 edits")
    compared = [line for line in done.output.splitlines() if line.startswith("  good - silent: kappa")]
    assert compared
    assert "no member of the family" in compared[0]
    assert any(
        line.startswith("  good - fair: kappa") and line.endswith("; 200 edits")
        for line in done.output.splitlines()
    )

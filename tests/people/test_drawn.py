"""How labels of another experiment were chosen: asked for, and held against the verdicts of all that was judged there."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.errors import DesignError, UsageError

EDITS, IMAGES = 400, 40  # of each editor
SENSITIVITY, SPECIFICITY, RATE = 0.95, 0.9, {"A": 0.45, "B": 0.1}


def experiment(folder: Path, labelled: tuple[int, int] | None) -> float:
    """Verdicts on editors A and B, and labels of B: of ``labelled`` edits by verdict (fails, fine), or of 80 at random.

    Returns people's rate of A. Of B about 18 % of verdicts are ``fails`` (.1 x .95 + .9 x .1), so 40 + 40 labels are of 54 % and 12 % of them.
    """
    draw = random.Random(7)
    verdicts, truth = [], {}
    for editor, rate in RATE.items():
        for n in range(EDITS):
            fails = draw.random() < rate
            said = draw.random() < (SENSITIVITY if fails else 1 - SPECIFICITY)
            truth[f"{editor}{n}"] = fails
            verdicts.append((f"{editor}{n}", f"i{n % IMAGES}", editor, "fails" if said else "fine"))
    with (folder / "verdicts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("edit_id", "image_id", "editor", "semantic"), *verdicts])
    own = [v for v in verdicts if v[2] == "B"]
    if labelled is None:
        chosen = draw.sample(own, 80)
    else:
        by = {w: [v for v in own if v[3] == w] for w in ("fails", "fine")}
        chosen = [v for w, n in zip(by, labelled, strict=True) for v in draw.sample(by[w], n)]
    rows = [(e, "ann", "fails" if truth[e] else "fine", image) for e, image, _, _ in chosen]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("edit_id", "rater", "semantic", "image_id"), *rows])
    return sum(v for e, v in truth.items() if e[0] == "A") / EDITS


def calibrate(folder: Path, *words: str) -> str:
    line = [
        "calibrate",
        str(folder / "verdicts.csv"),
        "--labels",
        str(folder / "labels.csv"),
        "--guideline",
        "g1",
    ]
    return CliRunner().invoke(cli, [*line, *words], catch_exceptions=False).output


EXTERNAL = ("--design", "external", "--where", "editor=A")


def test_how_they_were_chosen_must_be_said(tmp_path: Path) -> None:
    experiment(tmp_path, None)
    with pytest.raises(DesignError, match="--drawn random"):
        calibrate(tmp_path, *EXTERNAL)


def test_labels_chosen_by_verdict_are_refused_though_they_are_called_random(tmp_path: Path) -> None:
    experiment(tmp_path, (40, 40))
    said = calibrate(tmp_path, *EXTERNAL, "--drawn", "random")
    assert "refused: isr calibrate: labels are called random, but 5" in said
    assert "and 12% of the others" in said
    assert "26." not in said  # what the wrong error rates would make of it


def test_labels_chosen_at_random_give_what_people_say(tmp_path: Path) -> None:
    people = experiment(tmp_path, None)
    said = calibrate(tmp_path, *EXTERNAL, "--drawn", "random")
    assert "refused" not in said
    assert "look chosen by verdict" not in said
    assert "|drawn=random|" in said
    found = json.loads(calibrate(tmp_path, *EXTERNAL, "--drawn", "random", "--json"))["rates"]["semantic"]
    assert found["corrected"]["low"] < people < found["corrected"]["high"]


@pytest.mark.parametrize(("design", "biased"), [((*EXTERNAL, "--drawn", "random"), "the corrected rate"),
                                                (("--design", "random", "--where", "editor=B"), "sensitivity")])  # fmt: skip
def test_from_two_and_a_half_standard_errors_on_it_is_told(
    tmp_path: Path, design: tuple[str, ...], biased: str
) -> None:
    """26 of about 72 fails against 60 of about 328 others: .36 against .18, 3.3 standard errors."""
    experiment(tmp_path, (26, 60))
    said = " ".join(calibrate(tmp_path, *design).split())
    assert "warning: isr_semantic: labels look chosen by verdict:" in said
    assert f"{biased}" in said.split("look chosen by verdict")[1]


def test_labels_drawn_within_peoples_words_may_differ_by_verdict(tmp_path: Path) -> None:
    experiment(tmp_path, (40, 40))
    said = " ".join(calibrate(tmp_path, *EXTERNAL, "--drawn", "within_label").split())
    assert "refused" not in said
    assert "labels look chosen by verdict" in said


def test_random_labels_of_one_editor_are_no_choice_by_verdict(tmp_path: Path) -> None:
    """Editor C, without a label, fails far more often than B, of which 150 are labelled at random."""
    draw = random.Random(11)
    rows, labels = [], []
    for editor, rate in (("A", 0.4), ("B", 0.2), ("C", 0.8)):
        for n in range(EDITS):
            fails = draw.random() < rate
            said = draw.random() < (SENSITIVITY if fails else 1 - SPECIFICITY)
            rows.append((f"{editor}{n}", f"i{n % IMAGES}", editor, "fails" if said else "fine"))
            labels.append((f"{editor}{n}", "ann", "fails" if fails else "fine", f"i{n % IMAGES}"))
    chosen = draw.sample([row for row in labels if row[0][0] == "B"], 150)
    for name, header, table in (
        ("verdicts", ("edit_id", "image_id", "editor", "semantic"), rows),
        ("labels", ("edit_id", "rater", "semantic", "image_id"), chosen),
    ):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *table])
    said = calibrate(tmp_path, *EXTERNAL, "--drawn", "random")
    assert "refused" not in said
    assert "look chosen by verdict" not in said


def test_drawn_is_of_other_experiments(tmp_path: Path) -> None:
    experiment(tmp_path, None)
    with pytest.raises(UsageError, match="--design external only"):
        calibrate(tmp_path, "--design", "random", "--where", "editor=B", "--drawn", "random")

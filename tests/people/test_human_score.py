"""The human ISR: labels as the only judge."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import isr
from isr.cli import cli
from isr.edits.directory import load_edits
from isr.errors import InputError, UsageError
from isr.people.compared import compare_finished
from isr.people.human_score import HumanScore, score_labels
from isr.people.labels import Consensus, Label, Labels, Mark, consensus
from isr.people.labels_file import write_labels
from isr.scoring.finished import read_run
from isr.scoring.options import Options
from isr.scoring.text import render
from isr.stats.rate import rate_interval
from tests.directories import make_directory

IMAGES = 10
FAILS, FINE, OPEN = Mark("fails"), Mark("fine"), Mark("cannot_tell")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 edits of 10 images, two prompts each, with control edits."""
    root = tmp_path_factory.mktemp("people") / "e"
    make_directory(root, images=IMAGES, prompts=2)
    return root


def labelled(
    place: Path, *says: Callable[[int], tuple[Mark, Mark]], arm: str = "", pi: float | None = None
) -> Labels:
    """Labels by raters a, b, ... who say (semantic, perceptual) of the n-th edit."""
    rows = []
    for number, edit in enumerate(load_edits(place).edits):
        shown = edit.control if arm else edit.edited
        assert shown is not None
        for rater, one in zip("abc", says, strict=False):
            semantic, perceptual = one(number)
            rows.append(
                Label(
                    edit_id=edit.edit_id, rater=rater, semantic=semantic, perceptual=perceptual, edit_sha256=shown.sha256, arm=arm,
                    image_id=edit.unit.image_id, pi=pi,
                )
            )  # fmt: skip
    return Labels(tuple(rows))


def score(place: Path, labels: Labels, out: Path, rule: Consensus = "majority") -> HumanScore:
    return score_labels(Options(directory=place, out=out), labels, rule=rule)


def test_the_rate_is_that_of_the_consensus_with_the_same_interval_as_any_judge(
    place: Path, tmp_path: Path
) -> None:
    # a and b say the same: semantic fails on every third edit, perceptual on every fifth: of 20 edits 0,3,..,18 (7) and 0,5,10,15
    # (4), both on 0 and 15 (2): 9 immunized
    def say(n: int) -> tuple[Mark, Mark]:
        return FAILS if n % 3 == 0 else FINE, FAILS if n % 5 == 0 else FINE

    done = score(place, labelled(place, say, say), tmp_path / "run")
    (part,) = done.result.treatments
    assert [part.estimates[n].value for n in ("isr", "isr_semantic", "isr_perceptual", "isr_both")] == [
        0.45, 0.35, 0.2, 0.1,
    ]  # fmt: skip
    images = [e.cluster for e in load_edits(place).edits]
    plain = rate_interval([n % 3 == 0 or n % 5 == 0 for n in range(20)], images)
    assert (part.estimates["isr"].low, part.estimates["isr"].high) == pytest.approx((plain.low, plain.high))
    assert done.result.control is None  # nobody labelled one
    assert {rater: i.value for (_, rater), i in done.by_rater.items()} == {"a": 0.45, "b": 0.45}
    assert [a.ceiling.value for a in done.agreement if a.ceiling] == [1, 1, 1]


def test_ties_and_cannot_tell_are_undecided_and_widen_the_bounds(place: Path, tmp_path: Path) -> None:
    labels = labelled(
        place, lambda n: (FAILS if n < 2 else FINE, FINE), lambda n: (OPEN if n == 2 else FINE, FINE)
    )
    done = score(place, labels, tmp_path / "run")
    (part,) = done.result.treatments
    # edits 0 and 1: one says fails, one fine; edit 2 is decided by the one who can tell
    assert part.counts["undecided"] == [
        {"arm": "protected", "question": "semantic", "judge": "people", "reason": "raters_tie", "n": 2}
    ]
    assert part.estimates["isr"].bounds == (0, 0.1)
    assert part.estimates["isr"].identified is not None


def test_control_edits_count_once_for_each_unit_and_only_where_labelled(place: Path, tmp_path: Path) -> None:
    def fine(n: int) -> tuple[Mark, Mark]:
        return FINE, FINE

    protected = labelled(place, lambda n: (FAILS, FINE))
    controls = labelled(place, lambda n: (FAILS if n == 0 else FINE, FINE), arm="control")
    some = Labels((*protected.rows, *controls.rows[:8]))
    done = score(place, some, tmp_path / "run")
    assert done.result.control is not None
    assert (done.result.control.estimates["control"].value, done.result.control.estimates["control"].n) == (
        1 / 8,
        8,
    )
    assert done.result.treatments[0].estimates["uplift"].n == 8
    with pytest.raises(InputError, match="control edits only"):
        score(place, controls, tmp_path / "none")


def test_what_is_not_labelled_is_in_no_estimate_and_said(place: Path, tmp_path: Path) -> None:
    labels = labelled(place, lambda n: (FAILS, FINE))
    done = score(place, labels.of_edits(labels.edits[:6]), tmp_path / "run")
    assert done.result.treatments[0].counts["edits"] == 6
    assert any("6 of 20 edits are labelled" in note for note in done.result.notes)


def test_who_judged_is_in_the_result_and_the_run_is_read_as_any_other(place: Path, tmp_path: Path) -> None:
    labels = labelled(
        place,
        lambda n: (FAILS if n % 2 else FINE, FINE),
        lambda n: (FINE, FINE),
        lambda n: (FINE, FAILS if n % 2 else FINE),
    )
    done = score(place, labels, tmp_path / "run")
    text = render(done.result)
    assert "judge: people (3 raters, joined by majority, guideline (none named))" in text
    assert f"labels={labels.digest[:19]}" in done.result.signature
    assert "|consensus=majority" in done.result.signature
    # a: semantic, c: perceptual, b: neither: by question nobody wins, by outcome two of three do, on the 10 odd edits
    assert any("differ on 10 edits" in note for note in done.result.notes)
    assert done.result.treatments[0].estimates["isr"].value == 0
    again = isr.Result.load(tmp_path / "run")
    assert again.to_json() == done.result.to_json()
    with (tmp_path / "run" / "edits.csv").open(newline="") as file:
        assert {r["people:semantic"] for r in csv.DictReader(file)} == {"fine"}
    strict = score(place, labels, tmp_path / "other", "strict")
    assert strict.result.signature != done.result.signature
    with pytest.raises(UsageError, match="expected a folder without results"):
        score(place, labels, tmp_path / "other")


def test_labels_of_other_pixels_and_of_unequal_draws_are_refused(place: Path, tmp_path: Path) -> None:
    labels = labelled(place, lambda n: (FAILS, FINE), pi=0.5)
    moved = tuple(
        Label(edit_id=r.edit_id, rater=r.rater, semantic=FAILS, edit_sha256=f"sha256:{'0' * 64}")
        for r in labels.rows
    )
    with pytest.raises(InputError, match="20 labelled edits of other pixels"):
        score(place, Labels(moved), tmp_path / "run")
    first = Label(edit_id=labels.rows[0].edit_id, rater="a", semantic=FAILS, perceptual=FINE, pi=0.9)
    with pytest.raises(UsageError, match=r"found several \(column pi, 0.5 to 0.9\)"):
        score(place, Labels((first, *labels.rows[1:])), tmp_path / "run")
    stranger = Label(edit_id="nobody", rater="a", semantic=FAILS, perceptual=FINE)
    with pytest.raises(InputError, match="none of the judged ones"):
        score(place, Labels((stranger,)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def isr_score(*args: object) -> Result:
    return CliRunner().invoke(cli, ["score", *map(str, args)])


def test_the_command_prints_people_and_refuses_what_is_of_judges(place: Path, tmp_path: Path) -> None:
    labels = labelled(
        place, lambda n: (FAILS if n % 2 else FINE, FINE), lambda n: (FAILS if n % 4 else FINE, FINE)
    )
    write_labels(tmp_path / "labels.csv", labels)
    done = isr_score(place, "--labels", tmp_path / "labels.csv", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    for said in (
        "judge: people (2 raters, joined by majority, guideline (none named))", "ISR by each rater alone", "held-out rater with the rest",
        "raters_tie", f"results: {tmp_path / 'run'}",
    ):  # fmt: skip
        assert said in done.stdout
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "people (2 raters, joined by majority" in page
    for wrong, named in (
        (("--judge", "gpt-4o"), "--judge"), (("--repeats", 3), "--repeats"), (("--dry-run",), "--dry-run"), (("--limit", 3), "--limit"),
        (("--set", "model=x"), "--set"),
    ):  # fmt: skip
        refused = isr_score(place, "--labels", tmp_path / "labels.csv", *wrong)
        assert isinstance(refused.exception, UsageError)
        assert f"found {named} beside it" in str(refused.exception)
    alone = isr_score(place, "--consensus", "strict", "--judge", "shapes-oracle")
    assert isinstance(alone.exception, UsageError)
    assert "--consensus: expected --labels beside it" in str(alone.exception)


def test_the_rule_sees_all_edits_at_once(place: Path, tmp_path: Path) -> None:
    """Dawid and Skene's model weighs raters by how they do on all edits: c, who contradicts the others everywhere, loses their ties."""
    truth = lambda n: (FAILS if n % 2 else FINE, FINE)  # noqa: E731
    other = lambda n: (FINE if n % 2 else FAILS, FINE)  # noqa: E731
    labels = labelled(place, truth, truth, other)
    done = score(place, labels, tmp_path / "run", "dawid-skene")
    whole = consensus(labels.codes(labels.edits, "semantic"), "dawid-skene")
    assert done.result.treatments[0].estimates["isr_semantic"].value == pytest.approx((whole == 1).mean())


def test_labels_of_one_control_edit_under_several_names_are_joined(tmp_path: Path) -> None:
    """Two methods share a control edit: r1 names it by the one's edit, r2 by the other's. 4 images: 4 ties, bounds 0 to 1."""
    make_directory(tmp_path / "e", images=4, prompts=1, methods=("sifm", "noise"))
    rows = []
    for edit in load_edits(tmp_path / "e").edits:
        rows.append(Label(edit_id=edit.edit_id, rater="r0", semantic=FINE, perceptual=FINE))
        rater, mark = ("r1", FAILS) if edit.treatment.method == "sifm" else ("r2", FINE)
        rows.append(Label(edit_id=edit.edit_id, rater=rater, semantic=mark, perceptual=FINE, arm="control"))
    done = score(tmp_path / "e", Labels(tuple(rows)), tmp_path / "run")
    assert done.result.control is not None
    assert done.result.control.counts["decided"] == 0
    assert done.result.control.estimates["control"].bounds == (0, 1)
    clash = [replace(r, rater="r1") if r.rater == "r2" else r for r in rows]
    with pytest.raises(InputError, match="contradict each other"):
        score(tmp_path / "e", Labels(tuple(clash)), tmp_path / "clash")


def test_people_are_no_judge_of_their_own_labels_and_two_sets_of_labels_are_told_apart(
    place: Path, tmp_path: Path
) -> None:
    labels = labelled(
        place, lambda n: (FAILS if n % 2 else FINE, FINE), lambda n: (FAILS if n % 2 else FINE, FINE)
    )
    write_labels(tmp_path / "labels.csv", labels)
    score(place, labels, tmp_path / "run")
    for refused in (
        lambda: isr.agree(tmp_path / "labels.csv", [tmp_path / "run"]),
        lambda: isr.calibrate(tmp_path / "run", tmp_path / "labels.csv", design="random"),
    ):
        with pytest.raises(UsageError, match="a run of people's own labels"):
            refused()
    same = labelled(place, lambda n: (FINE, FINE), lambda n: (FINE, FINE))
    score(place, same, tmp_path / "other")
    signature = compare_finished([read_run(tmp_path / "run"), read_run(tmp_path / "other")]).signature
    assert f"labels={labels.digest[:19]},{same.digest[:19]}" in signature

"""People's labels in a study: its comparisons corrected, control edits met by their pixels, nothing changed without them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isr.bench.comparisons import MAIN, Family, Pair, compared, lines
from isr.bench.steps import run as run_steps
from isr.bench.study_labels import Labelled
from isr.errors import DesignError, InputError
from isr.people.labels import Label, Labels, Mark
from isr.people.pair_labels import LabelChoices
from isr.scoring.finished import Contender, EditRow, FinishedRun
from isr.scoring.sampling import Sampling
from isr.types import Treatment, Unit
from tests.bench.test_results import Quiet, answer_all, opened, results, root

SIFM = Treatment("sifm", "paper-1", "0.03", "a")
NOISE = Treatment("noise", "uniform-1", "0.03", "a")
NAMES = {SIFM: "SIFM", NOISE: "noise"}
SIGNATURE = "isr=0|semantic=v1|perceptual=v1|judge=oracle|rule=single|parser=1|images=1|repeats=1"
__all__ = ["root"]  # a fixture
IMAGES, PROMPTS = 40, 5
PAIR = Pair(editor="a", purifier="", eps=0.03, surrogate="a", first="SIFM", second="noise")
RANDOM = LabelChoices(design="random")


def word(outcome: float) -> Mark:
    return Mark("fails" if outcome else "fine")


def judged(seed: int, rates: tuple[float, float, float], labelled: int = 80) -> tuple[FinishedRun, Labels]:
    """SIFM, noise and control edits with these rates to people; a judge kind to SIFM and strict with the others.

    Units are labelled on all three at random; labels of control edits name the edit_id of SIFM's edit of the unit.
    """
    rng = np.random.default_rng(seed)
    units = [Unit(f"i{i:02}", f"p{p}", "a", "0", "") for i in range(IMAGES) for p in range(PROMPTS)]
    chosen = rng.choice(len(units), labelled, replace=False)
    sides: list[dict[Unit, EditRow]] = []
    labels = []
    for name, rate, (sensitivity, specificity) in zip(
        ("s", "n", "c"), rates, ((0.95, 0.8), (0.8, 0.95), (0.8, 0.95)), strict=True
    ):
        tilt = np.repeat(rng.beta(rate * 4, (1 - rate) * 4, IMAGES), PROMPTS)
        truth = rng.random(len(units)) < tilt
        right = rng.random(len(units)) < np.where(truth, sensitivity, specificity)
        # control edits stand under the edit_id of noise's edits, as if theirs came first
        ids = [f"{'n' if name == 'c' else name}{k}" for k in range(len(units))]
        sides.append(
            {
                u: EditRow(
                    u, float(truth[k] == right[k]), {"edit_id": ids[k], "edit_sha256": f"sha256:{name}{k}"}
                )
                for k, u in enumerate(units)
            }
        )
        labels += [
            Label(
                edit_id=f"s{k}" if name == "c" else ids[k], rater="ann", semantic=word(truth[k]), perceptual=Mark("fine"),
                edit_sha256=f"sha256:{name}{k}", arm="control" if name == "c" else "",
            )
            for k in chosen.tolist()
        ]  # fmt: skip
    run = FinishedRun(
        path=Path("a"),
        digest="a",
        signature=SIGNATURE,
        treatments={SIFM: sides[0], NOISE: sides[1]},
        controls=sides[2],
    )
    return run, Labels(tuple(labels))


def family(run: FinishedRun, labels: Labels | None, choices: LabelChoices = RANDOM) -> Family:
    pairs = [PAIR, replace(PAIR, second="none")]
    labelled = None if labels is None else Labelled(labels, choices)
    return compared(MAIN, "oracle", pairs, [run], NAMES, level=0.95, labelled=labelled)


def test_a_study_whose_judge_errs_differently() -> None:
    """Raw verdicts put SIFM 15 points above noise of the same rate; people see none, and the table says so."""
    wrong = covers = told = unsaid = 0
    for seed in range(60):
        found = family(*judged(seed, (0.5, 0.5, 0.5)))
        noise = found.members[0]
        assert noise.people is not None
        assert noise.people.corrected is not None
        low, high = noise.people.corrected.low, noise.people.corrected.high
        assert low is not None
        assert high is not None
        shown = (noise.found.difference.low or 0) > 0
        wrong += shown
        covers += low <= 0 <= high
        said = " ".join(line for line in lines(found) if line.strip().startswith("SIFM - noise ("))
        told += shown and low <= 0 and ("do not claim it" in said or "VERDICTS AND PEOPLE DISAGREE" in said)
        unsaid += shown and low > 0 and "WARNING" not in said
    assert wrong > 40
    assert covers >= 52
    assert told + unsaid == wrong  # somebody is warned wherever labels do not bear it out


def test_labels_of_control_edits_meet_them_by_pixels() -> None:
    run, labels = judged(1, (0.9, 0.5, 0.1))
    _, none = family(run, labels).members
    assert none.people is not None
    assert none.people.labels == 80
    assert none.people.corrected is not None
    assert none.people.corrected.value == pytest.approx(0.8, abs=0.15)
    by_name = Labels(tuple(replace(r, edit_sha256="") if r.arm else r for r in labels.rows))
    refused = (
        family(run, by_name).members[1].people
    )  # the edit_id of SIFM's edit is none that a control edit has here
    assert refused is not None
    assert "no unit is labelled on both" in refused.refused
    twice = replace(labels.rows[-1], edit_id="n0", semantic=word(1 - labels.rows[-1].outcome))
    with pytest.raises(InputError, match="labels contradict each other"):
        family(run, Labels((*labels.rows, twice)))


def test_clusters_and_margins_hold_for_people_too() -> None:
    run, labels = judged(4, (0.5, 0.5, 0.5), labelled=200)
    for rows in (*run.treatments.values(), run.controls):
        for unit, row in rows.items():
            row.columns["person"] = f"p{int(unit.image_id[1:]) // 4}"
    sides = [Contender("", "", t, rows) for t, rows in run.treatments.items()]
    drawn = Sampling.of(sides, "fixed", "person", 0.3)
    found = compared(
        MAIN, "oracle", [PAIR], [run], NAMES, level=0.95, labelled=Labelled(labels, RANDOM), drawn=drawn
    )
    (member,) = found.members
    assert member.people is not None
    assert member.people.corrected is not None
    assert member.people.corrected.clusters == member.found.difference.clusters == 10
    assert member.people.within is not None
    assert "margin of 30 pp, corrected: " in "\n".join(lines(found))


def test_labels_of_other_methods_of_the_study_are_no_strangers() -> None:
    """A family of two methods; the labels are of all the study's methods and control edits, and one is of nobody's edit."""
    run, labels = judged(3, (0.6, 0.4, 0.1))
    alone = compared(MAIN, "oracle", [PAIR], [run], NAMES, level=0.95, labelled=Labelled(labels, RANDOM))
    ablation = compared(
        "ablations",
        "oracle",
        [replace(PAIR, second="none")],
        [run],
        NAMES,
        level=0.95,
        labelled=Labelled(labels, RANDOM),
    )
    for found in (alone, ablation):
        assert found.members[0].people is not None
        assert found.members[0].people.labels == 80
        assert found.told == ()
    lost = Labels((*labels.rows, replace(labels.rows[0], edit_id="z9", edit_sha256="sha256:z9")))
    with pytest.raises(DesignError, match=r"1 of .* labelled edits are none of the judged ones: z9"):
        compared(MAIN, "oracle", [PAIR], [run], NAMES, level=0.95, labelled=Labelled(lost, RANDOM))


def test_swapped_words_are_told_and_turn_no_order() -> None:
    run, labels = judged(3, (0.8, 0.3, 0.1), labelled=200)
    swapped = Labels(tuple(replace(r, semantic=word(not r.outcome)) for r in labels.rows))
    found = family(run, swapped)
    assert any("are fails and fine swapped?" in t for t in found.told)
    text = "\n".join(lines(found))
    assert "VERDICTS AND PEOPLE DISAGREE" not in text
    assert "labels and judge contradict each other on a side: are fails and fine swapped?" in text
    assert family(run, labels).told == ()


def test_the_table_says_both() -> None:
    run, labels = judged(2, (0.5, 0.5, 0.5))
    plain, found = family(run, None), family(run, labels)
    assert [m.found for m in plain.members] == [m.found for m in found.members]
    text = "\n".join(lines(found))
    assert text.count("  to people ") == 2
    assert "80 labels" in text
    assert "judge on SIFM: J 0." in text
    assert "do not use one calibration of the judge for both" in text
    assert "differences of verdicts" not in text
    assert "differences of verdicts: a judge that errs differently" in "\n".join(lines(plain))
    assert found.signature.endswith("|guideline=(none named)|design=random|consensus=majority")
    assert "people" not in plain.members[0].as_dict()
    member = found.members[0]
    assert member.people is not None
    assert (member.people.first, member.people.second) == ("SIFM", "noise")
    holm = sorted(m.people.p_holm or 0 for m in found.members if m.people)
    raw = sorted(m.people.p_value or 0 for m in found.members if m.people)
    assert holm[0] == pytest.approx(min(1, 2 * raw[0]))


# --------------------------------------------------------------------------- a finished bench


def with_labels(root: Path, words: Mapping[str, str]) -> None:
    """A label of every edit and control edit of the bench's scores, by arm."""
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("edit_id", "edit_sha256", "arm", "rater", "semantic", "perceptual"))
        for table in (root / "little.bench").glob("scores/*/edits.csv"):
            with table.open(newline="") as rows:
                for row in csv.DictReader(rows):
                    arm = "control" if row["arm"] == "control" else ""
                    writer.writerow(
                        (row["edit_id"], row["edit_sha256"], arm, "ann", words[row["arm"]], "fine")
                    )


OURS = [{"name": "noise", "method": "noise", "eps": [0.03], "role": "ours"}]


def test_results_of_a_bench_with_labels(root: Path) -> None:
    """The judge says fine to everything; people say that every protected edit fails."""
    answer_all(opened(root, methods=OURS))
    assert run_steps(opened(root, "score", "results", methods=OURS), Quiet()) is not None
    before = results(root)
    assert before["comparisons"][0]["members"][0]["difference"]["value"] == 0
    assert "labels" not in before["choices"]
    with_labels(root, {"protected": "fails", "control": "fine"})
    part = {"file": "labels.csv", "design": "random"}
    run_steps(opened(root, "results", methods=OURS, labels=part), Quiet())
    after = results(root)
    assert after["choices"]["labels"]["file"] == "labels.csv"
    assert after["study"]["digest"] != before["study"]["digest"]
    (member,) = after["comparisons"][0]["members"]
    assert member["difference"] == before["comparisons"][0]["members"][0]["difference"]
    assert member["people"]["labels"] == 6
    assert member["people"]["corrected"]["value"] == 1.0
    said = (root / "little.bench" / "results.md").read_text()
    assert "to people" in said
    within = {"file": "labels.csv", "design": "within_verdict"}
    run_steps(opened(root, "results", methods=OURS, labels=within), Quiet())
    assert (
        "nothing shows that their strata were this judge's verdicts"
        in (root / "little.bench" / "results.md").read_text()
    )

"""Comparisons that people would confirm: a judge that errs differently on two methods makes a difference that nobody sees."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import bdtr

from isr.calibration.correction.by_design import corrected_rate
from isr.calibration.correction.paired import corrected_pair
from isr.calibration.correction.quality import paired_quality
from isr.cli import cli
from isr.errors import UsageError
from isr.people.labels import Labels
from isr.scoring.sampling import Sampling
from isr.stats.paired import holm_margins
from isr.stats.rate import rate_interval
from tests.calibration.correction.samples import ends
from tests.people.confirm_samples import (
    KIND,
    RANDOM,
    STRICT,
    WITHIN,
    columns,
    confirmed,
    in_cells,
    label,
    sampled,
    study,
)
from tests.runs import recorded_run


def test_equal_methods_on_which_a_judge_errs_differently() -> None:
    """Raw verdicts differ by (.95 x .5 + .2 x .5) - (.8 x .5 + .05 x .5) = 15 points; people see none."""
    found = [study(seed, (0.5, 0.5), (KIND, STRICT)) for seed in range(120)]
    raw = sum((f.family[0].p_value or 1) < 0.05 for f in found)
    corrected = [f.confirmed[0].corrected for f in found]
    covers = sum(
        c is not None and c.low is not None and c.high is not None and c.low <= 0 <= c.high for c in corrected
    )
    assert raw > 60  # most runs claim a difference
    assert bdtr(covers, 120, 0.935) > 1e-3  # what the interval covers in docs/coverage.md
    gaps = [f.confirmed[0].quality_difference for f in found]
    assert np.mean([g.value for g in gaps if g is not None and g.value is not None]) == pytest.approx(
        0, abs=0.03
    )
    assert not any(f.confirmed[0].shared for f in found)  # 80 labels show no equality within .1
    alone = [f for f in found if "people's labels show none: do not claim it" in " ".join(f.warnings)]
    assert len(alone) > 50  # where verdicts alone claim, somebody says so


def test_a_difference_that_people_turn_round_is_told() -> None:
    """To people B is better by 20 points; the judge, kind to A and strict with B, says A."""
    found = [study(seed, (0.4, 0.6), ((0.98, 0.6), (0.6, 0.98)), labelled=200) for seed in range(20)]
    wrong = [f for f in found if (f.family[0].difference.value or 0) > 0]
    assert len(wrong) > 15
    for one in found:
        (pair,) = one.confirmed
        assert pair.corrected is not None
        assert pair.corrected.value is not None
        assert pair.corrected.value < 0
        assert pair.turned == (one in wrong)
        told = [
            w
            for w in one.warnings
            if w.startswith("VERDICTS AND PEOPLE DISAGREE ON WHICH IS BETTER (A - B): A by verdicts")
        ]
        assert bool(told) == pair.turned
        if told and (one.family[0].difference.low or -1) > 0 and (pair.corrected.high or 1) < 0:
            assert told[0].endswith("both intervals exclude 0")


def test_a_judge_that_never_errs_changes_nothing_and_may_be_shared() -> None:
    found = study(1, (0.3, 0.6), ((1.0, 1.0), (1.0, 1.0)), labelled=200)
    (pair,) = found.confirmed
    assert pair.corrected is not None
    assert pair.corrected.value == pytest.approx(found.family[0].difference.value)
    assert pair.first_quality is not None
    assert pair.first_quality.j.value == 1.0
    assert pair.labels == 200
    assert pair.shared
    assert not pair.turned
    assert not any("people's labels" in w for w in found.warnings)
    few = study(1, (0.3, 0.6), ((1.0, 1.0), (1.0, 1.0)), labelled=20)
    assert not few.confirmed[0].shared  # 20 labels without an error do not show that there is none


def test_the_family_is_adjusted_as_a_whole() -> None:
    contenders, labels = sampled(3, (0.3, 0.5, 0.7), (KIND, STRICT, KIND), labelled=120)
    found = confirmed(contenders, labels, drawn=Sampling(margin=0.3), level=0.9)
    assert [(p.first, p.second) for p in found.confirmed] == [("A", "B"), ("A", "C"), ("B", "C")]
    raw, margins = [], []
    for pair in found.confirmed:
        sides = [next(c for c in contenders if c.name == n) for n in (pair.first, pair.second)]
        judge, human, marks, image = columns(sides, labels)
        alone = corrected_pair(
            *judge, *human, marks, image, label_design="random", level=0.9, family=3, margin=0.3
        )
        assert pair.corrected == alone.difference
        assert pair.simultaneous == alone.simultaneous
        raw.append(alone.p_value or 0)
        assert pair.p_value == alone.p_value
        assert pair.within is not None
        assert alone.within is not None
        margins.append(alone.within)
    assert [p.within for p in found.confirmed] == list(holm_margins(margins)) != margins
    order = np.argsort(raw)
    holm = np.maximum.accumulate(np.sort(raw) * [3, 2, 1])
    assert [found.confirmed[i].p_holm for i in order] == pytest.approx(np.minimum(1, holm))


def test_labels_within_the_cells_of_both_verdicts() -> None:
    found = [confirmed(*in_cells(seed), choices=WITHIN) for seed in range(40)]
    assert np.mean([f.confirmed[0].corrected.value for f in found]) == pytest.approx(0.2, abs=0.04)
    assert np.mean([f.confirmed[0].first_quality.j.value for f in found]) == pytest.approx(0.5, abs=0.05)
    assert "|design=within_verdict|" in found[0].signature
    contenders, labels = in_cells(3)
    judge, human, marks, image = columns(contenders, labels)
    expected = paired_quality(*judge, *human, marks, image, strata="cells")
    pair = found[3].confirmed[0]
    assert (pair.first_quality, pair.second_quality, pair.quality_difference) == expected
    assert expected[0] != paired_quality(*judge, *human, marks, image, strata="own")[0]
    assert "nothing shows that their strata were this judge's verdicts" in " ".join(found[0].warnings)
    called_random = confirmed(*in_cells(0), choices=RANDOM)
    pair = called_random.confirmed[0]
    assert "called random" in pair.refused or any("look chosen by verdict" in n for n in pair.notes)


def test_what_the_judge_leaves_undecided_and_people_leave_open() -> None:
    contenders, labels = sampled(2, (0.5, 0.5), (KIND, STRICT))
    a, b = contenders
    lost = [u for n, u in enumerate(a.edits) if n % 10 == 0]
    a = replace(
        a, edits={u: replace(r, outcome=float("nan")) if u in lost else r for u, r in a.edits.items()}
    )
    tie = labels.rows[0].edit_id
    torn = Labels((*labels.rows, label(tie, not labels.rows[0].outcome, "bob"), label("A1", True, "bob")))
    (pair,) = confirmed([a, b], torn).confirmed
    for unit, row in (*a.edits.items(), *b.edits.items()):
        row.columns["person"] = f"p{int(unit.image_id[1:]) // 8}"
    person = Sampling.of([a, b], "fixed", "person")
    (clustered,) = confirmed([a, b], torn, drawn=person).confirmed
    assert clustered.identified is not None
    assert pair.identified is not None
    shares = [rate_interval([u in lost for u in sorted(b.edits)], c).high for c in (
        [u.image_id for u in sorted(b.edits)], [int(u.image_id[1:]) // 8 for u in sorted(b.edits)]
    )]  # fmt: skip
    assert shares[0] != shares[1]
    assert clustered.corrected is not None
    assert clustered.corrected.low is not None
    assert clustered.identified[0] == pytest.approx(
        clustered.corrected.low * (1 - (shares[1] or 0)) - (shares[1] or 0)
    )
    assert pair.corrected is not None
    low, high = ends(pair.corrected)
    assert pair.corrected.n == 180
    most = (
        rate_interval([u in lost for u in sorted(b.edits)], [u.image_id for u in sorted(b.edits)]).high or 0
    )
    assert pair.identified == pytest.approx((low * (1 - most) - most, high * (1 - most) + most))
    notes = " ".join(pair.notes)
    asked = {r.edit_id[1:] for r in labels.rows}
    undecided = sum(str(n) in asked for n in range(0, 200, 10))
    assert f"{undecided} labelled units are undecided by the judge and left out" in notes
    assert "1 labelled units have no consensus on a side" in notes
    assert ("1 units are labelled of A only" in notes) == ("1" not in asked)


def test_clusters_of_images_widen_the_corrected_difference() -> None:
    contenders, labels = sampled(5, (0.5, 0.5), (KIND, STRICT), labelled=200)
    for one in contenders:
        for unit, row in one.edits.items():
            row.columns["person"] = f"p{int(unit.image_id[1:]) // 8}"
    drawn = Sampling.of(contenders, "fixed", "person")
    (pair,) = confirmed(contenders, labels, drawn=drawn).confirmed
    assert pair.corrected is not None
    assert (pair.corrected.clusters, pair.corrected.method.endswith("clustered by person")) == (5, True)
    assert pair.quality_difference is not None
    assert pair.quality_difference.clusters == 5


def test_slices_and_choices_have_their_corrections() -> None:
    contenders, labels = sampled(6, (0.3, 0.6), (KIND, STRICT), labelled=150)
    for one in contenders:
        for n, row in enumerate(one.edits.values()):
            row.columns["part"] = "x" if n % 2 else "y"
    found = confirmed(contenders, labels, by=["part"], choose=True)
    whole, *parts = found.confirmed
    assert [dict(p.by) for p in parts] == [{"part": "x"}, {"part": "y"}]
    assert whole.labels == 150 == sum(p.labels for p in parts)
    assert all(p.corrected is not None and p.corrected.n == 100 for p in parts)
    rates = [c.corrected for c in found.choices]
    assert [
        r is not None and r.value == pytest.approx(p, abs=0.15)
        for r, p in zip(rates, (0.3, 0.6), strict=True)
    ]
    assert len([t for t in found.as_dict()["choices"] if t["corrected"]]) == 2
    judge, human, marks, image = columns(contenders[:1], labels)
    for one, level in (
        (found, 0.975),
        (confirmed(contenders, labels, choose=True, level=0.9), 0.95),
    ):  # two hold together
        alone = corrected_rate(judge[0], human[0], marks, image, label_design="random", level=level)
        assert one.choices[0].corrected == alone
    for part in parts:  # exploratory: nothing of them is adjusted over the family, and nothing says so
        assert (part.simultaneous, part.p_holm, part.within) == (None, None, None)
    within = confirmed(contenders, labels, choices=WITHIN, choose=True)
    assert all(c.corrected is not None for c in within.choices)
    three = confirmed(*sampled(6, (0.3, 0.6, 0.5), (KIND, STRICT, KIND)), choices=WITHIN, choose=True)
    assert all(c.corrected is None for c in three.choices)
    assert any("tell of pairs" in n for n in three.choices[0].notes)


def test_a_method_without_labels() -> None:
    contenders, labels = sampled(6, (0.3, 0.6), (KIND, STRICT))
    (pair,) = confirmed(contenders, labels.of_edits(e for e in labels.edits if e[0] == "A")).confirmed
    assert pair.corrected is None
    assert "no unit is labelled on both" in pair.refused
    assert pair.p_holm is None
    assert pair.notes == ("80 units are labelled of A only and tell nothing of the difference",)


def test_the_command(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)

    def say(number: int) -> dict[str, object]:
        fails = rng.random() < 0.4
        return {"reasoning": "x", "score": 0 if fails else 4, "verdict": "fails" if fails else "fine"}

    run = recorded_run(tmp_path, images=12, prompts=4, methods=("a", "b"), say=say)
    with (run / "edits.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["arm"] == "protected"]
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("edit_id", "rater", "semantic", "perceptual"))
        for row in rows:  # people see the opposite of what the judge says of most edits of a
            swapped = row["method"] == "a" and rng.random() < 0.7
            word = "fails" if (row["outcome"] == "immunized") != swapped else "fine"
            writer.writerow((row["edit_id"], "ann", word, "fine"))

    def compared(*words: str) -> str:
        done = CliRunner().invoke(cli, ["compare", str(run), *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    plain = compared("--margin", "0.2")
    assert "differences of verdicts: a judge that errs differently" in plain
    assert "margin of 20 pp, by verdicts: " in plain
    corrected = ("--labels", str(labels), "--design", "random")
    said = compared(*corrected, "--margin", "0.2", "--choose", "--by", "editor")
    for line in (
        "ISR, first minus second, on shared units, by verdicts",
        "corrected by 48 labelled units: ",
        "    judge on a: J -0.",
        "    judge on b: J 1.00 (",
        "not shown to lie within +-0.1: do not use one calibration",
        "margin of 20 pp, corrected: ",
        "people (corrected)",
        "warning: a: labels and judge: sensitivity + specificity is ",
    ):
        assert line in said, line
    assert "differences of verdicts" not in said
    assert said.count("corrected by 48 labelled units: ") == 2  # of all, and of the one editor
    found = json.loads(compared(*corrected, "--json"))
    assert found["signature"].endswith("|guideline=(none named)|design=random|consensus=majority")
    assert found["confirmed"][0]["labels"] == 48
    assert "confirmed" not in json.loads(compared("--json"))
    with pytest.raises(UsageError, match="--labels and --design together"):
        compared("--labels", str(labels))
    with pytest.raises(UsageError, match="are of labels: expected --labels"):
        compared("--words", "semantic: yes=fails")
    with pytest.raises(UsageError, match="are of labels: expected --labels"):
        compared("--allow-unmatched")

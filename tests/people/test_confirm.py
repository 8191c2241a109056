"""Comparisons that people would confirm: a judge that errs differently on two methods makes a difference that nobody sees."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import bdtr

from isr.cli import cli
from isr.errors import InputError, UsageError
from isr.people.confirm import confirm
from isr.people.labels import Label, Labels, Mark
from isr.scoring.compare import Comparison, compare
from isr.scoring.finished import Contender, EditRow
from isr.types import Treatment, Unit
from tests.runs import recorded_run

IMAGES, PROMPTS = 40, 5
KIND, STRICT = (0.95, 0.80), (0.80, 0.95)  # sensitivity and specificity


def study(
    seed: int, rates: tuple[float, float], judges: tuple[tuple[float, float], ...], labelled: int = 80
) -> Comparison:
    """Two methods with these rates to people, judged with these errors; units labelled on both at random."""
    rng = np.random.default_rng(seed)
    units = [Unit(f"i{i}", f"p{p}", "e", "", "") for i in range(IMAGES) for p in range(PROMPTS)]
    contenders, labels = [], []
    chosen = set(rng.choice(len(units), labelled, replace=False).tolist())
    for name, rate, (sensitivity, specificity) in zip("AB", rates, judges, strict=True):
        tilt = np.repeat(rng.beta(rate * 4, (1 - rate) * 4, IMAGES), PROMPTS)
        truth = rng.random(len(units)) < tilt
        right = rng.random(len(units)) < np.where(truth, sensitivity, specificity)
        rows = {}
        for n, unit in enumerate(units):
            edit = f"{name}{n}"
            rows[unit] = EditRow(unit, float(truth[n] == right[n]), {"edit_id": edit, "edit_sha256": ""})
            if n in chosen:
                word = "fails" if truth[n] else "fine"
                labels.append(Label(edit_id=edit, rater="ann", semantic=Mark(word), perceptual=Mark("fine")))
        contenders.append(Contender(name, "r", Treatment(name, "", "", ""), rows))
    found = compare(contenders, {"isr": "0.1.0"})
    return confirm(found, contenders, Labels(tuple(labels)), design="random")


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
    assert all(g is not None and g.value is not None for g in gaps)
    assert not any(f.confirmed[0].shared for f in found)  # 80 labels show no equality within .1


def test_a_difference_that_people_turn_round_is_told() -> None:
    """To people B is better by 20 points; the judge, kind to A and strict with B, says A."""
    found = [study(seed, (0.4, 0.6), ((0.98, 0.6), (0.6, 0.98)), labelled=200) for seed in range(20)]
    turned = [f for f in found if (f.family[0].difference.value or 0) > 0]
    assert len(turned) > 15
    for one in turned:
        (pair,) = one.confirmed
        assert pair.corrected is not None
        assert pair.corrected.value is not None
        assert pair.turned == (pair.corrected.value < 0)
    assert sum(f.confirmed[0].turned for f in turned) > 0.9 * len(turned)


def test_a_judge_that_never_errs_changes_nothing_and_may_be_shared() -> None:
    found = study(1, (0.3, 0.6), ((1.0, 1.0), (1.0, 1.0)), labelled=200)
    (pair,) = found.confirmed
    assert pair.corrected is not None
    assert pair.corrected.value == pytest.approx(found.family[0].difference.value)
    assert [q.j.value for q in found.qualities] == [1.0, 1.0]
    assert not pair.turned
    assert pair.labels == 200


def test_quality_by_hand() -> None:
    """One image twice as large a sample as labels: people's rates within the verdicts, weighted by all edits of them."""
    units = [Unit(f"i{n}", "p", "e", "", "") for n in range(8)]
    judge = [1, 1, 1, 1, 1, 1, 0, 0]
    truth = {
        0: 1,
        1: 1,
        2: 0,
        3: 1,
        6: 0,
        7: 1,
    }  # 3 of 4 labelled "immunized" verdicts are; 1 of 2 of the others
    rows = {
        u: EditRow(u, float(j), {"edit_id": f"e{n}"})
        for n, (u, j) in enumerate(zip(units, judge, strict=True))
    }
    other = {u: EditRow(u, 0.0, {"edit_id": f"o{n}"}) for n, u in enumerate(units)}
    a, b = (
        Contender("a", "r", Treatment("a", "", "", ""), rows),
        Contender("b", "r", Treatment("b", "", "", ""), other),
    )
    labels = Labels(
        tuple(
            Label(
                edit_id=f"e{n}", rater="x", semantic=Mark("fails" if w else "fine"), perceptual=Mark("fine")
            )
            for n, w in truth.items()
        )
    )
    found = confirm(compare([a, b], {"isr": "x"}), [a, b], labels, design="random")
    (quality,) = found.qualities  # b has no label
    # immunized to people: 6 x 3/4 = 4.5 and 2 x 1/2 = 1; the rest 1.5 and 1
    assert quality.sensitivity.value == pytest.approx(4.5 / 5.5)
    assert quality.specificity.value == pytest.approx(1.0 / 2.5)
    assert quality.j.value == pytest.approx(4.5 / 5.5 + 1 / 2.5 - 1)
    assert "no unit is labelled on both" in found.confirmed[0].refused
    with pytest.raises(InputError, match="found none that meets one"):
        confirm(compare([a, b], {"isr": "x"}), [a, b], Labels(labels.rows[:0]), design="random")


def test_labels_of_other_pixels_are_of_other_edits() -> None:
    unit = [Unit(f"i{n}", "p", "e", "", "") for n in range(4)]
    own, other = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
    made = [
        Contender(
            m, m, Treatment(m, "", "", ""),
            {u: EditRow(u, 1.0, {"edit_id": f"e{n}", "edit_sha256": pixels}) for n, u in enumerate(unit)},
        )
        for m, pixels in (("a", own), ("b", other))
    ]  # fmt: skip
    labels = Labels(
        tuple(
            Label(
                edit_id=f"e{n}", rater="x", semantic=Mark("fails"), perceptual=Mark("fine"), edit_sha256=own
            )
            for n in range(4)
        )
    )
    found = confirm(compare(made, {"isr": "x"}), made, labels, design="random")
    assert [(q.name, q.labels) for q in found.qualities] == [("a", 4)]


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
        for row in rows:
            word = "fails" if (row["outcome"] == "immunized") != (rng.random() < 0.1) else "fine"
            writer.writerow((row["edit_id"], "ann", word, "fine"))

    def compared(*words: str) -> str:
        done = CliRunner().invoke(cli, ["compare", str(run), *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    assert "differences of verdicts: a judge that errs differently" in compared()
    said = compared("--labels", str(labels), "--design", "random")
    assert "corrected by 48 labelled units: " in said
    assert "how good the judge is on each method, by people's labels" in said
    assert "a: J 0." in said
    assert "differences of verdicts" not in said
    found = json.loads(compared("--labels", str(labels), "--design", "random", "--json"))
    assert found["signature"].endswith("|design=random|consensus=majority")
    assert found["confirmed"][0]["labels"] == 48
    assert "confirmed" not in json.loads(compared("--json"))
    with pytest.raises(UsageError, match="--labels and --design together"):
        compared("--labels", str(labels))

"""Plans from Python: typed answers, and the JSON that ``isr plan`` prints of them. Numbers by hand: test_compare.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isr.errors import UsageError
from isr.scoring.planned import ImagesNeeded, LabelsNeeded, Precision, UnitsNeeded, Wanted
from isr.scoring.planning import plan
from isr.stats.endpoints import rate_core
from isr.stats.planning import images_within_margin
from tests.runs import recorded_run

RUN = Path(__file__).parents[1] / "golden" / "0.1.0" / "oracle"


def test_each_wish_has_its_answer_in_the_order_of_the_command() -> None:
    found = plan(
        Wanted(labels=8, label_half_width=0.2, difference=0.2, half_width=0.1, discordant=0.3, pilot=RUN)
    )
    kinds = [ImagesNeeded, ImagesNeeded, LabelsNeeded, LabelsNeeded]
    assert [type(a) for a in found.answers] == kinds
    shared = found.answers[3]
    assert isinstance(shared, LabelsNeeded)
    assert shared.not_immunized + shared.immunized == 8
    assert found.guess.source.startswith(f"pilot {RUN}")
    said = json.loads(json.dumps(found.as_dict()))
    assert list(said) == ["schema", "rests_on", "plans"]
    assert [list(p) for p in said["plans"][::2]] == [
        ["wanted", "answer", "images", "per_image", "notes"],
        ["wanted", "answer", "not_immunized", "immunized", "half_width", "notes"],
    ]


def test_guesses_are_enough_for_images_and_not_for_labels() -> None:
    (answer,) = plan(Wanted(half_width=0.05, rate=0.5, icc=0.0, per_image=1.0)).answers
    assert isinstance(answer, ImagesNeeded)
    # z: 1.96^2 * .25 / .05^2 = 384.1, a few more for t
    assert answer.images is not None
    assert 385 <= answer.images <= 390
    with pytest.raises(UsageError, match="expected a --pilot run"):
        plan(Wanted(labels=10))
    with pytest.raises(UsageError, match="at least one of --half-width, --images, --difference"):
        plan(Wanted())


def test_the_plan_counts_on_the_interval_that_is_shipped() -> None:
    """ICC 0, rates near 0: the limit without a failure is wider than the normal theory (3 points wished at 5 %)."""
    (found,) = plan(Wanted(half_width=0.03, rate=0.05, icc=0.0, per_image=5.0)).answers
    assert isinstance(found, ImagesNeeded)
    assert found.images is not None
    assert any("the interval of isr score is wider there" in n for n in found.notes)
    rng = np.random.default_rng(99)
    core = rate_core(rng.binomial(5, 0.05, (2_000, found.images)), np.full(found.images, 5))
    assert float((core.high - core.low).mean()) / 2 < 0.03 * 1.02
    fewer = int(found.images * 0.9)
    core = rate_core(rng.binomial(5, 0.05, (2_000, fewer)), np.full(fewer, 5))
    assert float((core.high - core.low).mean()) / 2 > 0.03 * 0.98


def test_a_comparison_of_a_family_needs_more_images() -> None:
    alone, one_of_ten = (
        plan(Wanted(difference=0.1, family=k, icc=0.3, per_image=5.0)).answers[0] for k in (1, 10)
    )
    assert isinstance(alone, ImagesNeeded)
    assert isinstance(one_of_ten, ImagesNeeded)
    assert alone.images is not None
    assert one_of_ten.images is not None
    # (2.81 + .84)^2 against (1.96 + .84)^2 at z: 1.70 times as many
    assert 1.5 < one_of_ten.images / alone.images < 1.8
    assert one_of_ten.wanted.endswith("as one of 10 comparisons")


def test_labels_for_a_difference_of_people(tmp_path: Path) -> None:
    def say(number: int) -> dict[str, object]:
        fails = (number * 7919) % 10 < (7 if number % 2 else 3)
        return {"reasoning": "x", "score": 0 if fails else 4, "verdict": "fails" if fails else "fine"}

    run = recorded_run(tmp_path, images=30, prompts=6, methods=("a", "b"), say=say)
    wanted = Wanted(label_difference=0.3, pilot=run, method="a", against="b", quality=(0.85, 0.9))
    (found,) = plan(wanted).answers
    assert isinstance(found, UnitsNeeded)
    assert found.units is not None
    assert (
        found.answer
        == f"{found.units} of 180 units, drawn at random, labelled on both edits: {2 * found.units} labels"
    )
    assert "sensitivity 0.85 and specificity 0.9" in found.notes[0]
    better = plan(replace(wanted, quality=(0.99, 0.99))).answers[0]
    assert isinstance(better, UnitsNeeded)
    assert (better.units or 0) < found.units
    family = plan(replace(wanted, family=6)).answers[0]
    assert isinstance(family, UnitsNeeded)
    assert family.units is None or family.units > found.units
    (never,) = plan(replace(wanted, label_difference=0.02)).answers
    assert never.answer == "no number of labels on this pilot"
    with pytest.raises(UsageError, match="expected a --pilot run"):
        plan(Wanted(label_difference=0.1))
    with pytest.raises(UsageError, match="a judge better than chance"):
        plan(replace(wanted, quality=(0.4, 0.5)))


def test_images_for_a_margin() -> None:
    (found,) = plan(Wanted(margin=0.1, discordant=0.3, icc=0.2, per_image=5)).answers
    assert isinstance(found, ImagesNeeded)
    same = images_within_margin(0.1, 0.2 * 0.3, 0.8 * 0.3, 5, equivalent=True)
    worse = images_within_margin(0.1, 0.2 * 0.3, 0.8 * 0.3, 5, equivalent=False)
    assert (
        found.answer == f"{same.needed} images with 5 edits each for equivalent; {worse.needed} for no worse"
    )
    (family,) = plan(Wanted(margin=0.1, discordant=0.3, icc=0.2, per_image=5, family=5)).answers
    assert isinstance(family, ImagesNeeded)
    assert (family.images or 0) > (found.images or 0)


@pytest.mark.parametrize("images", [6, 12, 40])
@pytest.mark.parametrize(
    "known",
    [
        {"rate": 0.5, "icc": 0.3, "per_image": 3.0},
        {"rate": 0.9, "icc": 0.0, "per_image": 2.0},
        {"rate": 0.97, "per_image": 5.0},
    ],
)
def test_images_at_hand_give_the_half_width_for_which_they_are_needed(
    images: int, known: dict[str, float]
) -> None:
    (found,) = plan(Wanted(images=images, **known)).answers  # type: ignore[arg-type]
    assert isinstance(found, Precision)
    assert found.half_width is not None
    (back,) = plan(Wanted(half_width=found.half_width, **known)).answers  # type: ignore[arg-type]
    assert isinstance(back, ImagesNeeded)
    assert back.images == images


def test_what_twelve_images_with_three_prompts_give() -> None:
    """t_11 sqrt(1.6 x .25 / 36) = 2.201 x .1054 = .2320: design effect 1 + 2 x .3."""
    (found,) = plan(Wanted(images=12, per_image=3.0)).answers
    assert isinstance(found, Precision)
    assert found.half_width == pytest.approx(0.2320, abs=5e-4)
    assert found.answer == "ISR to within 23.2 percentage points (95% interval)"
    (none,) = plan(Wanted(images=2)).answers
    assert isinstance(none, Precision)
    assert none.half_width is None
    assert "none to speak of" in none.answer


def test_images_are_planned_with_a_pilot_and_beside_a_difference_mean_what_they_did() -> None:
    (found,) = plan(Wanted(images=12, pilot=RUN)).answers
    assert isinstance(found, Precision)
    (back,) = plan(Wanted(half_width=found.half_width, pilot=RUN)).answers
    assert isinstance(back, ImagesNeeded)
    assert back.images == 12
    assert [type(a) for a in plan(Wanted(images=60, difference=0.1)).answers] == [ImagesNeeded]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (
            Wanted(half_width=5),
            "--half-width: expected a number between 0 and 1; found 5; for 5 percentage points write 0.05",
        ),
        (Wanted(margin=-0.1), "--margin: expected a number between 0 and 1; found -0.1$"),
        (Wanted(images=1), "--images: expected at least 2; found 1"),
        (Wanted(labels=10), "isr plan --labels, --label-half-width: expected a --pilot run"),
    ],
)
def test_wishes_that_are_none(wanted: Wanted, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        plan(wanted)

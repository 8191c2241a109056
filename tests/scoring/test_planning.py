"""Plans from Python: typed answers, and the JSON that ``isr plan`` prints of them. Numbers by hand: test_compare.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isr.errors import UsageError
from isr.scoring.planning import ImagesNeeded, LabelsNeeded, Wanted, plan

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
    with pytest.raises(UsageError, match="at least one of --half-width, --difference"):
        plan(Wanted())

"""Labels that contradict verdicts more often than chance would are asked about: are fails and fine swapped?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from isr.people.agree import agree
from isr.people.agreement_study import Choices
from isr.people.chance import ASK, below_chance, swapped
from isr.people.correct import correct
from isr.people.correct_rows import Settings
from isr.people.labels import Labels, Mark
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval
from tests.people.label_run import IDS, OTHER, the_judge, the_labels


def an(value: float, low: float, high: float) -> Interval:
    return replace(rate_interval([0, 1], ["a", "b"]), value=value, low=low, high=high)


def test_the_interval_of_a_sum_by_hand() -> None:
    """MOVER: .2 + .3 = .5; low .5 - sqrt(.1^2 + .1^2) = .3586; high .5 + sqrt(.3^2 + .4^2) = 1.0, which is not below 1."""
    assert below_chance(an(0.2, 0.1, 0.5), an(0.3, 0.2, 0.7)) is None
    found = below_chance(an(0.2, 0.1, 0.5), an(0.3, 0.2, 0.6))  # high .5 + sqrt(.09 + .09) = .9243
    assert found == pytest.approx((0.5, 0.5 - 0.02**0.5, 0.5 + 0.18**0.5))
    assert below_chance(an(0.2, 0.1, 0.5), replace(an(0.3, 0.2, 0.6), low=None)) is None
    assert "0.50 (0.36, 0.92), below 1" in swapped("x", an(0.2, 0.1, 0.5), an(0.3, 0.2, 0.6))


@pytest.mark.parametrize("design", ["random", "within_verdict"])
def test_calibrate_asks(design: str) -> None:
    settings = Settings(design=design)  # type: ignore[arg-type]
    asked = [w for w in correct(the_judge(), the_labels(swap=True), settings).warnings if ASK in w]
    assert [w.partition(":")[0] for w in asked] == ["isr_semantic", "isr_perceptual"]
    said = the_judge().verdicts
    all_wrong = Labels(
        tuple(
            replace(
                r,
                semantic=Mark(OTHER[said["semantic"][r.edit_id].value]),
                perceptual=Mark(OTHER[said["perceptual"][r.edit_id].value]),
            )
            for r in the_labels().rows
        )
    )
    assert sum(ASK in w for w in correct(the_judge(), all_wrong, settings).warnings) >= 2
    assert not any(ASK in w for w in correct(the_judge(), the_labels(), settings).warnings)


def test_agree_asks_about_judges_and_about_raters() -> None:
    right, wrong = the_labels(raters=("ann", "ben")), the_labels(raters=("cem",), swap=True)
    notes = [n for n in agree(Labels((*right.rows, *wrong.rows)), [the_judge()], Choices()).notes if ASK in n]
    assert {n.partition(":")[2].partition(":")[0].strip() for n in notes} == {"ann and cem", "ben and cem"}
    notes = [n for n in agree(the_labels(swap=True), [the_judge()], Choices()).notes if ASK in n]
    assert [n.partition(":")[0] for n in notes] == ["semantic", "perceptual"]
    assert all("judge and the labels" in n for n in notes)
    assert not any(ASK in n for n in agree(right, [the_judge()], Choices()).notes)


def test_guessing_is_not_worse_than_chance() -> None:
    """People who say fails of every other edit, whatever it is: sensitivity + specificity about 1."""
    guess = Labels(
        tuple(
            replace(r, semantic=Mark(("fails", "fine")[n // 3 % 2])) for n, r in enumerate(the_labels().rows)
        )
    )
    assert len(guess.rows) == len(IDS)
    semantic = [n for n in agree(guess, [the_judge()], Choices()).notes if n.startswith("semantic")]
    assert semantic == []

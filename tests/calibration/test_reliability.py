"""Test-retest of a judge: known noise, and what cannot be known."""

from __future__ import annotations

import numpy as np
import pytest

from isr.calibration.reliability import MISSING, advice, retest_reliability, votes_needed
from isr.errors import StatisticsError


def test_known_noise_is_split_from_known_spread() -> None:
    """p_i is 0.1 or 0.9: between = 0.16, within = 0.09, flip rate 2 * 0.09 = 0.18."""
    rng = np.random.default_rng(0)
    p = rng.choice([0.1, 0.9], 4000)
    found = retest_reliability(rng.random((4000, 3)) < p[:, None], np.arange(4000) // 5)
    assert found.flip_rate.value == pytest.approx(0.18, abs=0.01)
    assert found.flip_rate.low < 0.18 < found.flip_rate.high  # type: ignore[operator]
    assert found.between == pytest.approx(0.16, abs=0.01)
    assert found.within == pytest.approx(0.09, abs=0.005)
    assert found.noise_share == pytest.approx(0.36, abs=0.03)
    assert found.voting_share == pytest.approx(0.03 / 0.19, abs=0.02)
    assert found.alpha.value == pytest.approx(0.64, abs=0.03)
    assert "repeatability is not validity" in found.notes


def test_a_constant_judge_has_no_variance_to_divide() -> None:
    found = retest_reliability(np.ones((10, 3), dtype=int), np.arange(10) // 2)
    assert found.flip_rate.value == 0.0
    assert found.alpha.value is None
    assert found.noise_share is None
    assert any("no variance" in note for note in found.notes)


def test_undecided_answers_are_left_out_and_counted() -> None:
    table = np.array([[1, 1, MISSING], [0, MISSING, MISSING], [0, 1, 0], [1, 1, 1]])
    found = retest_reliability(table, [0, 0, 1, 1])
    assert found.edits == 3
    # pairs that differ: 0 of 1, 2 of 3, 0 of 3
    assert found.flip_rate.value == pytest.approx((0 + 2 / 3 + 0) / 3)
    assert any("1 edits left out" in note for note in found.notes)


def test_too_little_to_say() -> None:
    none = retest_reliability(np.full((3, 2), MISSING), [0, 1, 2])
    assert none.flip_rate.value is None
    assert none.noise_share is None
    assert any("2 repeats" in note for note in none.notes)
    with pytest.raises(StatisticsError, match="one image per edit"):
        retest_reliability([[1, 0]], [0, 1])


@pytest.mark.parametrize(
    ("between", "within", "votes"),
    [
        (0.19, 0.01, 1),  # 0.01 / 0.2 = 0.05 exactly
        (0.19, 0.0, 1),
        (0.19, 0.03, 3),  # 0.03 / 3 = 0.01 as above
        (0.19, 0.04, 5),  # four votes would do; repeats are odd
        (0.0, 0.25, None),
    ],
)
def test_votes_needed_until_a_twentieth_of_the_variance_is_noise(
    between: float, within: float, votes: int | None
) -> None:
    assert votes_needed(between, within) == votes


def test_the_advice_says_whether_more_votes_would_pay() -> None:
    image = np.arange(40)
    steady = np.repeat(np.arange(40)[:, None] % 2, 3, axis=1)
    assert advice(retest_reliability(steady, image)).endswith("one vote is enough")
    assert advice(retest_reliability(np.ones((40, 3), dtype=int), image)).startswith(
        "every repeat says the same"
    )
    noisy = steady.copy()
    noisy[::4, 0] ^= 1  # every fourth edit flips once in three
    assert "more would pay, up to about" in advice(retest_reliability(noisy, image))
    urn = np.tile([[0, 1, 0], [1, 0, 1]], (20, 1))
    assert "no number of votes helps" in advice(retest_reliability(urn, image))
    assert "too few" in advice(retest_reliability(steady[:1], image[:1]))

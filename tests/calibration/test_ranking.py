"""Judges beside each other: paired differences of coefficients, rank correlations, Table I's shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from isr.calibration.agreement.summary import two_rater_agreement
from isr.calibration.ranking import coefficient_difference, pairwise_share, rank_correlation
from isr.errors import StatisticsError


def sample(n: int = 300, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    good, bad = (np.where(rng.random(n) < share, y, 1 - y) for share in (0.9, 0.6))
    return good, bad, y, rng.integers(0, 60, n)


@pytest.mark.parametrize("name", ["kappa", "ac1", "mcc"])
def test_the_difference_is_that_of_the_coefficients(name: str) -> None:
    good, bad, y, image = sample()
    found = coefficient_difference(good, bad, y, image, coefficient=name)  # type: ignore[arg-type]
    a, b = (getattr(two_rater_agreement(j, y, image), name).value for j in (good, bad))
    d = found.difference
    assert d.value == pytest.approx(a - b)
    assert d.low < d.value < d.high
    assert found.p_value < 1e-4
    back = coefficient_difference(bad, good, y, image, coefficient=name)  # type: ignore[arg-type]
    assert back.difference.value == pytest.approx(-d.value)
    assert back.p_value == pytest.approx(found.p_value)


def test_under_no_difference_small_p_values_are_as_rare_as_they_say() -> None:
    small = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        y, image = rng.integers(0, 2, 200), np.repeat(np.arange(50), 4)
        a, b = (np.where(rng.random(200) < 0.8, y, 1 - y) for _ in range(2))
        p = coefficient_difference(a, b, y, image).p_value
        small += p is not None and p < 0.05
    assert 5 <= small <= 25  # 15 expected, two-sided 99 % range of Binomial(300, .05)


def test_differences_that_do_not_exist() -> None:
    y, image = np.array([1, 0, 1, 0]), np.array([0, 0, 1, 1])
    assert coefficient_difference(y, y, y, image).p_value is None
    ones = np.ones(4, int)
    found = coefficient_difference(ones, y, ones, image)
    assert found.difference.value is None
    assert found.difference.notes == ("undefined for one of the judges",)
    assert coefficient_difference(y, 1 - y, y, np.zeros(4)).difference.notes == ("fewer than two images",)
    with pytest.raises(StatisticsError):
        coefficient_difference(y[:3], y, y, image)


def test_rank_correlation_is_the_mean_over_raters_not_of_their_mean() -> None:
    rng = np.random.default_rng(3)
    score = rng.integers(0, 11, 120).astype(float)
    grades = np.stack([np.round(score / 10 + rng.normal(0, s, 120), 1) for s in (0.1, 0.5, 1.0)], axis=1)
    grades[5, 0] = np.nan
    score[7] = np.nan
    image = np.repeat(np.arange(40), 3)
    keep = np.isfinite(score)
    for kind, function in (("spearman", spearmanr), ("kendall", kendalltau)):
        each = []
        for r in range(3):
            use = keep & np.isfinite(grades[:, r])
            each.append(function(score[use], grades[use, r]).statistic)
        found = rank_correlation(score, grades, image, kind=kind)  # type: ignore[arg-type]
        assert found.value == pytest.approx(np.mean(each))
        assert found.low < found.value < found.high
    flat = rank_correlation(np.ones(120), grades, image)
    assert flat.value is None
    assert "one grade only" in flat.notes[0]


def test_shares_of_agreeing_pairs_by_hand() -> None:
    people = np.array([[1, 1, 0], [1, 1, 1], [0, -1, 0], [1, -1, -1]])
    image = np.array([0, 1, 2, 3])
    # pairs: 1 of 3, 3 of 3, 1 of 1, none
    assert pairwise_share(people, None, image).value == pytest.approx((1 / 3 + 1 + 1) / 3)
    judges = np.array([[1], [0], [0], [1]])
    assert pairwise_share(people, judges, image).value == pytest.approx((2 / 3 + 0 + 1 + 1) / 4)

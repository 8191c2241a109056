"""The homogeneity test: silent where error rates are equal, loud where they are not, in both layouts."""

from __future__ import annotations

import numpy as np
import pytest

from isr.calibration.transport import homogeneity
from isr.errors import StatisticsError


def rows(seed: int, crossed: bool, rates: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    """40 images; every image in all groups, or each image in one; the judge is right with the group's rate."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(40), 4)
    group = np.tile(np.arange(4), 40) if crossed else np.repeat(np.arange(40) % 4, 4)
    y = rng.integers(0, 2, image.size)
    judge = np.where(rng.random(image.size) < np.array(rates)[group], y, 1 - y)
    return judge, y, group, image


@pytest.mark.parametrize("crossed", [True, False])
def test_size_and_power(crossed: bool) -> None:
    equal, apart = 0, 0
    for seed in range(60):
        same = homogeneity(*rows(seed, crossed, (0.8,) * 4), rng=np.random.default_rng(seed), draws=199)
        other = homogeneity(
            *rows(seed, crossed, (0.5, 0.8, 0.95, 0.95)), rng=np.random.default_rng(seed), draws=199
        )
        equal += sum(h.warns for h in same)
        apart += sum(h.warns for h in other)
    assert equal <= 14  # 120 tests at 5 %: 6 expected, 99.9 % range
    assert apart >= 90


def test_rates_by_group_and_what_cannot_be_tested() -> None:
    judge, y = np.array([1, 0, 1, 1, 0, 0]), np.array([1, 1, 1, 1, 0, 0])
    group, image = np.array(["a", "a", "b", "b", "a", "a"]), np.arange(6)
    sensitivity, specificity = homogeneity(judge, y, group, image, rng=np.random.default_rng(0))
    assert sensitivity.rates == {"a": 0.5, "b": 1.0}
    assert specificity.rates == {"a": 1.0, "b": None}
    assert specificity.p_value is None
    assert not specificity.warns
    assert "of images" in sensitivity.method
    with pytest.raises(StatisticsError):
        homogeneity(judge, y[:5], group, image, rng=np.random.default_rng(0))


def test_the_seed_decides() -> None:
    data = rows(1, True, (0.7, 0.8, 0.8, 0.9))
    first, second = (homogeneity(*data, rng=np.random.default_rng(5)) for _ in range(2))
    assert first == second

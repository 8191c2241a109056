"""The cluster variance: undefined cases, the two-way floor, Satterthwaite, against the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from isr.stats.bootstrap import cluster_bootstrap
from isr.stats.variance import cr1_variance, satterthwaite_df, two_way_variance
from tests.stats.rate_samples import ratio


def test_variance_of_one_cluster_is_undefined() -> None:
    assert np.isnan(cr1_variance([3.0], [5.0]))


def test_two_way_variance_is_floored_at_its_larger_part() -> None:
    # y = 1 on the diagonal of 2 x 2: every image and prompt mean is 1/2, so both parts are 0 and the raw is negative
    parts = two_way_variance(([1, 1], [2, 2]), ([1, 1], [2, 2]), ([1, 0, 0, 1], [1, 1, 1, 1]))
    assert float(parts.raw) == pytest.approx(-(4 / 3) * (4 * 0.25) / 16)
    assert float(parts.variance) == 0.0


def test_satterthwaite_equals_the_plain_df_when_one_part_is_zero() -> None:
    assert float(satterthwaite_df(1.0, 0.0, 20, 6)) == pytest.approx(19)
    assert float(satterthwaite_df(0.0, 2.0, 20, 6)) == pytest.approx(5)
    assert float(satterthwaite_df(0.0, 0.0, 20, 6)) == pytest.approx(19)


@pytest.mark.parametrize("distinct", [False, True])
def test_bootstrap_has_the_spread_of_the_cluster_variance(distinct: bool) -> None:
    rng = np.random.default_rng(4)
    sizes = np.full(300, 5.0)
    sums = rng.binomial(5, rng.beta(1, 1, 300)).astype(float)
    if distinct:
        factor = rng.uniform(0.9, 1.1, 300)
        sums, sizes = sums * factor, sizes * factor
    draws = cluster_bootstrap(np.stack([sums, sizes], 1), ratio, rng=rng, resamples=4000)
    expected = float(cr1_variance(sums, sizes)) ** 0.5
    assert draws.std() == pytest.approx(expected, rel=0.05)
    assert draws.mean() == pytest.approx(sums.sum() / sizes.sum(), abs=4 * expected / 4000**0.5)

"""The cluster variance: undefined cases, the two-way floor, Satterthwaite, against the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.stats.bootstrap import cluster_bootstrap
from isr.stats.difference import difference_interval
from isr.stats.rate import rate_interval
from isr.stats.variance import cr1_variance, cr2_variance, satterthwaite_df, small_sample, two_way_variance
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


@given(st.lists(st.integers(1, 30), min_size=2, max_size=12), st.integers(0, 99))
def test_cr2_is_that_of_bell_and_mccaffrey_for_a_mean(sizes: list[int], seed: int) -> None:
    """``sum_g (1' A_g e_g)^2 / N^2`` with ``A_g = (I - H_gg)^(-1/2)``, H = 11'/N, by matrices."""
    rng = np.random.default_rng(seed)
    y = [rng.integers(0, 2, m).astype(float) for m in sizes]
    n, mean = sum(sizes), float(np.concatenate(y).mean())
    total = 0.0
    for own in y:
        values, vectors = np.linalg.eigh(np.eye(own.size) - np.ones((own.size, own.size)) / n)
        half = vectors @ np.diag(values**-0.5) @ vectors.T
        total += float(half.sum(axis=0) @ (own - mean)) ** 2
    sums = np.array([x.sum() for x in y])
    found = float(cr2_variance(sums, np.array(sizes), small_sample(np.array(sizes))))
    assert found == pytest.approx(total / n**2, abs=1e-12)


def test_degrees_of_freedom_are_kish_less_one() -> None:
    # 10 + 1 + 1: 12^2 / 102 = 1.41 equal images; no fewer than one degree of freedom
    assert float(small_sample(np.array([10, 1, 1])).df) == 1.0
    # 4, 2, 2, 2: 100 / 28 = 3.571
    assert float(small_sample(np.array([4, 2, 2, 2])).df) == pytest.approx(100 / 28 - 1)
    assert float(small_sample(np.array([4, 2, 2, 2]), plain=True).df) == 3.0


@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 99))
def test_equal_images_are_not_corrected_by_a_bit(images: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, image = rng.integers(0, 2, images * m), np.repeat(np.arange(images), m)
    one, other = (rate_interval(y, image, correction=c) for c in ("CR1", "CR2"))
    assert one == other
    d = rng.integers(-1, 2, images * m)
    first, second = (difference_interval(d, image, correction=c) for c in ("CR1", "CR2"))
    assert first == second

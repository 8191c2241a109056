"""Random effects over groups: published numbers, the restricted likelihood by itself, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import stdtrit

from benchmarks.coverage_pooling import PROMPTS, draw, estimates
from isr.errors import StatisticsError
from isr.stats.difference import difference_interval
from isr.stats.pooling import (
    AWAY_FROM_ZERO,
    common_correlation,
    equal_weights,
    floored,
    group_differences,
    pool_groups,
    pooled_core,
    shrunk_core,
)

Array = NDArray[np.float64]

BCG = (
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761),
    (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232), (17, 1699, 65, 1600),
    (186, 50448, 141, 27197), (5, 2493, 3, 2338), (27, 16886, 29, 17825),
)  # fmt: skip
"""13 trials (Colditz et al. 1994): cases and others among the vaccinated, and among the controls."""


def log_ratios() -> tuple[Array, Array]:
    a, b, c, d = np.array(BCG, np.float64).T
    return np.log(a / (a + b) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)


def test_the_vaccine_trials_of_metafor() -> None:
    """``rma(yi, vi, method="REML")``: tau^2 .3132, mean -.7145 (se .1798); ``predict(.., transf=exp)``: .4894, .1546 to 1.5490.

    Its prediction interval is taken with the normal distribution: what it tests is sqrt(tau^2 + se^2).
    """
    y, v = log_ratios()
    core = pooled_core(y, np.diag(v))
    assert round(float(core.tau2), 4) == 0.3132
    assert round(float(core.mean), 4) == -0.7145
    assert round(float(core.variance) ** 0.5, 4) == 0.1798
    spread = float(core.tau2 + core.variance) ** 0.5
    ends = np.exp([core.mean, core.mean - 1.959964 * spread, core.mean + 1.959964 * spread])
    assert ends.round(4).tolist() == [0.4894, 0.1546, 1.5490]
    assert round(float(core.tau2_new), 4) == 0.3368  # of ours alone


def test_the_intervals_are_t_of_k_less_one_and_k_less_two() -> None:
    y, v = log_ratios()
    core, found = pooled_core(y, np.diag(v)), pool_groups(y, np.diag(v), level=0.9, weights="precision")
    assert found is not None
    assert core.factor > 1  # it widens
    se2 = float(core.variance * core.factor)
    own, new = (-float(stdtrit(df, 0.05)) for df in (12, 11))
    assert (found.high - found.low) / 2 == pytest.approx(own * se2**0.5)
    assert (found.new_high - found.new_low) / 2 == pytest.approx(new * (float(core.tau2_new) + se2) ** 0.5)
    assert found.value == (found.low + found.high) / 2 == pytest.approx((found.new_low + found.new_high) / 2)
    assert found.between == float(core.tau2) ** 0.5
    few = pool_groups(y, np.diag(v), level=0.9, df=3, weights="precision")
    assert few is not None
    assert (few.high - few.low) / (found.high - found.low) == pytest.approx(
        stdtrit(3, 0.05) / stdtrit(12, 0.05)
    )
    assert (few.new_high - few.new_low) / (found.new_high - found.new_low) == pytest.approx(
        stdtrit(3, 0.05) / stdtrit(11, 0.05)
    )


def test_a_factor_below_one_narrows_nothing() -> None:
    y = [0.0, 0.001, 0.002, 0.003]
    core, found = pooled_core(y, np.eye(4)), pool_groups(y, np.eye(4))
    assert found is not None
    assert core.factor < 1
    assert found.high - found.value == pytest.approx(-float(stdtrit(3, 0.025)) / 2)  # se 1/sqrt(4)


def restricted(y: Array, v: Array, tau2: float, away: float = 0.0) -> float:
    """Twice the restricted log likelihood by dense matrices: -log|W^-1| - log|1'W1| - y'Py."""
    k = y.size
    total = v + tau2 * np.eye(k)
    w = np.linalg.inv(total)
    ones = np.ones(k)
    p = w - np.outer(w @ ones, w @ ones) / (ones @ w @ ones)
    more = away * np.log(tau2) if away else 0.0
    return float(-np.linalg.slogdet(total)[1] - np.log(ones @ w @ ones) - y @ p @ y + more)


def sample(seed: int, k: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(k, k + 3))
    return rng.normal(size=k) * rng.uniform(0, 4), root @ root.T / k


@pytest.mark.parametrize("k", [4, 7, 12])
@pytest.mark.parametrize("seed", range(6))
def test_the_maximum_of_the_restricted_likelihood(k: int, seed: int) -> None:
    """Against a direct search, for covariances that are not diagonal; the mean and its variance by dense matrices."""
    y, v = sample(seed, k)
    core = pooled_core(y, v)
    for away, tau2 in ((0.0, core.tau2), (AWAY_FROM_ZERO, core.tau2_new)):
        grid = np.geomspace(1e-8, 400, 300)
        start = max(grid, key=lambda t: restricted(y, v, float(t), away))
        found = minimize_scalar(
            lambda t: -restricted(y, v, float(np.exp(t)), away),  # noqa: B023
            bounds=(np.log(start) - 1, np.log(start) + 1),
            method="bounded",
            options={"xatol": 1e-10},
        )
        if restricted(y, v, 0.0) >= -found.fun and not away:
            assert tau2 == 0
        else:
            assert float(tau2) == pytest.approx(float(np.exp(found.x)), rel=1e-5)
    w = np.linalg.inv(v + float(core.tau2) * np.eye(k))
    assert float(core.mean) == pytest.approx((w @ y).sum() / w.sum(), rel=1e-8)
    assert float(core.variance) == pytest.approx(1 / w.sum(), rel=1e-8)
    residual = y - float(core.mean)
    assert float(core.factor) == pytest.approx(residual @ w @ residual / (k - 1), rel=1e-8)


def test_a_groups_own_value_is_its_best_linear_prediction() -> None:
    """Henderson's equations of the same model give value and error of each group's true value."""
    y, v = sample(3, 6)
    found, core = pool_groups(y, v, level=0.95), pooled_core(y, v)
    assert found is not None
    tau2, r = float(core.tau2_new), np.linalg.inv(v)
    left = np.zeros((7, 7))
    left[0, 0], left[0, 1:], left[1:, 0] = r.sum(), r.sum(axis=0), r.sum(axis=0)
    left[1:, 1:] = r + np.eye(6) / tau2
    solution = np.linalg.solve(left, np.concatenate([[(r @ y).sum()], r @ y]))
    inverse = np.linalg.inv(left)
    for g, one in enumerate(found.groups):
        pick = np.zeros(7)
        pick[[0, g + 1]] = 1
        assert one.own == y[g]
        assert one.value == pytest.approx(pick @ solution)
        rest = inverse[0, 0] * (
            max(1.0, float(core.factor)) - 1
        )  # Hartung and Knapp's factor, of the mean alone
        weight = 1 - tau2 * np.linalg.inv(v + tau2 * np.eye(6))[g].sum()
        error = pick @ inverse @ pick + weight**2 * rest
        assert (one.high - one.low) / 2 == pytest.approx(-float(stdtrit(5, 0.025)) * error**0.5)


values = st.lists(st.floats(-1, 1), min_size=4, max_size=9)


@settings(max_examples=40, deadline=None)
@given(values, st.integers(0, 1_000), st.floats(-5, 5), st.floats(0.1, 10))
def test_order_shift_and_scale(found: list[float], seed: int, shift: float, scale: float) -> None:
    y, v = np.array(found), sample(seed, len(found))[1] / 4
    one = pool_groups(y, v)
    order = np.random.default_rng(seed).permutation(y.size)
    turned, moved = pool_groups(y[order], v[np.ix_(order, order)]), pool_groups(y + shift, v)
    larger = pool_groups(y * scale, v * scale**2)
    assert one is not None and turned is not None and moved is not None and larger is not None  # noqa: PT018
    for name in ("value", "low", "high", "new_low", "new_high"):
        own = getattr(one, name)
        assert getattr(turned, name) == pytest.approx(own, abs=1e-6)
        assert getattr(moved, name) == pytest.approx(own + shift, abs=1e-6)
        assert getattr(larger, name) == pytest.approx(own * scale, abs=1e-6 * scale)
    assert larger.between == pytest.approx(one.between * scale, abs=1e-5)
    assert [g.value for g in turned.groups] == pytest.approx([one.groups[i].value for i in order], abs=1e-6)
    assert one.new_low <= one.low <= one.value <= one.high <= one.new_high


@settings(max_examples=20, deadline=None)
@given(st.floats(-1, 1), st.integers(4, 8), st.integers(0, 100))
def test_equal_groups_do_not_differ(value: float, k: int, seed: int) -> None:
    found = pool_groups(np.full(k, value), sample(seed, k)[1])
    assert found is not None
    assert found.between == 0
    assert found.value == pytest.approx(value, abs=1e-9)
    assert [g.value for g in found.groups] == pytest.approx([found.value] * k)
    assert found.new_high > found.high  # few groups never show that there is no difference between them


def test_limits_clip() -> None:
    y = [0.9, -0.9, 0.8, -0.8]
    found = pool_groups(y, np.eye(4) * 0.2, limits=(-1.0, 0.5))
    assert found is not None
    assert (found.new_low, found.new_high, found.low, found.high) == (-1.0, 0.5, -1.0, 0.5)
    assert all(g.low >= -1 and g.high <= 0.5 for g in found.groups)


def test_refused_below_four() -> None:
    assert pool_groups([0.1, 0.2, 0.3], np.eye(3)) is None
    assert pool_groups([0.1, 0.2, 0.3, 0.4], np.eye(4)) is not None


def test_what_cannot_be_pooled_is_an_error() -> None:
    with pytest.raises(StatisticsError, match="expected 4 finite numbers and their covariance"):
        pool_groups([0.1, 0.2, 0.3, 0.4], np.eye(3))
    with pytest.raises(StatisticsError, match="finite"):
        pool_groups([0.1, np.nan, 0.3, 0.4], np.eye(4))
    with pytest.raises(StatisticsError, match="never certain"):
        pool_groups([0.1, 0.2, 0.3, 0.4], np.diag([1.0, 1, 1, 0]))


# ---------------------------------------------------------------------- the covariance of groups that share images


def outcomes(seed: int, images: int, groups: int, unequal: bool = False) -> tuple[Array, Array, Array, Array]:
    """(d, image, group, prompt), an image's differences alike under every group."""
    rng = np.random.default_rng(seed)
    tilt = rng.normal(size=images)
    d, image, group, prompt = [], [], [], []
    for i in range(images):
        for g in range(groups):
            for p in range(int(rng.integers(1, 6)) if unequal else PROMPTS):
                score = tilt[i] + rng.normal() + 0.3 * g
                d.append(float(score > 1) - float(score < -1))
                image.append(i)
                group.append(g)
                prompt.append(p)
    return np.array(d), np.array(image), np.array(group), np.array(prompt)


@pytest.mark.parametrize("unequal", [False, True])
def test_each_variance_is_that_of_the_groups_own_interval(unequal: bool) -> None:
    d, image, group, prompt = outcomes(1, 25, 5, unequal)
    for prompts in ("fixed", "random"):
        found = group_differences(d, image, group, prompt=prompt, prompts=prompts)  # type: ignore[arg-type]
        for g in range(5):
            own = group == g
            one = difference_interval(d[own], image[own], prompt=prompt[own], prompts=prompts)  # type: ignore[arg-type]
            assert found.y[g] == one.value
            assert found.n[g] == own.sum()
            assert found.clusters[g] == 25
            assert one.low is not None
            assert one.high is not None
            if prompts == "fixed" and not unequal:
                half = -float(stdtrit(24, 0.025)) * found.covariance[g, g] ** 0.5
                assert (one.high - one.low) / 2 == pytest.approx(half)
                assert found.df == pytest.approx(24)
        assert np.linalg.eigvalsh(found.covariance).min() > -1e-12
        off = found.covariance[~np.eye(5, dtype=bool)]
        assert (off > 0).mean() > 0.9  # images that are easy for one editor are easy for the others
    assert found.df < 24  # five prompts as a sample


def test_covariance_by_hand() -> None:
    """Two groups, three images of one edit each: residuals -2/3, 1/3, 1/3 and 1/3, 1/3, -2/3 over 3, times 3/2."""
    d = [0, 1, 1, 1, 1, 0]
    found = group_differences(d, [0, 1, 2] * 2, [0, 0, 0, 1, 1, 1])
    assert found.covariance[0, 1] == pytest.approx((-2 / 9 + 1 / 9 - 2 / 9) / 9 * 1.5)
    apart = group_differences(d, range(6), [0, 0, 0, 1, 1, 1])
    assert apart.covariance[0, 1] == 0


def test_no_discordant_pair_is_not_certainty() -> None:
    d, image, group, _ = outcomes(2, 20, 4)
    d[group == 2] = 0.0
    found = group_differences(d, image, group)
    assert found.covariance[2, 2] > 1e-4
    assert (found.covariance[2, [0, 1, 3]] == 0).all()


def test_rows_in_any_order() -> None:
    d, image, group, prompt = outcomes(4, 12, 4, unequal=True)
    order = np.random.default_rng(0).permutation(d.size)
    one = group_differences(d, image, group, prompt=prompt, prompts="random")
    other = group_differences(d[order], image[order], group[order], prompt=prompt[order], prompts="random")
    assert np.allclose(one.covariance, other.covariance, rtol=1e-12)
    assert (one.y == other.y).all()


def test_a_group_of_one_image_is_refused() -> None:
    with pytest.raises(StatisticsError, match="group 1: expected two images or more"):
        group_differences([1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 4))
def test_floored_and_smoothed_stay_positive_semidefinite(seed: int, k: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(rank, k)) * (rng.random(k) > 0.2)
    wanted = rng.uniform(0.05, 3, k)
    v = floored(u.T @ u, wanted)
    assert np.diagonal(v) == pytest.approx(wanted)
    assert np.linalg.eigvalsh(v).min() > -1e-10
    smooth = common_correlation(v)
    assert np.diagonal(smooth) == pytest.approx(wanted)
    assert np.linalg.eigvalsh(smooth).min() > -1e-10


def test_the_simulation_takes_the_covariance_that_ships() -> None:
    """Its sums by image are those of single differences: three runs, expanded to rows."""
    _, sums = draw(np.random.default_rng(5), 3, 4, 0.1, 0.5)
    y, v = estimates(sums, np.full(4, 40.0))
    for r in range(3):
        rows = []
        for i in range(sums.shape[1]):
            for g in range(4):
                total, square = (round(x) for x in sums[r, i, g])
                up = (square + total) // 2
                rows += [(d, i, g) for d in [1] * up + [-1] * (square - up) + [0] * (PROMPTS - square)]
        d, image, group = (np.array(x) for x in zip(*rows, strict=True))
        found = group_differences(d, image, group)
        assert found.y == pytest.approx(y[r])
        assert found.covariance == pytest.approx(v[r])


def test_many_data_sets_at_once_are_each_alone() -> None:
    pairs = [sample(seed, 5) for seed in range(6)]
    y, v = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    smooth, core = common_correlation(v), pooled_core(y, v)
    drawn, raised = shrunk_core(y, v, core), floored(v, np.full((6, 5), 2.0))
    for i in range(6):
        alone = pooled_core(y[i], v[i])
        assert smooth[i] == pytest.approx(common_correlation(v[i]))
        assert raised[i] == pytest.approx(floored(v[i], np.full(5, 2.0)))
        assert [x[i] for x in core] == pytest.approx([float(x) for x in alone])
        one = shrunk_core(y[i], v[i], alone)
        assert drawn.value[i] == pytest.approx(one.value)
        assert drawn.variance[i] == pytest.approx(one.variance)


def test_the_plain_mean_and_its_variance_by_hand() -> None:
    """y = 0, 1, 5; variances 1, 2, 3; covariances .5, 0, .1 of the pairs: s^2 = 7, c = .2."""
    v = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, 0.1], [0.0, 0.1, 3.0]])
    mean, variance = equal_weights([0.0, 1.0, 5.0], v)
    assert (mean, variance) == (2.0, pytest.approx(7 / 3 + 0.2))
    _, least = equal_weights(
        [1.0, 1.0, 1.0], v
    )  # no difference between groups: what their own variances leave
    assert least == pytest.approx((6 + 2 * 0.6) / 9)


def test_its_variance_is_right_on_average_whatever_the_groups_variances_are() -> None:
    rng = np.random.default_rng(3)
    v = np.diag([0.2, 1.0, 1.0, 9.0]) + 0.15
    y = rng.multivariate_normal(np.zeros(4), v + 0.4 * np.eye(4), size=40_000)
    mean, variance = equal_weights(y, np.broadcast_to(v, (40_000, 4, 4)))
    assert mean.var() == pytest.approx((v.sum() + 1.6) / 16, rel=0.03)
    spread = y.var(axis=1, ddof=1) / 4 + 0.15
    assert spread.mean() == pytest.approx(mean.var(), rel=0.03)
    assert (variance >= spread).all()


def test_an_editor_of_two_images_does_not_take_the_degrees_of_freedom() -> None:
    """Kish: images 1, 2 count (1/2 + 5/40)/6 each, the other 38 (5/40)/6 each: .0434 + .0165 = 1/26.2."""
    rng = np.random.default_rng(4)
    image = np.concatenate([np.tile(np.repeat(np.arange(40), 5), 5), np.repeat(np.arange(2), 5)])
    group = np.concatenate([np.repeat(np.arange(5), 200), np.full(10, 5)])
    found = group_differences(rng.integers(-1, 2, image.size), image, group)
    shares = np.array([(0.5 + 5 / 40) / 6] * 2 + [5 / 40 / 6] * 38)
    assert found.df == pytest.approx(1 / (shares**2).sum() - 1)
    assert found.df > 20

"""Clustered least squares against dense matrices, clubSandwich's closed forms for a mean, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.stats import t as student

from isr.errors import StatisticsError
from isr.stats.regression import Fit, clustered_fit, coefficients, independent_columns
from isr.stats.variance import cr1_variance, cr2_variance, small_sample

Array = NDArray[np.float64]
SIZES = np.array([1, 2, 2, 3, 4, 5, 7, 9, 4, 3])


def sample(seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """(y, x, cluster, weights); a constant, a column of clusters, a column of edits."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(SIZES.size), SIZES)
    n = cluster.size
    x = np.column_stack([np.ones(n), (cluster % 2).astype(np.float64), rng.normal(size=n)])
    y = (rng.normal(size=n) + rng.normal(size=SIZES.size)[cluster] > 0).astype(np.float64)
    return y, x, cluster, rng.uniform(0.5, 3, n)


def dense(y: Array, x: Array, cluster: Array, w: Array, correction: str) -> tuple[Array, Array, Array]:
    """The same by n x n matrices, written from Pustejovsky and Tipton (2018), eqs. 5, 8 and 11, with Phi = I."""
    n, g = y.size, int(cluster.max()) + 1
    big_w = np.diag(w)
    m = np.linalg.inv(x.T @ big_w @ x)
    beta = m @ x.T @ big_w @ y
    rest = np.eye(n) - x @ m @ x.T @ big_w
    e = rest @ y
    meat, p = np.zeros((x.shape[1],) * 2), np.zeros((x.shape[1], n, g))
    for c in range(g):
        pick = np.eye(n)[cluster == c]
        a = np.eye(pick.shape[0])
        if correction == "CR2":
            a = np.real(np.linalg.inv(sqrtm(pick @ rest @ rest.T @ pick.T)))
        lifted = pick.T @ a @ pick @ big_w @ x @ m
        score = lifted.T @ e
        meat += np.outer(score, score)
        p[:, :, c] = (rest.T @ lifted).T
    if correction == "CR1":
        meat *= g / (g - 1)
    df = []
    for j in range(x.shape[1]):
        values = np.linalg.eigvalsh(p[j].T @ p[j])
        df.append(values.sum() ** 2 / (values**2).sum())
    return beta, np.sqrt(np.diagonal(meat)), np.array(df)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("correction", ["CR0", "CR1", "CR2"])
def test_against_dense_matrices(correction: str, weighted: bool) -> None:
    y, x, cluster, w = sample()
    found = clustered_fit(y, x, cluster, weights=w if weighted else None, correction=correction)  # type: ignore[arg-type]
    beta, se, df = dense(y, x, cluster, w if weighted else np.ones(y.size), correction)
    assert found.coefficient == pytest.approx(beta, rel=1e-9)
    assert found.se == pytest.approx(se, rel=1e-9)
    assert found.df == pytest.approx(df, rel=1e-9)


def test_a_mean_is_clubsandwichs_closed_form() -> None:
    """Its tests (test_intercept_formulas.R) state standard errors and degrees of freedom of ``lm(Y ~ 1)`` in closed form."""
    y, _, cluster, _ = sample(2)
    n, m = y.size, SIZES.astype(np.float64)
    means = np.bincount(cluster, weights=y) / m
    squares = m**2 * (means - y.mean()) ** 2
    ones = np.ones((n, 1))
    forms = {
        "CR0": (squares.sum() / n**2, (n**2 - (m**2).sum()) ** 2 / (n**2 * (m**2).sum() - 2 * n * (m**3).sum() + (m**2).sum() ** 2)),
        "CR2": (
            (squares / (1 - m / n)).sum() / n**2,
            n**2
            / (n**2 * (m**2 / (n - m) ** 2).sum() - 2 * n * (m**3 / (n - m) ** 2).sum() + (m**2 / (n - m)).sum() ** 2),
        ),
    }  # fmt: skip
    for name, (variance, df) in forms.items():
        found = clustered_fit(y, ones, cluster, correction=name)  # type: ignore[arg-type]
        assert found.se[0] ** 2 == pytest.approx(variance)
        assert found.df[0] == pytest.approx(df)
    one = clustered_fit(y, ones, cluster, correction="CR1")
    sums = np.bincount(cluster, weights=y)
    assert one.se[0] ** 2 == pytest.approx(float(cr1_variance(sums, m)))
    two = clustered_fit(y, ones, cluster)
    assert two.se[0] ** 2 == pytest.approx(float(cr2_variance(sums, m, small_sample(m))))


def test_weights_of_whole_numbers_are_no_more_edits() -> None:
    """The coefficients are those of repeated edits of a cluster; what is known of them is not more."""
    y, x, cluster, _ = sample(3)
    w = np.random.default_rng(1).integers(1, 4, y.size)
    found = clustered_fit(y, x, cluster, weights=w)
    again = clustered_fit(np.repeat(y, w), np.repeat(x, w, axis=0), np.repeat(cluster, w), correction="CR0")
    assert found.coefficient == pytest.approx(again.coefficient)
    assert clustered_fit(y, x, cluster, weights=w, correction="CR0").se == pytest.approx(again.se)
    assert clustered_fit(y, x, cluster, weights=7.0 * w).se == pytest.approx(found.se)  # only ratios count


def test_a_column_that_is_constant_in_an_image_that_has_it_alone_is_no_division_by_zero() -> None:
    """A level that one image has alone: H takes its direction whole, and the rest stays finite."""
    y, x, cluster, _ = sample(4)
    alone = np.column_stack([x, (cluster == 7).astype(np.float64)])
    found = clustered_fit(y, alone, cluster)
    assert np.isfinite(found.se).all()
    assert np.isfinite(found.df).all()
    assert found.df[3] < 4


def test_a_level_without_an_error_is_not_certain() -> None:
    """40 edits of 20 images: 8 errors of 20 under one level, none under the other."""
    cluster, level = np.repeat(np.arange(20), 2), np.repeat([0.0, 1.0], 20)
    y = np.zeros(40)
    y[[0, 2, 4, 6, 8, 10, 12, 14]] = 1  # one edit of each of eight images
    x = np.column_stack([np.ones(40), level])
    plain, found = (clustered_fit(y, x, cluster, floor=floor) for floor in (False, True))
    assert plain.coefficient[1] == found.coefficient[1] == pytest.approx(-0.4)
    alike = 8 * 0.6**2 + 12 * 0.4**2  # the squares of the residuals; over n - p it is the variance of an edit
    assert found.se[1] == pytest.approx((alike / 38 * (1 / 20 + 1 / 20)) ** 0.5)
    assert plain.se[1] < found.se[1]
    assert (plain.df == found.df).all()
    y, x, cluster, w = sample(6)
    own = clustered_fit(y, x, cluster, weights=w)
    weighted = clustered_fit(y, x, cluster, weights=w, floor=True)
    m = np.linalg.inv(x.T @ np.diag(w) @ x)
    residual = y - x @ own.coefficient
    alike = (w * residual**2).sum() / w.sum() * y.size / (y.size - 3)
    floors = np.sqrt(alike * np.diagonal(m @ x.T @ np.diag(w**2) @ x @ m))
    assert weighted.se == pytest.approx(np.maximum(own.se, floors))


def test_order_and_names_of_clusters_do_not_matter() -> None:
    y, x, cluster, w = sample(5)
    order = np.random.default_rng(2).permutation(y.size)
    one = clustered_fit(y, x, cluster, weights=w)
    other = clustered_fit(y[order], x[order], [f"image-{c}" for c in cluster[order]], weights=w[order])
    for a, b in zip(one, other, strict=True):
        assert a == pytest.approx(b, rel=1e-9)


def test_interval_and_p_value_by_scipy() -> None:
    fit = Fit(np.array([0.3, -0.2]), np.array([0.1, 0.2]), np.array([7.5, 3.0]))
    for one, value, se, df in zip(coefficients(fit, level=0.9), *fit, strict=True):
        half = student.ppf(0.95, df) * se
        assert (one.value, one.df) == (value, df)
        assert (one.low, one.high) == pytest.approx((value - half, value + half))
        assert one.p_value == pytest.approx(2 * student.sf(abs(value) / se, df))
    sure = coefficients(Fit(np.array([0.0, 1.0]), np.zeros(2), np.array([3.0, 3.0])))
    assert [c.p_value for c in sure] == [1.0, 0.0]


def test_collinear_columns_are_told_in_their_order() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30))
    x = np.column_stack(
        [np.ones(30), a, 3 * a - 2, b, a + b, np.full(30, 5.0), np.zeros(30), a + 1e-4 * rng.normal(size=30)]
    )
    assert independent_columns(x) == [True, True, False, True, False, False, False, True]


def test_what_cannot_be_fitted_is_an_error() -> None:
    y, x, cluster, w = sample()
    for bad, match in (
        ((y[:-1], x, cluster, w), "one row per edit"),
        ((y, x[:, 0], cluster, w), "one row per edit"),
        ((np.where(y > 0, np.nan, y), x, cluster, w), "finite"),
        ((y, x, cluster, np.where(w > 1, w, 0)), "weights above 0"),
        ((y, x, np.zeros_like(cluster), w), "two clusters"),
        ((y, np.column_stack([x, x[:, 1]]), cluster, w), "collinear"),
    ):
        with pytest.raises(StatisticsError, match=match):
            clustered_fit(bad[0], bad[1], bad[2], weights=bad[3])


@pytest.mark.proof
def test_degrees_of_freedom_hold_the_level_where_few_clusters_have_a_level() -> None:
    """Three of 15 images have the level: without an effect 5 % of samples claim one, and with t of 14 more than 8 %."""
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(15), 4)
    x = np.column_stack([np.ones(60), (cluster < 3).astype(np.float64)])
    claims = np.zeros(2)
    for _ in range(1_000):
        y = rng.normal(size=60) + rng.normal(size=15)[cluster]
        fit = clustered_fit(y, x, cluster)
        (_, one) = coefficients(fit)
        claims += one.p_value < 0.05, 2 * student.sf(abs(one.value) / fit.se[1], 14) < 0.05
    assert 25 <= claims[0] <= 75
    assert claims[1] > 80

"""Least squares with errors clustered on the image: CR2 of Bell and McCaffrey (2002) and its degrees of freedom."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.independent import upper_tail
from isr.stats.rows import codes
from isr.stats.special import stdtr, stdtrit
from isr.types import Floats, Ints

Correction = Literal["CR0", "CR1", "CR2"]
ALONE = 1e-8
"""A column whose part that the columns before it do not explain is smaller than this share of it is collinear with them."""


class Fit(NamedTuple):
    """Coefficients (p,), their standard errors and degrees of freedom (p,)."""

    coefficient: Floats
    se: Floats
    df: Floats


class Coefficient(NamedTuple):
    """One coefficient with its interval and two-sided p-value."""

    value: float
    low: float
    high: float
    p_value: float
    df: float


def independent_columns(x: ArrayLike) -> list[bool]:
    """Whether each column (n, p) says something that those before it do not; a column of zeros does not.

    >>> independent_columns([[1, 2, 2, 0], [1, 2, 3, 0], [1, 2, 4, 0]])
    [True, False, True, False]
    """
    matrix = np.asarray(x, dtype=np.float64)
    basis = np.zeros((matrix.shape[0], 0))
    out = []
    for column in matrix.T:
        length = float(np.linalg.norm(column))
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)  # twice is enough (Kahan, Parlett 1980)
        alone = length > 0 and float(np.linalg.norm(rest)) > ALONE * length
        out.append(alone)
        if alone:
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
    return out


def clustered_fit(
    y: ArrayLike,
    x: ArrayLike,
    cluster: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    correction: Correction = "CR2",
    floor: bool = False,
) -> Fit:
    """Least squares of y (n,) on x (n, p), which holds its constant, with errors clustered; weighted by inverse chances of a label.

    ``V = M (sum_g X_g'W_g A_g e_g e_g'A_g W_g X_g) M``, ``M = (X'WX)^-1``. CR2: ``A_g`` is the inverse root of the part of
    ``(I - H)(I - H)'`` that belongs to the cluster, so that V is unbiased where edits are independent and alike (Bell and McCaffrey
    2002; with weights Pustejovsky and Tipton 2018). Degrees of freedom of each coefficient: Satterthwaite's under the same
    supposition, ``(sum s_g)^2 / sum s_gh^2``. CR0: ``A_g = I``; CR1: times ``G / (G - 1)``. floor: no standard error is below that of
    independent edits alike, as for rates: a level without any error is not certain. Raises ``StatisticsError`` for
    collinear columns or fewer than two clusters.

    >>> fit = clustered_fit([0, 0, 1, 1], [[1], [1], [1], [1]], [0, 0, 1, 1])
    >>> round(float(fit.coefficient[0]), 6), round(float(fit.se[0]), 6), round(float(fit.df[0]), 6)  # two images: half their difference
    (0.5, 0.5, 1.0)
    """
    values, matrix, group = np.asarray(y, np.float64), np.asarray(x, np.float64), codes(cluster)
    n = values.size
    weight = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    _check(values, matrix, group, weight)
    weighted = matrix * weight[:, None]
    inner = np.asarray(np.linalg.inv(matrix.T @ weighted), np.float64)
    outer = np.asarray(inner @ (weighted.T @ weighted) @ inner, np.float64)
    coefficient = inner @ (weighted.T @ values)
    residual = values - matrix @ coefficient
    rows = [np.flatnonzero(group == g) for g in range(int(group.max()) + 1)]
    roots = [
        _root(matrix, weight, inner, outer, at) if correction == "CR2" else np.eye(at.size) for at in rows
    ]
    lifted = [root @ weighted[at] @ inner for at, root in zip(rows, roots, strict=True)]  # (m_g, p)
    scores = np.array([residual[at] @ one for at, one in zip(rows, lifted, strict=True)])
    factor = len(rows) / (len(rows) - 1) if correction == "CR1" else 1.0
    variance = factor * (scores**2).sum(axis=0)
    if floor:
        alike = float((weight * residual**2).sum() / weight.sum()) * n / max(n - matrix.shape[1], 1)
        variance = np.maximum(variance, alike * np.diagonal(outer))
    return Fit(coefficient, np.sqrt(variance), _degrees(matrix, weighted, inner, rows, lifted))


def _check(y: Floats, x: Floats, group: Ints, weight: Floats) -> None:
    if x.ndim != 2 or not y.shape == group.shape == weight.shape == x.shape[:1]:
        raise StatisticsError(
            f"clustered_fit: expected one row per edit; found {y.shape}, {x.shape}, {group.shape}"
        )
    if not (
        np.isfinite(y).all() and np.isfinite(x).all() and np.isfinite(weight).all() and (weight > 0).all()
    ):
        raise StatisticsError(
            "clustered_fit: expected finite numbers, and weights above 0; drop the other edits"
        )
    if not y.size or int(group.max()) < 1:
        raise StatisticsError(
            "clustered_fit: expected two clusters or more: one has no variance between clusters"
        )
    if not all(independent_columns(x)):
        raise StatisticsError(
            "clustered_fit: x: expected columns of which none is collinear with those before it"
        )


def _root(x: Floats, weight: Floats, inner: Floats, outer: Floats, at: Ints) -> Floats:
    """The symmetric inverse root of the cluster's part of (I - H)(I - H)', H = X M X'W; directions that H takes whole count 0."""
    hat = x[at] @ inner @ x[at].T * weight[at]
    part = np.eye(at.size) - hat - hat.T + x[at] @ outer @ x[at].T
    values, vectors = np.linalg.eigh((part + part.T) / 2)
    kept = values > 1e-10
    power = np.where(kept, np.where(kept, values, 1.0) ** -0.5, 0.0)
    out: Floats = (vectors * power) @ vectors.T
    return out


def _degrees(x: Floats, weighted: Floats, inner: Floats, rows: list[Ints], lifted: list[Floats]) -> Floats:
    """``(sum_g s_gg)^2 / sum_gh s_gh^2`` of each coefficient, ``s_gh = p_g'p_h``, ``p_g = (I - H)' lifted_g``."""
    out = []
    for j in range(x.shape[1]):
        spread = np.zeros((x.shape[0], len(rows)))
        for g, (at, one) in enumerate(zip(rows, lifted, strict=True)):
            spread[at, g] = one[:, j]
        spread -= weighted @ (inner @ (x.T @ spread))
        product = spread.T @ spread
        out.append(float(np.trace(product) ** 2 / (product**2).sum()))
    return np.array(out, np.float64)


def coefficients(fit: Fit, *, level: float = 0.95) -> tuple[Coefficient, ...]:
    """Every coefficient with ``+- t_df se`` and its two-sided p-value.

    >>> (one,) = coefficients(Fit(np.array([2.0]), np.array([1.0]), np.array([1.0])))
    >>> round(one.p_value, 4), round(one.high, 2)  # 1/2 - atan(2)/pi, twice; t of one degree of freedom: 12.71
    (0.2952, 14.71)
    """
    tail = upper_tail(level)
    out = []
    for value, se, df in zip(fit.coefficient.tolist(), fit.se.tolist(), fit.df.tolist(), strict=True):
        half = -float(stdtrit(df, tail)) * se
        p = float(2 * stdtr(df, -abs(value) / se)) if se > 0 else float(value == 0)
        out.append(Coefficient(value, value - half, value + half, p, df))
    return tuple(out)

"""PPI++ (Angelopoulos, Duchi and Zrnic 2023): the judge's mean plus the mean error among labelled edits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.correction.core import (
    Core,
    arrange,
    check_probabilities,
    cluster_variance,
    divide,
    finish,
    label_df,
    label_worth,
    no_interval,
    zero_one,
)
from isr.errors import DesignError, StatisticsError
from isr.stats.rows import Interval
from isr.types import Bools, Floats, Ints


def ppi_lambda(human: ArrayLike, score: ArrayLike, rest: ArrayLike) -> float:
    """``Cov(Y, f) / ((1 + n/N_u) Var f)`` clipped to [0, 1] (Angelopoulos, Duchi and Zrnic 2023, PPI++).

    human, score: labels and scores of the labelled edits; rest: scores of the others. As in ppi_py, the
    covariance divides by n, the variance over all scores by N - 1. 0 where scores do not vary or none is left.

    >>> 0 <= ppi_lambda([1, 0, 1, 0], [1, 0, 1, 1], [1, 0, 0, 1]) <= 1
    True
    """
    y, f, u = (np.asarray(x, dtype=np.float64) for x in (human, score, rest))
    pooled = np.concatenate([f, u])
    if u.size == 0 or f.size == 0 or pooled.size < 2 or np.ptp(pooled) == 0:
        return 0.0
    covariance = float(((y - y.mean()) * (f - f.mean())).mean())
    return float(np.clip(covariance / ((1 + f.size / u.size) * pooled.var(ddof=1)), 0.0, 1.0))


class PPI(NamedTuple):
    """A prediction-powered mean of independent edits: estimate, lambda and standard error."""

    value: float
    lam: float
    se: float


def ppi_mean(
    human: ArrayLike, score: ArrayLike, rest: ArrayLike, *, lam: float | None = None, ddof: int = 1
) -> PPI:
    """``lambda mean(rest) + mean(human - lambda score)`` with the standard error of independent edits.

    The unclustered building block, for checks against other software; ``ddof=0`` is ppi_py's convention.

    >>> ppi_mean([1, 0, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], lam=1.0).value  # 3/4 plus no error
    0.75
    """
    y, f, u = (np.asarray(x, dtype=np.float64) for x in (human, score, rest))
    used = ppi_lambda(y, f, u) if lam is None else lam
    residual = y - used * f
    judged = used**2 * u.var(ddof=ddof) / u.size if used > 0 else 0.0
    value = (used * float(u.mean()) if used > 0 else 0.0) + float(residual.mean())
    return PPI(value, used, float(np.sqrt(judged + residual.var(ddof=ddof) / residual.size)))


def ppi_core(
    score: Floats,
    human: Floats,
    labelled: Bools,
    starts: Ints,
    *,
    probability: Floats | None = None,
    prior: float = 0.5,
) -> Core:
    """Clustered PPI++: ``theta = lambda f_u + mean_L(Y - lambda f)`` with lambda of :func:`ppi_lambda`.

    score, human, labelled: (..., n). ``phi_i = (1 - L_i) lambda (f_i - f_u)/N_u + L_i (Y_i - lambda f_i - r)/n``.
    Floored at the variance of independent edits, whose residual part is smoothed by half an observation so
    that a judge without error in the sample does not give a zero width. Valid for labels drawn at random, or
    with known ``probability`` (labels count 1/pi and f_u becomes the mean score of all edits).

    >>> score, human, labelled = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 0, 0]), np.array([True] * 4)
    >>> float(ppi_core(score, human, labelled, np.arange(4)).value)
    0.25
    """
    total = score.shape[-1]
    weight = labelled.astype(np.float64) if probability is None else labelled / probability
    other = (~labelled).astype(np.float64) if probability is None else np.ones(score.shape)
    n, rest = weight.sum(axis=-1), other.sum(axis=-1)
    worth = divide(n**2, (weight * weight).sum(axis=-1))
    mean_y = divide((weight * human).sum(axis=-1), n)
    mean_f = divide((weight * score).sum(axis=-1), n)
    covariance = divide((weight * human * score).sum(axis=-1), n) - mean_y * mean_f
    pooled = score.var(axis=-1, ddof=1) if total > 1 else np.zeros(score.shape[:-1])
    lam = np.clip(divide(covariance, (1 + divide(worth, rest)) * pooled), 0.0, 1.0)
    lam = np.where(rest > 0, lam, 0.0)
    f_u = divide((other * score).sum(axis=-1), rest)
    residual = human - lam[..., None] * score
    r = mean_y - lam * mean_f
    value = np.where(n > 0, lam * f_u + r, np.nan)
    left, right = other * (score - f_u[..., None]), weight * (residual - r[..., None])
    phi = left * divide(lam, rest)[..., None] + right * divide(np.ones_like(n), n)[..., None]
    squares = divide((weight * (residual - r[..., None]) ** 2).sum(axis=-1), n) * worth
    floor = lam**2 * divide((left**2).sum(axis=-1), rest**2) + divide((squares + 0.5) / (worth + 1), worth)
    smooth = (value * worth + prior) / (worth + 1)
    df, worth_of = label_df(labelled, starts), label_worth(weight, starts)
    spread_of = np.maximum(cluster_variance(phi, starts), floor)
    return Core(value, smooth, spread_of, df, worth_of)


def ppi_rate(
    score: ArrayLike,
    human: ArrayLike,
    labelled: ArrayLike,
    image: ArrayLike,
    *,
    probabilities: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """The people's rate by clustered PPI++ from a graded score in [0, 1]; see :func:`ppi_core`.

    Valid only for labels drawn at random (or with known ``probabilities``): never within verdict.

    >>> ppi_rate([1, 1, 0, 0], [1, 0, 0, 0], [True] * 4, list('abcd')).value  # all are labelled: people's rate
    0.25
    """
    where = "ppi"
    rows = arrange(where, score, human, labelled, image)
    text = "PPI++, logit-t, clustered by image_id"
    if rows.judge.size == 0:
        return no_interval(None, text, 0, 0, "no edit: there is no rate")
    if not ((rows.judge >= 0) & (rows.judge <= 1)).all():
        raise StatisticsError(f"{where}: score: expected numbers in [0, 1]; divide by the top of the scale")
    zero_one(where, "human", rows.human)
    if not rows.labelled.any():
        raise DesignError(
            f"{where}: no label; PPI++ needs labels drawn at random from the test set: label some edits"
        )
    pi = check_probabilities(where, probabilities, rows)
    core = ppi_core(rows.judge, rows.human, rows.labelled, rows.starts, probability=pi)
    return finish(core, text, rows, level, (f"{int(rows.labelled.sum())} labels",))

"""Graded scores as probabilities: calibration maps, and how well calibrated a score is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.rows import codes
from isr.stats.special import expit, xlogy
from isr.types import Floats, Ints

Binning = Literal["width", "mass"]


def _pairs(where: str, score: ArrayLike, y: ArrayLike, *, probability: bool = False) -> tuple[Floats, Floats]:
    s, t = np.asarray(score, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if s.ndim != 1 or s.shape != t.shape or not np.isfinite(s).all():
        raise StatisticsError(f"{where}: expected one finite score and one label per edit")
    if not np.isin(t, (0.0, 1.0)).all():
        raise StatisticsError(f"{where}: y: expected 0 or 1 for every edit, found other values")
    if probability and s.size and not ((s >= 0) & (s <= 1)).all():
        raise StatisticsError(f"{where}: score: expected probabilities in [0, 1]; calibrate the score first")
    return s, t


# --------------------------------------------------------------------------- calibration maps


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A rising step fit: ``rate[k]`` at ``score[k]``, linear in between, constant outside."""

    score: Floats
    rate: Floats

    def __call__(self, score: ArrayLike) -> Floats:
        x = np.asarray(score, dtype=np.float64)
        return np.interp(x, self.score, self.rate).astype(np.float64)


def isotonic(score: ArrayLike, y: ArrayLike) -> Isotonic:
    """Isotonic regression of labels on scores (Barlow et al. 1972; pool adjacent violators, from scipy).

    >>> isotonic([0.1, 0.2, 0.3], [0, 1, 0])([0.1, 0.2, 0.3]).tolist()  # the last two are pooled
    [0.0, 0.5, 0.5]
    """
    from scipy.optimize import isotonic_regression  # imported late: it loads all of scipy.optimize

    s, t = _pairs("isotonic", score, y)
    if s.size == 0:
        raise StatisticsError("isotonic: no labelled edit to learn from")
    at, index = np.unique(s, return_inverse=True)
    count = np.bincount(index).astype(np.float64)
    mean = np.bincount(index, weights=t) / count
    fit = isotonic_regression(mean, weights=count)
    return Isotonic(at, np.asarray(fit.x, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Platt:
    """``expit(slope * score + intercept)``; ``converged`` is false where labels separate perfectly."""

    slope: float
    intercept: float
    converged: bool

    def __call__(self, score: ArrayLike) -> Floats:
        out: Floats = expit(self.slope * np.asarray(score, dtype=np.float64) + self.intercept)
        return out


def platt(score: ArrayLike, y: ArrayLike, *, smooth: bool = True) -> Platt:
    """Logistic fit by Newton's method (Platt 1999; Lin, Lin and Weng 2007).

    smooth: Platt's targets ``(n1 + 1)/(n1 + 2)`` and ``1/(n0 + 2)``, which keep the fit finite; False is plain
    maximum likelihood. Labels of one class only: StatisticsError, there is nothing to learn.

    >>> curve = platt([0, 1, 2, 3], [0, 0, 1, 1])
    >>> bool(curve([3.0])[0] > curve([0.0])[0])
    True
    """
    s, t = _pairs("platt", score, y)
    ones = float(t.sum())
    if s.size == 0 or ones in (0.0, float(s.size)):
        raise StatisticsError("platt: labels of both classes are needed; label more edits")
    target = np.where(t == 1, (ones + 1) / (ones + 2), 1 / (s.size - ones + 2)) if smooth else t
    centre, scale = float(s.mean()), float(s.std()) or 1.0
    design = np.stack([(s - centre) / scale, np.ones(s.size)], axis=1)
    beta = np.array([0.0, np.log(ones / (s.size - ones))])
    converged = False
    for _ in range(100):
        p = expit(design @ beta)
        gradient = design.T @ (target - p)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-300))
        if float(np.abs(step).max()) < 1e-10:
            converged = bool(np.abs(beta).max() < 1e3)
            break
    return Platt(float(beta[0] / scale), float(beta[1] - beta[0] * centre / scale), converged)


def image_folds(image: ArrayLike, folds: int, *, rng: np.random.Generator) -> Ints:
    """Fold 0 .. folds-1 per edit; edits of one image share a fold, so that no image is on both sides.

    >>> sorted(set(image_folds(['a', 'a', 'b', 'c'], 3, rng=np.random.default_rng(0)).tolist()))
    [0, 1, 2]
    """
    group = codes(image)
    images = int(group.max()) + 1 if group.size else 0
    if not 2 <= folds <= images:
        raise StatisticsError(f"image_folds: expected 2 .. {images} folds for {images} images, found {folds}")
    out: Ints = (rng.permutation(images) % folds)[group].astype(np.int64)
    return out


def cross_fit(
    score: ArrayLike,
    y: ArrayLike,
    image: ArrayLike,
    *,
    fit: Callable[[ArrayLike, ArrayLike], Callable[[ArrayLike], Floats]] = isotonic,
    folds: int = 5,
    rng: np.random.Generator,
) -> Floats:
    """Calibrated probabilities (n,), each from a map learnt on other images only.

    >>> cross_fit([0, 1, 2, 3], [0, 0, 1, 1], list('abcd'), folds=2, rng=np.random.default_rng(0)).shape
    (4,)
    """
    s, t = _pairs("cross_fit", score, y)
    fold = image_folds(image, folds, rng=rng)
    out = np.empty_like(s)
    for f in range(folds):
        inside = fold == f
        out[inside] = fit(s[~inside], t[~inside])(s[inside])
    return out


# --------------------------------------------------------------------------- measures


class Bins(NamedTuple):
    """Per non-empty bin: edits, mean label, mean score."""

    n: Ints
    rate: Floats
    score: Floats


def calibration_curve(score: ArrayLike, y: ArrayLike, *, bins: int = 10, by: Binning = "width") -> Bins:
    """Reliability diagram. ``by="width"``: equal parts of [0, 1], closed on the right; ``"mass"``: quantiles.

    >>> [round(float(x), 2) for x in calibration_curve([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], bins=2)[1]]
    [0.0, 1.0]
    """
    s, t = _pairs("calibration_curve", score, y, probability=True)
    if bins < 1:
        raise StatisticsError(f"calibration_curve: bins: expected at least 1, found {bins}")
    if s.size == 0:
        return Bins(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    edges = inner if by == "width" else np.quantile(s, inner)
    index = np.searchsorted(edges, s)
    n = np.bincount(index, minlength=bins)
    keep = n > 0
    rate, mean = (np.bincount(index, weights=x, minlength=bins)[keep] / n[keep] for x in (t, s))
    return Bins(n[keep].astype(np.int64), rate, mean)


def expected_calibration_error(
    score: ArrayLike, y: ArrayLike, *, bins: int = 10, by: Binning = "width"
) -> float | None:
    """``sum_b n_b / N |rate_b - score_b|`` (Naeini, Cooper and Hauskrecht 2015); None without edits.

    It depends on the bins and is biased upwards in small samples; report it beside :func:`brier`.

    >>> expected_calibration_error([0.5, 0.5], [0, 1])  # one bin: half are 1
    0.0
    """
    table = calibration_curve(score, y, bins=bins, by=by)
    if table.n.size == 0:
        return None
    return float((table.n * np.abs(table.rate - table.score)).sum() / table.n.sum())


def brier(score: ArrayLike, y: ArrayLike) -> float | None:
    """Mean squared difference of probability and label (Brier 1950); None without edits.

    >>> brier([0.5, 0.8], [0, 1])  # (.25 + .04) / 2
    0.145
    """
    s, t = _pairs("brier", score, y, probability=True)
    return float(((s - t) ** 2).mean()) if s.size else None


class Murphy(NamedTuple):
    """``brier = reliability - resolution + uncertainty`` (Murphy 1973), exact over distinct scores."""

    brier: float
    reliability: float
    resolution: float
    uncertainty: float


def murphy(score: ArrayLike, y: ArrayLike) -> Murphy | None:
    """Murphy's decomposition over the distinct scores; None without edits.

    >>> murphy([0.5, 0.5], [0, 1])  # the rate everywhere: uncertainty alone
    Murphy(brier=0.25, reliability=0.0, resolution=0.0, uncertainty=0.25)
    """
    s, t = _pairs("murphy", score, y, probability=True)
    if s.size == 0:
        return None
    at, index = np.unique(s, return_inverse=True)
    n = np.bincount(index)
    rate, base = np.bincount(index, weights=t) / n, float(t.mean())
    reliability = float((n * (at - rate) ** 2).sum() / s.size)
    resolution = float((n * (rate - base) ** 2).sum() / s.size)
    return Murphy(float(((s - t) ** 2).mean()), reliability, resolution, base * (1 - base))


def log_loss(score: ArrayLike, y: ArrayLike) -> float | None:
    """Mean negative log likelihood; scores of 0 and 1 are moved by the smallest float step; None without edits.

    >>> round(log_loss([0.5], [1]) or 0, 4)  # log 2
    0.6931
    """
    s, t = _pairs("log_loss", score, y, probability=True)
    if s.size == 0:
        return None
    eps = float(np.finfo(np.float64).eps)
    p = np.clip(s, eps, 1 - eps)
    return float(-(xlogy(t, p) + xlogy(1 - t, 1 - p)).mean())

"""Two raters: their table of codes, and every coefficient of it.

A coefficient is a function of a table ``(..., K, K)``, rows the first rater. It is NaN where it is undefined, and it
broadcasts, so that leaving out each image in turn is one call.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.agreement.alpha import alpha_of_coincidences, ratio_or_nan
from isr.errors import StatisticsError
from isr.types import Floats, Ints

Weights = Literal["none", "linear", "quadratic"]


def confusion(a: ArrayLike, b: ArrayLike, *, classes: int = 2) -> Floats:
    """Table (K, K) of codes 0 .. K-1; ``table[i, j]`` counts edits that a calls i and b calls j.

    >>> confusion([0, 1, 1], [0, 1, 0]).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    first, second = codes_of("confusion", a, classes), codes_of("confusion", b, classes)
    if first.shape != second.shape:
        raise StatisticsError("confusion: expected one code of each rater per edit")
    counts = np.bincount(first * classes + second, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.float64)


def codes_of(where: str, values: ArrayLike, classes: int) -> Ints:
    x = np.asarray(values)
    if x.ndim != 1 or (x.size and (x.dtype.kind not in "buif" or (x != np.floor(x)).any())):
        raise StatisticsError(f"{where}: expected integer codes, one per edit")
    out = x.astype(np.int64)
    if ((out < 0) | (out >= classes)).any():
        raise StatisticsError(f"{where}: expected codes 0 .. {classes - 1}; drop undecided edits first")
    return out


def _shares(table: ArrayLike) -> tuple[Floats, Floats, Floats]:
    t = np.asarray(table, dtype=np.float64)
    p = ratio_or_nan(t, t.sum(axis=(-2, -1), keepdims=True) * np.ones_like(t))
    return p, p.sum(axis=-1), p.sum(axis=-2)


def _diagonal(p: Floats) -> Floats:
    out: Floats = np.trace(p, axis1=-2, axis2=-1)
    return out


def percent_agreement(table: ArrayLike) -> Floats:
    """Share of edits on which both say the same.

    >>> float(percent_agreement([[20, 5], [10, 15]]))  # 35 / 50
    0.7
    """
    return _diagonal(_shares(table)[0])


def _disagreement(size: int, weights: str) -> Floats:
    gap = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    if weights not in ("none", "linear", "quadratic"):
        raise StatisticsError(
            f"cohen_kappa: weights: expected 'none', 'linear' or 'quadratic', found {weights!r}"
        )
    return {"none": (gap > 0).astype(np.float64), "linear": gap, "quadratic": gap**2}[weights]


def cohen_kappa(table: ArrayLike, *, weights: Weights = "none") -> Floats:
    """``1 - sum w p_ij / sum w p_i. p_.j`` (Cohen 1960, 1968); NaN where no disagreement is possible.

    >>> round(float(cohen_kappa([[20, 5], [10, 15]])), 4)  # (.7 - .5) / (1 - .5)
    0.4
    """
    p, rows, columns = _shares(table)
    w = _disagreement(p.shape[-1], weights)
    expected = (w * rows[..., :, None] * columns[..., None, :]).sum(axis=(-2, -1))
    return 1 - ratio_or_nan((w * p).sum(axis=(-2, -1)), expected)


class KappaError(NamedTuple):
    """Large-sample standard errors of independent edits: in general, and if the true kappa is 0."""

    se: float | None
    se0: float | None


def kappa_standard_error(table: ArrayLike, *, weights: Weights = "none") -> KappaError:
    """Fleiss, Cohen and Everitt (1969), for edits taken as independent; None where kappa is undefined.

    >>> round(kappa_standard_error([[20, 5], [10, 15]]).se, 4)
    0.127
    """
    p, rows, columns = _shares(table)
    n = float(np.asarray(table, dtype=np.float64).sum())
    w = _disagreement(p.shape[-1], weights)
    agree = 1 - w / max(float(w.max()), 1.0)
    po = float((agree * p).sum())
    chance = np.outer(rows, columns)
    pe = float((agree * chance).sum())
    if not n or not pe < 1:
        return KappaError(None, None)
    kappa = (po - pe) / (1 - pe)
    margin = (agree @ columns)[:, None] + (rows @ agree)[None, :]
    full = (p * (agree - margin * (1 - kappa)) ** 2).sum() - (kappa - pe * (1 - kappa)) ** 2
    null = (chance * (agree - margin) ** 2).sum() - pe**2
    return KappaError(*(float(np.sqrt(max(v, 0.0) / n) / (1 - pe)) for v in (full, null)))


def scott_pi(table: ArrayLike) -> Floats:
    """Chance agreement from the mean marginals (Scott 1955); NaN where only one class occurs.

    >>> round(float(scott_pi([[20, 5], [10, 15]])), 4)  # chance .55^2 + .45^2 = .505
    0.3939
    """
    p, rows, columns = _shares(table)
    pe = (((rows + columns) / 2) ** 2).sum(axis=-1)
    return 1 - ratio_or_nan(1 - _diagonal(p), 1 - pe)


def gwet_ac1(table: ArrayLike) -> Floats:
    """AC1 (Gwet 2008): chance agreement ``sum_k pi_k (1 - pi_k) / (q - 1)``, ``pi_k`` the mean marginals.

    >>> round(float(gwet_ac1([[20, 5], [10, 15]])), 4)  # chance 2 * .55 * .45 = .495
    0.4059
    """
    p, rows, columns = _shares(table)
    pi = (rows + columns) / 2
    pe = (pi * (1 - pi)).sum(axis=-1) / (p.shape[-1] - 1)
    return 1 - ratio_or_nan(1 - _diagonal(p), 1 - pe)


def brennan_prediger(table: ArrayLike) -> Floats:
    """Chance agreement 1/q (Brennan and Prediger 1981); PABAK for two classes.

    >>> round(float(brennan_prediger([[20, 5], [10, 15]])), 4)  # chance 1/2
    0.4
    """
    p = _shares(table)[0]
    out: Floats = (_diagonal(p) - 1 / p.shape[-1]) / (1 - 1 / p.shape[-1])
    return out


def krippendorff_nominal(table: ArrayLike) -> Floats:
    """Nominal alpha of two raters without missing ratings; NaN where only one class occurs.

    >>> round(float(krippendorff_nominal([[20, 5], [10, 15]])), 4)  # 1 - 99 * 30 / (2 * 55 * 45)
    0.4
    """
    t = np.asarray(table, dtype=np.float64)
    return alpha_of_coincidences(t + np.swapaxes(t, -1, -2), np.arange(t.shape[-1], dtype=np.float64))


def matthews(table: ArrayLike) -> Floats:
    """Matthews correlation of a 2 x 2 table; NaN where a rater uses one class only.

    >>> round(float(matthews([[20, 5], [10, 15]])), 4)  # (300 - 50) / sqrt(25 * 25 * 30 * 20)
    0.4082
    """
    t = np.asarray(table, dtype=np.float64)
    if t.shape[-2:] != (2, 2):
        raise StatisticsError("matthews: expected a 2 x 2 table")
    margins = t.sum(axis=-1).prod(axis=-1) * t.sum(axis=-2).prod(axis=-1)
    determinant = t[..., 1, 1] * t[..., 0, 0] - t[..., 0, 1] * t[..., 1, 0]
    return ratio_or_nan(determinant, np.sqrt(margins))


def recalls(table: ArrayLike) -> Floats:
    """(..., K): share of edits that the ROW rater calls k on which the column rater agrees; NaN where none.

    >>> recalls([[20, 5], [10, 15]]).tolist()  # 20/25, 15/25
    [0.8, 0.6]
    """
    t = np.asarray(table, dtype=np.float64)
    return ratio_or_nan(np.diagonal(t, axis1=-2, axis2=-1).astype(np.float64), t.sum(axis=-1))

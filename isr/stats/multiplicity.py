"""Adjusted p-values and levels of a family of comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.types import Floats


def _p_values(p: ArrayLike) -> Floats:
    x = np.asarray(p, dtype=np.float64)
    if x.ndim != 1 or not ((x >= 0) & (x <= 1)).all():
        raise StatisticsError(
            "p-values: expected a list of numbers in [0, 1]; leave out comparisons without one"
        )
    return x


def bonferroni(p: ArrayLike) -> Floats:
    """Adjusted p-values ``min(1, m p)``.

    >>> bonferroni([0.01, 0.04]).tolist()  # times 2
    [0.02, 0.08]
    """
    x = _p_values(p)
    return np.minimum(1.0, x * x.size)


def holm(p: ArrayLike) -> Floats:
    """Adjusted p-values of a declared family (Holm 1979): step-down, controls the family-wise error.

    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    x = _p_values(p)
    order = np.argsort(x, kind="stable")
    stepped = np.maximum.accumulate(x[order] * np.arange(x.size, 0, -1))
    out = np.empty_like(x)
    out[order] = np.minimum(1.0, stepped)
    return out


HOLM = "holm:missing=1"
"""How :func:`holm_family` adjusts, as a signature says it."""


def holm_family(p: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's adjusted p-values over a whole declared family, in its order; ``None`` where a member has no p-value.

    A member that could not be tested counts as p = 1: the family is what was declared before the data were seen, so
    a comparison that the data made impossible lends nothing to the others (conservative). Every family of this
    package is adjusted here, and its signature says so (:data:`HOLM`).

    >>> holm_family([0.01, None])  # the family has two members
    (0.02, None)
    """
    adjusted = holm([1.0 if x is None else x for x in p]).tolist()
    return tuple(None if x is None else a for x, a in zip(p, adjusted, strict=True))


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Adjusted p-values for exploratory slices (Benjamini and Hochberg 1995): false discovery rate.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.04, 0.04]
    """
    return _step_up(_p_values(p), 1.0)


def benjamini_yekutieli(p: ArrayLike) -> Floats:
    """As :func:`benjamini_hochberg`, valid under any dependence (Benjamini and Yekutieli 2001).

    >>> benjamini_yekutieli([0.01, 0.04]).round(4).tolist()  # Hochberg's times 1 + 1/2
    [0.03, 0.06]
    """
    x = _p_values(p)
    return _step_up(x, float((1 / np.arange(1, x.size + 1)).sum()))


def _step_up(x: Floats, factor: float) -> Floats:
    order = np.argsort(x, kind="stable")
    raw = x[order] * x.size * factor / np.arange(1, x.size + 1)
    out = np.empty_like(x)
    out[order] = np.minimum(1.0, np.minimum.accumulate(raw[::-1])[::-1])
    return out


def simultaneous_level(level: float, family: int) -> float:
    """Level of each of ``family`` intervals so that all hold together with at least ``level`` (Bonferroni).

    >>> round(simultaneous_level(0.95, 5), 4)  # 1 - .05 / 5
    0.99
    """
    if family < 1:
        raise StatisticsError(f"simultaneous_level: family: expected at least 1 comparison, found {family}")
    return 1 - (1 - level) / family

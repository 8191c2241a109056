"""Krippendorff's alpha, from coincidences of ratings."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.types import Floats

Metric = Literal["nominal", "ordinal", "interval", "ratio"]
MISSING = -1
"""Code of "no rating"."""


def ratio_or_nan(a: Floats, b: Floats) -> Floats:
    out: Floats = np.where(b > 0, a / np.where(b > 0, b, 1.0), np.nan)
    return out


def coincidences(counts: ArrayLike) -> Floats:
    """Krippendorff's coincidences (n, K, K) per edit; edits with fewer than two ratings give zeros."""
    t = np.asarray(counts, dtype=np.float64)
    m = t.sum(axis=1)
    pairs = t[:, :, None] * t[:, None, :] - t[:, :, None] * np.eye(t.shape[1])
    out: Floats = np.where(m[:, None, None] >= 2, pairs / np.maximum(m - 1, 1.0)[:, None, None], 0.0)
    return out


def alpha_of_coincidences(table: ArrayLike, values: Floats, *, metric: Metric = "nominal") -> Floats:
    """``1 - (n - 1) sum o_ck delta_ck / sum n_c n_k delta_ck`` (Krippendorff 2011); NaN if one value occurs.

    table: coincidences (..., K, K); values (K,) in rising order, used by the interval and ratio metrics.
    """
    o = np.asarray(table, dtype=np.float64)
    n_c = o.sum(axis=-1)
    n = n_c.sum(axis=-1)
    delta = _delta(n_c, values, metric)
    expected = (n_c[..., :, None] * n_c[..., None, :] * delta).sum(axis=(-2, -1))
    return 1 - ratio_or_nan((n - 1) * (o * delta).sum(axis=(-2, -1)), expected)


def _delta(n_c: Floats, values: Floats, metric: str) -> Floats:
    """Squared differences (..., K, K) of the metric; the ordinal one depends on how often values occur."""
    low, high = values[:, None], values[None, :]
    if metric == "nominal":
        return np.asarray(low != high, dtype=np.float64)
    if metric == "interval":
        return np.asarray((low - high) ** 2, dtype=np.float64)
    if metric == "ratio":
        total = np.abs(low + high)
        return np.where(total > 0, ((low - high) / np.where(total > 0, total, 1.0)) ** 2, 0.0)
    if metric != "ordinal":
        raise StatisticsError(f"krippendorff_alpha: unknown metric {metric!r}")
    middle = np.cumsum(n_c, axis=-1) - n_c / 2
    out: Floats = (middle[..., :, None] - middle[..., None, :]) ** 2
    return out

"""The cluster bootstrap: images are drawn again with all their edits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.independent import upper_tail
from isr.types import Floats, Ints

MANY_DISTINCT = 30
"""Multinomial weights pay while distinct rows are fewer than clusters divided by this."""

CACHE_BYTES = 2_000_000
"""Size of a block of drawn clusters."""


def cluster_bootstrap(
    sums: ArrayLike,
    statistic: Callable[[Floats], Floats],
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    max_bytes: int = 64_000_000,
) -> Floats:
    """``resamples`` bootstrap values of a statistic of sums, clusters drawn with replacement.

    sums: (G, K) per-cluster sums. statistic: maps summed columns (B, K) to (B,). The weights of one resample
    are multinomial; clusters with equal rows are exchangeable, so where there are few DISTINCT rows the weights
    are drawn for those only, with their frequencies, which is the same distribution at a fraction of the cost
    (Efron 1979; Field and Welsh 2007 for clusters). Otherwise clusters are drawn and their sums added up. Works
    in blocks of at most ``max_bytes``; no loop over resamples.

    >>> sums = np.array([[1, 2], [0, 2], [2, 2]])  # by image: failures, edits
    >>> draws = cluster_bootstrap(sums, lambda s: s[..., 0] / s[..., 1], rng=np.random.default_rng(0), resamples=500)
    >>> bool(((draws >= 0) & (draws <= 1)).all())
    True
    """
    table = np.asarray(sums, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 2:
        raise StatisticsError(
            f"cluster_bootstrap: expected per-cluster sums of shape (G, K) with G >= 2, found {table.shape}"
        )
    groups = table.shape[0]
    rows, counts = _distinct_rows(table)
    few = counts.size * MANY_DISTINCT < groups
    per_resample = 16 * (counts.size if few else groups)
    # blocks of drawn clusters that stay in the cache are read twice as fast as larger ones
    step = max(1, (max_bytes if few else min(max_bytes, CACHE_BYTES)) // per_resample)
    blocks = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        if few:
            total = rng.multinomial(groups, counts / groups, size=size).astype(np.float64) @ rows
        else:
            drawn = rng.integers(0, groups, size=(size, groups))
            total = np.stack([column[drawn].sum(axis=1) for column in table.T], axis=1)
        blocks.append(np.asarray(statistic(total), dtype=np.float64))
    return np.concatenate(blocks)


def _distinct_rows(table: Floats) -> tuple[Floats, Ints]:
    """The distinct rows in sorted order and how often each occurs."""
    ordered = table[np.lexsort(table.T[::-1])]
    new = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    return ordered[new], np.diff(np.append(new, table.shape[0])).astype(np.int64)


def percentile_interval(draws: ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """The two tail quantiles of bootstrap values (Efron 1979).

    >>> low, high = percentile_interval(np.arange(101.0), level=0.9)
    >>> round(float(low), 6), round(float(high), 6)
    (5.0, 95.0)
    """
    low, high = np.quantile(np.asarray(draws, dtype=np.float64), [upper_tail(level), 1 - upper_tail(level)])
    return float(low), float(high)

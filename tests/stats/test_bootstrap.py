"""The cluster bootstrap: one seed gives one answer, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from isr.errors import StatisticsError
from isr.stats.bootstrap import cluster_bootstrap
from isr.stats.rate import rate_interval
from tests.stats.rate_samples import ratio


def test_bootstrap_same_seed_same_digits_and_memory_bound() -> None:
    table = np.stack([np.arange(50.0), np.full(50, 60.0)], axis=1)
    one = cluster_bootstrap(table, ratio, rng=np.random.default_rng(1), resamples=500)
    two = cluster_bootstrap(table, ratio, rng=np.random.default_rng(1), resamples=500)
    assert (one == two).all()
    small = cluster_bootstrap(table, ratio, rng=np.random.default_rng(1), resamples=500, max_bytes=1)
    assert small.size == 500
    found = rate_interval(
        [0, 1] * 50, np.arange(100) // 4, method="cluster-bootstrap", rng=np.random.default_rng(2)
    )
    assert "percentile bootstrap" in found.method
    with pytest.raises(StatisticsError, match="G >= 2"):
        cluster_bootstrap([[1.0, 2.0]], ratio, rng=np.random.default_rng(1))

"""Adjusted p values: their order, empty families, nonsense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.errors import StatisticsError
from isr.stats import multiplicity
from isr.stats.multiplicity import benjamini_hochberg, benjamini_yekutieli


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_values_are_ordered(p: list[float]) -> None:
    bonferroni, holm = multiplicity.bonferroni(p), multiplicity.holm(p)
    bh, by = benjamini_hochberg(p), benjamini_yekutieli(p)
    assert (holm <= bonferroni + 1e-15).all()
    assert (bh <= holm + 1e-12).all()
    assert (bh <= by + 1e-15).all()
    for adjusted in (bonferroni, holm, bh, by):
        assert (adjusted >= np.array(p) - 1e-15).all()
        assert (adjusted <= 1).all()
        order = np.argsort(p, kind="stable")
        assert (np.diff(adjusted[order]) >= -1e-15).all()


def test_adjusting_nothing_and_nonsense() -> None:
    assert multiplicity.holm([]).size == 0
    with pytest.raises(StatisticsError, match=r"\[0, 1\]"):
        multiplicity.holm([0.2, np.nan])

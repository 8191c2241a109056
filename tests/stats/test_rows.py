"""Rows: clusters as codes."""

from __future__ import annotations

import numpy as np
import pytest

from isr.errors import StatisticsError
from isr.stats.rows import codes


def test_codes_of_integers_and_strings() -> None:
    assert codes([5, 5, 9, 5]).tolist() == [0, 0, 1, 0]
    assert codes([10**12, -3]).tolist() == [1, 0]
    assert codes(["b", "a", "b"]).tolist() == [1, 0, 1]
    assert codes(["b", "b", "a"]).tolist() == [1, 1, 0]  # the order of rows does not matter
    assert codes(np.array([True, False])).tolist() == [1, 0]
    assert codes([]).size == 0
    with pytest.raises(StatisticsError, match="1-d"):
        codes([[1]])

"""Intervals for independent edits, against each other and at their ends."""

from __future__ import annotations

import numpy as np

from isr.stats.endpoints import korn_graubard
from isr.stats.independent import clopper_pearson, jeffreys


def test_korn_graubard_with_no_design_effect_is_clopper_pearson() -> None:
    kg = korn_graubard(0.1, 1.0, 30.0, 29.0)
    np.testing.assert_allclose(kg, clopper_pearson(3, 30), rtol=1e-12)


def test_jeffreys_ends() -> None:
    low, high = jeffreys([0, 20], 20)
    assert low[0] == 0.0
    assert high[1] == 1.0
    assert jeffreys(0, 20, ends=False)[0] > 0

"""Coefficients for two raters, against those for several."""

from __future__ import annotations

import numpy as np
import pytest

from isr.calibration.agreement.many_raters import chance_corrected, fleiss_kappa, rating_counts
from isr.calibration.agreement.two_raters import (
    brennan_prediger,
    cohen_kappa,
    confusion,
    gwet_ac1,
    krippendorff_nominal,
    percent_agreement,
    scott_pi,
)


def test_two_complete_raters_agree_with_the_table_functions() -> None:
    rng = np.random.default_rng(2)
    ratings = rng.integers(0, 3, (50, 2))
    table = confusion(ratings[:, 0], ratings[:, 1], classes=3)
    for coefficient, function in (
        ("gwet_ac1", gwet_ac1),
        ("scott_fleiss", scott_pi),
        ("brennan_prediger", brennan_prediger),
        ("krippendorff", krippendorff_nominal),
        ("conger", cohen_kappa),
    ):
        found = chance_corrected(ratings, coefficient, classes=3)  # type: ignore[arg-type]
        assert found.value == pytest.approx(float(function(table)))
    counts = rating_counts(ratings, classes=3)
    assert fleiss_kappa(counts) == pytest.approx(float(scott_pi(table)))
    assert float(percent_agreement(table)) == pytest.approx((ratings[:, 0] == ratings[:, 1]).mean())

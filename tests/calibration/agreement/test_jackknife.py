"""The jackknife over images, against the clustered standard error."""

from __future__ import annotations

import numpy as np
import pytest

from isr.calibration.agreement.jackknife import jackknife_interval


def test_jackknife_of_a_mean_is_its_clustered_standard_error() -> None:
    # deleting one of G equal groups: SE^2 = (G-1)/G sum (m_(g) - m)^2 = sum (m_g - m)^2 / (G (G-1))
    means = np.array([0.1, 0.4, 0.2, 0.3])
    replicates = (means.sum() - means) / 3
    low, high, reason = jackknife_interval(1.0, replicates)  # at 1 the plain scale is used
    se = (((means - means.mean()) ** 2).sum() / 12) ** 0.5
    assert reason == ""
    assert high == 1.0
    assert low == pytest.approx(1 - 3.182446 * se, abs=1e-6)


def test_jackknife_without_an_answer_says_so() -> None:
    assert jackknife_interval(0.5, [0.5])[2].startswith("one image")
    assert "undefined" in jackknife_interval(0.5, [0.5, np.nan])[2]
    assert "no spread" in jackknife_interval(1.0, [1.0, 1.0])[2]

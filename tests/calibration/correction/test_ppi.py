"""Prediction-powered rates: with all labels, and against the post-stratified estimator."""

from __future__ import annotations

import numpy as np
import pytest

from isr.calibration.correction.post_stratified import post_stratified_rate
from isr.calibration.correction.ppi import ppi_lambda, ppi_rate
from tests.calibration.correction.samples import ends, sample


def test_ppi_is_the_mean_of_labels_when_all_are_labelled() -> None:
    judge, _, _, image = sample()
    y = np.arange(200) % 3 == 0
    found = ppi_rate(judge, y, np.ones(200, dtype=bool), image)
    assert found.value == pytest.approx(y.mean())
    assert ppi_lambda([1, 0], [1, 0], []) == 0.0
    assert ppi_lambda([1, 0], [1, 1], [1]) == 0.0


def test_the_two_estimators_agree_on_a_binary_judge() -> None:
    """Chen et al. 2026: for binary outcomes tuned PPI++ and the post-stratified estimate coincide asymptotically."""
    judge, human, labelled, image = sample()
    a = post_stratified_rate(judge, human, labelled, image)
    b = ppi_rate(judge, human, labelled, image)
    assert a.value == pytest.approx(b.value, abs=0.01)
    np.testing.assert_allclose(ends(a), ends(b), atol=0.02)

"""Intraclass correlations without variance."""

from __future__ import annotations

import numpy as np

from isr.calibration.agreement.intraclass import ICC, intraclass_correlations


def test_intraclass_without_variance() -> None:
    assert set(intraclass_correlations(np.ones((4, 3))).values()) == {ICC(None, None, None)}

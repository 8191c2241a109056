"""Agreement of several raters: missing ratings, undefined cases, misuse."""

from __future__ import annotations

import numpy as np
import pytest

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.agreement.intraclass import intraclass_correlations
from isr.calibration.agreement.many_raters import (
    chance_corrected,
    fleiss_kappa,
    krippendorff_alpha,
    raters_agreement,
    rating_counts,
)
from isr.calibration.agreement.summary import human_ceiling, two_rater_agreement
from isr.calibration.agreement.two_raters import cohen_kappa, confusion, matthews
from isr.errors import StatisticsError
from tests.calibration.agreement.samples import PARADOX


def test_raters_agreement_with_missing_ratings() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 60)
    ratings = np.where(rng.random((60, 4)) < 0.85, truth[:, None], 1 - truth[:, None])
    ratings[rng.random((60, 4)) < 0.25] = MISSING
    found = raters_agreement(ratings, np.arange(60) // 4)
    numbers = np.where(ratings == MISSING, np.nan, ratings)
    assert found.alpha.value == pytest.approx(krippendorff_alpha(numbers))
    assert found.ac1.value == pytest.approx(chance_corrected(ratings, "gwet_ac1", classes=2).value)
    assert found.fleiss.value == pytest.approx(chance_corrected(ratings, "scott_fleiss", classes=2).value)
    for one in (found.alpha, found.ac1, found.fleiss):
        assert one.low < one.value < one.high  # type: ignore[operator]
    nobody = raters_agreement(np.full((5, 3), MISSING), np.arange(5))
    assert nobody.alpha.value is None


def test_alpha_of_one_value_or_no_pair_is_undefined() -> None:
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None
    assert krippendorff_alpha([[1, np.nan], [2, np.nan]]) is None
    assert krippendorff_alpha(np.full((3, 2), np.nan)) is None
    one = chance_corrected(np.ones((4, 2), dtype=int), "scott_fleiss", classes=2)
    assert one.value is None
    assert "one class" in one.reason
    assert chance_corrected(np.full((4, 2), -1), "gwet_ac1", classes=2).value is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: confusion([0, 2], [0, 1]), "codes 0 .. 1"),
        (lambda: confusion([0, 1], [0]), "one code of each"),
        (lambda: confusion([0.5], [1]), "integer codes"),
        (lambda: cohen_kappa(PARADOX, weights="cubic"), "quadratic"),  # type: ignore[arg-type]
        (lambda: matthews(np.ones((3, 3))), "2 x 2"),
        (lambda: rating_counts([[3]], classes=2), "codes -1 .. 1"),
        (lambda: fleiss_kappa([[1, 1], [3, 0]]), "same number"),
        (lambda: chance_corrected([[0, -1]], "conger", classes=2), "two ratings|conger"),
        (lambda: chance_corrected([[0, 1, -1]], "conger", classes=2), "conger needs every rating"),
        (lambda: chance_corrected([[0, 1]], "nonsense", classes=2), "unknown coefficient"),  # type: ignore[arg-type]
        (lambda: krippendorff_alpha([[1, 2]], metric="odd"), "unknown metric"),  # type: ignore[arg-type]
        (lambda: krippendorff_alpha([1, 2]), "shape"),
        (lambda: intraclass_correlations([[1, 2]]), "two targets"),
        (lambda: human_ceiling([0], [[1]], [0]), "two raters"),
        (lambda: two_rater_agreement([0, 1], [0, 1], [0]), "one image per edit"),
    ],
)
def test_misuse_is_named(call, words) -> None:
    if words.startswith("two ratings"):
        assert call().value is None
        return
    with pytest.raises(StatisticsError, match=words):
        call()

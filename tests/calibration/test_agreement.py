"""Agreement: coefficients against their definitions, clustered intervals, undefined cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.agreement.intraclass import ICC, intraclass_correlations
from isr.calibration.agreement.jackknife import jackknife_interval
from isr.calibration.agreement.many_raters import (
    chance_corrected,
    fleiss_kappa,
    krippendorff_alpha,
    raters_agreement,
    rating_counts,
)
from isr.calibration.agreement.summary import human_ceiling, two_rater_agreement
from isr.calibration.agreement.two_raters import (
    brennan_prediger,
    cohen_kappa,
    confusion,
    gwet_ac1,
    krippendorff_nominal,
    matthews,
    percent_agreement,
    scott_pi,
)
from isr.errors import StatisticsError

PARADOX = np.array(
    [[118.0, 5.0], [2.0, 0.0]]
)  # the table of Feinstein and Cicchetti's kind: po .944, kappa -.023


def rows_of(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(i, j) for i in range(2) for j in range(2) for _ in range(int(table[i, j]))]
    return np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])


def test_high_agreement_with_negative_kappa() -> None:
    judge, human = rows_of(PARADOX)
    found = two_rater_agreement(judge, human, np.arange(125) % 25)
    assert found.percent.value == pytest.approx(0.944)
    assert found.kappa.value == pytest.approx(-0.0234, abs=1e-4)
    assert found.ac1.value == pytest.approx(0.9408, abs=1e-4)
    assert found.sensitivity.value == pytest.approx(0.0)
    assert found.specificity.value == pytest.approx(118 / 120)
    assert found.prevalence.value == pytest.approx(5 / 125)
    assert found.table == ((118, 5), (2, 0))
    for name in ("percent", "kappa", "ac1", "alpha", "mcc", "sensitivity", "specificity", "prevalence"):
        one = getattr(found, name)
        assert one.low is not None, name
        assert one.low <= one.value <= one.high, name


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 7)), min_size=1, max_size=50))
def test_no_coefficient_is_nan_or_outside_its_range(rows) -> None:
    judge, human, image = (np.array([r[i] for r in rows]).astype(int) for i in range(3))
    found = two_rater_agreement(judge, human, image)
    for name in ("percent", "kappa", "ac1", "alpha", "mcc", "sensitivity", "specificity", "prevalence"):
        one = getattr(found, name)
        if one.value is None:
            assert (one.low, one.high) == (None, None)
            assert one.notes, name
        else:
            assert -1 <= one.value <= 1
            if one.low is None:
                assert one.notes, name
            else:
                assert -1 <= one.low <= one.high <= 1
                assert np.isfinite([one.low, one.high]).all()


def test_one_class_is_undefined_not_zero_or_one() -> None:
    found = two_rater_agreement(np.ones(20, dtype=int), np.ones(20, dtype=int), np.arange(20) // 4)
    for name in ("kappa", "alpha", "mcc", "specificity"):
        one = getattr(found, name)
        assert one.value is None, name
        assert one.notes, name
    assert found.percent.value == 1.0
    assert found.percent.low < 1.0  # type: ignore[operator]
    assert found.ac1.value == 1.0  # AC1 is defined here: chance agreement is 0
    assert found.ac1.low is None
    assert "no spread" in found.ac1.notes[0]


def test_no_edits() -> None:
    found = two_rater_agreement([], [], [])
    assert found.n == 0
    assert found.kappa.value is None
    assert found.percent.value is None


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


def test_clustered_intervals_cover_where_independent_ones_do_not() -> None:
    """Kappa 0.55 or so; all edits of an image share the judge's luck."""
    rng = np.random.default_rng(0)
    truth_rows = []
    hits = 0
    for _ in range(300):
        human = (rng.random((40, 5)) < 0.5).astype(int)
        right = rng.random((40, 1)) < rng.choice([0.55, 1.0], size=(40, 1))
        judge = np.where(right, human, 1 - human)
        truth_rows.append((judge == human).mean())
        found = two_rater_agreement(judge.ravel(), human.ravel(), np.repeat(np.arange(40), 5)).kappa
        hits += found.low <= 0.55 <= found.high  # type: ignore[operator]
    assert np.mean(truth_rows) == pytest.approx(0.775, abs=0.01)
    assert hits / 300 > 0.91


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


def test_alpha_of_one_value_or_no_pair_is_undefined() -> None:
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None
    assert krippendorff_alpha([[1, np.nan], [2, np.nan]]) is None
    assert krippendorff_alpha(np.full((3, 2), np.nan)) is None
    one = chance_corrected(np.ones((4, 2), dtype=int), "scott_fleiss", classes=2)
    assert one.value is None
    assert "one class" in one.reason
    assert chance_corrected(np.full((4, 2), -1), "gwet_ac1", classes=2).value is None


def test_human_ceiling_compares_on_the_same_edits() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 200)
    people = np.where(rng.random((200, 3)) < 0.9, truth[:, None], 1 - truth[:, None])
    judge = np.where(rng.random(200) < 0.7, truth, 1 - truth)
    image = np.arange(200) // 5
    found = human_ceiling(judge, people, image)
    assert found.gap.value == pytest.approx(found.judge.value - found.human.value)  # type: ignore[operator]
    assert found.gap.high < 0  # type: ignore[operator]
    # two others who agree are right in .81 of .82; a person of .9 agrees with them in .9 * .988 + .1 * .012 = .89
    assert found.human.value == pytest.approx(0.89, abs=0.04)
    same = human_ceiling(truth, np.stack([truth] * 3, axis=1), image)
    assert (same.judge.value, same.human.value, same.gap.value) == (1.0, 1.0, 0.0)
    two = human_ceiling(judge, people[:, :2], image)
    assert two.human.value == pytest.approx((people[:, 0] == people[:, 1]).mean())
    nobody = human_ceiling([0, 1], [[-1, -1], [-1, -1]], [0, 1])
    assert nobody.human.value is None
    assert nobody.gap.value is None


def test_intraclass_without_variance() -> None:
    assert set(intraclass_correlations(np.ones((4, 3))).values()) == {ICC(None, None, None)}


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

"""Agreement of two raters as a whole: undefined cases, ranges, clustered coverage, the human ceiling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.calibration.agreement.summary import human_ceiling, two_rater_agreement
from tests.calibration.agreement.samples import PARADOX


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

"""Post-stratified rates: by hand, mirrored, with partly and wholly labelled images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.calibration.correction.by_design import corrected_rate
from isr.calibration.correction.core import arrange
from isr.calibration.correction.post_stratified import post_stratified_core, post_stratified_rate
from isr.errors import DesignError, StatisticsError
from tests.calibration.correction.samples import ends, sample


def test_post_stratified_by_hand() -> None:
    # 10 edits judged 1 (labels 1 1 0), 30 judged 0 (labels 0 0 1 0): 0.25 * 2/3 + 0.75 * 1/4 = 0.354166
    judge = np.r_[np.ones(10), np.zeros(30)]
    human, labelled = np.zeros(40), np.zeros(40, dtype=bool)
    human[[0, 1, 12]] = 1
    labelled[[0, 1, 2, 10, 11, 12, 13]] = True
    found = post_stratified_rate(judge, human, labelled, np.arange(40) % 8)
    assert found.value == pytest.approx(0.25 * 2 / 3 + 0.75 / 4)
    assert any("7 labels" in note for note in found.notes)
    assert any("few labels" in note for note in found.notes)


def test_equal_inclusion_probabilities_change_nothing() -> None:
    judge, human, labelled, image = sample()
    plain = post_stratified_rate(judge, human, labelled, image)
    weighted = post_stratified_rate(judge, human, labelled, image, probabilities=np.full(200, 0.5))
    assert plain.value == pytest.approx(weighted.value, abs=1e-12)
    np.testing.assert_allclose(ends(plain), ends(weighted), atol=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_swapping_labels_mirrors_the_corrected_rate(seed: int) -> None:
    judge, human, labelled, image = sample(seed)
    one = post_stratified_rate(judge, human, labelled, image)
    two = post_stratified_rate(1 - judge, 1 - human, labelled, image)
    np.testing.assert_allclose(ends(one), [1 - ends(two)[1], 1 - ends(two)[0]], atol=1e-9)


def test_partly_labelled_images_share_one_sum() -> None:
    """The variance is G/(G-1) sum_g (sum phi)^2 with both terms of phi in the same image."""
    judge, human, labelled, image = sample()
    rows = arrange("test", judge, human, labelled, image)
    core = post_stratified_core(rows.judge.astype(int), rows.human, rows.labelled, rows.starts, 2)
    j, y, marks = rows.judge, rows.human, rows.labelled
    phi = np.zeros(200)
    theta = 0.0
    smooth = {}
    for v in (0.0, 1.0):
        own = marks & (j == v)
        smooth[v] = (y[own].sum() + 0.5) / (own.sum() + 1)
    centre = sum((j == v).mean() * smooth[v] for v in smooth)
    for v in (0.0, 1.0):
        own, share = marks & (j == v), (j == v).mean()
        theta += share * y[own].mean()
        phi[j == v] += (smooth[v] - centre) / 200
        phi[own] += (y[own] - y[own].mean()) * share / own.sum()
    variance = 40 / 39 * sum(phi[i : i + 5].sum() ** 2 for i in range(0, 200, 5))
    assert float(core.value) == pytest.approx(theta)
    assert float(core.variance) >= variance - 1e-15
    floor = sum((j == v).mean() * (smooth[v] - centre) ** 2 for v in smooth) / 200
    floor += sum(
        (j == v).mean() ** 2 * smooth[v] * (1 - smooth[v]) / (marks & (j == v)).sum() for v in smooth
    )
    assert float(core.variance) == pytest.approx(max(variance, floor))
    assert float(core.df) == np.unique(image[labelled]).size - 1


def test_whole_labelled_images_give_their_own_degrees_of_freedom() -> None:
    judge, human, _, image = sample()
    whole = image < 12
    human = np.where(whole, np.nan_to_num(human), 0.0)
    rows = arrange("test", judge, human, whole, image)
    assert float(post_stratified_core(rows.judge.astype(int), rows.human, whole, rows.starts, 2).df) == 11


def test_undecided_can_be_a_stratum_of_its_own() -> None:
    judge, human, labelled, image = sample()
    strata = np.where(np.arange(200) % 10 == 0, "undecided", np.where(judge == 1, "fails", "fine"))
    labelled[::10] = True
    human = np.where(labelled, np.nan_to_num(human), np.nan)
    found = post_stratified_rate(judge, human, labelled, image, strata=strata)
    assert "by stratum" in found.method
    with pytest.raises(DesignError, match="stratum undecided"):
        post_stratified_rate(judge, human, labelled & (strata != "undecided"), image, strata=strata)


def test_broken_arrays_are_named() -> None:
    judge, human, labelled, image = sample()
    with pytest.raises(StatisticsError, match="labelled: expected true or false"):
        post_stratified_rate(judge, human, labelled.astype(int), image)
    with pytest.raises(StatisticsError, match="has no label"):
        post_stratified_rate(judge, np.full(200, np.nan), labelled, image)
    with pytest.raises(StatisticsError, match="image: expected one entry per edit"):
        post_stratified_rate(judge, human, labelled, image[:5])
    with pytest.raises(StatisticsError, match="0 or 1"):
        post_stratified_rate(judge, np.where(labelled, 0.5, 0.0), labelled, image)
    for broken in (np.nan, 2.0):
        odd = judge.copy()
        odd[3] = broken
        for call in (
            lambda odd=odd: post_stratified_rate(odd, human, labelled, image),
            lambda odd=odd: corrected_rate(odd, human, labelled, image, label_design="within_verdict"),
            lambda odd=odd: corrected_rate(
                odd, human, labelled, image, label_design="random", estimator="ppi++"
            ),
        ):
            with pytest.raises(StatisticsError, match=r"judge: expected (0 or 1|a number)"):
                call()
    with pytest.raises(StatisticsError, match="strata: expected a name"):
        post_stratified_rate(judge, human, labelled, image, strata=np.where(judge == 1, np.nan, 0.0))
    with pytest.raises(StatisticsError, match="strata: expected a name"):
        post_stratified_rate(judge, human, labelled, image, strata=np.where(judge == 1, None, "a"))
    with pytest.raises(StatisticsError, match=r"score: expected numbers in \[0, 1\]"):
        corrected_rate(judge, human, labelled, image, label_design="random", score=judge * 100)
    with pytest.raises(StatisticsError, match=r"\(0, 1\]"):
        post_stratified_rate(judge, human, labelled, image, probabilities=np.full(200, 2.0))

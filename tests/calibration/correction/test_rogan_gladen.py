"""Rogan-Gladen rates: by hand, at the edge, with few images, without one kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.calibration.correction.by_design import corrected_rate
from isr.calibration.correction.paired import corrected_difference
from isr.calibration.correction.post_stratified import post_stratified_rate
from isr.calibration.correction.ppi import ppi_rate
from isr.calibration.correction.rogan_gladen import Calibration, rogan_gladen_rate
from isr.errors import DesignError, StatisticsError
from isr.stats.rate import rate_interval
from tests.calibration.correction.samples import IMAGE, ends

COUNTS = ("true_positives", "positives", "true_negatives", "negatives")


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.02, 0.98))
def test_a_perfect_judge_is_not_corrected(seed: int, p: float) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random(200) < p).astype(float)
    if y.min() == y.max():
        y[0] = 1 - y[0]
    labelled = np.zeros(200, dtype=bool)
    for v in (0, 1):
        where = np.flatnonzero(y == v)
        labelled[rng.permutation(where)[: max(1, where.size // 2)]] = True
    found = corrected_rate(y, y, labelled, IMAGE, label_design="within_verdict")
    assert found.value == pytest.approx(y.mean(), abs=1e-12)
    exact = rogan_gladen_rate(
        y,
        IMAGE,
        Calibration(true_positives=50, positives=50, true_negatives=50, negatives=50, label_design="random"),
    )
    assert exact.value == pytest.approx(y.mean(), abs=1e-12)
    # lambda of PPI++ trusts the judge only as far as N_u / N, but adds lambda f_u + (1 - lambda) mean_L(Y)
    difference = corrected_difference(y, 1 - y, y, 1 - y, labelled, IMAGE, label_design="within_verdict")
    assert difference.value == pytest.approx(2 * y.mean() - 1, abs=1e-12)


def test_rogan_gladen_by_hand() -> None:
    # p = 0.5, sensitivity 0.8, specificity 0.9: (0.5 + 0.9 - 1) / 0.7 = 0.571428
    judge = np.tile([1, 0], 100)
    for method in ("lee", "delta"):
        found = rogan_gladen_rate(
            judge,
            np.arange(200) // 4,
            Calibration(
                true_positives=80, positives=100, true_negatives=90, negatives=100, label_design="random"
            ),
            method=method,
        )  # type: ignore[arg-type]
        assert found.value == pytest.approx(0.4 / 0.7)
        low, high = ends(found)
        assert low < 0.4 / 0.7 < high


def test_an_uninformative_judge_gets_the_whole_unit_interval() -> None:
    found = rogan_gladen_rate(
        np.tile([1, 0], 100),
        np.arange(200) // 4,
        Calibration(
            true_positives=52, positives=100, true_negatives=50, negatives=100, label_design="random"
        ),
    )
    assert (found.value, found.low, found.high) == (None, 0.0, 1.0)
    assert "says nothing" in found.notes[0]
    rng = np.random.default_rng(0)
    noise, y = rng.integers(0, 2, 200).astype(float), rng.integers(0, 2, 200).astype(float)
    inside = corrected_rate(
        noise, y, rng.random(200) < 0.3, IMAGE, label_design="random", estimator="rogan-gladen"
    )
    assert (inside.value, inside.low, inside.high) == (None, 0.0, 1.0)


def test_lee_never_has_zero_width_nor_misses_its_estimate() -> None:
    judge = np.ones(500)
    judge[:10] = 0
    found = rogan_gladen_rate(
        judge,
        np.arange(500) // 5,
        Calibration(true_positives=72, positives=80, true_negatives=16, negatives=20, label_design="random"),
    )
    low, high = ends(found)
    assert found.value == 1.0
    assert low < 0.999
    assert high == 1.0


@pytest.mark.parametrize("method", ["lee", "delta"])
@pytest.mark.parametrize("value", [0, 1])
def test_outside_labels_are_no_surer_at_the_edge_than_the_plain_rate(method: str, value: int) -> None:
    """A judge without error in 1,000 labels and one verdict only: Lee gave [0, 2.2 %], delta [0, 0]."""
    table = Calibration(
        true_positives=500, positives=500, true_negatives=500, negatives=500, label_design="random"
    )
    found = rogan_gladen_rate(np.full(200, value), IMAGE, table, method=method)  # type: ignore[arg-type]
    low, high = ends(found)
    plain = ends(rate_interval(np.full(200, value), IMAGE))
    assert found.value == value
    if method == "lee":
        assert high - low > 0.95 * (plain[1] - plain[0])
    else:
        assert high - low > 0.6 * (plain[1] - plain[0])
    assert found.design_effect == pytest.approx(3.0)  # supposed: 1 + (5 - 1) / 2


def test_few_calibration_images_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    judge = (rng.random(200) < 0.4).astype(float)
    widths = []
    for images in (None, 100, 8, 3):
        low, high = ends(
            rogan_gladen_rate(
                judge,
                IMAGE,
                Calibration(
                    true_positives=40,
                    positives=50,
                    true_negatives=45,
                    negatives=50,
                    label_design="random",
                    images=images,
                ),
            )
        )
        widths.append(high - low)
    assert widths[0] == widths[1] < widths[2] < widths[3]
    one = rogan_gladen_rate(
        judge,
        IMAGE,
        Calibration(
            true_positives=40, positives=50, true_negatives=45, negatives=50, label_design="random", images=1
        ),
    )
    assert (one.low, one.high) == (None, None)
    assert "calibration labels in one image" in one.notes[0]


def test_calibration_rows_that_cannot_tell_their_design_effect_suppose_one() -> None:
    human = np.repeat([1.0, 0.0], 50)
    right = Calibration.from_rows(human, human, np.arange(100) // 5)
    assert (right.positives, right.images) == (pytest.approx(50 / 3), 20)
    assert right.sensitivity == pytest.approx(1.0)
    one = Calibration.from_rows(human, human, np.zeros(100, dtype=int))
    assert one.positives == pytest.approx(50 / (1 + 49 / 2))
    assert one.images == 1


@pytest.mark.parametrize(
    "counts", [(80, 50, 45, 50), (40, 50, -1, 50), (40, float("nan"), 45, 50), (40, 50, 45, np.inf)]
)
def test_impossible_calibration_counts_are_named(counts) -> None:
    with pytest.raises(StatisticsError, match="expected 0 <= true_"):
        Calibration(**dict(zip(COUNTS, counts, strict=True)))


def test_calibration_without_one_kind_says_so() -> None:
    for counts, word in (((0, 0, 50, 50), "immunized"), ((50, 50, 0, 0), "not immunized")):
        table = Calibration(**dict(zip(COUNTS, counts, strict=True)), label_design="random")
        with pytest.raises(DesignError, match=f"no labelled edit that people call {word};"):
            rogan_gladen_rate(np.zeros(10), np.arange(10), table)
    with pytest.raises(DesignError, match="both kinds"):
        _ = Calibration(true_positives=0, positives=0, true_negatives=50, negatives=50).sensitivity


@pytest.mark.parametrize("design", [None, "within_verdict"])
def test_rogan_gladen_needs_calibration_labels_drawn_without_looking_at_verdicts(design) -> None:
    table = Calibration(true_positives=40, positives=50, true_negatives=45, negatives=50, label_design=design)
    with pytest.raises(DesignError, match=r"selected by verdict bias.*label_design='random'"):
        rogan_gladen_rate(np.tile([1, 0], 100), IMAGE, table)
    with pytest.raises(DesignError, match="selected by verdict"):
        corrected_rate(np.tile([1, 0], 100), None, None, IMAGE, label_design="external", calibration=table)
    with pytest.raises(DesignError, match="random, within_label, within_verdict"):
        Calibration(
            true_positives=40, positives=50, true_negatives=45, negatives=50, label_design="convenience"
        )  # type: ignore[arg-type]
    by_label = Calibration(
        true_positives=40, positives=50, true_negatives=45, negatives=50, label_design="within_label"
    )
    assert rogan_gladen_rate(np.tile([1, 0], 100), IMAGE, by_label).value is not None


def test_calibration_from_rows_counts_effective_labels() -> None:
    human = np.r_[np.ones(50), np.zeros(50)]
    judge = np.r_[np.ones(40), np.zeros(10), np.zeros(50)]
    spread = Calibration.from_rows(judge, human, np.arange(100))
    assert (spread.positives, spread.true_positives, spread.specificity) == pytest.approx((50, 40, 1.0))
    # the ten misses are two whole images: fewer effective labels, the same sensitivity
    packed = Calibration.from_rows(judge, human, np.arange(100) // 5)
    assert packed.sensitivity == pytest.approx(0.8)
    assert packed.positives < 15
    with pytest.raises(DesignError, match="both kinds"):
        Calibration.from_rows(judge[:50], human[:50], np.arange(50))


def test_no_edits_and_one_image() -> None:
    empty = np.zeros(0)
    none = empty.astype(bool)
    for found in (
        post_stratified_rate(empty, empty, none, empty),
        ppi_rate(empty, empty, none, empty),
        rogan_gladen_rate(
            empty,
            empty,
            Calibration(true_positives=1, positives=2, true_negatives=1, negatives=2, label_design="random"),
        ),
        corrected_rate(empty, empty, none, empty, label_design="random"),
    ):
        assert (found.value, found.low, found.high) == (None, None, None)
        assert found.notes
    judge, human, labelled = np.array([1.0, 0, 1, 0]), np.array([1.0, 0, 0, 0]), np.ones(4, dtype=bool)
    one = post_stratified_rate(judge, human, labelled, np.zeros(4, dtype=int))
    assert one.value == pytest.approx(0.25)
    assert (one.low, one.high) == (None, None)

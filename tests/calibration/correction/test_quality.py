"""Sensitivity, specificity and J by labels: by hand, unbiased under both designs, never sure at the edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.calibration.correction.quality import (
    linear_within,
    mover_sum,
    paired_quality,
    quality_cores,
    quality_gap_core,
    stratify,
)
from isr.errors import StatisticsError
from tests.calibration.correction.samples import ends


def test_by_hand() -> None:
    """People's rates within the verdicts, weighted by all edits of the verdicts."""
    judge = np.array([1, 1, 1, 1, 1, 1, 0, 0])
    human = np.array([1, 1, 0, 1, 0, 0, 0, 1])
    labelled = np.array([1, 1, 1, 1, 0, 0, 1, 1], bool)  # 3 of 4 "immunized" are; 1 of 2 of the others
    found, *_ = paired_quality(judge, judge, human, human, labelled, np.arange(8), strata="own")
    # immunized to people: 6 x 3/4 = 4.5 and 2 x 1/2 = 1; the rest 1.5 and 1
    assert found.sensitivity.value == pytest.approx(4.5 / 5.5)
    assert found.specificity.value == pytest.approx(1.0 / 2.5)
    assert found.j.value == pytest.approx(4.5 / 5.5 + 1 / 2.5 - 1)
    assert found.labels == 6


def test_by_the_four_cells_by_hand() -> None:
    """Cells (J_A, J_B): 11 twice, 10 four times, 00 twice; one label in 11, two in 10, one in 00."""
    ja, jb = np.array([1, 1, 1, 1, 1, 1, 0, 0]), np.array([1, 1, 0, 0, 0, 0, 0, 0])
    ya, yb = np.array([1, 0, 1, 0, 0, 0, 1, 0]), np.array([1, 0, 0, 0, 0, 0, 0, 0])
    labelled = np.array([1, 0, 1, 1, 0, 0, 1, 0], bool)
    a, b, gap = paired_quality(ja, jb, ya, yb, labelled, np.arange(8), strata="cells")
    # A is immunized to people: 2 x 1, 4 x 1/2, 2 x 1 = 6 of 8, and 2 + 2 of them by verdict
    assert a.sensitivity.value == pytest.approx(4 / 6)
    assert a.specificity.value == pytest.approx(0.0)  # its two others are called immunized
    # B: 2 x 1, 0, 0: both by verdict
    assert (b.sensitivity.value, b.specificity.value) == (1.0, 1.0)
    assert gap.value == pytest.approx(4 / 6 + 0 - 1 - 1)


def draw(rng: np.random.Generator, design: str) -> tuple[np.ndarray, ...]:
    n = 400
    ya, yb = (rng.random((2, n)) < [[0.6], [0.4]]).astype(float)
    ja = np.where(ya == 1, rng.random(n) < 0.9, rng.random(n) > 0.6).astype(float)
    jb = np.where(yb == 1, rng.random(n) < 0.7, rng.random(n) > 0.9).astype(float)
    marks = rng.random(n) < 0.4
    if design == "cells":  # few of the cell that both verdicts call immunized
        marks = rng.random(n) < np.where((ja == 1) & (jb == 1), 0.1, 0.5)
    return ja, jb, ya, yb, marks, np.arange(n) // 5


@pytest.mark.parametrize("design", ["own", "cells"])
def test_unbiased_where_the_design_is_that_of_the_labels(design: str) -> None:
    rng = np.random.default_rng(4)
    found = [paired_quality(*draw(rng, design), strata=design) for _ in range(80)]
    mean = [np.mean([q[side].j.value for q in found]) for side in (0, 1)]
    assert mean == pytest.approx([0.9 + 0.6 - 1, 0.7 + 0.9 - 1], abs=0.03)
    assert np.mean([g.value for *_, g in found]) == pytest.approx(0.5 - 0.6, abs=0.03)
    covered = [low <= -0.1 <= high for *_, g in found for low, high in [ends(g)]]
    assert np.mean(covered) > 0.87


def test_verdicts_of_one_method_alone_are_the_wrong_strata_for_labels_drawn_in_cells() -> None:
    """J of A drifts where labels of the cell (1, 1) are rare and B's truth goes with A's errors."""
    rng = np.random.default_rng(5)
    drift = []
    for _ in range(40):
        ja, jb, ya, _, marks, image = draw(rng, "cells")
        yb = np.where(ja == 1, ya, 1 - ya)  # B's people agree with A's judge's being right
        jb = np.where(rng.random(400) < 0.9, yb, 1 - yb)
        marks = rng.random(400) < np.where((ja == 1) & (jb == 1), 0.1, 0.6)
        own, *_ = paired_quality(ja, jb, ya, yb, marks, image, strata="own")
        cells, *_ = paired_quality(ja, jb, ya, yb, marks, image, strata="cells")
        drift.append(((own.j.value or 0) - 0.5, (cells.j.value or 0) - 0.5))
    wrong, right = np.mean(drift, axis=0)
    assert abs(right) < 0.03
    assert abs(wrong) > 0.08


def test_a_judge_without_an_error_in_the_sample_is_not_known_to_make_none() -> None:
    human = np.tile([1.0, 0.0], 100)
    a, b, gap = paired_quality(
        human, human, human, human, np.ones(200, bool), np.arange(200) // 5, strata="own"
    )
    assert (a.j.value, b.j.value, gap.value) == (1.0, 1.0, 0.0)
    low, high = ends(gap)
    assert low < -0.01 < 0.01 < high
    for quality in (a, b):
        for figure in (quality.j, quality.sensitivity, quality.specificity):
            low, high = ends(figure)
            assert 0.8 < low < 1
            assert high == 1.0


def test_errors_that_go_with_images_widen_every_interval() -> None:
    """Five edits of each image that say the same tell as much as one of each: the intervals are those of 60 edits, not of 300."""
    rng = np.random.default_rng(8)
    ya, yb = (rng.random((2, 60)) < 0.5).astype(float)
    ja, jb = (np.where(rng.random(60) < 0.8, y, 1 - y) for y in (ya, yb))
    single = paired_quality(ja, jb, ya, yb, np.ones(60, bool), np.arange(60), strata="own")
    alike = [np.repeat(x, 5) for x in (ja, jb, ya, yb, np.ones(60, bool), np.arange(60))]
    whole = paired_quality(*alike, strata="own")
    apart = paired_quality(*alike[:5], np.arange(300), strata="own")
    for one, five, independent in zip(
        (single[0].j, single[2]), (whole[0].j, whole[2]), (apart[0].j, apart[2]), strict=True
    ):
        widths = [high - low for low, high in map(ends, (one, five, independent))]
        assert widths[1] == pytest.approx(widths[0], rel=0.1)
        assert widths[2] < 0.6 * widths[1]


def test_the_variance_is_that_of_the_jackknife_where_both_methods_err_together() -> None:
    """Delete one image at a time: the variance of a difference of two figures that share images, units and errors."""
    rng = np.random.default_rng(12)
    n, images = 600, 120
    image = np.arange(n) // 5
    tilt = np.repeat(
        rng.random(images) < 0.3, 5
    )  # images on which the judge errs much, on both methods alike
    ya = (rng.random(n) < 0.5).astype(float)
    yb = np.where(rng.random(n) < 0.7, ya, 1 - ya)
    wrong = rng.random(n) < np.where(tilt, 0.5, 0.05)
    ja = np.where(wrong, 1 - ya, ya)
    jb = np.where(wrong ^ (rng.random(n) < 0.05), 1 - yb, yb)
    marks = rng.random(n) < 0.7
    for how in ("own", "cells"):
        strata, hits = stratify(ja, jb, how)
        core = quality_gap_core(
            strata, hits, (np.where(marks, ya, 0), np.where(marks, yb, 0)), marks, np.arange(0, n, 5)
        )
        left = np.array(
            [
                paired_quality(*(x[image != g] for x in (ja, jb, ya, yb, marks, image)), strata=how)[2].value
                for g in range(images)
            ],
            float,
        )
        jackknife = (images - 1) / images * ((left - left.mean()) ** 2).sum()
        assert core.variance == pytest.approx(jackknife, rel=0.12)
        alone = quality_cores(
            strata[0], hits[0], np.where(marks, ya, 0), marks, np.arange(0, n, 5)
        ).j.variance
        assert (
            core.variance < 1.2 * alone
        )  # errors that both share cancel: two independent methods would have twice that


def test_what_is_told_of_few_labels_of_a_class() -> None:
    """Two labels of those that people call immunized: the interval of sensitivity is that of two, not of fifty."""
    human = np.array([1.0] * 2 + [0.0] * 48)
    a, *_ = paired_quality(human, human, human, human, np.ones(50, bool), np.arange(50), strata="own")
    low, _ = ends(a.sensitivity)
    assert low < 0.35  # one-sided 97.5 %: .025^(1/2) = .16 of two
    assert (a.sensitivity.n, a.specificity.n, a.j.n) == (2, 48, 50)
    low, _ = ends(a.specificity)
    assert low > 0.9
    half = np.arange(50) < 25
    labelled, *_ = paired_quality(human, human, human, human, half, np.arange(50) // 5, strata="own")
    assert labelled.j.clusters == 5  # of ten images, those with labels


def test_a_gap_may_be_as_wide_as_two() -> None:
    """J of 1 and of -1: their difference is 2, and its interval is cut there and not at 1."""
    human = np.tile([1.0, 0.0], 30)
    _, _, gap = paired_quality(human, 1 - human, human, human, np.ones(60, bool), np.arange(60), strata="own")
    low, high = ends(gap)
    assert (gap.value, high) == (2.0, 2.0)
    assert 1.5 < low < 2


def test_what_cannot_be_known() -> None:
    judge, human = np.array([1.0, 1, 0, 0]), np.array([1.0, 1, 0, 0])
    none_of_the_others = np.array([1, 1, 0, 0], bool)
    a, _, gap = paired_quality(judge, judge, human, human, none_of_the_others, np.arange(4), strata="own")
    assert (a.j.value, a.j.low, gap.value) == (None, None, None)
    assert a.j.notes == ("a verdict that occurs has no label, or people see one outcome only",)
    one_class, *_ = paired_quality(
        judge, judge, np.ones(4), np.ones(4), np.ones(4, bool), np.arange(4), strata="own"
    )
    assert one_class.specificity.value is None
    assert one_class.sensitivity.value == 0.5
    one_image, *_ = paired_quality(judge, judge, human, human, np.ones(4, bool), np.zeros(4), strata="own")
    assert one_image.j.value == 1.0
    assert one_image.j.notes == ("labels in fewer than two images: no interval",)
    *_, gap = paired_quality(np.ones(4), judge, human, human, np.ones(4, bool), np.arange(4), strata="own")
    assert (gap.value, gap.low) == (-1.0, None)
    assert gap.notes == ("the judge says one thing of every edit of a method",)
    with pytest.raises(StatisticsError, match="one length"):
        paired_quality(judge, judge[:2], human, human, np.ones(4, bool), np.arange(4), strata="own")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["own", "cells"]))
def test_whatever_the_sample(seed: int, strata: str) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 60))
    ja, jb, ya, yb = (rng.random((4, n)) < rng.random((4, 1))).astype(float)
    marks, image = rng.random(n) < 0.6, rng.integers(0, max(2, n // 4), n)
    a, b, gap = paired_quality(ja, jb, ya, yb, marks, image, strata=strata)
    order = rng.permutation(n)
    again = paired_quality(
        *(x[order] for x in (ja, jb, ya, yb, marks, image)),
        strata=strata,
    )
    other = paired_quality(jb, ja, yb, ya, marks, image, strata=strata)
    for figure, least in ((a.j, -1.0), (a.sensitivity, 0.0), (a.specificity, 0.0), (gap, -2.0)):
        if figure.low is not None and figure.high is not None:
            assert figure.value is not None
            assert least <= figure.low <= figure.value <= figure.high <= -least + (1 if least == 0 else 0)
    if gap.value is not None and gap.low is not None and gap.high is not None:
        assert other[2].value == pytest.approx(-gap.value)
        assert (other[2].low, other[2].high) == (pytest.approx(-gap.high), pytest.approx(-gap.low))
        assert again[2].low == pytest.approx(gap.low)
        if a.j.value is not None and b.j.value is not None:
            assert gap.value == pytest.approx(a.j.value - b.j.value)


def test_many_data_sets_at_once_are_each_their_own() -> None:
    rng = np.random.default_rng(1)
    sets = [draw(rng, "own") for _ in range(3)]
    stacked = [np.stack([s[k] for s in sets]) for k in range(5)]
    strata, hits = stratify(stacked[0], stacked[1], "cells")
    starts = np.arange(0, 400, 5)
    core = quality_gap_core(strata, hits, (stacked[2], stacked[3]), stacked[4], starts)
    low, high = linear_within(core, 2.0)
    for i, one in enumerate(sets):
        *_, gap = paired_quality(*one, strata="cells")
        assert (gap.value, gap.low, gap.high) == (
            pytest.approx(core.value[i]), pytest.approx(low[i]), pytest.approx(high[i]),
        )  # fmt: skip


def test_a_sum_of_two_rates_by_hand() -> None:
    """Zou and Donner (2008): 0.9 and 0.9, 0.1 and 0.05 away from their limits."""
    low, high = mover_sum((0.9, 0.8, 0.95), (0.9, 0.8, 0.95))
    assert (low, high) == (pytest.approx(1.8 - 0.1 * 2**0.5), pytest.approx(1.8 + 0.05 * 2**0.5))

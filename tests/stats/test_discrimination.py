"""AUC, thresholds and rank correlation, against counts by hand and by properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, spearmanr, t

from isr.stats.discrimination import _pairs, _without, area_under_curve, auc, between, called, youden

VALUES = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 4)), min_size=2, max_size=40)


def arrays(rows: list[tuple[int, bool, int]]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    x, y, g = zip(*rows, strict=True)
    return np.array(x, float), np.array(y, float), [f"image {i}" for i in g]


@settings(max_examples=50)
@given(VALUES)
def test_the_auc_is_mann_whitneys(rows: list[tuple[int, bool, int]]) -> None:
    x, y, image = arrays(rows)
    found = auc(x, y, image)
    if y.all() or not y.any():
        assert found.value is None
        assert "nothing to tell apart" in found.notes[0]
        return
    u = mannwhitneyu(x[y == 1], x[y == 0]).statistic
    assert found.value == pytest.approx(u / (y.sum() * (1 - y).sum()))
    assert auc(-x, y, image).value == pytest.approx(1 - found.value)
    if found.low is not None and found.high is not None:
        assert 0 <= found.low <= found.high <= 1


def test_two_images_whose_replicates_can_be_computed_by_hand() -> None:
    # image a: its immunized edit is ahead of its other one; image b: the reverse; across, a is ahead of b
    x, y, image = np.array([4.0, 3.0, 1.0, 2.0]), np.array([1.0, 0.0, 1.0, 0.0]), ["a", "a", "b", "b"]
    found = auc(x, y, image)
    assert found.value == 0.5
    won, pairs = _pairs(x, y == 1, np.array([0, 0, 1, 1]), np.zeros(4, np.int64), 2)
    assert _without(won, pairs).tolist() == [0.0, 1.0]  # b alone: its pair is lost; a alone: won
    # an eighth of a pair more of each (4 pairs of 2 x 2): .125 / 1.25 = .1 and .9, logits -+log 9 about 0:
    # SE^2 = 1/2 x 2 x (log 9)^2, t(1) = 12.706
    half = 12.706204736 * np.log(9)
    assert (found.low, found.high) == pytest.approx((1 / (1 + np.exp(half)), 1 / (1 + np.exp(-half))))


def test_the_interval_is_that_of_leaving_out_images_with_all_their_edits() -> None:
    rng = np.random.default_rng(1)
    image = np.repeat(np.arange(20), 6)
    y = (rng.random(120) < 0.5).astype(float)
    x = y + rng.normal(0, 1, 20)[image] + rng.normal(0, 0.7, 120)
    found = auc(x, y, [str(i) for i in image])
    pairs = y.sum() * (120 - y.sum())
    more, logits = pairs / 400 / 8, []
    for left in range(20):
        a, b = x[(image != left) & (y == 1)], x[(image != left) & (y == 0)]
        u = (mannwhitneyu(a, b).statistic + more) / (a.size * b.size + 2 * more)
        logits.append(np.log(u / (1 - u)))
    r = np.array(logits) - np.mean(logits)
    df = min(1.5 * (r**2).sum() ** 2 / (r**4).sum(), 19)
    half = t.ppf(0.975, df) * np.sqrt(19 / 20 * (r**2).sum())
    assert found.value is not None
    centre = np.log((found.value * pairs + more) / ((1 - found.value) * pairs + more))
    expected = tuple(1 / (1 + np.exp(-(centre + s * half))) for s in (-1, 1))
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    thrice = auc(np.tile(x, 3), np.tile(y, 3), [str(i) for i in np.tile(image, 3)])
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx((found.value, found.low, found.high))


def test_within_a_stratum_only_its_pairs_count() -> None:
    # method 0 is always immunized and far, method 1 never: overall the metric is perfect, within it has nothing to say
    x, y = np.array([9.0, 8, 7, 1, 2, 3]), np.array([1.0, 1, 1, 0, 0, 0])
    image, method = list("abcabc"), np.array([0, 0, 0, 1, 1, 1])
    assert auc(x, y, image).value == 1.0
    assert auc(x, y, image).low is None  # the same whichever image is left out
    assert auc(x, y, image, method).value is None
    assert auc(x, y, image, method).notes[0] == "no method has both outcomes"
    y[2], x[2] = 0.0, 10.0
    assert auc(x, y, image, method).value == 0.0


def test_between_treatments_is_spearmans_rho_of_means() -> None:
    rng = np.random.default_rng(2)
    treatment, image = np.repeat(np.arange(6), 30), np.tile(np.arange(30), 6)
    y = (rng.random(180) < treatment / 6).astype(float)
    x = rng.normal(0, 1, 180) + np.array([0, 3, 1, 2, 5, 4])[treatment]
    found = between(x, y, [str(i) for i in image], treatment)
    means = [(x[treatment == k].mean(), y[treatment == k].mean()) for k in range(6)]
    assert found.value == pytest.approx(spearmanr(*zip(*means, strict=True)).statistic)
    assert found.n == 6
    assert found.clusters == 30
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    assert "the order of so few says little" in found.notes[0]
    few = between(x, y, [str(i) for i in image], treatment // 3)
    assert few.value is None
    assert "from three on" in few.notes[0]


def test_methods_are_ranked_within_their_budget() -> None:
    """A larger budget raises metric and ISR alike; within each of two budgets the order here is the reverse."""
    image = [str(i) for i in np.tile(np.arange(10), 6)]
    treatment = np.repeat(np.arange(6), 10)
    immunized = np.array([1, 2, 3, 6, 7, 8])
    y = (np.tile(np.arange(10), 6) < immunized[treatment]).astype(float)
    x = np.array([3.0, 2, 1, 13, 12, 11])[treatment]
    assert between(x, y, image, treatment).value == pytest.approx(19 / 35)  # of 321654: 1 - 6 x 16 / 210
    assert between(x, y, image, treatment, treatment // 3).value == pytest.approx(-1.0)
    alone = between(x, y, image, treatment, np.array([0, 0, 0, 1, 1, 2])[treatment])
    assert (alone.value, alone.n) == (pytest.approx(-1.0), 3)
    assert "3 treatments are left out: fewer than three at their budget" in alone.notes
    none = between(x, y, image, treatment, treatment // 2)
    assert none.value is None
    assert "2 treatment(s) at one budget" in none.notes[0]


@settings(max_examples=50)
@given(VALUES)
def test_youdens_threshold_is_the_best_of_all(rows: list[tuple[int, bool, int]]) -> None:
    x, y, _ = arrays(rows)
    immunized = y == 1
    found = youden(x, immunized)
    if not (immunized.any() and (~immunized).any()):
        assert np.isnan(found)
        return

    def j(threshold: float) -> float:
        return float((x[immunized] >= threshold).mean() - (x[~immunized] >= threshold).mean())

    assert j(found) == pytest.approx(max(j(v) for v in x))
    lowest = min(v for v in [*x, np.inf] if v >= found)
    assert not any(j(v) >= j(found) - 1e-12 for v in x if v > lowest)  # of equal ones the highest


def test_youden_and_area_by_hand() -> None:
    p, y = np.array([0.1, 0.2, 0.6, 0.7, 0.9]), np.array([0, 0, 1, 0, 1]) == 1
    # sens + spec - 1: .6 gives 1 - 1/3, .9 gives 1/2
    assert youden(p, y, ties="lowest") == pytest.approx(0.4)
    assert area_under_curve(p, y) == pytest.approx(5 / 6)
    assert area_under_curve(np.ones(5), y) == 0.5


@settings(max_examples=50)
@given(VALUES)
def test_the_lowest_of_equal_thresholds_and_the_area_by_their_definitions(
    rows: list[tuple[int, bool, int]],
) -> None:
    x, y, image = arrays(rows)
    yes = y == 1
    if not (yes.any() and (~yes).any()):
        assert np.isnan(area_under_curve(x, yes))
        return
    at = np.unique(x)
    gain = [(x[yes] >= t).sum() / yes.sum() - (x[~yes] >= t).sum() / (~yes).sum() for t in at]
    best = int(np.argmax(gain))
    assert youden(x, yes, ties="lowest") == (at[best] if best == 0 else (at[best] + at[best - 1]) / 2)
    assert area_under_curve(x, yes) == pytest.approx(auc(x, y, image).value)


def test_a_threshold_never_sees_the_image_that_it_is_used_on() -> None:
    x, y = np.array([1.0, 2, 3, 4, 0, 9]), np.array([0.0, 0, 1, 1, 1, 0])
    image = ["a", "b", "a", "b", "c", "c"]
    calls = called(x, y, image)
    assert list(calls[4:]) == [0.0, 1.0]  # from a and b alone: immunized above 2.5
    y[4:] = 1 - y[4:]
    assert list(called(x, y, image)[4:]) == [0.0, 1.0]  # whatever its own outcomes are
    y[0] = np.nan
    assert np.isnan(called(x, y, image)[0])
    assert np.isnan(called(x[:2], np.array([1.0, 0.0]), ["a", "b"])).all()

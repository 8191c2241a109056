"""Planning: formulas by hand, floors that prompts cannot beat, allocations, and simulation of the power."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import bdtrc, stdtrit

from isr.errors import StatisticsError
from isr.stats import planning as pl
from isr.stats.difference import margin_p_values


def test_planned_design_effect() -> None:
    assert pl.planned_design_effect(5, 0.3) == pytest.approx(2.2)
    assert pl.planned_design_effect(5, 0.3, cv=0.5) == pytest.approx(1 + (5 * 1.25 - 1) * 0.3)
    assert pl.planned_design_effect(5, -0.2) == 1.0


def test_variance_components_recover_the_icc_of_beta_binomial_images() -> None:
    rng = np.random.default_rng(0)
    rates = rng.beta(0.5 * 7 / 3, 0.5 * 7 / 3, 4000)  # ICC 0.3
    y = rng.random((4000, 5)) < rates[:, None]
    found = pl.variance_components(y.ravel(), np.repeat(np.arange(4000), 5))
    assert found.icc == pytest.approx(0.3, abs=0.03)
    assert pl.variance_components([], []) == (None, None, None)
    assert pl.variance_components([1, 0], [0, 1]) == (None, None, None)
    assert pl.variance_components([1, 1, 1, 1], [0, 0, 1, 1]).icc is None


def test_images_solve_their_own_t_quantile() -> None:
    plan = pl.images_for_half_width(0.3, 0.08, 5, 0.3)
    g = plan.exact
    assert g is not None
    half = -float(stdtrit(g - 1, 0.025)) * (2.2 * 0.21 / (5 * g)) ** 0.5
    assert half == pytest.approx(0.08, rel=1e-6)
    assert plan.needed == int(np.ceil(g))
    floor = pl.images_for_half_width(0.3, 0.08, 10_000_000, 0.3)
    assert f"below {floor.needed} images" in plan.notes[1]


def test_more_prompts_cannot_beat_the_floor() -> None:
    few = pl.images_for_difference(0.1, 0.04, 0.2, 5)
    many = pl.images_for_difference(0.1, 0.04, 0.2, 100_000)
    assert few.needed > many.needed  # type: ignore[operator]
    assert f"below {many.needed} images" in few.notes[0]
    below = pl.prompts_for_difference(0.1, 0.04, 0.2, many.needed - 2)  # type: ignore[operator]
    assert below.needed is None
    assert "too few whatever the number of prompts" in below.notes[0]
    above = pl.prompts_for_difference(0.1, 0.04, 0.2, few.needed)  # type: ignore[arg-type]
    assert above.needed is not None
    assert above.needed <= 5
    assert pl.prompts_for_difference(0.1, 0.04, 0.2, 1).needed is None


def test_power_agrees_with_the_plan_and_with_simulation() -> None:
    plan = pl.images_for_difference(0.12, 0.03, 0.25, 5)
    power = pl.power_of_difference(0.12, 0.03, 0.25, plan.needed, 5)  # type: ignore[arg-type]
    assert power == pytest.approx(0.8, abs=0.01)
    rng = np.random.default_rng(1)
    g = plan.needed
    assert g is not None
    means = 0.12 + rng.normal(size=(4000, g)) * (0.03 + 0.25 / 5) ** 0.5
    t = means.mean(axis=1) / (means.std(axis=1, ddof=1) / g**0.5)
    assert (t > -float(stdtrit(g - 1, 0.025))).mean() == pytest.approx(0.8, abs=0.03)
    assert pl.power_of_difference(0.1, 0.03, 0.25, 1, 5) is None


def test_half_width_formula() -> None:
    assert pl.edits_for_half_width(0.3, 0.05, deff=2.0) == pytest.approx(
        2 * 1.959963984540054**2 * 0.21 / 0.0025
    )


@pytest.mark.parametrize("images", [8, 15, 30])
def test_a_plan_from_a_small_pilot_holds_in_the_assured_share_of_pilots(images: int) -> None:
    """300 pilots of normal image means of variance 1 (5 edits, all alike): the raised variance is too small in at most 20 %."""
    rng = np.random.default_rng(images)
    image = np.repeat(np.arange(images), 5)
    low = 0
    for _ in range(300):
        values = np.repeat(rng.normal(size=images), 5)
        between, within, _ = pl.variance_components(values, image)
        assert between is not None
        assert within is not None
        low += (between + within / 5) * pl.assured_factor(values, image, 0.8) < 1.0
    assert low <= bdtri_upper(300, 0.2)
    assert pl.assured_factor(np.ones(10), np.arange(10), 0.8) == 1.0


def bdtri_upper(n: int, p: float) -> int:
    """The number that a binomial exceeds in less than one of 10,000 cases."""
    return next(k for k in range(n + 1) if bdtrc(k, n, p) < 1e-4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pl.edits_for_half_width(0, 0.1), "between 0 and 1"),
        (lambda: pl.edits_for_half_width(0.5, 0), "above 0"),
        (lambda: pl.images_for_difference(0, 0.1, 0.1, 5), "above 0"),
        (lambda: pl.images_for_difference(0.1, 0, 0, 5), "not both 0"),
        (lambda: pl.edits_for_two_proportions(0.5, 0.5), "equal"),
        (lambda: pl.edits_for_two_proportions(0.5, 0.6, power=0.04), "more than 0.05"),
        (lambda: pl.variance_components([1, np.nan], [0, 1]), "finite"),
    ],
)
def test_misuse_is_named(call, words) -> None:
    with pytest.raises(StatisticsError, match=words):
        call()


def test_margins_are_differences_at_their_own_level() -> None:
    """One-sided 5 % is the 90 % interval; equivalence needs both tests, so each fails with half the risk."""
    worse = pl.images_within_margin(0.1, 0.02, 0.2, 5, equivalent=False)
    assert worse == pl.images_for_difference(0.1, 0.02, 0.2, 5, level=0.9)
    same = pl.images_within_margin(0.1, 0.02, 0.2, 5, equivalent=True)
    assert same == pl.images_for_difference(0.1, 0.02, 0.2, 5, power=0.9, level=0.9)
    strict = pl.images_within_margin(0.1, 0.02, 0.2, 5, equivalent=True, alpha=0.01)
    assert strict.needed is not None
    assert same.needed is not None
    assert strict.needed > same.needed


def test_planned_equivalence_comes_true() -> None:
    """Two methods without a difference, as many images as planned: the share that margin_p_values calls equivalent."""
    rng = np.random.default_rng(7)
    between, within, margin, runs = 0.02, 0.3, 0.08, 1_500
    images = pl.images_within_margin(margin, between, within, 5, equivalent=True).needed
    assert images is not None
    # d of -1, 0, 1 by image: its mean has variance `between`, the rest `within`
    shift = np.clip(rng.normal(0, between**0.5, (runs, images, 1)), -0.5, 0.5)
    half = (within + between) / 2
    u = rng.random((runs, images, 5))
    d = (u < half + shift / 2).astype(float) - (u > 1 - half + shift / 2)
    image = np.repeat(np.arange(images), 5)
    found = [margin_p_values(x.ravel(), image, margin) for x in d]
    shown = sum(f is not None and f.equivalent < 0.05 for f in found)
    assert 0.76 * runs < shown < 0.88 * runs


@given(
    st.integers(2, 400), st.floats(0.02, 0.98), st.floats(1, 20), st.floats(0, 1), st.floats(0, 2), st.floats(1, 3)
)  # fmt: skip
def test_images_give_the_half_width_that_is_solved_for(
    images: int, p: float, per_image: float, icc: float, cv: float, factor: float
) -> None:
    half = pl.half_width_of_images(p, images, per_image, icc, cv=cv, factor=factor)
    back = pl.images_for_half_width(p, half * (1 + 1e-9), per_image, icc, cv=cv, factor=factor)
    assert back.needed == images

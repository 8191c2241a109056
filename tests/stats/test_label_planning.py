"""Labels that a wanted precision needs: allocations by hand, half-widths, and the power of a corrected difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nct

from isr.calibration.correction.core import linear
from isr.calibration.correction.ppi import ppi_core
from isr.errors import StatisticsError
from isr.stats import label_planning as lp

KNOWN = lp.PairedVerdicts(
    immunized=(0.5, 0.35), variance=0.4, between=0.02, units=500, images=100, sensitivity=0.9, specificity=0.9
)


@settings(max_examples=80)
@given(
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1)), min_size=1, max_size=5),
    st.integers(0, 30),
)
def test_allocation_adds_up_and_respects_what_there_is(total, verdicts, minimum) -> None:
    counts, rates = [c for c, _ in verdicts], [r for _, r in verdicts]
    found = lp.label_allocation(total, counts, rates, minimum=minimum)
    assert found.sum() == min(total, sum(counts))
    assert (found >= 0).all()
    assert (found <= counts).all()
    least = np.minimum(counts, minimum)
    if least.sum() <= total:
        assert (found >= least).all()


def test_allocation_follows_neyman() -> None:
    # 400 x sqrt(.25) = 200 against 100 x sqrt(.09) = 30: 87 to 13 of 100, and at least 20
    assert lp.label_allocation(100, [400, 100], [0.5, 0.9], minimum=0).tolist() == [87, 13]
    assert lp.label_allocation(100, [400, 100], [0.5, 0.9]).tolist() == [80, 20]
    assert lp.label_allocation(10, [400, 100], [0.5, 0.9]).tolist() == [5, 5]


def test_more_labels_narrow_the_corrected_rate() -> None:
    one = lp.corrected_half_width([0.3, 0.7], [0.9, 0.1], [25, 25], 200)
    two = lp.corrected_half_width([0.3, 0.7], [0.9, 0.1], [50, 50], 200)
    # smoothed rates 23/26 and 3/26, theta .34615: (.3 x .53846^2 + .7 x .23077^2)/200 + (.09 + .49) x .10207/25; t(49) = 2.00958
    assert one == pytest.approx(2.009575 * (0.0006213 + 0.0023680) ** 0.5, rel=1e-4)
    assert two < one
    assert lp.corrected_half_width([0.3, 0.7], [0.9, 0.1], [25, 25], 200, images=10) > one


def test_labels_are_more_alike_than_verdicts_that_err() -> None:
    # w = .5, theta = .5, sensitivity and specificity .9: J^2 = .64
    assert lp.label_icc(0.2, [0.5, 0.5], [0.1, 0.9]) == pytest.approx(0.2 / 0.64)
    assert lp.label_icc(0.2, [0.5, 0.5], [0.0, 1.0]) == pytest.approx(0.2)  # no error
    assert lp.label_icc(0.9, [0.5, 0.5], [0.3, 0.7]) == 1.0
    assert lp.label_icc(0.2, [0.5, 0.5], [0.6, 0.4]) == 0.2  # worse than chance tells nothing


def test_lee_allocation_by_hand() -> None:
    # equal error rates and p = 1/2: half and half
    assert lp.lee_allocation(100, 0.5, 80, 98, 80, 98) == (50, 50)
    # q0 = q1, p = 0.2: m1 = 100 / (1 + 4) = 20
    assert lp.lee_allocation(100, 0.2, 80, 98, 80, 98) == (80, 20)
    assert lp.lee_allocation(100, 0.0, 80, 98, 80, 98) == (100, 0)
    assert lp.lee_allocation(100, 1.0, 80, 98, 80, 98) == (0, 100)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: lp.label_allocation(-1, [1], [0.5]), "total >= 0"),
        (lambda: lp.corrected_half_width([0.3, 0.7], [0.9, 0.1], [0, 50], 200), "needs labels"),
        (lambda: lp.lee_allocation(100, 2.0, 1, 2, 1, 2), r"\[0, 1\]"),
        (lambda: lp.corrected_power(0.1, 1, KNOWN), "2 to 500 units"),
        (lambda: lp.corrected_power(0.1, 501, KNOWN), "2 to 500 units"),
        (lambda: lp.corrected_power(0.0, 50, KNOWN), "above 0"),
        (lambda: lp.corrected_power(0.1, 50, replace(KNOWN, specificity=0.1)), "quality"),
    ],
)
def test_misuse_is_named(call, words) -> None:
    with pytest.raises(StatisticsError, match=words):
        call()


def test_what_people_see_by_hand() -> None:
    """p = (.5 - .1)/.8 = .5 and (.35 - .1)/.8 = .3125; each verdict's noise is .9 x .1 whatever p, as both rates are .9."""
    whole, between = KNOWN.of_people(0.1)
    assert whole == pytest.approx((0.4 - 2 * 0.09) / 0.64)
    assert between == pytest.approx(0.02 / 0.64)
    nobody = replace(
        KNOWN, variance=0.1
    )  # less than the judge's noise alone: at least what the difference needs
    assert nobody.of_people(0.2)[0] == pytest.approx(0.2 - 0.04)


def test_with_every_unit_labelled_the_judge_plays_no_part() -> None:
    """The variance is then that of people's differences: B/G + W/N."""
    whole, between = KNOWN.of_people(0.1)
    se = (between / 100 + (whole - between) / 500) ** 0.5
    found = lp.corrected_power(0.1, 500, KNOWN)
    assert found == pytest.approx(
        float(nct.sf(1.98422, 99, 0.1 / se)), abs=1e-4
    )  # t of 99 degrees of freedom


def test_a_judge_without_error_needs_no_labels() -> None:
    """With J = 1 verdicts are people: lambda is (1 - n/N), the residual of the labels vanishes beside the verdicts."""
    sure = replace(KNOWN, sensitivity=1.0, specificity=1.0)
    few, all_ = (lp.corrected_power(0.1, n, sure) for n in (60, 500))
    assert few == pytest.approx(all_, abs=0.03)
    poor = lp.corrected_power(0.1, 60, replace(KNOWN, sensitivity=0.8, specificity=0.8))
    assert poor < few - 0.1


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 0.4), st.floats(0.7, 0.99), st.floats(0.7, 0.99), st.floats(0.3, 0.6))
def test_more_labels_more_power(difference: float, one: float, other: float, variance: float) -> None:
    known = replace(KNOWN, sensitivity=one, specificity=other, variance=variance)
    found = [lp.corrected_power(difference, n, known) for n in (20, 60, 180, 500)]
    assert found == sorted(found)
    assert lp.corrected_power(difference, 60, known, factor=2.0) <= found[1]


def test_units_to_label() -> None:
    found = lp.labels_for_difference(0.15, KNOWN)
    assert found.needed is not None
    assert (
        lp.corrected_power(0.15, found.needed, KNOWN)
        >= 0.8
        > lp.corrected_power(0.15, found.needed - 1, KNOWN)
    )
    never = lp.labels_for_difference(0.02, KNOWN)
    assert never.needed is None
    assert "labels on all 500 units give a power of " in never.notes[0]
    one = lp.labels_for_difference(0.02, replace(KNOWN, images=1))
    assert one.needed is None


def test_planned_power_comes_true() -> None:
    """Studies with as many labels as planned: the share whose corrected difference excludes 0 (more cells: docs/coverage.md)."""
    rng = np.random.default_rng(3)
    runs, images, m, gap, q = 800, 60, 5, 0.2, 0.88
    effect = rng.normal(0, 0.15, (runs, images, 1))
    ya, yb = ((rng.random((runs, images, m)) < p + effect).reshape(runs, -1) * 1.0 for p in (0.6, 0.4))
    ja, jb = (np.where(rng.random(y.shape) < q, y, 1 - y) for y in (ya, yb))
    f = ja - jb
    parts = f.reshape(runs, images, m)
    within = ((parts - parts.mean(axis=2, keepdims=True)) ** 2).sum(axis=(1, 2)) / (images * (m - 1))
    between = float((parts.mean(axis=2).var(axis=1, ddof=1) - within / m).mean())
    known = lp.PairedVerdicts(
        immunized=(float(ja.mean()), float(jb.mean())), variance=float(f.var(axis=1).mean()), between=between,
        units=images * m, images=images, sensitivity=q, specificity=q,
    )  # fmt: skip
    needed = lp.labels_for_difference(gap, known).needed
    assert needed is not None
    marks = rng.random(f.shape).argsort(axis=1).argsort(axis=1) < needed
    low, high = linear(ppi_core(f, ya - yb, marks, np.arange(0, images * m, m), prior=0.0))
    shown = float(((low > 0) | (high < 0)).mean())
    assert shown == pytest.approx(0.8, abs=4 * (0.16 / runs) ** 0.5 + 0.02)

"""Paired methods: the sign-flip test against enumeration, multiplicity, and whole families."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.errors import StatisticsError
from isr.stats import multiplicity
from isr.stats.multiplicity import simultaneous_level
from isr.stats.paired import compare_methods, mcnemar, sign_flip_test


def brute(d: list[float], image: list[int]) -> float:
    sums = [sum(x for x, g in zip(d, image, strict=True) if g == i) for i in sorted(set(image))]
    seen = abs(sum(sums))
    patterns = list(itertools.product((-1, 1), repeat=len(sums)))
    return sum(abs(sum(a * b for a, b in zip(p, sums, strict=True))) >= seen - 1e-9 for p in patterns) / len(
        patterns
    )


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 6)), min_size=2, max_size=25))
def test_exact_sign_flip_is_the_enumeration_over_all_images(rows: list[tuple[int, int]]) -> None:
    d, image = [float(a) for a, _ in rows], [b for _, b in rows]
    found = sign_flip_test(d, image)
    if len(set(image)) < 2:
        assert found.p_value is None
    else:
        assert found.p_value == pytest.approx(brute(d, image))


def test_drawn_sign_flip_agrees_with_the_exact_one() -> None:
    sums = [3.0, 1.0, 4.0, -1.0, -2.0, 2.0, 1.0, 3.0, -2.0, 2.0, 1.0, -1.0, 2.0]
    exact = sign_flip_test(sums, range(13))
    assert exact.method == "exact over 2^13 sign patterns"
    # three more images that weigh nothing beside the others push the count above the limit of enumeration
    more = [*sums, 1e-9, 1e-9, 1e-9]
    drawn = sign_flip_test(more, range(16), rng=np.random.default_rng(0), draws=40_000)
    assert drawn.method == "40000 random sign patterns"
    assert exact.p_value is not None
    assert drawn.p_value is not None
    # ties of the sum break either way by the tiny images: the drawn value lies between < and <=
    assert exact.p_value - 0.06 < drawn.p_value < exact.p_value + 0.01


def test_sign_flip_is_never_zero_and_needs_a_generator() -> None:
    d, image = np.ones(100), np.arange(100)
    found = sign_flip_test(d, image, rng=np.random.default_rng(1), draws=999)
    assert found.p_value == pytest.approx(1 / 1000)
    again = sign_flip_test(d, image, rng=np.random.default_rng(1), draws=999)
    assert again == found
    with pytest.raises(StatisticsError, match="give rng="):
        sign_flip_test(d, image)


def test_sign_flip_without_anything_to_test() -> None:
    assert sign_flip_test([], []).p_value is None
    assert sign_flip_test([1, -1], [0, 0]).p_value is None
    assert sign_flip_test([0, 0], [0, 1]).p_value == 1.0
    with pytest.raises(StatisticsError, match="finite"):
        sign_flip_test([np.nan], [0])


def test_type_one_error_holds_under_clustering_where_mcnemar_fails() -> None:
    """40 images x 5, image effects of the difference: McNemar's level is 16-19 % in the specification."""
    rng = np.random.default_rng(2)
    image = np.repeat(np.arange(40), 5)
    flips, iid = [], []
    for _ in range(400):
        tilt = np.repeat(rng.choice([0.1, 0.9], 40), 5)
        d = np.where(rng.random(200) < 0.4, np.where(rng.random(200) < tilt, 1, -1), 0)
        flips.append(sign_flip_test(d, image, rng=rng, draws=400).p_value)
        iid.append(mcnemar(int((d == 1).sum()), int((d == -1).sum())).mid_p)
    assert np.mean(np.array(flips) <= 0.05) < 0.085
    assert np.mean(np.array(iid) <= 0.05) > 0.11


def test_mcnemar_says_that_it_takes_edits_as_independent() -> None:
    assert "independent" in mcnemar(3, 9).note
    none = mcnemar(0, 0)
    assert (none.exact_p, none.chi2) == (1.0, None)
    with pytest.raises(StatisticsError, match="at least 0"):
        mcnemar(-1, 2)


def outcomes() -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(3)
    image = np.repeat(np.arange(40), 5)
    effect = rng.normal(size=40)[image]
    noise = rng.normal(size=200)
    return {
        "a": (effect + noise + 0.8 > 0).astype(float),
        "b": (effect + noise + rng.normal(size=200) * 0.3 > 0).astype(float),
        "c": (effect + noise - 0.1 > 0).astype(float),
    }, image


def test_a_family_of_pairs() -> None:
    table, image = outcomes()
    found = compare_methods(table, image, rng=np.random.default_rng(0), draws=2000)
    assert [(x.first, x.second) for x in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    raw = [x.p_value for x in found]
    assert [x.p_holm for x in found] == pytest.approx(multiplicity.holm(raw).tolist())  # type: ignore[arg-type]
    for x in found:
        assert x.difference.value == pytest.approx((table[x.first] - table[x.second]).mean())
        assert x.simultaneous.low <= x.difference.low  # type: ignore[operator]
        assert x.simultaneous.high >= x.difference.high  # type: ignore[operator]
        assert x.mcnemar is not None
    assert found == compare_methods(table, image, rng=np.random.default_rng(0), draws=2000)


def test_undecided_units_leave_their_pairs_and_are_counted() -> None:
    table, image = outcomes()
    table["a"][:10] = np.nan
    table["b"][5:12] = np.nan
    (found,) = compare_methods(table, image, pairs=[("a", "b")], rng=np.random.default_rng(0))
    assert found.undecided == 12
    assert found.difference.n == 188
    assert any("12 units left out" in note for note in found.notes)


def test_a_method_against_itself_and_a_twin() -> None:
    table, image = outcomes()
    table["copy"] = table["a"].copy()
    pairs = [("a", "copy")]
    (same,) = compare_methods(table, image, pairs=pairs, identical=pairs)
    assert (same.difference.low, same.difference.high, same.p_value) == (0.0, 0.0, 1.0)
    (twin,) = compare_methods(table, image, pairs=pairs)
    assert twin.difference.value == 0.0
    assert twin.difference.high > twin.difference.low  # type: ignore[operator]
    assert twin.p_value == 1.0


def test_all_undecided_gives_a_reason() -> None:
    table, image = outcomes()
    table["b"][:] = np.nan
    found = compare_methods(table, image, pairs=[("a", "b"), ("a", "c")], rng=np.random.default_rng(0))
    assert found[0].difference.value is None
    assert (found[0].p_value, found[0].p_holm, found[0].mcnemar) == (None, None, None)
    assert found[1].p_value is not None
    assert found[1].p_holm == min(1.0, 2 * found[1].p_value)  # the family is what was declared: two
    assert any("no pair" in note for note in found[0].notes)


def test_unknown_methods_and_shapes_are_named() -> None:
    table, image = outcomes()
    with pytest.raises(StatisticsError, match="no outcomes for z"):
        compare_methods(table, image, pairs=[("a", "z")])
    with pytest.raises(StatisticsError, match="b: expected 200"):
        compare_methods({"a": table["a"], "b": table["b"][:3]}, image)
    with pytest.raises(StatisticsError, match="at least 1"):
        simultaneous_level(0.95, 0)
    assert simultaneous_level(0.95, 5) == pytest.approx(0.99)

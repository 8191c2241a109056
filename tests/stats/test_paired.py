"""Paired methods: the sign-flip test against enumeration, multiplicity, and whole families."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.errors import StatisticsError
from isr.stats import multiplicity
from isr.stats.difference import WithinMargin
from isr.stats.multiplicity import holm_family, simultaneous_level
from isr.stats.paired import compare_methods, holm_margins, mcnemar
from isr.stats.sign_flip import sign_flip_test


def test_type_one_error_holds_under_clustering_where_mcnemar_fails() -> None:
    """40 images x 5, image effects of the difference: McNemar's level is 16-19 % in the specification."""
    rng = np.random.default_rng(2)
    image = np.repeat(np.arange(40), 5)
    flips, iid = [], []
    for _ in range(400):
        tilt = np.repeat(rng.choice([0.1, 0.9], 40), 5)
        d = np.where(rng.random(200) < 0.4, np.where(rng.random(200) < tilt, 1, -1), 0)
        flips.append(sign_flip_test(d, image).p_value)
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
    found = compare_methods(table, image)
    assert [(x.first, x.second) for x in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    raw = [x.p_value for x in found]
    assert [x.p_holm for x in found] == pytest.approx(multiplicity.holm(raw).tolist())  # type: ignore[arg-type]
    for x in found:
        assert x.difference.value == pytest.approx((table[x.first] - table[x.second]).mean())
        assert x.simultaneous.low <= x.difference.low  # type: ignore[operator]
        assert x.simultaneous.high >= x.difference.high  # type: ignore[operator]
        assert x.mcnemar is not None
    assert found == compare_methods(table, image)


def test_undecided_units_leave_their_pairs_and_are_counted() -> None:
    table, image = outcomes()
    table["a"][:10] = np.nan
    table["b"][5:12] = np.nan
    (found,) = compare_methods(table, image, pairs=[("a", "b")])
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
    found = compare_methods(table, image, pairs=[("a", "b"), ("a", "c")])
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


def test_methods_that_fail_in_different_patterns_are_told() -> None:
    """One fails by whole images (design effect 5 of 5 edits), the other by every second edit, 2 or 3 of 5 (40/39 x 10/200^2 over .25/199 = 0.2)."""
    image = np.repeat(np.arange(40), 5)
    whole, single = (image % 2).astype(float), (np.arange(200) % 2).astype(float)
    (told,) = compare_methods({"a": whole, "b": single}, image)
    (note,) = [n for n in told.notes if "different patterns" in n]
    assert note.startswith("a and b fail in different patterns (design effects 5.1 and 0.2)")
    (same,) = compare_methods({"a": whole, "b": 1 - whole}, image)
    assert not any("different patterns" in n for n in same.notes)


def test_claims_about_a_margin_are_adjusted_as_one_family() -> None:
    """By hand, of three members, one of them without a test: shares of a third, then of a half once one has both claims."""
    found = holm_margins([WithinMargin(0.01, 0.012), None, WithinMargin(0.015, 0.2)])
    # .01 x 3, .012 x 3, then .015 x 2 (never below .036), .2 x 2
    assert found[0] == (pytest.approx(0.03), pytest.approx(0.036))
    assert found[1] is None
    assert found[2] == (pytest.approx(0.036), pytest.approx(0.4))
    assert holm_margins([WithinMargin(0.01, 0.2)]) == (WithinMargin(0.01, 0.2),)
    assert holm_margins([]) == ()


def test_any_false_claim_about_a_margin_is_as_rare_as_the_level_says() -> None:
    """Members at either edge of the margin: at the upper one only "equivalent" is false, at the lower one both claims are."""
    rng = np.random.default_rng(1)
    runs, wrong, separately = 4000, 0, 0
    for _ in range(runs):
        a, b, c = rng.random(3)
        found = holm_margins([WithinMargin(0.0, a), WithinMargin(0.0, b), WithinMargin(c, max(c, 1e-6))])
        claims = [found[0].equivalent, found[1].equivalent, found[2].not_worse]
        wrong += min(claims) < 0.05
        columns = [holm_family([0.0, 0.0, c])[2], *holm_family([a, b, max(c, 1e-6)])[:2]]
        separately += min(x for x in columns if x is not None) < 0.05
    assert wrong < 0.05 * runs + 3 * (0.05 * 0.95 * runs) ** 0.5
    assert separately > 0.06 * runs  # each kind of claim as a family of its own claims too much


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=6))
def test_adjusted_claims_about_a_margin(pairs: list[tuple[float, float]]) -> None:
    raw = [WithinMargin(min(p), max(p)) for p in pairs]
    for one, adjusted in zip(raw, holm_margins(raw), strict=True):
        assert adjusted is not None
        assert one.not_worse <= adjusted.not_worse <= adjusted.equivalent <= 1
        assert adjusted.not_worse >= min(1, min(x.not_worse for x in raw) * len(raw))

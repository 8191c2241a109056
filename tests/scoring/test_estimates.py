"""Estimates: denominators by hand, bounds against every way in which the undecided could have come out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.errors import InputError
from isr.scoring.estimates import Frame, Settings, control_estimate, treatment_estimates
from isr.scoring.means import mean_grade
from isr.scoring.outcomes import Outcomes
from isr.signature import Signature
from isr.stats.rate import rate_interval
from isr.types import Estimate

SETTINGS = Settings()
T, F, U = 1, 0, -1  # immunized, not, undecided


def frame(n: int, per_image: int = 2, attacks: int = 1) -> Frame:
    codes = np.arange(n)
    return Frame(codes // per_image, codes % per_image, codes, codes // attacks, np.zeros(n, np.bool_))


def plain(values: list[int]) -> Outcomes:
    """Outcomes that are known or wholly unknown, with the semantic question alone failing."""
    v = np.array(values)
    low, high = v == T, v != F
    never = np.zeros(len(v), np.bool_)
    return Outcomes(
        decided=v != U,
        immunized_low=low,
        immunized_high=high,
        semantic_low=low,
        semantic_high=high,
        perceptual_low=never,
        perceptual_high=never,
        tied=never,
    )


def estimates(protected: list[int], control: list[int], attacks: int = 1) -> dict[str, Estimate]:
    """Unit i has the control edit i, where there is one."""
    units = {i: i for i in range(len(control))}
    return treatment_estimates(
        frame(len(protected), attacks=attacks), plain(protected), units, plain(control), SETTINGS
    )


def test_counts_by_hand() -> None:
    #            protected   control
    found = estimates([T, T, T, F, F, U, T, F], [F, F, T, F, U, F, F, F])
    assert found["isr"].value == pytest.approx(4 / 7)  # one of eight is undecided
    assert found["isr"].n == 7
    assert found["isr"].bounds == (4 / 8, 5 / 8)
    # units with a decided control that is no failure: 0, 1, 3, 5, 6, 7; of these decided: T T F T F
    assert found["isr_conditional"].value == pytest.approx(3 / 5)
    # pairs decided on both sides: 0 1 2 3 6 7 with differences 1 1 0 0 1 0
    assert found["uplift"].value == pytest.approx(3 / 6)
    assert found["uplift"].n == 6
    assert found["isr_worst"].value is None
    assert "no unit was attacked in several ways" in found["isr_worst"].notes[0]


def test_the_interval_is_that_of_the_decided_edits() -> None:
    found = estimates([T, T, F, U, T, F, F, T], [])["isr"]
    y, image = np.array([1, 1, 0, 1, 0, 0, 1]), np.array([0, 0, 1, 2, 2, 3, 3])
    expected = rate_interval(y, image)
    assert (found.value, found.low, found.high, found.clusters) == (
        expected.value, expected.low, expected.high, 4,
    )  # fmt: skip


def test_nothing_decided_is_no_number() -> None:
    found = estimates([U, U], [U, U])
    for name in ("isr", "isr_semantic", "isr_conditional", "uplift"):
        assert found[name].value is None
        assert found[name].low is None
        assert found[name].notes
    assert found["isr"].bounds == (0.0, 1.0)
    assert found["uplift"].bounds == (-1.0, 1.0)


def test_without_controls_there_is_a_reason() -> None:
    found = estimates([T, F], [])
    assert found["isr_conditional"].notes == ("no control edits: nothing to condition on",)
    assert found["uplift"].notes == ("no control edits: nothing to compare with",)


def test_all_controls_failed() -> None:
    found = estimates([T, F, T, F], [T, T, T, T])
    assert found["isr_conditional"].value is None
    assert "no unit whose control edit was decided and no failure" in found["isr_conditional"].notes


def test_worst_case_needs_all_attacks() -> None:
    # two attacks on each of four units: (T T) (T F) (T U) (F F)
    found = estimates([T, T, T, F, T, U, F, F], [], attacks=2)["isr_worst"]
    assert found.value == pytest.approx(1 / 3)  # the third unit is undecided
    assert found.bounds == (1 / 4, 2 / 4)
    assert "2 to 2 attacks on each unit" in found.notes


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([T, F, U]), st.sampled_from([T, F, U])), min_size=1, max_size=6))
def test_bounds_are_the_extremes(rows: list[tuple[int, int]]) -> None:
    found = estimates([p for p, _ in rows], [c for _, c in rows])
    options = [[(a, b) for a in _ways(p) for b in _ways(c)] for p, c in rows]
    isr, uplift, conditional = [], [], []
    for filled in product(*options):
        isr.append(sum(p for p, _ in filled) / len(filled))
        uplift.append(sum(p - c for p, c in filled) / len(filled))
        kept = [p for p, c in filled if not c]
        if kept:
            conditional.append(sum(kept) / len(kept))
    assert found["isr"].bounds == pytest.approx((min(isr), max(isr)))
    assert found["uplift"].bounds == pytest.approx((min(uplift), max(uplift)))
    if conditional:
        assert found["isr_conditional"].bounds == pytest.approx((min(conditional), max(conditional)))
    else:
        assert found["isr_conditional"].bounds is None
    value = found["isr"].value
    if value is not None and found["isr"].bounds is not None:
        assert found["isr"].bounds[0] <= value <= found["isr"].bounds[1]


def _ways(value: int) -> tuple[int, ...]:
    return (0, 1) if value == U else (value,)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_the_decomposition_adds_up_exactly(rows: list[tuple[bool, bool, bool]]) -> None:
    semantic, perceptual, decided = (np.array(x, np.bool_) for x in zip(*rows, strict=True))
    either = semantic | perceptual
    never = np.zeros(len(rows), np.bool_)
    outcomes = Outcomes(
        decided=decided,
        immunized_low=either,
        immunized_high=either,
        semantic_low=semantic,
        semantic_high=semantic,
        perceptual_low=perceptual,
        perceptual_high=perceptual,
        tied=never,
    )
    found = treatment_estimates(frame(len(rows)), outcomes, {}, plain([]), SETTINGS)
    n = found["isr"].n
    if n:
        count = {
            k: round((found[k].value or 0) * n) for k in ("isr", "isr_semantic", "isr_perceptual", "isr_both")
        }
        assert count["isr_semantic"] + count["isr_perceptual"] - count["isr_both"] == count["isr"]
        assert {found[k].n for k in count} == {n}


def test_control_has_its_own_decomposition() -> None:
    found = control_estimate(frame(4), plain([T, F, F, F]), SETTINGS)
    assert found["control"].value == 0.25
    assert found["control_semantic"].value == 0.25
    assert found["control_perceptual"].value == 0.0


def test_mean_grade_stays_on_its_scale() -> None:
    found = mean_grade(np.array([4.0, 4.0, 3.0, np.nan, 4.0, 4.0]), frame(6), SETTINGS, 4)
    assert found.value == pytest.approx(3.8)
    assert found.n == 5
    assert found.high is not None
    assert found.high <= 4.0
    assert mean_grade(np.array([np.nan]), frame(1), SETTINGS, 4).value is None


def test_the_mean_over_images_weighs_images_alike() -> None:
    # image 0 has three edits (T T F), image 1 one (F): 2/4 over edits, (2/3 + 0) / 2 over images
    codes = np.array([0, 0, 0, 1])
    frame = Frame(codes, np.array([0, 1, 2, 0]), np.arange(4), np.arange(4), np.zeros(4, np.bool_))
    for estimand, value in (("edit-mean", 1 / 2), ("image-mean", 1 / 3)):
        found = treatment_estimates(frame, plain([T, T, F, F]), {}, plain([]), Settings(estimand=estimand))  # type: ignore[arg-type]
        assert found["isr"].value == pytest.approx(value)
        assert found["isr"].bounds == pytest.approx((value, value))


OPEN = [T, F, U, T, F, F, T, U, T, T, F, T]  # 12 edits of 6 images, two of them undecided


def test_the_identified_set_has_the_endpoints_of_both_extremes() -> None:
    e = estimates(OPEN, [])["isr"]
    image = np.arange(12) // 2
    least, most = ([1 if v == T or (v == U and end) else 0 for v in OPEN] for end in (False, True))
    assert e.bounds == (6 / 12, 8 / 12)
    assert e.identified == (rate_interval(least, image).low, rate_interval(most, image).high)
    assert e.is_open
    old = treatment_estimates(frame(12), plain(OPEN), {}, plain([]), Settings(rules=1))["isr"]
    assert (old.identified, old.bounds, old.value) == (None, e.bounds, e.value)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([T, F, U]), min_size=12, max_size=12).filter(lambda v: 0 < v.count(U) <= 5))
def test_whatever_the_undecided_are_their_interval_lies_in_the_identified_set(values: list[int]) -> None:
    found = estimates(values, [])["isr"].identified
    assert found is not None
    image, places = np.arange(12) // 2, [i for i, v in enumerate(values) if v == U]
    for filled in product((T, F), repeat=len(places)):
        y = list(values)
        for place, word in zip(places, filled, strict=True):
            y[place] = word
        one = rate_interval(y, image)
        assert found[0] - 1e-12 <= one.low
        assert one.high <= found[1] + 1e-12


def test_where_the_bounds_coincide_the_value_is_they() -> None:
    """The semantic question fails for all; on two edits the perceptual one is undecided, which changes nothing."""
    n = 6
    certain, unknown = np.ones(n, np.bool_), np.array([0, 0, 0, 0, 1, 1], np.bool_)
    judged = Outcomes(
        decided=~unknown, immunized_low=certain, immunized_high=certain, semantic_low=certain, semantic_high=certain,
        perceptual_low=np.zeros(n, np.bool_), perceptual_high=unknown, tied=np.zeros(n, np.bool_),
    )  # fmt: skip
    found = treatment_estimates(frame(n), judged, {}, plain([]), SETTINGS)
    assert (found["isr"].value, found["isr"].n, found["isr"].bounds) == (1.0, 6, (1.0, 1.0))
    assert not found["isr"].is_open
    assert found["isr"].identified is None
    assert (found["isr_perceptual"].n, found["isr_perceptual"].bounds) == (4, (0.0, 2 / 6))
    old = treatment_estimates(frame(n), judged, {}, plain([]), Settings(rules=1))
    assert old["isr"].n == 4


def test_what_turns_the_sign_of_an_uplift_is_told() -> None:
    """4 of 6 against 1 of 6, one control undecided: between 3/6 and 4/6 whatever it is: nothing turns it; then three are."""
    control = [F, F, T, F, F, U]
    held = estimates([T, T, T, T, F, F], control)["uplift"]
    assert held.bounds == (2 / 6, 3 / 6)
    assert not any("it would be none" in n for n in held.notes)
    e = estimates([T, T, U, F, F, F], [F, F, F, F, U, U])["uplift"]
    # decided on both sides: 2 of 3 units + 0; bounds: 2/6 - 2/6 = 0 and 3/6: all three undecided against it make it none
    assert e.bounds == (0.0, 3 / 6)
    assert e.notes[-1] == "it would be none if 100% of the undecided outcomes went against it"


def test_an_unknown_rule_of_a_signature_is_refused() -> None:
    for text in ("estimates=3", "estimates=0", "estimates=x"):
        with pytest.raises(InputError, match="install a newer isr"):
            Settings.signed(Signature.parse(text))
    assert Settings.signed(Signature.parse("level=0.9|interval=wilson")) == Settings(0.9, "wilson", rules=1)


def test_a_value_lies_within_its_own_bounds() -> None:
    """Decided: 1 of 4. Three more fail for certain by one question and are undecided on the other; one is open: 4/8 to 5/8."""
    n = 8
    low = np.array([1, 0, 0, 0, 1, 1, 1, 0], np.bool_)
    high = np.array([1, 0, 0, 0, 1, 1, 1, 1], np.bool_)
    decided = np.array([1, 1, 1, 1, 0, 0, 0, 0], np.bool_)
    never = np.zeros(n, np.bool_)
    judged = Outcomes(
        decided=decided, immunized_low=low, immunized_high=high, semantic_low=low, semantic_high=high,
        perceptual_low=never, perceptual_high=~decided, tied=never,
    )  # fmt: skip
    e = treatment_estimates(frame(n), judged, {}, plain([]), SETTINGS)["isr"]
    assert e.bounds == (4 / 8, 5 / 8)
    assert e.value == 4 / 8
    assert (
        e.notes[-1]
        == "the nearest value that the undecided edits allow; of the decided ones alone it is 25.0%"
    )
    assert e.low is not None
    assert e.high is not None
    assert e.low <= e.value <= e.high

"""Outcomes against brute force: every way in which the unknown verdicts could have come out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.judging.cards import RULES
from isr.scoring.outcomes import Ballot, Outcomes, majority, outcomes, repeats
from isr.types import Question, Value, Verdict

FAILS, FINE, UNKNOWN = (
    Verdict(value="fails"),
    Verdict(value="fine"),
    Verdict(value="undecided", reason="refusal"),
)


def immunized(rule: str, verdicts: list[tuple[bool, bool]]) -> str:
    """The rules of the design, written out for one edit: (mismatch, degraded) of each judge."""
    each = [m or d for m, d in verdicts]
    if rule in ("strict", "single"):
        return "immunized" if all(each) else "not_immunized"
    if rule == "any":
        return "immunized" if any(each) else "not_immunized"
    if rule == "majority":
        if 2 * sum(each) == len(each):
            return "undecided"
        return "immunized" if 2 * sum(each) > len(each) else "not_immunized"
    both = all(m for m, _ in verdicts) or all(d for _, d in verdicts)
    return "immunized" if both else "not_immunized"


def cast(verdicts: list[tuple[Verdict, Verdict]]) -> Ballot:
    ballot = Ballot.empty(len(verdicts), 1)
    for judge, pair in enumerate(verdicts):
        for question, verdict in zip(Question, pair, strict=True):
            ballot.cast(judge, question, 0, [verdict])
    return ballot


def completions(verdicts: list[tuple[Verdict, Verdict]]) -> list[list[tuple[bool, bool]]]:
    options = [(True, False) if v is UNKNOWN else (v is FAILS,) for pair in verdicts for v in pair]
    return [list(zip(c[::2], c[1::2], strict=True)) for c in product(*options)]


verdict = st.sampled_from([FAILS, FINE, UNKNOWN])
panels = st.lists(st.tuples(verdict, verdict), min_size=1, max_size=3)


@pytest.mark.parametrize("rule", RULES)
@given(verdicts=panels)
def test_low_and_high_are_the_extremes_over_all_completions(
    rule: str, verdicts: list[tuple[Verdict, Verdict]]
) -> None:
    found = outcomes(cast(verdicts), rule)
    words = {immunized(rule, c) for c in completions(verdicts)}
    assert bool(found.immunized_low[0]) == (words == {"immunized"})
    assert bool(found.immunized_high[0]) == (words != {"not_immunized"})
    complete = all(v is not UNKNOWN for pair in verdicts for v in pair)
    # a point estimate needs every answer, even where the others decide the edit already
    assert bool(found.decided[0]) == (complete and words != {"undecided"})
    assert bool(found.tied[0]) == (complete and words == {"undecided"})
    if complete:
        assert found.word(0) == next(iter(words))


@pytest.mark.parametrize("rule", RULES)
@given(verdicts=panels)
def test_the_two_kinds_and_their_overlap_make_up_the_outcome(
    rule: str, verdicts: list[tuple[Verdict, Verdict]]
) -> None:
    found = outcomes(cast(verdicts), rule)
    for end in ("low", "high"):
        semantic, perceptual, both = (
            getattr(found, f"{k}_{end}") for k in ("semantic", "perceptual", "both")
        )
        total = getattr(found, f"immunized_{end}")
        assert (semantic | perceptual == total).all()
        assert (semantic.astype(int) + perceptual - both == total).all()


def test_judges_that_find_different_failures_agree_strictly_but_not_per_question() -> None:
    verdicts = [(FAILS, FINE), (FINE, FAILS)]  # one says mismatch only, the other degraded only
    assert outcomes(cast(verdicts), "strict").word(0) == "immunized"
    assert outcomes(cast(verdicts), "per_question").word(0) == "not_immunized"


def test_one_failure_decides_the_bounds_but_not_the_point() -> None:
    found = outcomes(cast([(FAILS, UNKNOWN)]), "single")
    assert found.immunized_low[0]
    assert not found.decided[0]


@given(st.lists(verdict, min_size=1, max_size=5).filter(lambda v: len(v) % 2 == 1))
def test_repeats_are_joined_by_majority(verdicts: list[Verdict]) -> None:
    ballot = Ballot.empty(1, 1)
    ballot.cast(0, Question.SEMANTIC, 0, verdicts)
    options = [(True, False) if v is UNKNOWN else (v is FAILS,) for v in verdicts]
    majorities = {2 * sum(c) > len(c) for c in product(*options)}
    assert bool(ballot.low[0, 0, 0]) == (majorities == {True})
    assert bool(ballot.high[0, 0, 0]) == (True in majorities)
    assert bool(ballot.decided[0, 0, 0]) == (UNKNOWN not in verdicts)


def test_take_keeps_rows_together() -> None:
    ballot = Ballot.empty(1, 3)
    for row, pair in enumerate([(FAILS, FINE), (UNKNOWN, FINE), (FINE, FINE)]):
        for question, v in zip(Question, pair, strict=True):
            ballot.cast(0, question, row, [v])
    some: Outcomes = outcomes(ballot, "single").take(np.array([2, 0]))
    assert [some.word(i) for i in range(len(some))] == ["not_immunized", "immunized"]


def test_the_majority_of_a_cell() -> None:
    cells = ("fails", "fails|fine|fails", "fine", "", "fine|undecided|fine", "fails|FAILS|fails")
    found = [majority(repeats(cell)) for cell in cells]
    assert found == ["fails", "fails", "fine", "undecided", "undecided", "undecided"]


@given(st.lists(verdict, min_size=1, max_size=7))
def test_a_cell_and_a_ballot_say_the_same(verdicts: list[Verdict]) -> None:
    ballot = Ballot.empty(1, 1)
    ballot.cast(0, Question.SEMANTIC, 0, verdicts)
    said = majority(repeats("|".join(v.value for v in verdicts)))
    assert (said is Value.UNDECIDED) == (not ballot.decided[0, 0, 0])
    assert (said is Value.FAILS) == (ballot.decided[0, 0, 0] and ballot.low[0, 0, 0])

"""Confidence sequences, against the products of their definition, and what must hold of any."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import bdtrc

from isr.errors import StatisticsError
from isr.stats import BettingSequence, OpenSequence, betting_sequence
from isr.stats.sequence import STEPS

STEP = 1 / STEPS
MEANS = st.lists(st.sampled_from([i / 5 for i in range(6)]), min_size=1, max_size=60)


def capital(x: Sequence[float], m: float, alpha: float, side: int, wanted: float = 0.0) -> float:
    """The capital of one gambler who began with 1/2, multiplied round by round, as the paper writes it."""
    wealth = 0.5
    for t in range(1, len(x) + 1):
        before = x[: t - 1]
        running = [(0.5 + sum(before[: i + 1])) / (i + 2) for i in range(len(before))]
        variance = (0.25 + sum((a - b) ** 2 for a, b in zip(before, running, strict=True))) / t
        bet = math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(t + 1)))
        bet = max(bet, wanted / variance)
        room = m if side > 0 else 1 - m
        bet = min(bet, 0.5 / room) if room > 0 else bet
        wealth *= 1 + side * bet * (x[t - 1] - m)
    return wealth


def ends_by_definition(x: Sequence[float], level: float, wanted: float = 0.0) -> tuple[float, float]:
    """Where the two capitals cross 1 / alpha, of all looks together."""
    alpha, low, high = 1 - level, 0.0, 1.0
    for n in range(1, len(x) + 1):
        some = x[:n]

        def above(m: float, some: Sequence[float] = some) -> float:
            return capital(some, m, alpha, 1, wanted) - 1 / alpha

        def below(m: float, some: Sequence[float] = some) -> float:
            return capital(some, m, alpha, -1, wanted) - 1 / alpha

        if above(0.0) >= 0:
            low = max(low, brentq(above, 0.0, 1.0))
        if below(1.0) >= 0:
            high = min(high, brentq(below, 0.0, 1.0))
    return low, high


@pytest.mark.parametrize(
    ("p", "edits", "level", "wanted"),
    [(0.5, 1, 0.95, 0.0), (0.9, 5, 0.95, 0.3), (0.1, 2, 0.8, 0.0), (0.7, 4, 0.975, 0.2)],
)
def test_the_ends_are_those_of_the_definition_rounded_outward(
    p: float, edits: int, level: float, wanted: float
) -> None:
    x = (np.random.default_rng(5).binomial(edits, p, 40) / edits).tolist()
    sequence = BettingSequence(level=level, wanted=wanted or None)
    for mean in x:
        sequence.add(mean)
    low, high = sequence.low[0], sequence.high[0]
    least, most = ends_by_definition(x, level, wanted)
    plain = betting_sequence(x, level=level)
    assert ((low, high) == (plain[0][-1], plain[1][-1])) == (not wanted)
    assert 0 < least < most < 1
    assert least - STEP - 1e-9 <= low <= least + 1e-9
    assert most - 1e-9 <= high <= most + STEP + 1e-9


@given(MEANS)
def test_ends_never_move_apart_and_hold_something(x: list[float]) -> None:
    low, high = betting_sequence(x)
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) <= 0).all()
    assert (low < high).all()


@given(MEANS)
def test_flipped_outcomes_flip_the_sequence(x: list[float]) -> None:
    low, high = betting_sequence(x)
    flipped = betting_sequence([1 - v for v in x])
    np.testing.assert_allclose(flipped[0], 1 - high, atol=STEP + 1e-9)
    np.testing.assert_allclose(flipped[1], 1 - low, atol=STEP + 1e-9)


@given(MEANS, st.sampled_from([0.8, 0.9, 0.95, 0.975, 0.99]))
def test_a_coarse_grid_is_never_narrower(x: list[float], level: float) -> None:
    fine = BettingSequence(level=level)
    coarse = BettingSequence(level=level, grid=np.arange(0, STEPS + 1, 50) / STEPS)
    for mean in x:
        fine.add(mean)
        coarse.add(mean)
        assert coarse.low[0] <= fine.low[0]
        assert fine.high[0] <= coarse.high[0]


@given(MEANS)
def test_the_sequence_looks_at_the_past_only(x: list[float]) -> None:
    """What is said after some images is the same whatever follows."""
    low, high = betting_sequence(x)
    for n in (1, len(x) // 2, len(x)):
        first = betting_sequence(x[:n])
        assert first[0].tolist() == low[:n].tolist()
        assert first[1].tolist() == high[:n].tolist()


def test_several_sequences_side_by_side_are_each_its_own() -> None:
    x = np.random.default_rng(2).random((3, 200)) ** np.array([[0.3], [1.0], [4.0]])
    together = BettingSequence(runs=3)
    for t in range(200):
        together.add(x[:, t])
    for i in range(3):
        low, high = betting_sequence(x[i])
        assert (together.low[i], together.high[i]) == (low[-1], high[-1])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_unknown_outcomes_take_one_end_of_each_of_two_sequences(pairs: list[tuple[int, int]]) -> None:
    ends = [(min(p) / 4, max(p) / 4) for p in pairs]
    both = OpenSequence(level=0.9)
    for least, most in ends:
        both.add(least, most)
    assert both.low == betting_sequence([e[0] for e in ends], level=0.9)[0][-1]
    assert both.high == max(betting_sequence([e[1] for e in ends], level=0.9)[1][-1], both.low)
    assert both.images == len(ends)
    assert both.least == pytest.approx(np.mean([e[0] for e in ends]))
    assert both.most == pytest.approx(np.mean([e[1] for e in ends]))


@pytest.mark.parametrize(("p", "wanted"), [(0.1, None), (0.5, 0.05), (0.9, 0.1), (0.5, 0.3)])
def test_few_runs_ever_exclude_the_truth(p: float, wanted: float | None) -> None:
    """One-sided and exact: so many misses would be rarer than 1 in 10,000 if one run in twenty missed."""
    runs, rng = 4_000, np.random.default_rng(11)
    sequence = BettingSequence(runs=runs, wanted=wanted, grid=np.array([p]))
    for _ in range(300):
        sequence.add(rng.binomial(2, rng.beta(2 * p, 2 * (1 - p), runs)) / 2)
    missed = int(((sequence.low >= p) | (sequence.high <= p)).sum())
    assert missed > 0
    assert bdtrc(missed - 1, runs, 0.05) > 1e-4


def test_what_is_no_mean_or_no_level_is_refused() -> None:
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(StatisticsError, match="expected means from 0 to 1"):
            betting_sequence([bad])
    with pytest.raises(StatisticsError, match="one mean for each image"):
        betting_sequence([[0.5]])
    with pytest.raises(StatisticsError, match="level"):
        BettingSequence(level=1.0)
    with pytest.raises(StatisticsError, match="wanted"):
        BettingSequence(wanted=1.0)
    with pytest.raises(StatisticsError, match="least <= most"):
        OpenSequence().add(0.5, 0.4)

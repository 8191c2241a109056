"""The sign-flip test: exact by convolution against enumeration; no seed, no floor, no order."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.errors import StatisticsError
from isr.stats.paired import compare_methods
from isr.stats.sign_flip import LEAST, sign_flip_test


def brute(d: list[float], image: list[int]) -> float:
    sums = [sum(x for x, g in zip(d, image, strict=True) if g == i) for i in sorted(set(image))]
    seen = abs(sum(sums))
    patterns = list(itertools.product((-1, 1), repeat=len(sums)))
    return sum(abs(sum(a * b for a, b in zip(p, sums, strict=True))) >= seen - 1e-9 for p in patterns) / len(
        patterns
    )


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 6)), min_size=2, max_size=25))
def test_it_is_the_enumeration_over_all_images(rows: list[tuple[int, int]]) -> None:
    d, image = [float(a) for a, _ in rows], [b for _, b in rows]
    found = sign_flip_test(d, image)
    if len(set(image)) < 2:
        assert found.p_value is None
    else:
        assert found.p_value == pytest.approx(brute(d, image), rel=1e-12, abs=0)


@pytest.mark.parametrize("images", [17, 20])
def test_it_is_the_enumeration_up_to_twenty_images(images: int) -> None:
    draw = random.Random(images)
    sums = np.array([draw.choice([-5, -3, -1, 1, 2, 4]) for _ in range(images)], float)
    bits = np.arange(2**images)[:, None] >> np.arange(images) & 1
    reached = np.abs((2.0 * bits - 1.0) @ np.abs(sums)) >= abs(sums.sum())
    assert sign_flip_test(sums, range(images)).p_value == pytest.approx(reached.mean(), rel=1e-12, abs=0)


def test_every_image_against_one_method_is_two_in_two_to_the_power_of_them() -> None:
    """All 100 images differ the same way: 2 of 2^100 patterns; of 2,000 images the p-value is below what a double holds."""
    found = sign_flip_test(np.ones(100), np.arange(100))
    assert found.p_value == pytest.approx(2.0**-99, rel=1e-12)
    assert found.method == "exact over 2^100 sign patterns"
    assert sign_flip_test(np.ones(2_000), np.arange(2_000)).p_value == LEAST


def test_images_of_one_edit_are_the_sign_test() -> None:
    """37 of 50 images differ one way: 2 P(X >= 37), X ~ B(50, 1/2), in whole numbers."""
    d = [1.0] * 37 + [-1.0] * 13
    exact = 2 * sum(math.comb(50, k) for k in range(37, 51)) / 2**50
    assert sign_flip_test(d, range(50)).p_value == pytest.approx(exact, rel=1e-13)


def test_means_of_images_are_drawn_from_a_stream_of_their_own() -> None:
    rng = np.random.default_rng(0)
    sums = rng.normal(0.3, 1.0, 30)
    found = sign_flip_test(sums, range(30))
    assert found.method == "10000 random sign patterns"
    shuffled = rng.permutation(30)
    assert sign_flip_test(sums[shuffled], range(30)) == found
    assert sign_flip_test(sums, range(30), seed=1) != found
    few = sums[:14]
    assert found.p_value is not None
    bits = np.arange(2**14)[:, None] >> np.arange(14) & 1
    exact = (np.abs((2.0 * bits - 1.0) @ np.abs(few)) >= abs(few.sum()) - 1e-12).mean()
    assert sign_flip_test(few, range(14)).p_value == pytest.approx(exact, abs=0.02)


def test_no_p_value_depends_on_the_other_pairs_or_on_their_order() -> None:
    """40 images; outcomes of halves too, which are drawn."""
    rng = np.random.default_rng(5)
    image = np.repeat(np.arange(40), 5)
    table = {n: (rng.random(200) < p).astype(float) for n, p in zip("abc", (0.3, 0.4, 0.55), strict=True)}
    table["h"] = rng.choice([0.0, 1 / 3, 1.0], 200)
    seen: dict[frozenset[str], set[float | None]] = {}
    for names in itertools.permutations(table):
        for one in compare_methods({n: table[n] for n in names}, image):
            seen.setdefault(frozenset((one.first, one.second)), set()).add(one.p_value)
    assert {len(p) for p in seen.values()} == {1}


def test_without_anything_to_test() -> None:
    assert sign_flip_test([], []).p_value is None
    assert sign_flip_test([1, -1], [0, 0]).p_value is None
    assert sign_flip_test([0, 0], [0, 1]).p_value == 1.0
    with pytest.raises(StatisticsError, match="finite"):
        sign_flip_test([np.nan], [0])

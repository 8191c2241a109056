"""Intervals: properties that must hold for all data, the staircase of endpoints, and degenerate inputs."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from isr.errors import StatisticsError
from isr.stats.endpoints import korn_graubard, logit_t, rate_core, zero_limit
from isr.stats.rate import rate_interval
from isr.stats.variance import cr1_variance
from tests.stats.rate_samples import SETTINGS, data, ends

CLUSTERED = ("logit-t", "korn-graubard", "cluster-t", "cluster-normal")
INDEPENDENT = ("wilson", "clopper-pearson", "jeffreys")


@SETTINGS
@given(data(), st.sampled_from(CLUSTERED + INDEPENDENT), st.floats(0.5, 0.999))
def test_endpoints_are_in_the_unit_interval_and_hold_the_value(sample, method, level) -> None:
    found = rate_interval(*sample, method=method, level=level)
    low, high = ends(found)
    assert found.value is not None
    assert 0.0 <= low <= found.value <= high <= 1.0


@SETTINGS
@given(data(), st.sampled_from(CLUSTERED + INDEPENDENT), st.floats(0.5, 0.99), st.floats(0.001, 0.4))
def test_a_higher_level_contains_a_lower_one(sample, method, level, more) -> None:
    narrow = ends(rate_interval(*sample, method=method, level=level))
    wide = ends(rate_interval(*sample, method=method, level=level + more * (1 - level)))
    assert wide[0] <= narrow[0] + 1e-12
    assert wide[1] >= narrow[1] - 1e-12


@SETTINGS
@given(data(), st.sampled_from(CLUSTERED + INDEPENDENT), st.sampled_from(["edit-mean", "image-mean"]))
def test_swapping_the_labels_mirrors_the_interval(sample, method, estimand) -> None:
    y, image = sample
    if method in INDEPENDENT:
        estimand = "edit-mean"
    one = rate_interval(y, image, method=method, estimand=estimand)
    two = rate_interval(~y, image, method=method, estimand=estimand)
    np.testing.assert_allclose(ends(one), [1 - ends(two)[1], 1 - ends(two)[0]], atol=1e-12)


@SETTINGS
@given(data(), st.sampled_from(["edit-mean", "image-mean"]), st.booleans(), st.randoms(use_true_random=False))
def test_neither_row_order_nor_names_of_images_matter(sample, estimand, weighted, random) -> None:
    y, image = sample
    weights = 0.5 + (np.arange(y.size) * 7 % 5) if weighted else None
    order = list(range(y.size))
    random.shuffle(order)
    names = [f"photo-{random.randrange(100)}-{g}" for g in range(int(image.max()) + 1)]
    plain = rate_interval(y, image, estimand=estimand, weights=weights)
    mixed = rate_interval(
        y[order],
        image[order],
        estimand=estimand,
        weights=None if weights is None else weights[order],
    )
    assert plain == mixed  # bit for bit
    if weights is None:
        renamed = rate_interval(y[order], [names[g] for g in image[order]], estimand=estimand)
        assert plain == renamed


@SETTINGS
@given(data(min_images=3), st.randoms(use_true_random=False))
def test_two_way_intervals_keep_the_same_properties(sample, random) -> None:
    y, image = sample
    prompt = np.array([random.randrange(4) for _ in y])
    if len(set(prompt.tolist())) < 2:
        return
    found = rate_interval(y, image, prompt=prompt, prompts="random")
    low, high = ends(found)
    assert found.value is not None
    assert 0.0 <= low <= found.value <= high <= 1.0
    order = list(range(y.size))
    random.shuffle(order)
    again = rate_interval(y[order], image[order], prompt=prompt[order], prompts="random")
    np.testing.assert_allclose(ends(again), (low, high), atol=1e-12)
    swapped = ends(rate_interval(~y, image, prompt=prompt, prompts="random"))
    np.testing.assert_allclose([1 - swapped[1], 1 - swapped[0]], (low, high), atol=1e-12)
    assert "prompts random" in found.method


def endpoints(counts: np.ndarray, sizes: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    core = rate_core(counts, sizes, level=level)
    return core.low, core.high


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize(
    ("images", "per_image"), [(40, 5), (40, 1), (40, 2), (40, 20), (10, 5), (3, 4), (200, 3)]
)
def test_one_more_failure_in_a_new_image_never_lowers_an_endpoint(images, per_image, level) -> None:
    path = np.tril(np.ones((images + 1, images)), -1)
    low, high = endpoints(path, np.full(images, per_image), level)
    assert (np.diff(low) >= -1e-12).all()
    assert (np.diff(high) >= -1e-12).all()


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_filling_image_after_image_and_round_after_round_never_lowers_an_endpoint(level) -> None:
    images, per_image = 40, 5
    k = np.arange(images * per_image + 1)[:, None]
    filled = np.clip(k - per_image * np.arange(images), 0, per_image).astype(float)
    rounds = (k // images + (np.arange(images) < k % images)).astype(float)
    for path in (filled, rounds):
        low, high = endpoints(path, np.full(images, per_image), level)
        assert (np.diff(low) >= -1e-12).all()
        assert (np.diff(high) >= -1e-12).all()


def _configurations(
    images: int, per_image: int, touched: int
) -> tuple[np.ndarray, dict[tuple[int, ...], int]]:
    """All counts with at most ``touched`` failing images, up to the order of images."""
    kinds = [
        c
        for n in range(touched + 1)
        for c in itertools.combinations_with_replacement(range(per_image, 0, -1), n)
    ]
    table = np.zeros((len(kinds), images))
    for i, c in enumerate(kinds):
        table[i, : len(c)] = c
    return table, {c: i for i, c in enumerate(kinds)}


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(
    ("images", "per_image", "touched"),
    [(40, 5, 6), (10, 5, 6), (6, 3, 6), (4, 4, 4), (5, 8, 5), (40, 2, 12), (40, 20, 3)],
)
def test_one_more_failure_anywhere_never_lowers_an_endpoint(images, per_image, touched, level) -> None:
    """Exhaustive up to ``touched`` failing images of one size: no endpoint falls, whichever image fails once more."""
    table, index = _configurations(images, per_image, touched)
    low, high = endpoints(table, np.full(images, per_image), level)
    for c, i in index.items():
        successors = {
            tuple(sorted((*c[:j], c[j] + 1, *c[j + 1 :]), reverse=True))
            for j in range(len(c))
            if c[j] < per_image
        }
        if len(c) < touched:
            new = index[(*c, 1)]
            assert low[new] >= low[i] - 1e-12, (c, "new image")
            assert high[new] >= high[i] - 1e-12, (c, "new image")
        for d in successors:
            assert low[index[d]] >= low[i] - 1e-12, (c, d)
            assert high[index[d]] >= high[i] - 1e-12, (c, d)


@pytest.mark.parametrize("few", [[20, 1, 1, 1, 1, 1, 1], [19, *[1] * 12]])
def test_an_image_that_fails_twice_beside_one_that_fails_throughout(few: list[int]) -> None:
    """The prefixes of whole images alone gave an upper endpoint that fell from .1494 to .1467."""
    counts = np.zeros((2, 40))
    counts[:, : len(few)] = few
    counts[1, 1] = 2
    low, high = endpoints(counts, np.full(40, 20))
    assert high[1] >= high[0]
    assert low[1] >= low[0]


def _plain_upper(counts: np.ndarray, per_image: int) -> float:
    """Rules 1 and 2 (with the raised design effect) and 3 of one data set, written out once more."""
    images = counts.size
    n, k, df = images * per_image, float(counts.sum()), images - 1.0
    prior = 1 + (per_image - 1) / 2
    limit = float(zero_limit(np.asarray(float(n)), np.asarray(prior), np.asarray(df), 0.025))
    if k in (0.0, n):
        return limit if k == 0 else 1.0
    p = k / n
    touched = min((counts > 0).sum(), (counts < per_image).sum())
    deff = max(float(cr1_variance(counts, np.full(images, per_image))) / (p * (1 - p) / (n - 1)), 1.0)
    deff += max(1 - touched / 6, 0) * max(prior - deff, 0)
    if touched < 5:
        return max(limit, float(korn_graubard(p, deff, float(n), df)[1]))
    return max(limit, float(logit_t(p, deff * p * (1 - p) / (n - 1), df)[1]))


@pytest.mark.parametrize(("images", "per_image"), [(5, 3), (6, 2), (11, 2), (12, 1), (3, 5), (10, 2)])
def test_endpoints_are_the_extremes_over_all_data_with_some_failures_less(
    images: int, per_image: int
) -> None:
    """The two paths find the same maximum as all data below the observed, enumerated."""
    table = np.array(
        list(itertools.combinations_with_replacement(range(per_image, -1, -1), images)), dtype=float
    )
    plain = np.array([_plain_upper(c, per_image) for c in table])
    # sorted counts lie below if and only if each is at most its counterpart
    below = (table[None, :, :] <= table[:, None, :]).all(axis=2)
    hull = np.where(below, plain, 0.0).max(axis=1)
    low, high = endpoints(table, np.full(images, per_image))
    np.testing.assert_allclose(high, hull, rtol=1e-10)
    np.testing.assert_allclose(
        1 - low, endpoints(per_image - table, np.full(images, per_image))[1], rtol=1e-12
    )


def test_the_incoherence_of_the_specification_is_gone() -> None:
    """40 x 5: Wilson with n = images says 8.8 % at k = 0, logit-t 3.7 % at k = 1."""
    path = np.tril(np.ones((3, 40)), -1)
    high = endpoints(path, np.full(40, 5))[1]
    assert high[0] <= high[1] <= high[2]
    # 200 / (1 + 4/2) edits, shrunk by (t_199 / t_39)^2: 1 - 0.025^(1/63.4) = 0.0566
    assert high[0] == pytest.approx(0.0566, abs=1e-4)


def _rule(y: np.ndarray) -> tuple[str, tuple[str, ...]]:
    found = rate_interval(y, np.repeat(np.arange(40), 5))
    tail = ", clustered by image_id, prompts fixed"
    assert found.method.endswith(tail)
    return found.method.removesuffix(tail), found.notes


def test_method_and_notes_say_which_rule_made_which_endpoint() -> None:
    y = np.zeros(200)
    method, notes = _rule(y)
    assert method == "zero-failure limit"
    assert _rule(1 - y)[0] == "zero-spared limit"
    assert "upper endpoint: exact limit with no failing edit, a design effect of 3.00 supposed" in notes
    y[:20:5] = 1  # one edit of four images
    method, notes = _rule(y)
    assert method == "Korn-Graubard at a raised design effect"
    # D = 1 raised by (1 - 4/6) of 3 - 1
    assert any(note.startswith("upper endpoint: Korn-Graubard at a design effect of 1.67") for note in notes)
    low, high = ends(rate_interval(y, np.repeat(np.arange(40), 5)))
    again = korn_graubard(0.02, 1 + 2 / 3, 200.0, 39.0)
    assert (low, high) == pytest.approx((float(again[0]), float(again[1])), rel=1e-9)
    y[:15] = 1  # three images throughout: D is above what is supposed
    y[15:] = 0
    assert _rule(y)[0] == "Korn-Graubard"
    y[:60:5] = 1  # twelve images
    assert _rule(y)[0] == "logit-t"
    assert not any("endpoint" in note for note in _rule(y)[1])
    y[:] = 0
    y[:30:5] = 1  # six single failures: the endpoint of five, one image fewer, is higher
    method, notes = _rule(y)
    assert method == "logit-t (low), logit-t at a raised design effect of fewer edits (high)"
    assert any("5 of the 6 failing edits" in note for note in notes)


@pytest.mark.parametrize("method", ["cluster-t", "cluster-normal", "korn-graubard"])
def test_other_methods_carry_no_note_of_the_default(method: str) -> None:
    y = np.zeros(200)
    y[0] = 1
    found = rate_interval(y, np.repeat(np.arange(40), 5), method=method)  # type: ignore[arg-type]
    assert not any("endpoint" in note for note in found.notes)


def test_weights_worth_a_single_edit_give_no_silent_nan() -> None:
    for y in ([0, 0, 0], [1, 0, 0], [0, 0, 1]):
        low, high = ends(rate_interval(y, [1, 2, 3], weights=[1e17, 1, 1]))
        assert 0 <= low <= high <= 1


def test_interior_is_formula_3() -> None:
    rng = np.random.default_rng(3)
    image = np.repeat(np.arange(40), 5)
    y = rng.random(200) < np.repeat(rng.beta(2, 2, 40), 5)
    sums = np.bincount(image, weights=y)
    p = y.mean()
    variance = max(40 / 39 * ((sums - 5 * p) ** 2).sum() / 200**2, p * (1 - p) / 199)
    half = 2.0226909 * variance**0.5 / (p * (1 - p))  # t_39
    logit = np.log(p / (1 - p))
    expected = 1 / (1 + np.exp(-(logit + np.array([-half, half]))))
    np.testing.assert_allclose(ends(rate_interval(y, image)), expected, atol=1e-8)


def test_singletons_give_the_independent_variance() -> None:
    y = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    found = rate_interval(y, np.arange(12))
    assert found.design_effect == pytest.approx(1.0)
    assert found.n_effective == pytest.approx(12.0)


def test_image_mean_and_edit_mean_differ_with_unequal_images() -> None:
    y, image = np.array([1, 1, 1, 1, 0, 0]), np.array([0, 0, 0, 0, 1, 1])
    assert rate_interval(y, image).value == pytest.approx(4 / 6)
    found = rate_interval(y, image, estimand="image-mean")
    assert found.value == pytest.approx(0.5)
    assert (
        found.method.startswith("logit-t on the mean of image means") or "mean of image means" in found.method
    )


def test_equal_weights_change_nothing() -> None:
    rng = np.random.default_rng(5)
    image, y = np.repeat(np.arange(20), 4), rng.random(80) < 0.4
    plain, weighted = rate_interval(y, image), rate_interval(y, image, weights=np.full(80, 3.0))
    np.testing.assert_allclose(ends(plain), ends(weighted), rtol=1e-12)


def test_no_edits_have_no_rate() -> None:
    for method in CLUSTERED + INDEPENDENT:
        found = rate_interval([], [], method=method)  # type: ignore[arg-type]
        assert (found.value, found.low, found.high, found.n, found.clusters) == (None, None, None, 0, 0)
        assert "no decided edit" in found.notes[0]


def test_one_image_has_a_rate_and_no_interval() -> None:
    found = rate_interval([1, 0, 1], ["a", "a", "a"])
    assert found.value == pytest.approx(2 / 3)
    assert (found.low, found.high) == (None, None)
    assert "one image" in found.notes[0]


def test_one_prompt_as_a_sample_has_no_interval() -> None:
    found = rate_interval([1, 0, 1], [0, 1, 2], prompt=[7, 7, 7], prompts="random")
    assert (found.low, found.high) == (None, None)
    assert "one prompt" in found.notes[0]


@pytest.mark.parametrize("value", [0, 1])
def test_nothing_but_one_outcome_still_has_an_interval(value: int) -> None:
    image = np.repeat(np.arange(40), 5)
    found = rate_interval(np.full(200, value), image)
    assert found.value == value
    low, high = ends(found)
    assert (low, high) == pytest.approx((0.0, 0.0566) if value == 0 else (1 - 0.0566, 1.0), abs=1e-4)
    assert found.design_effect is None
    assert any("same outcome" in note for note in found.notes)


def test_two_edits_in_two_images() -> None:
    low, high = ends(rate_interval([0, 1], [0, 1]))
    assert 0 < low < 0.5 < high < 1


def test_few_prompts_are_noted() -> None:
    image, prompt = np.repeat(np.arange(12), 4), np.tile(np.arange(4), 12)
    found = rate_interval(np.arange(48) % 3 == 0, image, prompt=prompt, prompts="random")
    assert any("4 prompts are few" in note for note in found.notes)


def test_very_unequal_images_are_noted() -> None:
    image = np.array([0] * 50 + list(range(1, 11)))
    found = rate_interval(np.arange(60) % 2 == 0, image)
    assert any("unequal" in note for note in found.notes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"y": [0.5], "image": [1]}, "0 or 1"),
        ({"y": [float("nan"), 1], "image": [1, 2]}, "0 or 1"),
        ({"y": [0, 1], "image": [1]}, "2 entries"),
        ({"y": [[0, 1]], "image": [1]}, "1-d"),
        ({"y": [0, 1], "image": [1, 2], "level": 95}, "0.95"),
        ({"y": [0, 1], "image": [1, 2], "method": "magic"}, "expected one of"),
        ({"y": [0, 1], "image": [1, 2], "prompts": "random"}, "give prompt="),
        ({"y": [0, 1], "image": [1, 2], "prompts": "some"}, "'fixed' or 'random'"),
        ({"y": [0, 1], "image": [1, 2], "estimand": "mode"}, "image-mean"),
        ({"y": [0, 1], "image": [1, 2], "weights": [1, 0]}, "above 0"),
        ({"y": [0, 1], "image": [1, 2], "method": "wilson", "estimand": "image-mean"}, "independent"),
        ({"y": [0, 1], "image": [1, 2], "method": "cluster-bootstrap"}, "rng="),
    ],
)
def test_misuse_is_named(arguments, words) -> None:
    with pytest.raises(StatisticsError, match=words):
        rate_interval(**arguments)


def test_default_interval_of_a_million_edits_is_the_formula_on_the_sums_of_images() -> None:
    image, y = a_million()
    found = rate_interval(y, image)
    # p = sum y / N; V = G/(G-1) sum_g (s_g - 5 p)^2 / N^2; ends expit(logit p -+ t_{G-1} sqrt(V) / (p (1 - p)))
    sums, p = np.bincount(image, weights=y), y.mean()
    variance = 200_000 / 199_999 * ((sums - 5 * p) ** 2).sum() / 1e12
    half = t.ppf(0.975, 199_999) * np.sqrt(variance) / (p * (1 - p))
    centre = np.log(p / (1 - p))
    ends = [1 / (1 + np.exp(-centre + half)), 1 / (1 + np.exp(-centre - half))]
    assert [found.value, found.low, found.high] == pytest.approx([p, *ends], rel=1e-9)
    assert (found.n, found.clusters) == (1_000_000, 200_000)


def test_images_named_by_strings_give_the_same_interval() -> None:
    image, y = a_million()
    names = [f"image{i}" for i in image.tolist()]
    assert rate_interval(y, names) == rate_interval(y, image)


def test_the_memory_of_a_million_edits_is_a_few_arrays_of_them() -> None:
    image, y = a_million()
    tracemalloc.start()
    try:
        rate_interval(y, image)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * 8 * image.size  # found: 16 arrays; a matrix of edits by images would be 200,000


def a_million() -> tuple[np.ndarray, np.ndarray]:
    """(image, y) of five edits of each of 200,000 images, in any order."""
    image = np.random.default_rng(0).permutation(np.repeat(np.arange(200_000), 5))
    return image, np.random.default_rng(1).random(image.size) < 0.4

"""Judge correction: hand-worked estimates, the guard, degenerate inputs, and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.calibration.correction.by_design import corrected_difference, corrected_rate
from isr.calibration.correction.core import arrange
from isr.calibration.correction.post_stratified import post_stratified_core, post_stratified_rate
from isr.calibration.correction.ppi import ppi_lambda, ppi_rate
from isr.calibration.correction.rogan_gladen import Calibration, rogan_gladen_rate
from isr.errors import DesignError, StatisticsError
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval

IMAGE = np.repeat(np.arange(40), 5)

COUNTS = ("true_positives", "positives", "true_negatives", "negatives")


def sample(seed: int = 1, p: float = 0.4, labels: int = 100) -> tuple[np.ndarray, ...]:
    """(judge, human, labelled, image) of 40 x 5 edits with labels at random."""
    rng = np.random.default_rng(seed)
    y = (rng.random(200) < np.repeat(rng.beta(4 * p, 4 * (1 - p), 40), 5)).astype(float)
    judge = np.where(y == 1, rng.random(200) < 0.85, rng.random(200) > 0.9).astype(float)
    labelled = rng.permutation(200) < labels
    return judge, np.where(labelled, y, np.nan), labelled, IMAGE


def ends(found: Interval) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


# --------------------------------------------------------------------------- estimates


def test_post_stratified_by_hand() -> None:
    # 10 edits judged 1 (labels 1 1 0), 30 judged 0 (labels 0 0 1 0): 0.25 * 2/3 + 0.75 * 1/4 = 0.354166
    judge = np.r_[np.ones(10), np.zeros(30)]
    human, labelled = np.zeros(40), np.zeros(40, dtype=bool)
    human[[0, 1, 12]] = 1
    labelled[[0, 1, 2, 10, 11, 12, 13]] = True
    found = post_stratified_rate(judge, human, labelled, np.arange(40) % 8)
    assert found.value == pytest.approx(0.25 * 2 / 3 + 0.75 / 4)
    assert any("7 labels" in note for note in found.notes)
    assert any("few labels" in note for note in found.notes)


def test_equal_inclusion_probabilities_change_nothing() -> None:
    judge, human, labelled, image = sample()
    plain = post_stratified_rate(judge, human, labelled, image)
    weighted = post_stratified_rate(judge, human, labelled, image, probabilities=np.full(200, 0.5))
    assert plain.value == pytest.approx(weighted.value, abs=1e-12)
    np.testing.assert_allclose(ends(plain), ends(weighted), atol=1e-12)


def test_known_probabilities_undo_a_selection() -> None:
    """Labels taken 4 x as often where people say 1 than the plain mean of labels would forgive."""
    rng = np.random.default_rng(2)
    n = 40_000
    y = (rng.random(n) < 0.3).astype(float)
    judge = np.where(y == 1, rng.random(n) < 0.8, rng.random(n) > 0.8).astype(float)
    hint = rng.random(n) < np.where(y == 1, 0.7, 0.2)
    pi = np.where(hint, 0.4, 0.1)
    labelled = rng.random(n) < pi
    image = np.arange(n) // 5
    found = corrected_rate(judge, y, labelled, image, label_design="weights", probabilities=pi)
    assert found.value == pytest.approx(0.3, abs=0.03)
    graded = corrected_rate(
        judge, y, labelled, image, label_design="weights", estimator="ppi++", probabilities=pi
    )
    assert graded.value == pytest.approx(0.3, abs=0.03)
    biased = corrected_rate(judge, y, labelled, image, label_design="random")
    assert biased.value is not None
    assert biased.value > 0.35


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.02, 0.98))
def test_a_perfect_judge_is_not_corrected(seed: int, p: float) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random(200) < p).astype(float)
    if y.min() == y.max():
        y[0] = 1 - y[0]
    labelled = np.zeros(200, dtype=bool)
    for v in (0, 1):
        where = np.flatnonzero(y == v)
        labelled[rng.permutation(where)[: max(1, where.size // 2)]] = True
    found = corrected_rate(y, y, labelled, IMAGE, label_design="within_verdict")
    assert found.value == pytest.approx(y.mean(), abs=1e-12)
    exact = rogan_gladen_rate(
        y,
        IMAGE,
        Calibration(true_positives=50, positives=50, true_negatives=50, negatives=50, label_design="random"),
    )
    assert exact.value == pytest.approx(y.mean(), abs=1e-12)
    # lambda of PPI++ trusts the judge only as far as N_u / N, but adds lambda f_u + (1 - lambda) mean_L(Y)
    difference = corrected_difference(y, 1 - y, y, 1 - y, labelled, IMAGE, label_design="within_verdict")
    assert difference.value == pytest.approx(2 * y.mean() - 1, abs=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.5, 0.98), st.sampled_from(["random", "within_verdict"]))
def test_intervals_are_bounded_nested_and_blind_to_row_order(seed: int, level: float, design: str) -> None:
    judge, human, labelled, image = sample(seed)
    found = corrected_rate(judge, human, labelled, image, label_design=design, level=level)  # type: ignore[arg-type]
    low, high = ends(found)
    assert found.value is not None
    assert 0 <= low <= found.value <= high <= 1
    wide = ends(corrected_rate(judge, human, labelled, image, label_design=design, level=0.99))  # type: ignore[arg-type]
    assert wide[0] <= low
    assert wide[1] >= high
    order = np.random.default_rng(seed + 1).permutation(200)
    mixed = [x[order] for x in (judge, human, labelled, image)]
    assert corrected_rate(*mixed, label_design=design, level=level) == found  # type: ignore[arg-type]


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_swapping_labels_mirrors_the_corrected_rate(seed: int) -> None:
    judge, human, labelled, image = sample(seed)
    one = post_stratified_rate(judge, human, labelled, image)
    two = post_stratified_rate(1 - judge, 1 - human, labelled, image)
    np.testing.assert_allclose(ends(one), [1 - ends(two)[1], 1 - ends(two)[0]], atol=1e-9)


def test_partly_labelled_images_share_one_sum() -> None:
    """The variance is G/(G-1) sum_g (sum phi)^2 with both terms of phi in the same image."""
    judge, human, labelled, image = sample()
    rows = arrange("test", judge, human, labelled, image)
    core = post_stratified_core(rows.judge.astype(int), rows.human, rows.labelled, rows.starts, 2)
    j, y, marks = rows.judge, rows.human, rows.labelled
    phi = np.zeros(200)
    theta = 0.0
    smooth = {}
    for v in (0.0, 1.0):
        own = marks & (j == v)
        smooth[v] = (y[own].sum() + 0.5) / (own.sum() + 1)
    centre = sum((j == v).mean() * smooth[v] for v in smooth)
    for v in (0.0, 1.0):
        own, share = marks & (j == v), (j == v).mean()
        theta += share * y[own].mean()
        phi[j == v] += (smooth[v] - centre) / 200
        phi[own] += (y[own] - y[own].mean()) * share / own.sum()
    variance = 40 / 39 * sum(phi[i : i + 5].sum() ** 2 for i in range(0, 200, 5))
    assert float(core.value) == pytest.approx(theta)
    assert float(core.variance) >= variance - 1e-15
    floor = sum((j == v).mean() * (smooth[v] - centre) ** 2 for v in smooth) / 200
    floor += sum(
        (j == v).mean() ** 2 * smooth[v] * (1 - smooth[v]) / (marks & (j == v)).sum() for v in smooth
    )
    assert float(core.variance) == pytest.approx(max(variance, floor))
    assert float(core.df) == np.unique(image[labelled]).size - 1


def test_whole_labelled_images_give_their_own_degrees_of_freedom() -> None:
    judge, human, _, image = sample()
    whole = image < 12
    human = np.where(whole, np.nan_to_num(human), 0.0)
    rows = arrange("test", judge, human, whole, image)
    assert float(post_stratified_core(rows.judge.astype(int), rows.human, whole, rows.starts, 2).df) == 11


def test_undecided_can_be_a_stratum_of_its_own() -> None:
    judge, human, labelled, image = sample()
    strata = np.where(np.arange(200) % 10 == 0, "undecided", np.where(judge == 1, "fails", "fine"))
    labelled[::10] = True
    human = np.where(labelled, np.nan_to_num(human), np.nan)
    found = post_stratified_rate(judge, human, labelled, image, strata=strata)
    assert "by stratum" in found.method
    with pytest.raises(DesignError, match="stratum undecided"):
        post_stratified_rate(judge, human, labelled & (strata != "undecided"), image, strata=strata)


def test_rogan_gladen_by_hand() -> None:
    # p = 0.5, sensitivity 0.8, specificity 0.9: (0.5 + 0.9 - 1) / 0.7 = 0.571428
    judge = np.tile([1, 0], 100)
    for method in ("lee", "delta"):
        found = rogan_gladen_rate(
            judge,
            np.arange(200) // 4,
            Calibration(
                true_positives=80, positives=100, true_negatives=90, negatives=100, label_design="random"
            ),
            method=method,
        )  # type: ignore[arg-type]
        assert found.value == pytest.approx(0.4 / 0.7)
        low, high = ends(found)
        assert low < 0.4 / 0.7 < high


def test_an_uninformative_judge_gets_the_whole_unit_interval() -> None:
    found = rogan_gladen_rate(
        np.tile([1, 0], 100),
        np.arange(200) // 4,
        Calibration(
            true_positives=52, positives=100, true_negatives=50, negatives=100, label_design="random"
        ),
    )
    assert (found.value, found.low, found.high) == (None, 0.0, 1.0)
    assert "says nothing" in found.notes[0]
    rng = np.random.default_rng(0)
    noise, y = rng.integers(0, 2, 200).astype(float), rng.integers(0, 2, 200).astype(float)
    inside = corrected_rate(
        noise, y, rng.random(200) < 0.3, IMAGE, label_design="random", estimator="rogan-gladen"
    )
    assert (inside.value, inside.low, inside.high) == (None, 0.0, 1.0)


def test_lee_never_has_zero_width_nor_misses_its_estimate() -> None:
    judge = np.ones(500)
    judge[:10] = 0
    found = rogan_gladen_rate(
        judge,
        np.arange(500) // 5,
        Calibration(true_positives=72, positives=80, true_negatives=16, negatives=20, label_design="random"),
    )
    low, high = ends(found)
    assert found.value == 1.0
    assert low < 0.999
    assert high == 1.0


@pytest.mark.parametrize("method", ["lee", "delta"])
@pytest.mark.parametrize("value", [0, 1])
def test_outside_labels_are_no_surer_at_the_edge_than_the_plain_rate(method: str, value: int) -> None:
    """A judge without error in 1,000 labels and one verdict only: Lee gave [0, 2.2 %], delta [0, 0]."""
    table = Calibration(
        true_positives=500, positives=500, true_negatives=500, negatives=500, label_design="random"
    )
    found = rogan_gladen_rate(np.full(200, value), IMAGE, table, method=method)  # type: ignore[arg-type]
    low, high = ends(found)
    plain = ends(rate_interval(np.full(200, value), IMAGE))
    assert found.value == value
    if method == "lee":
        assert high - low > 0.95 * (plain[1] - plain[0])
    else:
        assert high - low > 0.6 * (plain[1] - plain[0])
    assert found.design_effect == pytest.approx(3.0)  # supposed: 1 + (5 - 1) / 2


def test_few_calibration_images_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    judge = (rng.random(200) < 0.4).astype(float)
    widths = []
    for images in (None, 100, 8, 3):
        low, high = ends(
            rogan_gladen_rate(
                judge,
                IMAGE,
                Calibration(
                    true_positives=40,
                    positives=50,
                    true_negatives=45,
                    negatives=50,
                    label_design="random",
                    images=images,
                ),
            )
        )
        widths.append(high - low)
    assert widths[0] == widths[1] < widths[2] < widths[3]
    one = rogan_gladen_rate(
        judge,
        IMAGE,
        Calibration(
            true_positives=40, positives=50, true_negatives=45, negatives=50, label_design="random", images=1
        ),
    )
    assert (one.low, one.high) == (None, None)
    assert "calibration labels in one image" in one.notes[0]


def test_calibration_rows_that_cannot_tell_their_design_effect_suppose_one() -> None:
    human = np.repeat([1.0, 0.0], 50)
    right = Calibration.from_rows(human, human, np.arange(100) // 5)
    assert (right.positives, right.images) == (pytest.approx(50 / 3), 20)
    assert right.sensitivity == pytest.approx(1.0)
    one = Calibration.from_rows(human, human, np.zeros(100, dtype=int))
    assert one.positives == pytest.approx(50 / (1 + 49 / 2))
    assert one.images == 1


@pytest.mark.parametrize(
    "counts", [(80, 50, 45, 50), (40, 50, -1, 50), (40, float("nan"), 45, 50), (40, 50, 45, np.inf)]
)
def test_impossible_calibration_counts_are_named(counts) -> None:
    with pytest.raises(StatisticsError, match="expected 0 <= true_"):
        Calibration(**dict(zip(COUNTS, counts, strict=True)))


def test_calibration_without_one_kind_says_so() -> None:
    for counts, word in (((0, 0, 50, 50), "immunized"), ((50, 50, 0, 0), "not immunized")):
        table = Calibration(**dict(zip(COUNTS, counts, strict=True)), label_design="random")
        with pytest.raises(DesignError, match=f"no labelled edit that people call {word};"):
            rogan_gladen_rate(np.zeros(10), np.arange(10), table)
    with pytest.raises(DesignError, match="both kinds"):
        _ = Calibration(true_positives=0, positives=0, true_negatives=50, negatives=50).sensitivity


@pytest.mark.parametrize("design", [None, "within_verdict"])
def test_rogan_gladen_needs_calibration_labels_drawn_without_looking_at_verdicts(design) -> None:
    table = Calibration(true_positives=40, positives=50, true_negatives=45, negatives=50, label_design=design)
    with pytest.raises(DesignError, match=r"selected by verdict bias.*label_design='random'"):
        rogan_gladen_rate(np.tile([1, 0], 100), IMAGE, table)
    with pytest.raises(DesignError, match="selected by verdict"):
        corrected_rate(np.tile([1, 0], 100), None, None, IMAGE, label_design="external", calibration=table)
    with pytest.raises(DesignError, match="random, within_label, within_verdict"):
        Calibration(
            true_positives=40, positives=50, true_negatives=45, negatives=50, label_design="convenience"
        )  # type: ignore[arg-type]
    by_label = Calibration(
        true_positives=40, positives=50, true_negatives=45, negatives=50, label_design="within_label"
    )
    assert rogan_gladen_rate(np.tile([1, 0], 100), IMAGE, by_label).value is not None


def test_calibration_from_rows_counts_effective_labels() -> None:
    human = np.r_[np.ones(50), np.zeros(50)]
    judge = np.r_[np.ones(40), np.zeros(10), np.zeros(50)]
    spread = Calibration.from_rows(judge, human, np.arange(100))
    assert (spread.positives, spread.true_positives, spread.specificity) == pytest.approx((50, 40, 1.0))
    # the ten misses are two whole images: fewer effective labels, the same sensitivity
    packed = Calibration.from_rows(judge, human, np.arange(100) // 5)
    assert packed.sensitivity == pytest.approx(0.8)
    assert packed.positives < 15
    with pytest.raises(DesignError, match="both kinds"):
        Calibration.from_rows(judge[:50], human[:50], np.arange(50))


def test_ppi_is_the_mean_of_labels_when_all_are_labelled() -> None:
    judge, _, _, image = sample()
    y = np.arange(200) % 3 == 0
    found = ppi_rate(judge, y, np.ones(200, dtype=bool), image)
    assert found.value == pytest.approx(y.mean())
    assert ppi_lambda([1, 0], [1, 0], []) == 0.0
    assert ppi_lambda([1, 0], [1, 1], [1]) == 0.0


def test_the_two_estimators_agree_on_a_binary_judge() -> None:
    """Chen et al. 2026: for binary outcomes tuned PPI++ and the post-stratified estimate coincide asymptotically."""
    judge, human, labelled, image = sample()
    a = post_stratified_rate(judge, human, labelled, image)
    b = ppi_rate(judge, human, labelled, image)
    assert a.value == pytest.approx(b.value, abs=0.01)
    np.testing.assert_allclose(ends(a), ends(b), atol=0.02)


def test_a_judge_without_error_in_the_labels_keeps_a_width() -> None:
    y = (np.arange(200) % 7 == 0).astype(float)
    labelled = np.arange(200) % 2 == 0
    for estimator in ("post-stratified", "ppi++", "rogan-gladen"):
        found = corrected_rate(y, y, labelled, IMAGE, label_design="random", estimator=estimator)  # type: ignore[arg-type]
        low, high = ends(found)
        assert high - low > 0.03, estimator


def test_labels_in_one_image_give_no_interval() -> None:
    judge, human = np.tile([1.0, 0.0], 100), np.tile([1.0, 0.0], 100)
    for size in (1, 2, 5):  # partly and wholly labelled: the same rule
        labelled = np.zeros(200, dtype=bool)
        labelled[:size] = True
        for estimator in ("post-stratified", "ppi++"):
            if size == 1 and estimator == "post-stratified":
                continue
            found = corrected_rate(judge, human, labelled, IMAGE, label_design="random", estimator=estimator)  # type: ignore[arg-type]
            assert (found.low, found.high) == (None, None)
            assert found.notes == ("labels in fewer than two images: no interval",)
    labelled[5:7] = True
    assert corrected_rate(judge, human, labelled, IMAGE, label_design="random").low is not None


def test_no_immunized_edit_at_all_keeps_a_limit_of_the_labels() -> None:
    zero = np.zeros(200)
    found = corrected_rate(zero, zero, np.arange(200) % 2 == 0, IMAGE, label_design="random")
    low, high = ends(found)
    assert (found.value, low) == (0.0, 0.0)
    assert 0.03 < high < 0.12  # 100 labels, 2.5 an image: rule of three on 57 effective labels is 5 to 7 %


# --------------------------------------------------------------------------- the guard


@pytest.mark.parametrize(
    ("design", "estimator", "words"),
    [
        ("within_verdict", "rogan-gladen", "biased.*post-stratified"),
        ("within_verdict", "ppi++", "biased.*post-stratified"),
        ("external", "ppi++", "biased.*rogan-gladen"),
        ("external", "post-stratified", "biased.*rogan-gladen"),
        ("weights", "rogan-gladen", "biased.*post-stratified"),
        ("convenience", "auto", "random, within_verdict, external, weights"),
        ("random", "magic", "post-stratified"),
    ],
)
def test_the_guard_refuses_and_names_what_fits(design, estimator, words) -> None:
    judge, human, labelled, image = sample()
    with pytest.raises(DesignError, match=words):
        corrected_rate(judge, human, labelled, image, label_design=design, estimator=estimator)


def test_the_guard_refuses_contradictions() -> None:
    judge, human, labelled, image = sample()
    table = Calibration(
        true_positives=40, positives=50, true_negatives=45, negatives=50, label_design="random"
    )
    with pytest.raises(DesignError, match="edits of this test set carry labels"):
        corrected_rate(judge, human, labelled, image, label_design="external", calibration=table)
    with pytest.raises(DesignError, match="needs calibration="):
        corrected_rate(judge, None, None, image, label_design="external")
    with pytest.raises(DesignError, match="another experiment"):
        corrected_rate(judge, human, labelled, image, label_design="random", calibration=table)
    with pytest.raises(DesignError, match="found none"):
        corrected_rate(judge, None, None, image, label_design="random")
    with pytest.raises(DesignError, match="found none"):
        corrected_rate(judge, human, np.zeros(200, dtype=bool), image, label_design="within_verdict")
    with pytest.raises(DesignError, match="belong together"):
        corrected_rate(judge, human, labelled, image, label_design="weights")
    with pytest.raises(DesignError, match="belong together"):
        corrected_rate(judge, human, labelled, image, label_design="random", probabilities=np.full(200, 0.5))


@pytest.mark.parametrize(("design", "estimator"), [("within_verdict", "auto"), ("random", "post-stratified")])
def test_a_score_that_would_not_be_read_is_refused(design: str, estimator: str) -> None:
    judge, human, labelled, image = sample()
    with pytest.raises(DesignError, match="score= is read by ppi"):
        corrected_rate(
            judge,
            human,
            labelled,
            image,
            label_design=design,  # type: ignore[arg-type]
            estimator=estimator,  # type: ignore[arg-type]
            score=judge * 0.5,
        )


def test_a_stratum_without_a_label_is_refused() -> None:
    judge, human, labelled, image = sample()
    with pytest.raises(DesignError, match=r"verdict 1;.*random within every verdict"):
        corrected_rate(judge, human, labelled & (judge == 0), image, label_design="within_verdict")


def test_labels_called_random_but_chosen_by_verdict_are_refused() -> None:
    judge, human, _, image = sample()
    human = np.nan_to_num(human)
    chosen = (judge == 1) | (np.arange(200) % 20 == 0)
    for estimator in ("ppi++", "rogan-gladen"):
        with pytest.raises(DesignError, match="declare label_design='within_verdict'"):
            corrected_rate(judge, human, chosen, image, label_design="random", estimator=estimator)
    assert corrected_rate(judge, human, chosen, image, label_design="within_verdict").low is not None


def test_each_design_gets_its_estimator() -> None:
    judge, human, labelled, image = sample()
    named = {
        design: corrected_rate(judge, human, labelled, image, label_design=design).method  # type: ignore[arg-type]
        for design in ("random", "within_verdict")
    }
    assert all(text.startswith("post-stratified by verdict") for text in named.values())
    score = np.clip(judge * 0.6 + 0.2, 0, 1)
    graded = corrected_rate(judge, human, labelled, image, label_design="random", score=score)
    assert graded.method.startswith("PPI++")
    outside = corrected_rate(
        judge,
        None,
        None,
        image,
        label_design="external",
        calibration=Calibration(
            true_positives=40, positives=50, true_negatives=45, negatives=50, label_design="random"
        ),
    )
    assert outside.method.startswith("Rogan-Gladen (Lee-adjusted)")


# --------------------------------------------------------------------------- degenerate


def test_no_edits_and_one_image() -> None:
    empty = np.zeros(0)
    none = empty.astype(bool)
    for found in (
        post_stratified_rate(empty, empty, none, empty),
        ppi_rate(empty, empty, none, empty),
        rogan_gladen_rate(
            empty,
            empty,
            Calibration(true_positives=1, positives=2, true_negatives=1, negatives=2, label_design="random"),
        ),
        corrected_rate(empty, empty, none, empty, label_design="random"),
    ):
        assert (found.value, found.low, found.high) == (None, None, None)
        assert found.notes
    judge, human, labelled = np.array([1.0, 0, 1, 0]), np.array([1.0, 0, 0, 0]), np.ones(4, dtype=bool)
    one = post_stratified_rate(judge, human, labelled, np.zeros(4, dtype=int))
    assert one.value == pytest.approx(0.25)
    assert (one.low, one.high) == (None, None)


def test_broken_arrays_are_named() -> None:
    judge, human, labelled, image = sample()
    with pytest.raises(StatisticsError, match="labelled: expected true or false"):
        post_stratified_rate(judge, human, labelled.astype(int), image)
    with pytest.raises(StatisticsError, match="has no label"):
        post_stratified_rate(judge, np.full(200, np.nan), labelled, image)
    with pytest.raises(StatisticsError, match="image: expected one entry per edit"):
        post_stratified_rate(judge, human, labelled, image[:5])
    with pytest.raises(StatisticsError, match="0 or 1"):
        post_stratified_rate(judge, np.where(labelled, 0.5, 0.0), labelled, image)
    for broken in (np.nan, 2.0):
        odd = judge.copy()
        odd[3] = broken
        for call in (
            lambda odd=odd: post_stratified_rate(odd, human, labelled, image),
            lambda odd=odd: corrected_rate(odd, human, labelled, image, label_design="within_verdict"),
            lambda odd=odd: corrected_rate(
                odd, human, labelled, image, label_design="random", estimator="ppi++"
            ),
        ):
            with pytest.raises(StatisticsError, match=r"judge: expected (0 or 1|a number)"):
                call()
    with pytest.raises(StatisticsError, match="strata: expected a name"):
        post_stratified_rate(judge, human, labelled, image, strata=np.where(judge == 1, np.nan, 0.0))
    with pytest.raises(StatisticsError, match="strata: expected a name"):
        post_stratified_rate(judge, human, labelled, image, strata=np.where(judge == 1, None, "a"))
    with pytest.raises(StatisticsError, match=r"score: expected numbers in \[0, 1\]"):
        corrected_rate(judge, human, labelled, image, label_design="random", score=judge * 100)
    with pytest.raises(StatisticsError, match=r"\(0, 1\]"):
        post_stratified_rate(judge, human, labelled, image, probabilities=np.full(200, 2.0))


# --------------------------------------------------------------------------- differences


def pair(seed: int = 5) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    ya, yb = (rng.random((2, 200)) < [[0.6], [0.4]]).astype(float)
    ja = np.where(ya == 1, rng.random(200) < 0.95, rng.random(200) > 0.75).astype(float)
    jb = np.where(yb == 1, rng.random(200) < 0.8, rng.random(200) > 0.95).astype(float)
    return ja, jb, ya, yb, rng.permutation(200) < 90, IMAGE


def test_a_judge_kind_to_one_method_is_corrected() -> None:
    errors = {"raw": [], "ppi": [], "cells": []}  # type: dict[str, list[float]]
    for seed in range(60):
        ja, jb, ya, yb, labelled, image = pair(seed)
        a = corrected_difference(ja, jb, ya, yb, labelled, image, label_design="random")
        b = corrected_difference(ja, jb, ya, yb, labelled, image, label_design="within_verdict")
        assert a.value is not None
        assert b.value is not None
        errors["raw"].append(float((ja - jb).mean()) - 0.2)
        errors["ppi"].append(a.value - 0.2)
        errors["cells"].append(b.value - 0.2)
    assert np.mean(errors["raw"]) > 0.08
    assert abs(np.mean(errors["ppi"])) < 0.03
    assert abs(np.mean(errors["cells"])) < 0.03


def test_difference_of_a_method_with_itself_is_zero_but_not_certain() -> None:
    ja, _, ya, _, labelled, image = pair()
    found = corrected_difference(ja, ja, ya, ya, labelled, image, label_design="random")
    low, high = ends(found)
    assert found.value == pytest.approx(0.0)
    assert low < 0 < high


def test_difference_guard() -> None:
    ja, jb, ya, yb, labelled, image = pair()
    with pytest.raises(DesignError, match="both outputs"):
        corrected_difference(ja, jb, ya, yb, labelled, image, label_design="external")
    with pytest.raises(DesignError, match="no unit is labelled"):
        corrected_difference(ja, jb, ya, yb, np.zeros(200, dtype=bool), image, label_design="random")
    with pytest.raises(DesignError, match="not available for differences"):
        corrected_difference(ja, jb, ya, yb, labelled, image, label_design="random", estimator="rogan-gladen")
    missing = labelled & ~((ja == 1) & (jb == 0))
    with pytest.raises(DesignError, match="A=1 B=0"):
        corrected_difference(ja, jb, ya, yb, missing, image, label_design="within_verdict")
    with pytest.raises(DesignError, match="ppi\\+\\+ is biased"):
        corrected_difference(
            ja, jb, ya, yb, labelled, image, label_design="within_verdict", estimator="ppi++"
        )
    with pytest.raises(StatisticsError, match="human_a: expected 0 or 1"):
        corrected_difference(ja, jb, ya * 10, yb, labelled, image, label_design="random")
    with pytest.raises(StatisticsError, match="one length"):
        corrected_difference(ja, jb, ya[:5], yb, labelled, image, label_design="random")
    unread = np.where(labelled, ya, np.nan)  # labels that do not exist are not read
    assert corrected_difference(ja, jb, unread, yb, labelled, image, label_design="random").low is not None
    none = np.zeros(0)
    empty = corrected_difference(none, none, none, none, none.astype(bool), none, label_design="random")
    assert empty.value is None

"""Corrected rates by the design of the labels: what is refused, undefined, invariant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.calibration.correction.by_design import corrected_rate
from isr.calibration.correction.rogan_gladen import Calibration
from isr.errors import DesignError
from tests.calibration.correction.samples import IMAGE, ends, sample


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

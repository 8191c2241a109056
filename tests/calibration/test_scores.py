"""Calibration maps and measures: identities, folds by image, degenerate inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.calibration import scores as sc
from isr.errors import StatisticsError

rows = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=60)
@given(rows)
def test_identities(pairs) -> None:
    score, y = np.array([a for a, _ in pairs]), np.array([float(b) for _, b in pairs])
    parts = sc.murphy(score, y)
    assert parts is not None
    assert parts.brier == pytest.approx(parts.reliability - parts.resolution + parts.uncertainty, abs=1e-9)
    assert parts.brier == pytest.approx(sc.brier(score, y))
    for by in ("width", "mass"):
        ece = sc.expected_calibration_error(score, y, by=by)  # type: ignore[arg-type]
        assert 0 <= ece <= 1  # type: ignore[operator]
        table = sc.calibration_curve(score, y, by=by)  # type: ignore[arg-type]
        assert table.n.sum() == score.size
    fit = sc.isotonic(score, y)
    assert (np.diff(fit(np.sort(score))) >= -1e-12).all()
    assert fit(score).mean() == pytest.approx(y.mean(), abs=1e-9)
    assert sc.log_loss(score, y) >= 0  # type: ignore[operator]


def test_a_perfect_score() -> None:
    y = np.array([0.0, 1, 1, 0])
    assert sc.brier(y, y) == 0
    assert sc.expected_calibration_error(y, y) == 0
    assert sc.log_loss(y, y) == pytest.approx(0, abs=1e-12)


def test_nothing_to_measure_is_none() -> None:
    assert sc.brier([], []) is None
    assert sc.murphy([], []) is None
    assert sc.log_loss([], []) is None
    assert sc.expected_calibration_error([], []) is None


def test_platt_is_the_logistic_fit() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=5000) * 30 + 100
    y = (rng.random(5000) < 1 / (1 + np.exp(-(0.05 * score - 5)))).astype(float)
    found = sc.platt(score, y)
    assert found.converged
    assert found.slope == pytest.approx(0.05, abs=0.01)
    plain = sc.platt(score, y, smooth=False)
    assert plain(score).mean() == pytest.approx(y.mean(), abs=1e-8)  # the score equation of the intercept
    separated = sc.platt([0, 1, 2, 3], [0, 0, 1, 1])
    assert np.isfinite([separated.slope, separated.intercept]).all()
    assert not sc.platt([0, 1, 2, 3], [0, 0, 1, 1], smooth=False).converged


def test_folds_keep_images_together_and_predictions_out_of_fold() -> None:
    rng = np.random.default_rng(1)
    image = np.repeat(np.arange(30), 4)
    fold = sc.image_folds(image, 5, rng=rng)
    assert all(np.unique(fold[image == g]).size == 1 for g in range(30))
    assert np.bincount(fold).tolist() == [24] * 5
    # a score that identifies the image carries nothing to other images
    score, y = image / 30, (rng.random(30) < 0.5).astype(float)[image]
    out = sc.cross_fit(score, y, image, folds=5, rng=np.random.default_rng(2))
    assert sc.brier(sc.isotonic(score, y)(score), y) < sc.brier(out, y)  # type: ignore[operator]
    again = sc.cross_fit(score, y, image, folds=5, rng=np.random.default_rng(2))
    assert (out == again).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sc.platt([1, 2], [1, 1]), "both classes"),
        (lambda: sc.isotonic([], []), "no labelled edit"),
        (lambda: sc.brier([1.5], [1]), r"\[0, 1\]"),
        (lambda: sc.brier([0.5], [0.5]), "0 or 1"),
        (lambda: sc.brier([np.nan], [1]), "finite"),
        (lambda: sc.calibration_curve([0.5], [1], bins=0), "at least 1"),
        (lambda: sc.image_folds([0, 0], 2, rng=np.random.default_rng(0)), "folds"),
    ],
)
def test_misuse_is_named(call, words) -> None:
    with pytest.raises(StatisticsError, match=words):
        call()

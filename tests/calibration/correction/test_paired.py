"""The corrected difference of two methods: kind judges, refusals, tests that say what the interval says."""

from __future__ import annotations

import numpy as np
import pytest

from isr.calibration.correction.paired import corrected_difference, corrected_pair, selection_by_verdicts
from isr.errors import DesignError, StatisticsError
from tests.calibration.correction.samples import IMAGE, ends


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


def test_labels_chosen_because_verdicts_differ_are_not_random() -> None:
    """Of units on which the verdicts differ most are labelled, of the others few; neither verdict alone shows it."""
    ja, jb, ya, yb, _, image = pair()
    differ = ja != jb
    rng = np.random.default_rng(1)
    labelled = rng.random(200) < np.where(differ, 0.8, 0.15)
    found = selection_by_verdicts(ja, jb, labelled, image)
    assert found is not None
    assert found.z > 4
    assert "the units on which the two verdicts differ" in str(found)
    with pytest.raises(DesignError, match=r"called random, but .* units on which the two verdicts differ"):
        corrected_difference(ja, jb, ya, yb, labelled, image, label_design="random")
    corrected_difference(ja, jb, ya, yb, labelled, image, label_design="within_verdict")
    by_one = rng.random(200) < np.where(jb == 1, 0.8, 0.2)
    with pytest.raises(DesignError, match="units whose second edit the judge calls immunized"):
        corrected_difference(ja, jb, ya, yb, by_one, image, label_design="random")


@pytest.mark.parametrize("design", ["random", "within_verdict"])
def test_tests_say_what_the_intervals_say(design: str) -> None:
    """p = 1 - level where an endpoint is 0, and the margin's p is that of the endpoint at +-margin."""
    ja, jb, ya, yb, labelled, image = pair(3)

    def found(level: float, margin: float | None = None, family: int = 1):
        return corrected_pair(
            ja,
            jb,
            ya,
            yb,
            labelled,
            image,
            label_design=design,
            level=level,
            margin=margin,
            family=family,
        )

    p = found(0.95).p_value
    assert p is not None
    low, high = ends(found(1 - p).difference)
    assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-9)
    assert found(0.95).within is None
    low, high = ends(found(0.9).difference)
    # a difference above 0: worse by more than the margin is ruled out where the 90 % interval ends above it
    margin = -low if low < 0 else high
    within = found(0.95, margin=margin).within
    assert within is not None
    assert 0.05 in (pytest.approx(within.not_worse), pytest.approx(within.equivalent))
    joint, alone = ends(found(0.95, family=5).simultaneous), ends(found(0.99).difference)
    assert joint == pytest.approx(alone)  # 1 - .05 / 5


def test_a_family_of_one_holds_alone() -> None:
    ja, jb, ya, yb, labelled, image = pair()
    found = corrected_pair(ja, jb, ya, yb, labelled, image, label_design="random")
    assert found.simultaneous == found.difference
    one = corrected_pair(ja, jb, ya, yb, labelled, np.zeros(200), label_design="random", margin=0.1)
    assert (one.p_value, one.within, one.difference.low) == (None, None, None)

"""Majority and Dawid-Skene: ties, gold, recovery of known error rates, degenerate inputs."""

from __future__ import annotations

import numpy as np
import pytest

from isr.calibration.aggregation import UNDECIDED, dawid_skene, majority
from isr.errors import StatisticsError


def test_majority_leaves_ties_undecided() -> None:
    found = majority([[1, 1, 0], [1, 0, -1], [-1, -1, -1], [0, 0, 0]])
    assert found.labels.tolist() == [1, UNDECIDED, UNDECIDED, 0]
    assert (found.ties, found.empty) == (1, 1)
    assert found.counts.tolist() == [[1, 2], [1, 1], [0, 0], [3, 0]]
    assert majority(np.zeros((0, 3), dtype=int)).labels.size == 0
    with pytest.raises(StatisticsError, match="codes -1"):
        majority([[2]])


def crowd(seed: int = 0, items: int = 400) -> tuple[list[int], list[str], list[int], np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, items)
    item, rater, label = [], [], []
    for name, right in (("good", 0.95), ("fair", 0.8), ("poor", 0.6), ("wrong", 0.25)):
        for i in range(items):
            item.append(i)
            rater.append(name)
            label.append(int(truth[i] if rng.random() < right else 1 - truth[i]))
    return item, rater, label, truth


def test_error_rates_are_recovered_and_beat_the_majority() -> None:
    item, rater, label, truth = crowd()
    found = dawid_skene(item, rater, label, restarts=3, rng=np.random.default_rng(0))
    votes = np.array(label).reshape(4, -1).T
    plain = majority(votes).labels
    assert (np.array(found.labels) == truth).mean() > (plain == truth).mean()
    rates = {r: found.confusion[j].diagonal().mean() for j, r in enumerate(found.raters)}
    assert rates["good"] == pytest.approx(0.95, abs=0.06)
    assert rates["wrong"] == pytest.approx(0.25, abs=0.06)
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1.0)
    np.testing.assert_allclose(found.confusion.sum(axis=2), 1.0)
    assert found.converged


def test_row_order_does_not_matter() -> None:
    item, rater, label, _ = crowd(items=60)
    order = np.random.default_rng(1).permutation(len(item))
    one = dawid_skene(item, rater, label)
    two = dawid_skene(*([x[i] for i in order] for x in (item, rater, label)))  # type: ignore[arg-type]
    assert one.labels == two.labels
    np.testing.assert_array_equal(one.posterior, two.posterior)


def test_gold_is_held() -> None:
    item, rater, label, truth = crowd(items=60)
    gold = {0: int(1 - truth[0]), 1: int(truth[1])}
    found = dawid_skene(item, rater, label, gold=gold)
    assert found.labels[0] == 1 - truth[0]
    assert found.posterior[0].max() == 1.0
    # gold may name a class that nobody gave
    other = dawid_skene(["a", "b"], ["r", "r"], [0, 0], gold={"a": 1})
    assert other.labels[0] == 1
    assert other.classes == (0, 1)


def test_long_rows_do_not_underflow() -> None:
    """2,000 answers per item: products of probabilities would be 0, sums of logs are not."""
    rng = np.random.default_rng(2)
    item = np.repeat([0, 1], 2000).tolist()
    rater = np.tile(np.arange(2000), 2).tolist()
    label = np.r_[rng.random(2000) < 0.7, rng.random(2000) < 0.3].astype(int).tolist()
    found = dawid_skene(item, rater, label, smoothing=0.1)
    assert np.isfinite(found.posterior).all()
    assert found.labels == (1, 0)


def test_degenerate_inputs_carry_a_note() -> None:
    empty = dawid_skene([], [], [])
    assert empty.labels == ()
    assert empty.log_likelihood is None
    assert "no answers" in empty.notes
    two = dawid_skene([0, 0, 1, 1], ["a", "b", "a", "b"], [0, 0, 1, 1])
    assert any("not identified below three" in note for note in two.notes)
    same = dawid_skene([0, 1, 2], ["a", "b", "c"], [1, 1, 1])
    assert any("every answer is the same" in note for note in same.notes)
    assert same.labels == (1, 1, 1)
    assert any("did not converge" in note for note in dawid_skene(*crowd()[:3], max_iterations=1).notes)
    with pytest.raises(StatisticsError, match="one entry each"):
        dawid_skene([0], [0, 1], [1])

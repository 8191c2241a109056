"""A judged sample with labels that the tests of corrected rates share."""

from __future__ import annotations

import numpy as np

from isr.stats.rows import Interval

IMAGE = np.repeat(np.arange(40), 5)


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

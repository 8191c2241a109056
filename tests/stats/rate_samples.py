"""Samples of clustered outcomes that the tests of rates share."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from isr.stats.rows import Interval

SETTINGS = settings(max_examples=60)


@st.composite
def data(draw: st.DrawFn, min_images: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """(y, image) with unequal images, from nothing failing to everything failing."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=min_images, max_size=9))
    image = np.repeat(np.arange(len(sizes)), sizes)
    y = np.array(draw(st.lists(st.booleans(), min_size=image.size, max_size=image.size)))
    return y, image


def ends(found: Interval) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def ratio(total: np.ndarray) -> np.ndarray:
    return total[:, 0] / total[:, 1]

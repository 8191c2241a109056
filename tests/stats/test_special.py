"""The functions are those of scipy."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy import special as theirs

from isr.stats import special

NAMES = [
    name for name, value in vars(special).items() if inspect.isfunction(value) and not name.startswith("_")
]
ARGUMENTS = {
    "bdtr": (1.0, 3, 0.4),
    "betaincinv": (2.0, 3.0, 0.4),
    "nctdtr": (3.0, 0.4, 0.2),
    "fdtri": (2.0, 3.0, 0.4),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_is_scipys(name: str) -> None:
    wanted = getattr(theirs, name)
    count = getattr(wanted, "nin", 1)
    given = ARGUMENTS.get(name) or (0.3,) * count
    found = getattr(special, name)(*given)
    assert np.asarray(found) == np.asarray(wanted(*given))
    assert np.isfinite(found)
    assert getattr(special, name).__name__ == name

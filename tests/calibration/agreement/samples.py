"""Tables that the tests of agreement share."""

from __future__ import annotations

import numpy as np

PARADOX = np.array(
    [[118.0, 5.0], [2.0, 0.0]]
)  # the table of Feinstein and Cicchetti's kind: po .944, kappa -.023

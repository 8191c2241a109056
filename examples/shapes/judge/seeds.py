"""Which seeds of ``isr_shapes.painting`` are for what; no two ranges share one, and so no two share a scene."""

from __future__ import annotations

ELSEWHERE = range(40_000)
"""The bundled directory, the oracle's tuning, and the seeds that tests and benchmarks of this repository draw."""
TEST = range(50_000, 60_000)
"""Measured once, after training; nothing was ever chosen by them."""
VALIDATION = range(60_000, 70_000)
"""Looked at while training."""
TRAIN = range(1_000_000, 1_200_000)

"""How long a model takes on this machine's CPU: computed before anything is loaded, from its size and two measured speeds.

Reading a prompt costs two operations for each weight and token (Kaplan et al. 2020, arXiv 2001.08361, section 2.1); writing a token
reads all weights once from memory. Real programs reach a part of both speeds, so the answer is a range.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SMALL = 5.0  # billion weights; judges of this size are often unfit, and are qualified first
REACHED = 0.3  # of a machine's speed that a slow program still reaches
BYTES = (0.6, 2.0)  # of a weight: quantised to about five bits, as Ollama's are, and in bfloat16
_SIDE = 1024
_BLOCK = 1 << 26


class Speed(NamedTuple):
    """Single-precision operations and bytes read, both for each second."""

    operations: float
    bytes: float


def speed(seconds: float = 0.2) -> Speed:
    """This machine's speed now, measured for about twice ``seconds``: other programs slow it down as they would the judge."""
    one = np.ones((_SIDE, _SIDE), np.float32)
    block = np.ones(_BLOCK // 4, np.float32)
    multiply = _rate(lambda: np.matmul(one, one), 2.0 * _SIDE**3, seconds)
    return Speed(multiply, _rate(lambda: np.dot(block, block), float(_BLOCK), seconds))


def _rate(work: Callable[[], object], amount: float, seconds: float) -> float:
    work()
    began, times = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds or not times:
        work()
        times += 1
    return amount * times / spent


def seconds(billions: float, prompt_tokens: int, output_tokens: int, at: Speed) -> tuple[float, float]:
    """(least, most) seconds that a model takes for so many tokens in all.

    The least is of quantised weights by a fast program, the most of weights in bfloat16 by a slow one.

    >>> least, most = seconds(2, 1_000_000, 10_000, Speed(1e11, 1e10))
    >>> round(least), round(most)  # reading: 2 * 2e9 * 1e6 / 1e11 = 40,000 s; writing: 1.2e9 or 4e9 * 1e4 / 1e10 = 1,200 or 4,000 s
    (41200, 146667)
    """
    weights = billions * 1e9
    least, most = (
        2 * weights * prompt_tokens / at.operations + output_tokens * size * weights / at.bytes
        for size in BYTES
    )
    return least, most / REACHED

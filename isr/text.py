"""Words for people: the text of strangers made safe; rates, differences, intervals and p-values as they are printed."""

from __future__ import annotations

from typing import Protocol

NOTHING = "-"


class Limits(Protocol):
    """Anything with a value and an interval: ``isr.Estimate``, ``isr.stats.rows.Interval``."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def rate(value: float | None) -> str:
    """A share as percent, ``38.9%``; ``-`` where it does not exist."""
    return NOTHING if value is None else f"{value:.1%}"


def difference(value: float | None) -> str:
    """A difference of two shares in percentage points with its sign, ``+16.7 pp``; ``-`` where it does not exist."""
    return NOTHING if value is None else f"{points(value)} pp"


def points(value: float) -> str:
    """Percentage points with their sign, without the unit: ``+16.7``."""
    return f"{100 * value:+.1f}"


def rate_interval(e: Limits) -> str:
    """``12.5% to 71.7%``, or ``no interval``."""
    return "no interval" if e.low is None or e.high is None else f"{rate(e.low)} to {rate(e.high)}"


def difference_interval(e: Limits, *, unit: bool = True) -> str:
    """``-51.3 to +29.1 pp``, or ``no interval``."""
    if e.low is None or e.high is None:
        return "no interval"
    return f"{points(e.low)} to {points(e.high)}{' pp' if unit else ''}"


def rate_with_interval(e: Limits | None, *, none: str = "") -> str:
    """``38.9% (12.5%-71.7%)``; the value and ``none`` where there is no interval; ``-`` where there is no value."""
    if e is None or e.value is None:
        return NOTHING
    if e.low is None or e.high is None:
        return f"{rate(e.value)}{none and f' ({none})'}"
    return f"{rate(e.value)} ({rate(e.low)}-{rate(e.high)})"


def p_value(value: float | None) -> str:
    """Four decimals, ``<.0001`` below that, ``-`` where there is no test."""
    return NOTHING if value is None else "<.0001" if value < 0.0001 else f"{value:.4f}"


def plain(text: str) -> str:
    """Text that a stranger wrote, without control characters: it must not break a table or the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)

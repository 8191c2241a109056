"""Whether labels contradict verdicts more often than chance would, as they do where fails and fine are swapped."""

from __future__ import annotations

from isr.calibration.agreement.summary import Agreement
from isr.calibration.correction.quality import mover_sum
from isr.stats.rows import Interval

ASK = "are fails and fine swapped?"


def below_chance(first: Interval, second: Interval) -> tuple[float, float, float] | None:
    """The sum of two rates with its interval, where the interval lies below 1; otherwise ``None``.

    Of sensitivity and specificity, the sum is 1 for verdicts that say nothing about the labels. The limits are those of
    Zou and Donner (2008) for a sum, from the limits of the two rates (MOVER); they hold at the edges, where all is wrong.
    """
    ends = (first.value, first.low, first.high, second.value, second.low, second.high)
    a, a_low, a_high, b, b_low, b_high = ends
    if a is None or a_low is None or a_high is None or b is None or b_low is None or b_high is None:
        return None
    low, high = map(float, mover_sum((a, a_low, a_high), (b, b_low, b_high)))
    return (a + b, max(low, 0.0), high) if high < 1 else None


def swapped(who: str, first: Interval, second: Interval, what: str = "sensitivity + specificity") -> str:
    """What to say of two rates whose sum lies below 1 with its interval; ``""`` where it does not."""
    found = below_chance(first, second)
    if found is None:
        return ""
    value, low, high = found
    return (
        f"{who}: {what} is {value:.2f} ({low:.2f}, {high:.2f}), below 1: they contradict each other more often than "
        f"chance would; {ASK} check how the labels were recoded, and the side of a scale"
    )


def swapped_in(who: str, agreement: Agreement) -> str:
    """The same of an agreement."""
    return swapped(who, agreement.sensitivity, agreement.specificity)

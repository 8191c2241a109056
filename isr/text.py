"""Words for people: the text of strangers made safe; rates, differences, intervals and p-values as they are printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
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


def hundredths(value: float) -> str:
    """A share in percent without the unit, ``38.9``."""
    return f"{100 * value:.1f}"


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


class LeftOpen(Protocol):
    """Anything that says how far undecided outcomes leave a difference open."""

    @property
    def bounds(self) -> tuple[float, float]: ...
    @property
    def identified(self) -> tuple[float, float] | None: ...
    @property
    def tipping_share(self) -> float | None: ...


def left_open(e: LeftOpen, level: float) -> str:
    """What undecided outcomes leave open of a difference, in words."""
    low, high = e.bounds
    held = (
        ""
        if e.identified is None
        else f" ({level:.0%}: {points(e.identified[0])} to {points(e.identified[1])} pp)"
    )
    turn = (
        "the order holds" if low * high > 0
        else "there is no order" if e.tipping_share is None
        else f"no order is left if {e.tipping_share:.0%} of them go against it"
    )  # fmt: skip
    return f"whatever the undecided outcomes are, between {points(low)} and {points(high)} pp{held}; {turn}"


class Opened(Limits, Protocol):
    """Anything that has bounds, and the interval of the set of values between them."""

    @property
    def is_open(self) -> bool: ...
    @property
    def bounds(self) -> tuple[float, float] | None: ...
    @property
    def identified(self) -> tuple[float, float] | None: ...


def open_range(e: Opened, one: Callable[[float], str] = rate, join: str = " to ") -> str:
    """``73.0% to 79.5%``: the bounds, where undecided edits leave the value open; else nothing."""
    return join.join(map(one, e.bounds)) if e.is_open and e.bounds is not None else ""


def open_interval(e: Opened, one: Callable[[float], str] = rate, join: str = " to ") -> str:
    """``66.2% to 84.7%``: the interval of the identified set, which holds whatever the undecided edits are."""
    return join.join(map(one, e.identified)) if e.is_open and e.identified is not None else ""


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


MARGIN_ALPHA = 0.05
"""Level of each of the two one-sided tests of a margin: they say what the 90 % interval says."""


def within_margin(adjusted: tuple[float, float] | None, margin: float, what: str) -> str:
    """What a margin says of a difference. adjusted: p-values of "no worse by more than it" and of "equivalent within it".

    The smaller of two p-values at 5 % is a claim, the larger none.
    """
    head = f"margin of {100 * margin:g} pp, {what}: "
    if adjusted is None:
        return f"{head}no claim: there is no interval"
    worse, same = adjusted
    said = (
        "equivalent within it" if same < MARGIN_ALPHA
        else "no worse by more than it" if worse < MARGIN_ALPHA
        else "not shown to be within it"
    )  # fmt: skip
    return (
        f"{head}{said}: adjusted p no worse {p_value(worse)}, equivalent {p_value(same)} (two one-sided tests at "
        f"{MARGIN_ALPHA:.0%})"
    )


def counted(count: int, word: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def value_in_words(column: str, value: str) -> str:
    """A cell of a column as it is printed: no purifier is ``none``, any other empty cell ``(empty)``."""
    return value or ("none" if column == "purifier" else "(empty)")


def group_in_words(by: Mapping[str, str]) -> str:
    """``editor painter, purifier none``: what the edits of a group have in common."""
    return plain(", ".join(f"{column} {value_in_words(column, value)}" for column, value in by.items()))


def note_in_words(note: str) -> str:
    """A result's note as it is printed: ``2 attacks on each unit`` for ``2 to 2 attacks on each unit``."""
    return _EQUAL_ENDS.sub(lambda found: counted(int(found[1]), "attack"), note)


_EQUAL_ENDS = re.compile(r"\b(\d+) to \1 attacks")
SUPPOSED = "supposed design effect"


def footnotes(notes: Iterable[str], level: float, pairs: int) -> Iterator[str]:
    """What the words of a table of pairs mean, where it has them. notes: of its pairs. pairs: how many are adjusted together."""
    if pairs > 1:
        yield f"all hold at {level:.0%}: these intervals hold together, over all {pairs} comparisons (Bonferroni)"
    if any(SUPPOSED in note for note in notes):
        yield (
            f"{SUPPOSED}: where no images differ, or all alike, the data cannot tell how alike edits of one image are; the width takes "
            "a value on the safe side (docs/statistics.md)"
        )


NEAREST = 3


def nearest(found: str, known: Iterable[str]) -> list[str]:
    """Up to ``NEAREST`` of the known names that somebody may have meant: spelt alike, or with these letters at the start."""
    from difflib import get_close_matches

    names = {name.lower(): name for name in reversed(list(known))}
    word = found.strip().lower()[:100]
    close = get_close_matches(word, names, NEAREST)
    starts = sorted(n for n in names if word and n.startswith(word) and n not in close)
    return [names[n] for n in [*close, *starts][:NEAREST]]


def did_you_mean(found: str | Iterable[str], known: Iterable[str], otherwise: str = "") -> str:
    """``did you mean gpt-4o or gpt-4.1?`` for a name, or several, that are not known; ``otherwise`` where none is near."""
    names = list(known)
    near = dict.fromkeys(
        n for one in ([found] if isinstance(found, str) else found) for n in nearest(one, names)
    )
    *most, last = near or [""]
    return f"did you mean {', '.join(most)}{' or ' if most else ''}{last}?" if last else otherwise


def plain(text: str) -> str:
    """Text that a stranger wrote, without control characters: it must not break a table or the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


SUMMARY_LINES = 10
SUMMARY_WIDTH = 400


def summary(name: str, lines: Sequence[str]) -> str:
    """The ``repr`` of a value that holds much: its class and what it says, in at most ten lines of bounded width."""
    said = [f"{name}: {lines[0]}" if lines else name, *lines[1:]]
    shown = (
        said
        if len(said) <= SUMMARY_LINES
        else [*said[: SUMMARY_LINES - 1], f"  and {len(said) - SUMMARY_LINES + 1} more"]
    )
    return "\n".join(
        s if len(s) <= SUMMARY_WIDTH else f"{s[: SUMMARY_WIDTH - 1]}…" for s in map(plain, shown)
    )


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], below: Iterable[str] = ()) -> str:
    """A table for notebooks, with lines of small print below it. All of it is text that anybody may have written."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(plain(c))}</{tag}>" for c in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    small = "".join(f"<p><small>{escape(plain(text))}</small></p>" for text in below if text)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>{small}"

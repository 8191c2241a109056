"""Where the parts of an estimate stand on an axis, in percent of its width: dot, interval, band, dotted interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from isr.scoring.shown import Shown

if TYPE_CHECKING:
    from isr.report.comparison import Compared, PairRow

Span = tuple[float, float]
Ends = tuple[str, str]
SHAPES = ("circle", "M-1-1H1V1H-1Z", "M0-1.3 1.2.9H-1.2Z", "M0-1.4 1.4 0 0 1.4-1.4 0Z", "M0 1.3 1.2-.9H-1.2Z")
"""One for each judge, then from the beginning again: a circle, a square, a triangle, a diamond, a triangle on its tip; paths of radius 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """``span`` and ``held``: both ends; ``band``: where it begins and its width; ``hollow``: it stands in the place of a dot.

    ``joint``: the interval that holds together with those of other pairs."""

    dot: str = ""
    span: Ends | None = None
    band: Ends | None = None
    held: Ends | None = None
    hollow: bool = False
    joint: Ends | None = None

    @property
    def left(self) -> str:
        """Where a hollow band begins, with its dotted line: to the left of it nothing is drawn."""
        return "" if self.band is None else self.held[0] if self.held else self.band[0]


def unit(value: float) -> float:
    """The place of a share on an axis from 0 to 1."""
    return value


def placed(one: Shown, at: Callable[[float], float] = unit, *, beside: bool = True) -> Placed:
    """An estimate on an axis. at: the place of a number, 0 at its left end and 1 at its right.

    beside: whether the bounds stand beside a dot too, or only in its place.
    """

    def ends(pair: Span | None) -> Ends | None:
        return None if pair is None else (percent(at(pair[0])), percent(at(pair[1])))

    band = one.band if beside or one.is_range else None
    wide = (
        None if band is None else (percent(at(band[0])), percent(_inside(at(band[1])) - _inside(at(band[0]))))
    )
    return Placed(
        dot="" if one.point is None else percent(at(one.point)),
        span=ends(one.interval) if one.kind == "point" else None,
        band=wide,
        held=ends(one.held) if band is not None else None,
        hollow=one.is_range,
    )


def placed_pair(found: Compared, row: PairRow) -> Placed:
    """The difference of a pair on the axis of its family."""
    one, every = found.shown(row), row.found.simultaneous
    made = placed(one, found.at, beside=False)
    if one.is_range or not found.several or every.low is None or every.high is None:
        return made
    return replace(made, joint=(percent(found.at(every.low)), percent(found.at(every.high))))


def percent(place: float) -> str:
    """A place on the axis as SVG writes it, ``62.50%``; outside of the axis its end."""
    return f"{100 * _inside(place):.2f}%"


def _inside(place: float) -> float:
    return min(max(place, 0.0), 1.0)


def shape(series: int) -> str:
    """The path of a judge's marks, or ``circle``."""
    return SHAPES[series % len(SHAPES)]

"""How an estimate is shown: as a point, as a range, or not at all. Every output asks here; none decides by itself.

The rule: where more than ``UNDECIDED_SHARE`` of the edits are undecided, the value of the decided ones does not stand for all.
What is shown then are the bounds, with the interval that holds whatever the undecided edits are. It is the edits of a part that
decide, for every estimate over them; an estimate over pairs (uplift, ISR where the control is fine) is a range where either
side is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from isr import text
from isr.stats.paired import PairedComparison
from isr.types import Estimate

if TYPE_CHECKING:
    from isr.scoring.records import Reliability
    from isr.scoring.result import Part, Result

UNDECIDED_SHARE = 0.05
"""Above it the bounds are the headline."""
GRADE_TOP = 4
Headline = Literal["value", "bounds"]
Kind = Literal["point", "range", "nothing"]
PAIRED = ("uplift", "isr_conditional")
DIFFERENCES = ("uplift", "difference", "difference_corrected")
COEFFICIENTS = ("alpha",)
GRADES = ("source_kept",)
_READ = re.compile(r"read the bounds: (\d+) of (\d+) ")


def headline(decided: int, edits: int) -> Headline:
    """``bounds`` where too many edits are undecided for a value to speak for all, else ``value``."""
    return "bounds" if edits and (edits - decided) / edits > UNDECIDED_SHARE else "value"


def read_the_bounds(left: int, of: int, what: str) -> str:
    """The note of an estimate over pairs of which too many are undecided."""
    return f"read the bounds: {left} of {of} {what} are undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One estimate as it may be shown.

    ``point``: its value, ``None`` unless ``kind`` is ``point``. ``ends``: the bounds, of a ``range`` alone. ``interval``: the one to
    print beside it: of a point its own, of a range that of the identified set. ``of``: out of how many the n are decided, ``None``
    where that is not known. ``reason``: why there is nothing.
    """

    name: str
    kind: Kind
    estimate: Estimate
    point: float | None = None
    ends: tuple[float, float] | None = None
    interval: tuple[float, float] | None = None
    of: int | None = None
    reason: str = ""

    @property
    def is_range(self) -> bool:
        return self.kind == "range"

    @property
    def band(self) -> tuple[float, float] | None:
        """The bounds, where undecided edits leave the value open: beside a point, or in its place."""
        return self.ends or (self.estimate.bounds if self.estimate.is_open else None)

    @property
    def held(self) -> tuple[float, float] | None:
        """The interval that holds whatever the undecided edits are, where they leave the value open."""
        return self.estimate.identified if self.estimate.is_open else None

    @property
    def one(self) -> Callable[[float], str]:
        """How one number of its kind is written, with its unit."""
        if self.name in COEFFICIENTS:
            return coefficient
        return text.difference if self.name in DIFFERENCES else grade if self.name in GRADES else text.rate

    @property
    def value(self) -> str:
        """``68.4%``; of a range ``59.5% to 78.6%``; ``-`` where there is nothing."""
        return self.between(self.ends) if self.ends is not None else self.written(self.one)

    @property
    def span(self) -> str:
        """The interval: ``52.9% to 71.2%``, or ``no interval``; nothing where there is no value."""
        if self.kind == "nothing":
            return ""
        return "no interval" if self.interval is None else self.between(self.interval)

    @property
    def size(self) -> str:
        """``144``, or ``57 of 84 decided``."""
        n, word = self.estimate.n, "graded" if self.name in GRADES else "decided"
        if self.of is not None and n < self.of:
            return f"{n} of {self.of} {word}"
        return f"{n} {word}" if self.of is None and self.is_range else f"{n}"

    @property
    def left_open(self) -> str:
        """Beside a point: ``59.5% to 78.6% (47.1% to 86.6%)``, what undecided edits leave open; else nothing."""
        if self.kind != "point" or self.estimate.bounds is None:
            return ""
        return self.between(self.estimate.bounds) + (f" ({self.between(self.held)})" if self.held else "")

    @property
    def told(self) -> str:
        """The interval in words, with what undecided edits leave open, or the reason why there is nothing."""
        if self.kind == "nothing":
            return self.reason
        if self.kind == "point" and self.held is not None:
            return f"{self.span}; {self.between(self.held)} with the undecided"
        return self.span

    def between(self, ends: tuple[float, float]) -> str:
        """``52.9% to 71.2%``, ``-33.3 to +17.1 pp``."""
        if self.one is text.difference:
            return f"{text.points(ends[0])} to {text.points(ends[1])} pp"
        return " to ".join(map(self.one, ends))

    def written(self, one: Callable[[float], str], join: str = " to ") -> str:
        """Value or range in another spelling of numbers."""
        if self.ends is not None:
            return join.join(map(one, self.ends))
        return text.NOTHING if self.point is None else one(self.point)

    def spanned(self, one: Callable[[float], str], join: str = " to ") -> str:
        """The interval in another spelling of numbers; nothing where there is none."""
        return "" if self.interval is None else join.join(map(one, self.interval))


def grade(value: float) -> str:
    """A mean grade, ``3.92``."""
    return f"{value:.2f}"


def coefficient(value: float) -> str:
    """A coefficient of agreement, ``0.873``."""
    return f"{value:.3f}"


def shown(
    name: str, e: Estimate, headline: str = "value", *, of: int | None = None, other: str = "value"
) -> Shown:
    """How this estimate is shown. name: as in ``result.json``.

    headline: of the part that it is of (``Part.headline``). other: that of the control edits, for an estimate over pairs. of: how many edits
    the part has.
    """
    bounds = headline == "bounds"
    if name in PAIRED:
        counted = next((m for note in e.notes if (m := _READ.match(note))), None)
        bounds = bounds or other == "bounds" or counted is not None
        of = None if counted is None else int(counted[2])
    if name in GRADES and bounds and of:
        e = _graded(e, of)
    made = Shown(name=name, kind="nothing", estimate=e, of=of, reason="; ".join(e.notes) or "no value")
    if e.value is None and _says_nothing(name, e):
        return made
    if bounds and e.is_open:
        return replace(made, kind="range", ends=e.bounds, interval=e.identified, reason="")
    if e.value is None:
        return made
    if bounds and e.bounds is None:
        missing = f"{of - e.n} of {of} edits" if of is not None and of > e.n else "too many edits"
        return replace(
            made, reason=f"{missing} are undecided, too many for one value, and there are no bounds for it"
        )
    own = None if e.low is None or e.high is None else (e.low, e.high)
    return replace(made, kind="point", point=e.value, interval=own, reason="")


def _says_nothing(name: str, e: Estimate) -> bool:
    """Whether the bounds leave every value open: then they are no number."""
    widest = 2.0 if name in DIFFERENCES else 1.0
    return e.bounds is None or e.bounds[1] - e.bounds[0] >= widest


def _graded(e: Estimate, of: int) -> Estimate:
    """A mean grade with its bounds: every edit without a grade at one end of the scale, then at the other."""
    if e.value is None or e.n >= of:
        return e
    low = e.value * e.n / of
    return replace(e, bounds=(low, low + GRADE_TOP * (of - e.n) / of))


def shown_pair(one: PairedComparison, level: float) -> Shown:
    """How the difference of two methods on their shared units is shown."""
    d = one.difference
    of = d.n + one.undecided
    e = Estimate(
        value=d.value, low=d.low, high=d.high, level=level, method=d.method, n=d.n, clusters=d.clusters,
        bounds=None if one.open is None else one.open.bounds,
        identified=None if one.open is None else one.open.identified,
        notes=tuple(dict.fromkeys([*d.notes, *one.notes])),
    )  # fmt: skip
    return shown("difference", e, headline(d.n, of), of=of)


def shown_in(result: Result, part: Part) -> dict[str, Shown]:
    """Every estimate of a part of a result: of a treatment, of the control edits, or of a group of either."""
    control = result.control
    beside = [control, *control.groups] if control is not None else []
    other = next((p.headline for p in beside if dict(p.by) == dict(part.by)), "value")
    edits = part.counts["edits"]
    sizes = {"isr_with_refusals": edits + part.counts.get("refused", 0), "isr_worst": None}
    return {
        name: shown(name, e, part.headline, of=sizes.get(name, edits), other=other)
        for name, e in part.estimates.items()
    }


def repeats_in(entry: Reliability) -> list[Shown]:
    """How well repeats agree, for one judge and question: always points, for they are of the decided repeats alone."""
    found = (
        ("not_unanimous", entry["not_unanimous"]),
        ("flip_rate", entry["flip_rate"]),
        ("alpha", entry["alpha"]),
    )
    return [shown(name, e) for name, e in found]

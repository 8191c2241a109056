"""What a comparison of methods consists of: pairs, slices, choices, and what people's labels say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from isr.calibration.correction.quality import Quality
from isr.scoring.pooled import PooledPair
from isr.stats.difference import WithinMargin
from isr.stats.paired import PairedComparison
from isr.stats.rows import Interval
from isr.text import difference, difference_interval, p_value, summary

PAIRS_SHOWN = 6  # in a repr, which has ten lines
CONCLUSION_SHOWN = 2  # sentences of it there


@dataclass(frozen=True)
class Unpaired:
    """Units of two contenders that the other one has not."""

    first: str
    second: str
    shared: int
    only_first: int
    only_second: int


@dataclass(frozen=True)
class Slice:
    """Comparisons within one group of units; their p-values are adjusted for exploration, not for a claim."""

    by: dict[str, str]
    comparison: PairedComparison
    p_bh: float | None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is known of one contender on the units that all contenders share."""

    name: str
    isr: Interval
    worst: Interval | None
    transfer: Interval | None
    undecided: int
    linf: float | None
    psnr: float | None
    costs: dict[str, float]
    notes: tuple[str, ...]
    corrected: Interval | None = None  # of the same units, by people's labels
    open: Mapping[str, Left] = field(
        default_factory=dict
    )  # what undecided edits leave open of isr, worst, transfer


@dataclass(frozen=True, slots=True)
class Left:
    """How far undecided edits leave a rate open, of how many edits: its bounds, and the interval of the set between them."""

    bounds: tuple[float, float]
    identified: tuple[float, float] | None
    of: int


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """What people's labels of both sides say of a pair: its corrected difference, or why there is none.

    ``corrected`` is of the pairs that the judge decided; ``identified`` allows for the others too, whatever they are.
    ``simultaneous``, ``p_holm`` and ``within`` hold over the family. ``first_quality``, ``second_quality``: how good the judge
    is on each side; ``quality_difference`` is that of J, ``shared`` whether it is shown to lie within ``SHARED_WITHIN``, so that
    one calibration may serve both. ``turned``: the corrected difference has another sign than that of verdicts.
    """

    first: str
    second: str
    by: Mapping[str, str] = field(default_factory=dict)
    corrected: Interval | None = None
    simultaneous: Interval | None = None
    p_value: float | None = None
    p_holm: float | None = None
    within: WithinMargin | None = None
    identified: tuple[float, float] | None = None
    refused: str = ""
    labels: int = 0
    first_quality: Quality | None = None
    second_quality: Quality | None = None
    quality_difference: Interval | None = None
    shared: bool = False
    turned: bool = False
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        made: dict[str, Any] = _named(asdict(self))
        return made


@dataclass(frozen=True, kw_only=True)
class Needed:
    """How many images it would take to tell two methods apart whose difference is the one seen; or why no number is known."""

    first: str
    second: str
    difference: float | None
    images: int | None = None
    per_image: float | None = None
    reason: str = ""
    assumes: tuple[str, ...] = ()

    def without(self, reason: str) -> Needed:
        """No number, for this reason."""
        return replace(self, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What the table for choosing comes to. ``best``: the highest rate, more than one where they are equal.

    ``told_from``, ``not_told_from``: the methods that the first of the best was tested against. ``told``: every pair told
    apart, the better one first. ``needed``: for methods that it is not told from.
    """

    best: tuple[str, ...]
    told_from: tuple[str, ...]
    not_told_from: tuple[str, ...]
    told: tuple[tuple[str, str], ...]
    images: int
    needed: tuple[Needed, ...]
    by_people: bool
    left_open: tuple[
        tuple[str, str], ...
    ] = ()  # told apart by the decided edits alone: undecided ones can turn the order
    text: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that ``isr compare`` says. Without ``confirmed`` its differences are of verdicts."""

    signature: str
    family: tuple[PairedComparison, ...]
    unpaired: tuple[Unpaired, ...]
    slices: tuple[Slice, ...] = ()
    choices: tuple[Choice, ...] = ()
    warnings: tuple[str, ...] = ()
    confirmed: tuple[Confirmed, ...] = ()
    pooled: tuple[PooledPair, ...] = ()
    conclusion: Conclusion | None = None  # of the choices
    judges: tuple[str, ...] = ()  # by whom the edits were judged, each by name and model

    def __repr__(self) -> str:
        lines = [f"{len(self.family)} pair(s) of methods, differences in points"]
        concluded = self.conclusion.text[:CONCLUSION_SHOWN] if self.conclusion else ()
        shown = self.family[: PAIRS_SHOWN - len(concluded)]
        for p in shown:
            said = f"{difference(p.difference.value)} ({difference_interval(p.difference)})"
            lines.append(
                f"  {p.first} - {p.second}: {said}, n {p.difference.n}, p (Holm) {p_value(p.p_holm)}"
            )
        if more := len(self.family) - len(shown):
            lines.append(f"  and {more} more pairs: family")
        lines += [f"  {sentence}" for sentence in concluded]
        if self.warnings:
            lines.append(f"  {len(self.warnings)} warning(s): warnings")
        return summary("Comparison", [*lines, f"  {self.signature}"])

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; without labels no ``confirmed`` and no ``corrected`` of a choice, without groups no ``pooled``, without choices no
        ``conclusion``."""
        made = {"schema": "isr.comparison/1", **_named(asdict(self))}
        if not self.confirmed:
            del made["confirmed"]
            for choice in made["choices"]:
                del choice["corrected"]
        if not self.pooled:
            del made["pooled"]
        if self.conclusion is None:
            del made["conclusion"]
        return made


def _named(value: Any) -> Any:
    """The values with the p-values of a margin under their names."""
    if isinstance(value, WithinMargin):
        return value._asdict()
    if isinstance(value, dict):
        return {k: _named(v) for k, v in value.items()}
    return [_named(v) for v in value] if isinstance(value, list | tuple) else value

"""Estimates: the paper's rate, its decomposition, the control, the conditional rate, the uplift, the worst case.

The point estimate uses decided edits only; ``bounds`` put all undecided outcomes at one extreme, then at the
other. Intervals are clustered on the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, cast

import numpy as np

from isr.errors import InputError
from isr.scoring.outcomes import Outcomes
from isr.scoring.sequenced import sequence_estimate, stop_in, without_interval
from isr.scoring.shown import headline, read_the_bounds
from isr.signature import Signature
from isr.stats.difference import difference_interval, tipping_share
from isr.stats.endpoints import Correction
from isr.stats.rate import Method, rate_interval
from isr.stats.rows import Estimand, Interval, Prompts
from isr.types import Bools, Edit, Estimate, Ints, Unit

NAMES = (
    "isr",
    "isr_semantic",
    "isr_perceptual",
    "isr_both",
    "isr_conditional",
    "uplift",
    "isr_worst",
)
RULES = 2
"""Rules of estimates, ``estimates`` in a signature, 1 where absent: without an interval of the identified set, and with unequal
images taken for equal ones."""
CLIPPED = "the nearest value that the undecided edits allow; of the decided ones alone it is"
TIPPING = "it would be none if"
NO_SOURCE = "edits without a source count as clusters of their own"


@dataclass(frozen=True, slots=True)
class Settings:
    """How intervals are made: level, method for a rate, whether prompts are a sample, over what the mean is, which rules.

    until: the half-width at which asking stops; intervals are sequences then, whose level is that of ``family`` treatments together.
    """

    level: float = 0.95
    interval: Method = "logit-t"
    prompts: Prompts = "fixed"
    estimand: Estimand = "edit-mean"
    rules: int = RULES
    _: KW_ONLY
    until: float | None = None
    family: int = 1

    @property
    def correction(self) -> Correction:
        """For unequal images."""
        return "CR1" if self.rules < 2 else "CR2"

    @classmethod
    def signed(cls, by: Signature, level: float | None = None) -> Settings:
        """How the estimates of a signature were made, at ``level`` or else at their own. Raises ``InputError``."""
        said = by.get("estimates", "1")
        rules = int(said) if said.isdecimal() and said.isascii() else 0
        if not 1 <= rules <= RULES:
            raise InputError(
                f"signature: estimates: expected 1 to {RULES}; found {said!r}; install a newer isr"
            )
        until, family = stop_in(by)
        return cls(
            level or float(by.get("level", "0.95")),
            cast("Method", by.get("interval", "logit-t") if until is None else "logit-t"),
            cast("Prompts", by.get("prompts", "fixed")),
            cast("Estimand", by.get("estimand", "edit-mean")),
            rules,
            until=until,
            family=family,
        )


@dataclass(frozen=True, slots=True)
class Frame:
    """Codes of n judged edits: image and prompt (clusters), unit (pairing), attacked (unit without attack)."""

    image: Ints
    prompt: Ints
    unit: Ints
    attacked: Ints
    sourceless: Bools

    @classmethod
    def of(cls, edits: Sequence[Edit]) -> Frame:
        """The codes of these edits; equal names have equal codes."""
        return cls.of_units([e.unit for e in edits], [e.source is None for e in edits])

    @classmethod
    def of_units(cls, units: Sequence[Unit], sourceless: Sequence[bool]) -> Frame:
        """The codes of edits of these units; ``sourceless`` marks the edits without a source."""
        columns: tuple[Callable[[Unit], object], ...] = (
            lambda u: u.image_id,
            lambda u: u.prompt_id,
            lambda u: u,
            lambda u: u[:3],
        )
        coded = []
        for column in columns:
            known: dict[object, int] = {}
            coded.append(np.array([known.setdefault(column(u), len(known)) for u in units], np.int64))
        image, prompt, unit, attacked = coded
        return cls(image, prompt, unit, attacked, np.array(sourceless, np.bool_))

    def take(self, rows: np.ndarray) -> Frame:
        return Frame(*(getattr(self, name)[rows] for name in self.__slots__))

    def __len__(self) -> int:
        return len(self.image)


def treatment_estimates(
    frame: Frame,
    outcomes: Outcomes,
    controls: Mapping[int, int],
    control_outcomes: Outcomes,
    settings: Settings,
) -> dict[str, Estimate]:
    """Every estimate of one treatment. ``controls`` maps a unit's code to its row in ``control_outcomes``."""
    rate = Rates(frame, outcomes, settings)
    control_rows = np.array([controls.get(int(u), -1) for u in frame.unit], np.int64)
    conditional = _conditional(frame, outcomes, control_rows, control_outcomes, settings)
    return {
        "isr": rate.of(outcomes.immunized_low, outcomes.immunized_high),
        "isr_semantic": rate.of(outcomes.semantic_low, outcomes.semantic_high),
        "isr_perceptual": rate.of(outcomes.perceptual_low, outcomes.perceptual_high),
        "isr_both": rate.of(outcomes.both_low, outcomes.both_high),
        "isr_conditional": conditional if settings.until is None else without_interval(conditional),
        "uplift": _uplift(frame, outcomes, control_rows, control_outcomes, settings),
        "isr_worst": _worst(frame, outcomes, settings),
    }


def control_estimate(frame: Frame, outcomes: Outcomes, settings: Settings) -> dict[str, Estimate]:
    """How often the editor fails without any protection, with the same decomposition."""
    rate = Rates(
        frame, outcomes, replace(settings, family=1)
    )  # control edits are one, whatever the treatments
    return {
        "control": rate.of(outcomes.immunized_low, outcomes.immunized_high),
        "control_semantic": rate.of(outcomes.semantic_low, outcomes.semantic_high),
        "control_perceptual": rate.of(outcomes.perceptual_low, outcomes.perceptual_high),
        "control_both": rate.of(outcomes.both_low, outcomes.both_high),
    }


@dataclass(frozen=True)
class Rates:
    """Rates of one set of edits on one common denominator."""

    frame: Frame
    outcomes: Outcomes
    settings: Settings

    def of(self, low: Bools, high: Bools, *, noted: bool = True) -> Estimate:
        """The rate of one outcome; ``low``: certainly so, ``high``: possibly so, each bool (n,).

        noted: with what the result says of the interval as a whole (design effect, edits without a source).
        """
        settings, known = self.settings, self.outcomes.decided
        if settings.rules > 1 and bool((low == high).all()):
            known = np.ones_like(known)  # an edit that is undecided on the other question only is known here
        if settings.until is not None and len(self.outcomes):
            return _sequence(low, high, known, self.frame, settings)
        some = self.frame.take(known)
        interval = _interval(low[known], some, settings)
        estimate = _estimate(interval, some, settings) if noted else estimate_of(interval, settings.level)
        if not len(self.outcomes):
            return estimate
        return within(estimate, self.frame, low, high, settings)


def within(estimate: Estimate, frame: Frame, low: Bools, high: Bools, settings: Settings) -> Estimate:
    """The estimate with its bounds and the interval of the identified set, from outcomes of all edits, bool (n,).

    ``low``: certainly so, ``high``: possibly so. The interval reaches from the lower endpoint of the rate of ``low`` to the
    upper endpoint of the rate of ``high``: whatever the undecided edits are, it covers as the interval of a rate does.
    """
    ends = (_mean(low, frame, settings), _mean(high, frame, settings))
    if settings.rules < 2 or bool((low == high).all()):
        return replace(estimate, bounds=ends)
    least, most = (_interval(end, frame, settings) for end in (low, high))
    return _possible(replace(estimate, bounds=ends, identified=_hull(least, most)))


def _sequence(
    low: Bools | Ints, high: Bools | Ints, known: Bools, frame: Frame, settings: Settings, lowest: int = 0
) -> Estimate:
    """The mean of outcomes between ``lowest`` and 1 with its confidence sequence; frames are in the order of asking."""
    return sequence_estimate(
        low, high, frame.image, value=_mean(low[known], frame.take(known), settings) if known.any() else None,
        n=int(known.sum()), level=settings.level, wanted=settings.until, family=settings.family, image_mean=settings.estimand == "image-mean",
        lowest=lowest, notes=(NO_SOURCE,) if frame.sourceless.any() else (),
    )  # fmt: skip


def _possible(estimate: Estimate) -> Estimate:
    """An estimate whose value its bounds allow: an edit that one question decides is in the bounds, and not in the value."""
    if estimate.value is None or estimate.bounds is None:
        return estimate
    low, high = estimate.bounds
    value = min(max(estimate.value, low), high)
    if value == estimate.value:
        return estimate
    note = f"{CLIPPED} {estimate.value:.1%}"
    least = None if estimate.low is None else min(estimate.low, value)
    most = None if estimate.high is None else max(estimate.high, value)
    return replace(estimate, value=value, low=least, high=most, notes=(*estimate.notes, note))


def _hull(least: Interval, most: Interval) -> tuple[float, float] | None:
    return None if least.low is None or most.high is None else (least.low, most.high)


def _mean(values: Bools | Ints, frame: Frame, settings: Settings) -> float:
    """Mean over edits, or the mean over images of their means."""
    if settings.estimand == "edit-mean":
        return int(values.sum()) / len(values)
    _, group = np.unique(frame.image, return_inverse=True)
    return float((np.bincount(group, weights=values) / np.bincount(group)).mean())


def rate_estimate(y: Bools, frame: Frame, settings: Settings) -> Estimate:
    """The rate of ``y`` with its interval; ``None`` with a reason where there is nothing to rate."""
    return _estimate(_interval(y, frame, settings), frame, settings)


def with_refusals(
    units: Sequence[Edit], outcomes: Outcomes, refused: Sequence[Unit], settings: Settings
) -> Estimate:
    """The rate where a refusal of the editor counts as protection: of decided edits and refusals together.

    It has no decomposition: a refusal says nothing about which question would have failed.
    """
    decided = outcomes.decided
    kept = [edit for edit, known in zip(units, decided, strict=True) if known]
    frame = Frame.of_units(
        [*(e.unit for e in kept), *refused], [*(e.source is None for e in kept), *(False for _ in refused)]
    )
    more = np.ones(len(refused), np.bool_)
    y = np.concatenate([outcomes.immunized_low[decided], more])
    every = Frame.of_units(
        [*(e.unit for e in units), *refused], [*(e.source is None for e in units), *(False for _ in refused)]
    )
    low, high = (np.concatenate([end, more]) for end in (outcomes.immunized_low, outcomes.immunized_high))
    return within(rate_estimate(y, frame, settings), every, low, high, settings)


def _interval(y: Bools, frame: Frame, settings: Settings) -> Interval:
    return rate_interval(
        y,
        frame.image,
        prompt=frame.prompt,
        prompts=settings.prompts,
        level=settings.level,
        method=settings.interval,
        estimand=settings.estimand,
        correction=settings.correction,
    )


def _estimate(interval: Interval, frame: Frame, settings: Settings) -> Estimate:
    notes = list(interval.notes)
    known = any(note.startswith("design effect") for note in notes)
    if interval.design_effect is not None and interval.n_effective is not None and not known:
        notes.append(f"design effect {interval.design_effect:.2f}, effective n {interval.n_effective:.1f}")
    if frame.sourceless.any():
        notes.append(NO_SOURCE)
    return replace(estimate_of(interval, settings.level), notes=tuple(notes))


def estimate_of(interval: Interval, level: float) -> Estimate:
    """An interval as an estimate, at the level at which it was made."""
    return Estimate(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        level=level,
        method=interval.method,
        n=interval.n,
        clusters=interval.clusters,
        bounds=None,
        notes=interval.notes,
    )


def missing(reason: str, settings: Settings) -> Estimate:
    """An estimate that does not exist, and why."""
    return Estimate(
        value=None,
        low=None,
        high=None,
        level=settings.level,
        method="",
        n=0,
        clusters=0,
        bounds=None,
        notes=(reason,),
    )


def _conditional(
    frame: Frame, outcomes: Outcomes, control_rows: Ints, control: Outcomes, settings: Settings
) -> Estimate:
    paired = control_rows >= 0
    if not paired.any():
        return missing("no control edits: nothing to condition on", settings)
    rows = control_rows[paired]
    protected, frame = outcomes.take(paired), frame.take(paired)
    fine = control.decided[rows] & ~control.immunized_low[rows]
    used = fine & protected.decided
    if not used.any():
        estimate = missing("no unit whose control edit was decided and no failure", settings)
    else:
        estimate = rate_estimate(protected.immunized_low[used], frame.take(used), settings)
    if settings.estimand != "edit-mean":
        return (
            estimate  # which units count changes the weights: bounds are given for the mean over edits only
        )
    certain, possible = ~control.immunized_high[rows], ~control.immunized_low[rows]
    estimate = _told_undecided(estimate, int(possible.sum()), "units whose control edit may be fine")
    maybe = possible & ~certain
    estimate = replace(estimate, bounds=_conditional_bounds(protected, certain, maybe))
    if settings.rules < 2 or not estimate.is_open:
        return estimate
    least = certain | (
        maybe & ~protected.immunized_low
    )  # units whose control may be fine join where that hurts most
    most = certain | (maybe & protected.immunized_high)
    if not (least.any() and most.any()):
        return estimate
    ends = (
        _interval(end[rows_], frame.take(rows_), settings)
        for end, rows_ in ((protected.immunized_low, least), (protected.immunized_high, most))
    )
    return _possible(replace(estimate, identified=_hull(*ends)))


def _told_undecided(estimate: Estimate, of: int, what: str) -> Estimate:
    """The estimate with a note where too many units are left out for its value to speak for all."""
    left = of - estimate.n
    if estimate.value is None or headline(estimate.n, of) == "value":
        return estimate
    return replace(estimate, notes=(*estimate.notes, read_the_bounds(left, of, what)))


def _conditional_bounds(protected: Outcomes, certain: Bools, maybe: Bools) -> tuple[float, float] | None:
    """Extremes over all ways to fill in the undecided: units whose control may be fine join where that hurts most."""
    low, high = protected.immunized_low, protected.immunized_high
    n = int(certain.sum())
    against, favour = int((maybe & ~low).sum()), int((maybe & high).sum())
    if n + max(against, favour) == 0:
        return None
    least = int((certain & low).sum()) / (n + against) if n + against else 1.0
    most = (int((certain & high).sum()) + favour) / (n + favour) if n + favour else 0.0
    return least, most


def _uplift(
    frame: Frame, outcomes: Outcomes, control_rows: Ints, control: Outcomes, settings: Settings
) -> Estimate:
    paired = control_rows >= 0
    if not paired.any():
        return missing("no control edits: nothing to compare with", settings)
    rows = control_rows[paired]
    protected, frame = outcomes.take(paired), frame.take(paired)
    used = protected.decided & control.decided[rows]
    low = protected.immunized_low.astype(np.int64) - control.immunized_high[rows]
    high = protected.immunized_high.astype(np.int64) - control.immunized_low[rows]
    bounds = (_mean(low, frame, settings), _mean(high, frame, settings))
    if settings.rules > 1 and bool((low == high).all()):
        used = np.ones_like(used)
    if settings.until is not None:
        return _sequence(low, high, used, frame, settings, -1)
    if not used.any():
        absent = replace(missing("no unit with both edits decided", settings), bounds=bounds)
        if settings.rules < 2:
            return absent
        return replace(absent, identified=_hull(*(_difference(end, frame, settings) for end in (low, high))))
    some = frame.take(used)
    estimate = _estimate(_difference(low[used], some, settings), some, settings)
    estimate = replace(_told_undecided(estimate, len(low), "pairs"), bounds=bounds)
    if settings.rules < 2 or not estimate.is_open:
        return estimate
    estimate = replace(
        estimate, identified=_hull(*(_difference(end, frame, settings) for end in (low, high)))
    )
    share = tipping_share(estimate.value, bounds)
    if share is None:
        return estimate
    none = f"{TIPPING} {share:.0%} of the undecided outcomes went against it"
    return replace(estimate, notes=(*estimate.notes, none))


def _difference(d: Ints, frame: Frame, settings: Settings) -> Interval:
    return difference_interval(
        d,
        frame.image,
        prompt=frame.prompt,
        prompts=settings.prompts,
        level=settings.level,
        estimand=settings.estimand,
        correction=settings.correction,
    )


def _worst(frame: Frame, outcomes: Outcomes, settings: Settings) -> Estimate:
    """Immunized under all attacks (purifiers, seeds) on the same image, prompt and editor."""
    if not len(frame):
        return missing("no edits", settings)
    _, first, group = np.unique(frame.attacked, return_index=True, return_inverse=True)
    if len(first) == len(frame):
        return missing("no unit was attacked in several ways (purifiers, seeds)", settings)
    low, high, decided = (
        _all_in_group(values, group, len(first))
        for values in (outcomes.immunized_low, outcomes.immunized_high, outcomes.decided)
    )
    units = frame.take(first)
    if settings.rules > 1 and bool((low == high).all()):
        decided = np.ones_like(decided)
    if settings.until is not None:
        estimate = _sequence(low, high, decided, units, settings)
    else:
        estimate = rate_estimate(low[decided], units.take(decided), settings)
        estimate = within(estimate, units, low, high, settings)
    sizes = np.bincount(group)
    return replace(estimate, notes=(*estimate.notes, f"{sizes.min()} to {sizes.max()} attacks on each unit"))


def _all_in_group(values: Bools, group: Ints, groups: int) -> Bools:
    failing: Bools = np.bincount(group, weights=~values, minlength=groups) == 0
    return failing


def as_dicts(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Estimates as plain JSON values."""
    return {name: estimate.as_dict() for name, estimate in estimates.items()}

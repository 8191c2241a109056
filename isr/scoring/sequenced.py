"""Estimates that hold at every look: confidence sequences of image means, in the order in which the images were asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from isr.errors import InputError
from isr.signature import Signature
from isr.stats.multiplicity import simultaneous_level
from isr.stats.sequence import OpenSequence
from isr.types import Bools, Estimate, Floats, Ints

METHOD = "betting confidence sequence"
NO_FIXED = "no interval: one for a fixed number of images does not hold where asking stopped by what was seen"
UNEQUAL_IMAGES = (
    "no interval: the images have unequal numbers of edits here, and a sequence is of image means"
)
SPLIT = "level split over"
OUTSIDE = "the value lies outside the sequence, which was widened to hold it: as rare as its level says, or the images are not drawn alike"


RULE = "half-width"
SEQUENCE = "betting"  # in a signature
ORDER = "image-seed"


def half_width_of(text: str) -> float:
    """The half-width in a rule such as ``half-width=0.05``. Raises ``ValueError`` for any other text."""
    name, _, number = text.replace(":", "=").partition("=")
    half = float(number) if name.strip() == RULE else 0.0
    if not 0 < half < 0.5:
        raise ValueError(text)
    return half


def image_means(values: Bools | Ints, image: Ints) -> Floats:
    """The mean of each image, (images,), in the order of the codes. values, image: (n,)."""
    _, group, sizes = np.unique(image, return_inverse=True, return_counts=True)
    means: Floats = np.bincount(group, weights=values) / sizes
    return means


def is_equal(image: Ints) -> bool:
    """Whether all images have equally many rows: then the mean over edits is the mean over images."""
    return len(set(np.unique(image, return_counts=True)[1].tolist())) < 2


def sequence_estimate(
    low: Bools | Ints,
    high: Bools | Ints,
    image: Ints,
    *,
    value: float | None,
    n: int,
    level: float,
    wanted: float | None = None,
    family: int = 1,
    image_mean: bool = False,
    lowest: int = 0,
    notes: tuple[str, ...] = (),
) -> Estimate:
    """The estimate of a mean with its sequence, whatever the undecided outcomes are.

    low, high: (n,) what each edit counts at least and at most, from ``lowest`` to 1. image: (n,) codes that rise in the order
    of asking. wanted: the half-width for which the bets are. value: over the ``n`` edits that are decided. level: at which the sequences of ``family`` treatments hold together.
    image_mean: unequal images are meant; else they have no sequence.
    """
    means = [image_means(end, image) for end in (low, high)]
    if image_mean:
        bounds = (float(means[0].mean()), float(means[1].mean()))
    else:
        bounds = (int(low.sum()) / len(low), int(high.sum()) / len(high))
    made = Estimate(
        value=None if value is None else min(max(value, bounds[0]), bounds[1]),
        low=None,
        high=None,
        level=level,
        method=METHOD,
        n=n,
        clusters=means[0].size,
        bounds=bounds,
        notes=notes if value is not None else (*notes, "no decided edit: there is no value"),
    )
    if not (image_mean or is_equal(image)):
        return _noted(made, UNEQUAL_IMAGES)
    sequence = OpenSequence(
        level=simultaneous_level(level, family), wanted=None if wanted is None else wanted / (1 - lowest)
    )
    for least, most in zip(*((m - lowest) / (1 - lowest) for m in means), strict=True):
        sequence.add(min(max(least, 0.0), 1.0), min(max(most, 0.0), 1.0))
    ends = (lowest + (1 - lowest) * sequence.low, lowest + (1 - lowest) * sequence.high)
    if family > 1 and made.value is not None:
        made = _noted(made, f"{SPLIT} {family} treatments, whose sequences hold together")
    made = replace(made, identified=ends if made.is_open else None)
    if made.value is None:
        return made
    held = (min(ends[0], made.value), max(ends[1], made.value))
    if held != ends:
        made = _noted(made, OUTSIDE)
    return replace(made, low=held[0], high=held[1])


def without_interval(estimate: Estimate) -> Estimate:
    """An estimate that has no sequence, without the interval that does not hold after a stop, and what was said of it."""
    if estimate.low is None and estimate.identified is None:
        return estimate
    kept = tuple(n for n in estimate.notes if n.startswith("read the bounds"))
    bare = replace(
        estimate, low=None, high=None, identified=None, method="value without an interval", notes=kept
    )
    return _noted(bare, NO_FIXED)


def _noted(estimate: Estimate, note: str) -> Estimate:
    return replace(estimate, notes=(*estimate.notes, note))


def order_of(signature: Signature) -> int | None:
    """The seed of the order in which a run was asked; ``None`` where it has no order. Raises ``ValueError`` for another order."""
    if "order" not in signature:
        return None
    name, _, seed = signature["order"].partition(":")
    if name != ORDER:
        raise ValueError(f"order: expected {ORDER}; found {name}")
    return int(seed)


def stop_in(by: Signature) -> tuple[float | None, int]:
    """(half-width, number of treatments) of a signature of a run that stops by a rule; (None, 1) of another.

    Raises ``InputError`` for parts that do not belong together or say nothing.
    """
    stop = {n: by[n] for n in ("until", "order", "sequence") if n in by}
    try:
        until = half_width_of(stop["until"]) if stop else None
        order_of(by)
        family = int(by.get("sequence", "1").rpartition(":")[2])
        if (stop and len(stop) < 3) or family < 1 or (by.get("interval") == SEQUENCE) != bool(stop):
            raise ValueError
    except (KeyError, ValueError):
        found = "|".join(f"{k}={v}" for k, v in stop.items()) or "none"
        raise InputError(
            f"signature: expected until, order and sequence of a run that stops by a rule, or none of them; found {found}; it was made "
            "by a newer isr, or changed by hand"
        ) from None
    return until, family

"""How many images, prompts and labels a wanted precision needs: from a pilot run, or from guesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isr.errors import UsageError
from isr.scoring.finished import Contender, EditRow, contenders, read_run
from isr.stats.endpoints import rate_core
from isr.stats.independent import clopper_pearson
from isr.stats.multiplicity import simultaneous_level
from isr.stats.planning import (
    MAX_IMAGES,
    assured_factor,
    corrected_half_width,
    images_for_difference,
    images_for_half_width,
    label_allocation,
    label_icc,
    planned_design_effect,
    prompts_for_difference,
    variance_components,
)
from isr.stats.rows import codes
from isr.types import Unit

SIMULATED = 200  # runs of a planned size
MOST_SIMULATED = 4_000_000  # edits in all of them, beyond which the normal theory is taken


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A precision, and what is known of the data. ``None``: not asked for, or not known.

    ``half_width`` of the ISR; ``difference`` of two methods on the same edits, to be detected with ``power``: images,
    or with ``images`` at hand prompts for each; ``label_half_width`` of a judge-corrected ISR; ``labels`` to be shared
    out. ``pilot``: a finished run; ``method`` and ``against``: its treatments. ``human_rates``: share of edits that
    people call immunized where the judge says not immunized, and where it says immunized. ``assurance``: share of such
    pilots after which the plan holds what it promises. ``family``: comparisons that are declared together (Holm).
    """

    half_width: float | None = None
    difference: float | None = None
    images: int | None = None
    label_half_width: float | None = None
    labels: int | None = None
    pilot: Path | None = None
    method: str = ""
    against: str = ""
    rate: float | None = None
    icc: float | None = None
    per_image: float | None = None
    discordant: float | None = None
    human_rates: tuple[float, float] = (0.1, 0.9)
    assurance: float = 0.8
    family: int = 1
    power: float = 0.8
    level: float = 0.95


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What the plan rests on, and where it comes from. ``cv``: of the numbers of edits of the images."""

    rate: float
    icc: float
    per_image: float
    cv: float
    source: str
    factor: float = 1.0  # by which the pilot's variance is raised


@dataclass(frozen=True)
class ImagesNeeded:
    """What images, with how many edits each, a wish needs; ``None``: no number is enough."""

    wanted: str
    answer: str
    images: int | None
    per_image: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LabelsNeeded:
    """How many labels a wish needs by the judge's verdict; ``half_width`` of the corrected ISR that they give."""

    wanted: str
    answer: str
    not_immunized: int
    immunized: int
    half_width: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """An answer to each wish, and what all rest on."""

    guess: Guess
    answers: tuple[ImagesNeeded | LabelsNeeded, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "schema": "isr.plan/1",
            "rests_on": asdict(self.guess),
            "plans": [asdict(a) for a in self.answers],
        }


def plan(wanted: Wanted) -> Planned:
    """The answer to everything that is wanted. Raises ``UsageError`` where nothing is, or the pilot cannot tell."""
    wishes = [(name, answer) for name, answer in ANSWERS.items() if getattr(wanted, name)]
    if not wishes:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in ANSWERS)
        raise UsageError(f"isr plan: expected at least one of {options}; found none")
    pilot = _chosen(wanted.pilot, "--method", wanted.method) if wanted.pilot else None
    guess = _guess(pilot, wanted)
    return Planned(guess, tuple(answer(pilot, guess, wanted) for _, answer in wishes))


def _chosen(pilot: Path, option: str, name: str) -> Contender:
    found = contenders([read_run(pilot)])
    for contender in found:
        if not name or name in (contender.name, contender.treatment.method):
            return contender
    if not found:
        raise UsageError(f"--pilot {pilot}: expected judged edits; found none; choose another run")
    raise UsageError(f"{option} {name}: expected one of {'; '.join(c.name for c in found)}")


def _guess(pilot: Contender | None, o: Wanted) -> Guess:
    if pilot is None:
        icc = 0.3 if o.icc is None else o.icc
        return Guess(
            rate=o.rate or 0.5, icc=icc, per_image=o.per_image or 5.0, cv=0.0, source="guesses; a pilot run is better"
        )  # fmt: skip
    rows = [r for r in pilot.edits.values() if r.outcome == r.outcome]
    if not rows:
        raise UsageError(f"--pilot {o.pilot}: expected decided edits; found none")
    y = np.array([r.outcome for r in rows])
    image = codes([r.unit.image_id for r in rows])
    sizes = np.bincount(image)
    found = variance_components(y, image).icc
    rate = min(max(float(y.mean()), 0.5 / len(y)), 1 - 0.5 / len(y))
    source = f"pilot {o.pilot}, {pilot.name}, {len(rows)} edits of {len(sizes)} images"
    source += "" if found is not None else "; ICC guessed: it cannot be estimated from this pilot"
    known = 0.3 if found is None else found
    cv = 0.0 if o.per_image else float(sizes.std() / sizes.mean())
    per_image = o.per_image or float(sizes.mean())
    factor = assured_factor(y, image, o.assurance) if len(sizes) > 1 else 1.0
    return Guess(
        rate=o.rate or rate, icc=known if o.icc is None else o.icc, per_image=per_image, cv=cv, source=source, factor=factor
    )  # fmt: skip


def _for_half_width(pilot: Contender | None, guess: Guess, o: Wanted) -> ImagesNeeded:
    assert o.half_width is not None
    found = images_for_half_width(
        guess.rate, o.half_width, guess.per_image, guess.icc, cv=guess.cv, level=o.level, factor=guess.factor
    )
    needed, notes = found.needed, [*found.notes, *_raised(guess.factor, o)]
    exact = _images_near_the_edge(guess, o.half_width, o.level, needed or 2)
    if needed is not None and exact is not None and exact > needed:
        notes.append(
            f"near 0 % or 100 % the interval is wider than the normal theory's {needed} images assume"
        )
        needed = exact
    if needed is not None and (shipped := _shipped(guess, o.half_width, o.level, needed)) > needed:
        notes.append(
            f"{needed} images would do for the normal theory; the interval of isr score is wider there"
        )
        needed = shipped
    if needed is None or needed >= MAX_IMAGES:
        needed = None
        notes.append(f"more than {MAX_IMAGES:,} images: not attainable")
    wanted = f"ISR to within {100 * o.half_width:g} percentage points ({o.level:.0%} interval)"
    return ImagesNeeded(wanted, _images(needed, guess), needed, guess.per_image, tuple(notes))


def _images(needed: int | None, guess: Guess) -> str:
    return "no number of images" if needed is None else f"{needed} images with {guess.per_image:g} edits each"


def _raised(factor: float, o: Wanted) -> list[str]:
    """That a pilot's variance was raised, where it was."""
    if factor <= 1 or o.pilot is None:
        return []
    return [
        f"the pilot's variance counts {factor:.2f}-fold: the true one is no larger after {o.assurance:.0%} of such pilots"
    ]


def _shipped(guess: Guess, half: float, level: float, images: int) -> int:
    """Images from which the interval of ``isr score`` itself is as narrow as wanted, on average over simulated runs."""
    m, rate = max(round(guess.per_image), 1), guess.rate
    deff = planned_design_effect(m, guess.icc, guess.cv) * guess.factor
    icc = min(max((deff - 1) / max(m - 1, 1), 0.0), 0.95)
    while images * m * SIMULATED <= MOST_SIMULATED:
        rng = np.random.default_rng(images)
        whole = (1 - icc) / icc if icc > 0 else 0.0
        rates = rng.beta(rate * whole, (1 - rate) * whole, (SIMULATED, images)) if icc > 0 else rate
        core = rate_core(rng.binomial(m, rates, (SIMULATED, images)), np.full(images, m), level=level)
        width = float((core.high - core.low).mean()) / 2
        if width <= half:
            break
        images = max(images + 1, int(images * min((width / half) ** 2, 1.5)))
    return images


def _images_near_the_edge(guess: Guess, half: float, level: float, start: int) -> int | None:
    """Images for which the exact interval at the effective sample size, too, is as narrow as wanted."""
    deff = planned_design_effect(guess.per_image, guess.icc, guess.cv) * guess.factor
    images = np.unique(np.geomspace(start, min(MAX_IMAGES, start * 1000), 4000).astype(np.int64))
    n = images * guess.per_image / deff
    low, high = clopper_pearson(guess.rate * n, n, level=level)
    enough = (high - low) / 2 <= half
    rarer = min(guess.rate, 1 - guess.rate) * images * guess.per_image
    return int(images[np.argmax(enough)]) if enough.any() and rarer[0] < 5 * deff else None


def _for_difference(pilot: Contender | None, guess: Guess, o: Wanted) -> ImagesNeeded:
    assert o.difference is not None
    between, within, source, factor = _spread(pilot, guess, o)
    wanted = (
        f"a difference of {100 * o.difference:g} percentage points on the same edits, power {o.power:.0%}"
    )
    level = simultaneous_level(o.level, o.family)
    if o.family > 1:
        wanted += f", as one of {o.family} comparisons"
    rests = "; ".join(
        [f"variance between images {between:.4f}, within {within:.4f} ({source})", *_raised(factor, o)]
    )
    between, within = between * factor, within * factor
    if o.images:
        found = prompts_for_difference(o.difference, between, within, o.images, power=o.power, level=level)
        many = "no number of prompts" if found.needed is None else f"{found.needed} prompts for each image"
        answer = f"{many}, with {o.images} images"
        return ImagesNeeded(wanted, answer, o.images, found.needed, (rests, *found.notes))
    found = images_for_difference(o.difference, between, within, guess.per_image, power=o.power, level=level)
    return ImagesNeeded(
        wanted, _images(found.needed, guess), found.needed, guess.per_image, (rests, *found.notes)
    )


def _spread(pilot: Contender | None, guess: Guess, o: Wanted) -> tuple[float, float, str, float]:
    """Variance of the paired differences between images and within, where it comes from, and by what it is raised."""
    assert o.difference is not None
    if pilot is None or o.pilot is None or o.discordant:
        discordant = o.discordant or max(0.3, o.difference)
        if discordant < o.difference:
            raise UsageError(
                f"--difference {o.difference:g}: expected at most the share of discordant edits, since methods "
                f"can differ no more than that; found --discordant {discordant:g}"
            )
        total = max(discordant - o.difference**2, 1e-3)
        source = f"guessed from {discordant:.0%} discordant edits and the ICC"
        return guess.icc * total, (1 - guess.icc) * total, source, 1.0
    other: Mapping[Unit, EditRow] = read_run(o.pilot).controls
    if o.against:
        other = _chosen(o.pilot, "--against", o.against).edits
    shared = [u for u in pilot.edits if u in other]
    pairs = [(u, pilot.edits[u].outcome - other[u].outcome) for u in shared]
    pairs = [(u, d) for u, d in pairs if d == d]
    name = o.against or "control edits"
    if len(pairs) < 2:
        raise UsageError(f"--against: expected units shared with {name}; found {len(pairs)} decided pairs")
    d = np.array([d for _, d in pairs])
    image = codes([u.image_id for u, _ in pairs])
    found = variance_components(d, image)
    if found.between is None or found.within is None or found.between + found.within == 0:
        raise UsageError(
            f"--pilot: the spread of the differences to {name} cannot be estimated from {len(pairs)} pairs (one edit "
            f"for each image, or no discordant pair); add --discordant and --icc, or use a larger pilot"
        )
    source = f"from {len(pairs)} pairs with the {name}"
    return found.between, found.within, source, assured_factor(d, image, o.assurance)


@dataclass(frozen=True)
class _Verdicts:
    """Numbers of edits by the judge's verdict, and guesses of what people say within each."""

    counts: tuple[int, int]
    rates: tuple[float, float]
    images: int

    def half_width(self, given: list[int], guess: Guess, level: float) -> float | None:
        """Expected half-width of the corrected ISR with so many labels; ``None`` if a verdict gets none."""
        if any(c and not g for g, c in zip(given, self.counts, strict=True)):
            return None
        total = sum(self.counts)
        shares = [c / total for c in self.counts]
        icc = label_icc(guess.icc, shares, self.rates)
        deff = planned_design_effect(guess.per_image, icc, guess.cv)
        return corrected_half_width(
            shares, self.rates, given, total, deff=deff, level=level, images=self.images
        )

    def share(self, labels: int) -> list[int]:
        return [int(n) for n in label_allocation(labels, self.counts, self.rates)]


def _verdicts(pilot: Contender | None, o: Wanted) -> _Verdicts:
    if pilot is None:
        raise UsageError(
            "isr plan: labels expected a --pilot run, whose verdicts they are shared over; found none"
        )
    known = [(u.image_id, r.outcome) for u, r in pilot.edits.items() if r.outcome == r.outcome]
    outcomes = [outcome for _, outcome in known]
    counts = (outcomes.count(0.0), outcomes.count(1.0))
    return _Verdicts(counts, o.human_rates, len({image for image, _ in known}))


def _for_labels(pilot: Contender | None, guess: Guess, o: Wanted) -> LabelsNeeded:
    assert o.labels is not None
    verdicts = _verdicts(pilot, o)
    wanted = f"{o.labels} labels over the judge's verdicts (Neyman, at least 20 each where there are as many)"
    return _label_plan(wanted, verdicts, verdicts.share(o.labels), guess, o.level)


def _for_label_half_width(pilot: Contender | None, guess: Guess, o: Wanted) -> LabelsNeeded:
    assert o.label_half_width is not None
    most = o.label_half_width
    verdicts = _verdicts(pilot, o)
    total = sum(verdicts.counts)
    wanted = f"a judge-corrected ISR to within {100 * most:g} percentage points"

    def enough(labels: int) -> bool:
        half = verdicts.half_width(verdicts.share(labels), guess, o.level)
        return half is not None and half <= most

    if not enough(total):
        found = _label_plan(wanted, verdicts, verdicts.share(total), guess, o.level)
        return replace(
            found, answer=f"labels on all {total} edits of the pilot are not enough: judge more edits"
        )
    low, high = 0, total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return _label_plan(wanted, verdicts, verdicts.share(high), guess, o.level)


def _label_plan(
    wanted: str, verdicts: _Verdicts, given: list[int], guess: Guess, level: float
) -> LabelsNeeded:
    half = verdicts.half_width(given, guess, level)
    notes = [
        f"of {verdicts.counts[0]} and {verdicts.counts[1]} edits with these verdicts; draw at random within each"
    ]
    if half is None:
        notes.append("too few labels: a verdict that occurs gets none, and the ISR could not be corrected")
    else:
        notes.append(f"expected half-width of the judge-corrected ISR: {100 * half:.1f} percentage points")
    return LabelsNeeded(
        wanted=wanted,
        answer=f"{sum(given)} labels: {given[0]} where the judge says not immunized, {given[1]} where immunized",
        not_immunized=given[0],
        immunized=given[1],
        half_width=half,
        notes=tuple(notes),
    )


Answer = Callable[[Contender | None, Guess, Wanted], ImagesNeeded | LabelsNeeded]
ANSWERS: Mapping[str, Answer] = {
    "half_width": _for_half_width,
    "difference": _for_difference,
    "label_half_width": _for_label_half_width,
    "labels": _for_labels,
}
"""How each wish of ``Wanted`` is answered, in the order of the answers."""

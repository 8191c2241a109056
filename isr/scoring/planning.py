"""How many images, prompts and labels a wanted precision needs: from a pilot run, or from guesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from isr.errors import UsageError
from isr.scoring.finished import Contender
from isr.scoring.planned import (
    Guess,
    ImagesNeeded,
    LabelsNeeded,
    Planned,
    Precision,
    UnitsNeeded,
    Wanted,
    chosen,
    paired,
    paired_units,
    raised,
    stopped_told,
)
from isr.scoring.planning_labels import for_label_difference, for_label_half_width, for_labels
from isr.stats.endpoints import rate_core
from isr.stats.independent import clopper_pearson
from isr.stats.multiplicity import simultaneous_level
from isr.stats.planning import (
    MAX_IMAGES,
    assured_factor,
    half_width_of_images,
    images_for_difference,
    images_for_half_width,
    images_within_margin,
    planned_design_effect,
    prompts_for_difference,
    variance_components,
)
from isr.stats.rows import codes
from isr.text import counted
from isr.types import Floats, Ints

MOST_HALF = 0.5  # a half-width of this is no knowledge
CLOSE = (
    1e-3  # of a half-width that is looked for; with many images less, so that it means one number of images
)
SIMULATED = 200  # runs of a planned size
MARGIN_ALPHA = 0.05  # of each of the two one-sided tests
MOST_SIMULATED = 4_000_000  # edits in all of them, beyond which the normal theory is taken


def plan(wanted: Wanted) -> Planned:
    """The answer to everything that is wanted. Raises ``UsageError`` where nothing is, or the pilot cannot tell."""
    _require_shares(wanted)
    wishes = [
        (name, answer)
        for name, answer in ANSWERS.items()
        if getattr(wanted, name) and not (name == "images" and wanted.difference)
    ]
    if not wishes:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in ANSWERS)
        raise UsageError(f"isr plan: expected at least one of {options}; found none")
    pilot = chosen(wanted.pilot, "--method", wanted.method) if wanted.pilot else None
    guess = _guess(pilot, wanted)
    return Planned(guess, tuple(answer(pilot, guess, wanted) for _, answer in wishes))


SHARES = ("half_width", "difference", "label_half_width", "margin", "label_difference")


def _require_shares(o: Wanted) -> None:
    """Raises ``UsageError`` for a wish that is no share, such as one in percentage points."""
    for name in SHARES:
        value = getattr(o, name)
        if value is not None and not 0 < value < 1:
            hint = f"; for {value:g} percentage points write {value / 100:g}" if 1 <= value < 100 else ""
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option}: expected a number between 0 and 1; found {value!r}{hint}")
    if o.images is not None and o.images < 2:
        raise UsageError(f"--images: expected at least 2; found {o.images!r}")


def _guess(pilot: Contender | None, o: Wanted) -> Guess:
    if pilot is None:
        icc = 0.3 if o.icc is None else o.icc
        return Guess(
            rate=o.rate or 0.5, icc=icc, per_image=o.per_image or 5.0, cv=0.0, source="guesses; a pilot run is better"
        )  # fmt: skip
    return _guess_from(pilot, o, f"pilot {o.pilot}", stopped_told(o.pilot) if o.pilot else "")


def _guess_from(pilot: Contender, o: Wanted, where: str, told: str = "") -> Guess:
    """What a pilot's method says; where: what the pilot is called. told: what is to be said of it."""
    rows = [r for r in pilot.edits.values() if r.outcome == r.outcome]
    if not rows:
        raise UsageError(f"--pilot {o.pilot or pilot.name}: expected decided edits; found none")
    y = np.array([r.outcome for r in rows])
    image = codes([r.unit.image_id for r in rows])
    sizes = np.bincount(image)
    found = variance_components(y, image).icc
    rate = min(max(float(y.mean()), 0.5 / len(y)), 1 - 0.5 / len(y))
    source = f"{where}, {pilot.name}, {counted(len(rows), 'edit')} of {counted(len(sizes), 'image')}"
    source += "" if found is not None else "; ICC guessed: it cannot be estimated from this pilot"
    source += told
    known = 0.3 if found is None else found
    cv = 0.0 if o.per_image else float(sizes.std() / sizes.mean())
    per_image = o.per_image or float(sizes.mean())
    factor = assured_factor(y, image, o.assurance) if len(sizes) > 1 else 1.0
    return Guess(
        rate=o.rate or rate, icc=known if o.icc is None else o.icc, per_image=per_image, cv=cv, source=source, factor=factor
    )  # fmt: skip


def _for_half_width(pilot: Contender | None, guess: Guess, o: Wanted) -> ImagesNeeded:
    assert o.half_width is not None
    needed, notes = _needed(guess, o.half_width, o)
    if needed is None:
        notes.append(f"more than {MAX_IMAGES:,} images: not attainable")
    wanted = f"ISR to within {100 * o.half_width:g} percentage points ({o.level:.0%} interval)"
    return ImagesNeeded(wanted, _images(needed, guess), needed, guess.per_image, tuple(notes))


def _needed(guess: Guess, half: float, o: Wanted, most: int = MAX_IMAGES) -> tuple[int | None, list[str]]:
    """Images for a half-width, or ``None``, and what that rests on. most: beyond it nobody wants to know how many."""
    found = images_for_half_width(
        guess.rate, half, guess.per_image, guess.icc, cv=guess.cv, level=o.level, factor=guess.factor
    )
    needed, notes = found.needed, [*found.notes, *raised(guess.factor, o)]
    exact = _images_near_the_edge(guess, half, o.level, needed or 2)
    if needed is not None and exact is not None and exact > needed:
        notes.append(
            f"near 0 % or 100 % the interval is wider than the normal theory's {needed} images assume"
        )
        needed = exact
    if needed is not None and (shipped := _shipped(guess, half, o.level, needed, most)) > needed:
        notes.append(
            f"{needed} images would do for the normal theory; the interval of isr score is wider there"
        )
        needed = shipped
    return (None if needed is None or needed >= MAX_IMAGES else needed), notes


def _for_images(pilot: Contender | None, guess: Guess, o: Wanted) -> Precision:
    """The narrowest half-width for which a plan needs no more images than there are."""
    assert o.images is not None
    g, level = guess, o.level
    low = high = half_width_of_images(
        g.rate, o.images, g.per_image, g.icc, cv=g.cv, level=level, factor=g.factor
    )
    while high < MOST_HALF and not _enough(guess, high, o):
        low, high = high, high * 1.25
    while high < MOST_HALF and high - low > high * min(CLOSE, 0.25 / o.images):
        middle = (low + high) / 2
        low, high = (low, middle) if _enough(guess, middle, o) else (middle, high)
    half = high * (1 + 1e-9) if high < MOST_HALF else None
    wanted = f"the precision of {o.images} images with {g.per_image:g} edits each"
    if half is None:
        answer = f"none to speak of: the {level:.0%} interval is as wide as the whole range"
    else:
        answer = f"ISR to within {100 * half:.1f} percentage points ({level:.0%} interval)"
    notes = (f"design effect {planned_design_effect(g.per_image, g.icc, g.cv):.2f}", *raised(g.factor, o))
    return Precision(
        wanted=wanted, answer=answer, images=o.images, per_image=g.per_image, half_width=half, notes=notes
    )


def _enough(guess: Guess, half: float, o: Wanted) -> bool:
    most = o.images or 0
    needed, _ = _needed(guess, half * (1 + 1e-9), o, most)
    return needed is not None and needed <= most


def _images(needed: int | None, guess: Guess) -> str:
    return "no number of images" if needed is None else f"{needed} images with {guess.per_image:g} edits each"


def _shipped(guess: Guess, half: float, level: float, images: int, most: int) -> int:
    """Images from which the interval of ``isr score`` itself is as narrow as wanted, on average over simulated runs."""
    m, rate = max(round(guess.per_image), 1), guess.rate
    deff = planned_design_effect(m, guess.icc, guess.cv) * guess.factor
    icc = min(max((deff - 1) / max(m - 1, 1), 0.0), 0.95)
    while images <= most and images * m * SIMULATED <= MOST_SIMULATED:
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
    return _images_apart(guess, o, _spread(pilot, guess, o, least=o.difference))


def plan_pair(one: Contender, other: Contender, o: Wanted) -> ImagesNeeded:
    """Images for ``o.difference`` between two methods whose runs are the pilot: what ``isr plan`` says of these.

    Raises ``UsageError`` where their pairs cannot tell how such differences spread.
    """
    assert o.difference is not None
    y, image = paired_units(one.edits, other.edits, other.name)
    guess = _guess_from(one, o, "these runs")
    return _images_apart(guess, o, _spread_of(y, image, other.name, o))


Spread = tuple[float, float, str, float]
"""Variance of the paired differences between images and within, where it comes from, and by what it is raised."""


def _images_apart(guess: Guess, o: Wanted, spread: Spread) -> ImagesNeeded:
    assert o.difference is not None
    between, within, source, factor = spread
    wanted = (
        f"a difference of {100 * o.difference:g} percentage points on the same edits, power {o.power:.0%}"
    )
    level = simultaneous_level(o.level, o.family)
    if o.family > 1:
        wanted += f", as one of {o.family} comparisons"
    rests = "; ".join(
        [f"variance between images {between:.4f}, within {within:.4f} ({source})", *raised(factor, o)]
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


def _for_margin(pilot: Contender | None, guess: Guess, o: Wanted) -> ImagesNeeded:
    assert o.margin is not None
    between, within, source, factor = _spread(pilot, guess, o, least=0.0)
    alpha = MARGIN_ALPHA / o.family
    worse, same = (
        images_within_margin(
            o.margin,
            between * factor,
            within * factor,
            guess.per_image,
            equivalent=e,
            power=o.power,
            alpha=alpha,
        )
        for e in (False, True)
    )
    wanted = f"two methods that do not differ, shown within {100 * o.margin:g} percentage points, power {o.power:.0%}"
    wanted += f", as one of {o.family} comparisons" if o.family > 1 else ""
    rests = "; ".join(
        [f"variance between images {between:.4f}, within {within:.4f} ({source})", *raised(factor, o)]
    )
    answer = f"{_images(same.needed, guess)} for equivalent; {worse.needed or 'none'} for no worse"
    notes = (
        rests,
        "if they differ, more images: plan the difference that is left to the margin",
        *same.notes,
    )
    return ImagesNeeded(wanted, answer, same.needed, guess.per_image, notes)


def _spread(pilot: Contender | None, guess: Guess, o: Wanted, least: float) -> Spread:
    """The spread of a pilot's paired differences, or the one that is guessed.

    least: the difference that is planned for; as many edits are discordant.
    """
    if pilot is None or o.pilot is None or o.discordant:
        discordant = o.discordant or max(0.3, least)
        if discordant < least:
            raise UsageError(
                f"--difference {least:g}: expected at most the share of discordant edits, since methods "
                f"can differ no more than that; found --discordant {discordant:g}"
            )
        total = max(discordant - least**2, 1e-3)
        source = f"guessed from {discordant:.0%} discordant edits and the ICC"
        return guess.icc * total, (1 - guess.icc) * total, source, 1.0
    name, y, image = paired(pilot, o)
    return _spread_of(y, image, name, o)


def _spread_of(y: Floats, image: Ints, name: str, o: Wanted) -> Spread:
    d = y[0] - y[1]
    found = variance_components(d, image)
    if found.between is None or found.within is None or found.between + found.within == 0:
        raise UsageError(
            f"--pilot: the spread of the differences to {name} cannot be estimated from {d.size} pairs (one edit "
            f"for each image, or no discordant pair); add --discordant and --icc, or use a larger pilot"
        )
    source = f"from {d.size} pairs with the {name}"
    return found.between, found.within, source, assured_factor(d, image, o.assurance)


Answer = Callable[[Contender | None, Guess, Wanted], ImagesNeeded | Precision | LabelsNeeded | UnitsNeeded]
ANSWERS: Mapping[str, Answer] = {
    "half_width": _for_half_width,
    "images": _for_images,
    "difference": _for_difference,
    "label_half_width": for_label_half_width,
    "labels": for_labels,
    "margin": _for_margin,
    "label_difference": for_label_difference,
}
"""How each wish of ``Wanted`` is answered, in the order of the answers."""

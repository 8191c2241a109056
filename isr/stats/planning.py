"""How many images and prompts a wanted precision needs, from guesses or from a pilot run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.jackknife import spread_df
from isr.stats.rows import codes
from isr.stats.special import gammaincinv, ndtr, ndtri, stdtrit

MAX_IMAGES = 10_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned number (rounded up), the exact value where there is one, and what it rests on.

    ``needed`` is None where no number is enough; ``notes`` says why.
    """

    needed: int | None
    exact: float | None
    notes: tuple[str, ...]


def positive(where: str, **values: float) -> None:
    """Raises ``StatisticsError`` for a value that is no number above 0."""
    for name, x in values.items():
        if not (x > 0 and math.isfinite(x)):
            raise StatisticsError(f"{where}: {name}: expected a number above 0, found {x!r}")


def rates(where: str, **values: float) -> None:
    """Raises ``StatisticsError`` for a value that does not lie between 0 and 1."""
    for name, x in values.items():
        if not 0 < x < 1:
            raise StatisticsError(f"{where}: {name}: expected a number between 0 and 1, found {x!r}")


def planned_design_effect(per_image: float, icc: float, cv: float = 0.0) -> float:
    """``1 + (m (1 + cv^2) - 1) ICC`` for ``m`` edits per image with coefficient of variation ``cv``.

    Kish (1965) with Eldridge, Ashby and Kerry's (2006) correction for unequal sizes; never below 1.

    >>> planned_design_effect(5, 0.25)  # 1 + 4 * .25
    2.0
    """
    return max(1.0, 1 + (per_image * (1 + cv * cv) - 1) * icc)


class Components(NamedTuple):
    """Variance between images (beyond chance), within images, and their ratio ICC; None if undefined."""

    between: float | None
    within: float | None
    icc: float | None


def variance_components(values: ArrayLike, image: ArrayLike) -> Components:
    """One-way ANOVA estimates from a pilot: outcomes for one method, paired differences for two.

    ``between = max(0, (MSB - MSW) / m0)`` with ``m0 = (N - sum m_g^2 / N) / (G - 1)`` (Donner 1986). Undefined
    with fewer than two images, or where no image has two edits.

    >>> parts = variance_components(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1]))
    >>> float(parts.within)
    0.0
    """
    x, group = np.asarray(values, dtype=np.float64), codes(image)
    if x.shape != group.shape or not np.isfinite(x).all():
        raise StatisticsError("variance_components: expected one finite value and one image per edit")
    sizes = np.bincount(group) if x.size else np.zeros(0)
    n, images = x.size, sizes.size
    if images < 2 or n == images:
        return Components(None, None, None)
    order = np.lexsort((x, group))
    means = np.bincount(group[order], weights=x[order]) / sizes
    between_ms = float((sizes * (means - x[order].mean()) ** 2).sum()) / (images - 1)
    within_ms = float(((x - means[group])[order] ** 2).sum()) / (n - images)
    m0 = (n - float((sizes**2).sum()) / n) / (images - 1)
    between = max(0.0, (between_ms - within_ms) / m0)
    total = between + within_ms
    return Components(between, within_ms, between / total if total > 0 else None)


def assured_factor(values: ArrayLike, image: ArrayLike, assurance: float) -> float:
    """By what a pilot's variance is multiplied, so that the true one lies below in ``assurance`` of such pilots.

    values: (n,) outcomes of one method, or paired differences of two. ``df / chi2`` at the lower ``1 - assurance`` quantile,
    with the degrees of freedom that the spread of the image means tells (:func:`isr.stats.jackknife.spread_df`); the variance
    of images is at least that of as many independent edits with two more discordant pairs (Bonett and Price 2012).

    >>> round(assured_factor([0, 1, 1, 0, 0, 1, 1, 0], [0, 1, 2, 3, 4, 5, 6, 7], 0.8), 2)  # 7 / 3.822 x .44 / .2857
    2.82
    """
    rates("assured_factor", assurance=assurance)
    x, group = np.asarray(values, dtype=np.float64), codes(image)
    sizes = np.bincount(group)
    means = np.bincount(group, weights=x) / sizes
    spread = means - means.mean()
    if sizes.size < 2:
        return 1.0
    df = spread_df(spread) if spread.any() else sizes.size - 1.0
    n, mean, second = x.size, float(x.mean()), float((x * x).mean())
    least = (second * n + 2) / (n + 2) - (mean * n / (n + 2)) ** 2
    parts = variance_components(x, group)
    seen = float((spread**2).sum()) / (sizes.size - 1)
    if parts.between is not None and parts.within is not None:  # what the plan counts, which is never less
        seen = parts.between + parts.within / float(sizes.mean())
    if seen <= 0:
        return 1.0  # nothing to raise: isr plan asks for a larger pilot
    floor = max(1.0, least / float(sizes.mean()) / seen)
    return floor * df / float(2 * gammaincinv(df / 2, 1 - assurance))


# --------------------------------------------------------------------------- one rate


def edits_for_half_width(p: float, half: float, *, deff: float = 1.0, level: float = 0.95) -> float:
    """``D z^2 p (1 - p) / h^2`` edits for a half-width ``h`` around a rate ``p`` (not rounded).

    >>> round(edits_for_half_width(0.5, 0.1))  # 1.96^2 * .25 / .01
    96
    """
    rates("edits_for_half_width", p=p, level=level)
    positive("edits_for_half_width", half=half, deff=deff)
    z = float(ndtri((1 - level) / 2))
    return deff * z * z * p * (1 - p) / half**2


def _ceil(x: float) -> int:
    return math.ceil(x - 1e-9)


def _images(need: Callable[[float], float]) -> float:
    """Smallest real number of images G >= 2 with ``need(G) <= G``; ``need`` falls in G (its t-quantile)."""
    low, high = 2.0, 2.0
    while need(high) > high and high < MAX_IMAGES:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if need(middle) > middle else (low, middle)
    return high


def _t(images: float, level: float) -> float:
    return -float(stdtrit(images - 1, (1 - level) / 2))


def images_for_half_width(
    p: float,
    half: float,
    per_image: float,
    icc: float,
    *,
    cv: float = 0.0,
    level: float = 0.95,
    factor: float = 1.0,
) -> Plan:
    """Images of ``per_image`` edits for a half-width around a rate; t_{G-1}, solved for G. factor: of the variance.

    >>> images_for_half_width(0.5, 0.05, 5, 0.3).needed >= 384 * 2.2 / 5  # edits x design effect / edits per image
    True
    """
    rates("images_for_half_width", p=p, level=level)
    positive("images_for_half_width", half=half, per_image=per_image)
    deff = planned_design_effect(per_image, icc, cv)
    spread = factor * p * (1 - p) / half**2
    exact = _images(lambda g: _t(g, level) ** 2 * deff * spread / per_image)
    notes: tuple[str, ...] = (f"design effect {deff:.2f}",)
    if icc > 0:
        floor = _images(lambda g: _t(g, level) ** 2 * icc * (1 + cv * cv) * spread)
        notes += (f"more prompts per image cannot bring this below {_ceil(floor)} images",)
    return Plan(_ceil(exact), exact, notes)


def half_width_of_images(
    p: float,
    images: int,
    per_image: float,
    icc: float,
    *,
    cv: float = 0.0,
    level: float = 0.95,
    factor: float = 1.0,
) -> float:
    """The half-width that images of ``per_image`` edits give: what :func:`images_for_half_width` is solved for.

    >>> round(half_width_of_images(0.5, 401, 1, 0.0), 3)  # t_400 sqrt(.25 / 401) = 1.966 x .02497
    0.049
    """
    rates("half_width_of_images", p=p, level=level)
    positive("half_width_of_images", images=images - 1, per_image=per_image)
    variance = factor * planned_design_effect(per_image, icc, cv) * p * (1 - p) / (per_image * images)
    return _t(images, level) * math.sqrt(variance)


# --------------------------------------------------------------------------- two methods


def images_for_difference(
    difference: float,
    between: float,
    within: float,
    per_image: float,
    *,
    power: float = 0.8,
    level: float = 0.95,
) -> Plan:
    """``G = (t_{G-1} + z_power)^2 (s2_between + s2_within / m) / difference^2`` images for paired methods.

    between, within: :func:`variance_components` of the paired differences. Prompts only divide the second
    part: the note states the number of images that no number of prompts can beat.

    >>> images_for_difference(0.1, 0.02, 0.2, 5).needed > images_for_difference(0.2, 0.02, 0.2, 5).needed
    True
    """
    rates("images_for_difference", power=power, level=level)
    positive("images_for_difference", difference=abs(difference), per_image=per_image)
    if between < 0 or within < 0 or between + within <= 0:
        raise StatisticsError("images_for_difference: between, within: expected variances, not both 0")
    z = float(ndtri(power))

    def need(variance: float) -> Callable[[float], float]:
        return lambda g: (_t(g, level) + z) ** 2 * variance / difference**2

    exact = _images(need(between + within / per_image))
    notes: tuple[str, ...] = ()
    if between > 0:
        notes = (f"more prompts per image cannot bring this below {_ceil(_images(need(between)))} images",)
    return Plan(_ceil(exact), exact, notes)


def prompts_for_difference(
    difference: float,
    between: float,
    within: float,
    images: int,
    *,
    power: float = 0.8,
    level: float = 0.95,
) -> Plan:
    """Prompts per image for a wanted difference with the images at hand, or None below their floor.

    >>> prompts_for_difference(0.2, 0.02, 0.2, 60).needed
    1
    """
    rates("prompts_for_difference", power=power, level=level)
    positive("prompts_for_difference", difference=abs(difference))
    if images < 2:
        return Plan(None, None, ("at least two images are needed",))
    room = images * difference**2 / (_t(images, level) + float(ndtri(power))) ** 2 - between
    if room <= 0:
        text = f"{images} images are too few whatever the number of prompts: the images differ too much"
        return Plan(None, None, (text,))
    exact = max(1.0, within / room)
    return Plan(_ceil(exact), exact, ())


def power_of_difference(
    difference: float, between: float, within: float, images: int, per_image: float, *, level: float = 0.95
) -> float | None:
    """Power of the paired t-test, ``Phi(|d| / se - t_{G-1})``; None with fewer than two images.

    >>> power_of_difference(0.2, 0.02, 0.2, 60, 5) > 0.8
    True
    """
    rates("power_of_difference", level=level)
    positive("power_of_difference", per_image=per_image)
    if images < 2 or between + within <= 0:
        return None
    se = math.sqrt((between + within / per_image) / images)
    return 0.5 * math.erfc(-(abs(difference) / se - _t(images, level)) / math.sqrt(2))


def images_within_margin(
    margin: float,
    between: float,
    within: float,
    per_image: float,
    *,
    equivalent: bool,
    power: float = 0.8,
    alpha: float = 0.05,
) -> Plan:
    """Images to show that two methods without a difference are no worse than, or equivalent within, a margin.

    :func:`images_for_difference` of the margin at one-sided ``alpha``. For equivalence both one-sided tests must succeed, so each
    fails with half of ``1 - power`` (Phillips 1990).

    >>> worse, same = (images_within_margin(0.1, 0.02, 0.2, 5, equivalent=e).needed for e in (False, True))
    >>> worse < same
    True
    """
    each = 1 - (1 - power) / 2 if equivalent else power
    return images_for_difference(margin, between, within, per_image, power=each, level=1 - 2 * alpha)


class TwoProportions(NamedTuple):
    """Cohen's effect size h and independent edits per arm."""

    effect_h: float
    per_arm: float


def edits_for_two_proportions(
    p1: float, p2: float, *, power: float = 0.8, level: float = 0.95, deff: float = 1.0
) -> TwoProportions:
    """``n = 2 D (s / h)^2`` per arm, ``h = 2 asin sqrt p1 - 2 asin sqrt p2`` (Cohen 1988, chapter 6).

    ``s`` solves ``Phi(s - z) + Phi(-s - z) = power``, both tails of the test counted. For two SEPARATE sets of edits. Methods on the same edits need far fewer: :func:`images_for_difference`.

    >>> round(edits_for_two_proportions(0.5, 0.7).effect_h, 4)  # 2 asin(sqrt .5) - 2 asin(sqrt .7)
    -0.4115
    """
    rates("edits_for_two_proportions", p1=p1, p2=p2, power=power, level=level)
    h = 2 * math.asin(math.sqrt(p1)) - 2 * math.asin(math.sqrt(p2))
    if h == 0:
        raise StatisticsError(
            "edits_for_two_proportions: p1 and p2 are equal; no number of edits shows a difference"
        )
    z = -float(ndtri((1 - level) / 2))
    if power <= 1 - level:
        raise StatisticsError(
            f"edits_for_two_proportions: power: expected more than {1 - level:.3g}, found {power!r}"
        )
    low, high = 0.0, z + float(ndtri(max(power, 0.5))) + 1.0
    for _ in range(200):
        middle = (low + high) / 2
        reached = float(ndtr(middle - z) + ndtr(-middle - z))
        low, high = (low, middle) if reached >= power else (middle, high)
    return TwoProportions(h, 2 * deff * (high / h) ** 2)

"""How many images, prompts and labels a wanted precision needs, from guesses or from a pilot run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincinv, ndtr, ndtri, stdtrit

from isr.errors import StatisticsError
from isr.stats.jackknife import spread_df
from isr.stats.rows import codes
from isr.types import Floats, Ints

MINIMUM_PER_VERDICT = 20
MAX_IMAGES = 10_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned number (rounded up), the exact value where there is one, and what it rests on.

    ``needed`` is None where no number is enough; ``notes`` says why.
    """

    needed: int | None
    exact: float | None
    notes: tuple[str, ...]


def _positive(where: str, **values: float) -> None:
    for name, x in values.items():
        if not (x > 0 and math.isfinite(x)):
            raise StatisticsError(f"{where}: {name}: expected a number above 0, found {x!r}")


def _rates(where: str, **values: float) -> None:
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
    _rates("assured_factor", assurance=assurance)
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
    _rates("edits_for_half_width", p=p, level=level)
    _positive("edits_for_half_width", half=half, deff=deff)
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
    _rates("images_for_half_width", p=p, level=level)
    _positive("images_for_half_width", half=half, per_image=per_image)
    deff = planned_design_effect(per_image, icc, cv)
    spread = factor * p * (1 - p) / half**2
    exact = _images(lambda g: _t(g, level) ** 2 * deff * spread / per_image)
    notes: tuple[str, ...] = (f"design effect {deff:.2f}",)
    if icc > 0:
        floor = _images(lambda g: _t(g, level) ** 2 * icc * (1 + cv * cv) * spread)
        notes += (f"more prompts per image cannot bring this below {_ceil(floor)} images",)
    return Plan(_ceil(exact), exact, notes)


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
    _rates("images_for_difference", power=power, level=level)
    _positive("images_for_difference", difference=abs(difference), per_image=per_image)
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
    _rates("prompts_for_difference", power=power, level=level)
    _positive("prompts_for_difference", difference=abs(difference))
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
    _rates("power_of_difference", level=level)
    _positive("power_of_difference", per_image=per_image)
    if images < 2 or between + within <= 0:
        return None
    se = math.sqrt((between + within / per_image) / images)
    return 0.5 * math.erfc(-(abs(difference) / se - _t(images, level)) / math.sqrt(2))


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
    _rates("edits_for_two_proportions", p1=p1, p2=p2, power=power, level=level)
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


# --------------------------------------------------------------------------- labels


def label_allocation(
    total: int, counts: Sequence[int], rates: Sequence[float], *, minimum: int = MINIMUM_PER_VERDICT
) -> Ints:
    """Labels per verdict: ``n_v`` in proportion to ``w_v sqrt(y_v (1 - y_v))``, at least ``minimum`` each.

    Neyman (1934). counts: edits per verdict (no verdict gets more labels than it has edits). rates: guesses of
    the people's rate within each; a guess of 0 or 1 is pulled to 0.05 or 0.95, since it is never that certain.

    >>> label_allocation(100, [500, 500], [0.1, 0.5]).tolist()  # sqrt(.09) to sqrt(.25): 3 to 5
    [38, 62]
    """
    have, guess = np.asarray(counts, dtype=np.int64), np.clip(np.asarray(rates, dtype=np.float64), 0.05, 0.95)
    if have.ndim != 1 or have.shape != guess.shape or (have < 0).any() or total < 0:
        raise StatisticsError(
            "label_allocation: expected one count (>= 0) and one rate per verdict, total >= 0"
        )
    least = np.minimum(have, minimum)
    if least.sum() > total:
        # not enough for the minimum everywhere: share what there is equally
        return _share(total, np.minimum(1.0, have.astype(np.float64)), have)
    return least + _share(
        total - int(least.sum()),
        (have * np.sqrt(guess * (1 - guess))).astype(np.float64),
        have - least,
        least,
    )


def _share(total: int, weights: Floats, room: Ints, given: Ints | None = None) -> Ints:
    """``total`` whole units by weight over what was given before, never above ``room`` (largest deficit first)."""
    before = np.zeros_like(room) if given is None else given
    out = np.zeros_like(room)
    goal = weights / weights.sum() * (total + before.sum()) if weights.sum() > 0 else np.zeros(room.size)
    bulk = np.minimum(room, np.maximum(0, np.floor(goal - before))).astype(np.int64)
    if bulk.sum() <= total:
        out += bulk
    while out.sum() < min(total, int(room.sum())):
        deficit = np.where(out < room, goal - before - out, -np.inf)
        out[int(np.argmax(deficit))] += 1
    return out


def corrected_half_width(
    shares: Sequence[float],
    rates: Sequence[float],
    labels: Sequence[int],
    edits: int,
    *,
    deff: float = 1.0,
    level: float = 0.95,
    images: int | None = None,
) -> float:
    """Predicted half-width of the post-stratified rate with ``labels`` per verdict.

    ``t sqrt(D [sum_v w_v (y_v - theta)^2 / N + sum_v w_v^2 y_v (1 - y_v) / n_v])`` (Cochran 1977, 5A.9), the rates smoothed as
    where they are estimated, t with one less degree of freedom than there are labels or ``images``.

    >>> few, many = (corrected_half_width([0.5, 0.5], [0.1, 0.9], [n, n], 1000) for n in (50, 200))
    >>> few > many
    True
    """
    w, y, n = (np.asarray(x, dtype=np.float64) for x in (shares, rates, labels))
    if not (w.shape == y.shape == n.shape) or abs(w.sum() - 1) > 1e-6 or ((n <= 0) & (w > 0)).any():
        raise StatisticsError(
            "corrected_half_width: shares must sum to 1 and every verdict that occurs needs labels"
        )
    y = (n * y + 0.5) / (n + 1)
    theta = float((w * y).sum())
    variance = float((w * (y - theta) ** 2).sum()) / edits
    variance += float((w**2 * y * (1 - y) / np.where(n > 0, n, 1)).sum())
    df = max(min(float(n.sum()), math.inf if images is None else images) - 1, 1.0)
    return -float(stdtrit(df, (1 - level) / 2)) * math.sqrt(deff * variance)


def label_icc(icc: float, shares: Sequence[float], rates: Sequence[float]) -> float:
    """The intra-image correlation of people's labels from that of the judge's verdicts, which errors make smaller.

    shares, rates: of the verdicts not immunized and immunized, and what people call immunized within each. Errors that are
    independent of the image give ``ICC w (1 - w) / (J^2 theta (1 - theta))``, J = sensitivity + specificity - 1.

    >>> round(label_icc(0.2, [0.5, 0.5], [0.1, 0.9]), 4)  # J = .9 + .9 - 1: .2 / .64
    0.3125
    """
    w, theta = shares[1], shares[0] * rates[0] + shares[1] * rates[1]
    if not (0 < theta < 1 and 0 < w < 1):
        return icc
    sensitivity, specificity = w * rates[1] / theta, (1 - w) * (1 - rates[0]) / (1 - theta)
    quality = sensitivity + specificity - 1
    if quality <= 0:
        return icc
    return min(1.0, max(icc, icc * w * (1 - w) / (quality**2 * theta * (1 - theta))))


class LeeAllocation(NamedTuple):
    """Calibration labels on edits that people call not immunized, and immunized."""

    negatives: int
    positives: int


def lee_allocation(
    total: int, p: float, true_negatives: int, negatives: int, true_positives: int, positives: int
) -> LeeAllocation:
    """Calibration labels for Rogan-Gladen: ``m1 = m / (1 + (1/p - 1) sqrt(kappa))``.

    ``kappa = (1 - q0) / (1 - q1)`` from a pilot, one success and one failure added to each rate (code of Lee et
    al. 2025, arXiv 2511.21140). p: the judge's rate in the test set; 0 and 1 put every label on one side.

    >>> sum(lee_allocation(100, 0.4, 45, 50, 40, 50))
    100
    """
    if not 0 <= p <= 1 or total < 0:
        raise StatisticsError(
            f"lee_allocation: expected a rate in [0, 1] and total >= 0, found {p!r} and {total!r}"
        )
    q0, q1 = (true_negatives + 1) / (negatives + 2), (true_positives + 1) / (positives + 2)
    kappa = (1 - q0) / (1 - q1)
    share = 0.0 if p == 0 else 1 / (1 + (1 / p - 1) * math.sqrt(kappa))
    m1 = round(total * share)
    return LeeAllocation(total - m1, m1)

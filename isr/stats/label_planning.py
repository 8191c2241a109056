"""How many labels of people a wanted precision needs, and how they are shared out over the judge's verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from isr.errors import StatisticsError
from isr.stats.planning import Plan, positive, rates
from isr.stats.special import nctdtr, stdtrit
from isr.types import Floats, Ints

MINIMUM_PER_VERDICT = 20


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


# --------------------------------------------------------------------------- two methods


@dataclass(frozen=True, kw_only=True)
class PairedVerdicts:
    """What verdicts on two methods say, and how good the judge is, taken as alike on both.

    immunized: share of units by verdict, of each method. variance, between: of ``J_A - J_B``, over units and between images beyond
    chance. units: judged on both sides, of ``images`` images.
    """

    immunized: tuple[float, float]
    variance: float
    between: float
    units: int
    images: int
    sensitivity: float
    specificity: float

    @property
    def quality(self) -> float:
        """J = sensitivity + specificity - 1."""
        return self.sensitivity + self.specificity - 1

    def of_people(self, difference: float) -> tuple[float, float]:
        """Variance of people's differences, over units and between images: that of verdicts without the judge's errors.

        ``Var f = J^2 Var D + sum_A,B p q1 (1 - q1) + (1 - p) q0 (1 - q0)`` for errors that are independent given what people see.
        At least what ``difference`` alone needs: so many units are discordant.
        """
        q1, q0, j = self.sensitivity, self.specificity, self.quality
        noise = 0.0
        for share in self.immunized:
            p = min(max((share - (1 - q0)) / j, 0.0), 1.0)
            noise += p * q1 * (1 - q1) + (1 - p) * q0 * (1 - q0)
        least = abs(difference) - difference**2
        whole = max((self.variance - noise) / j**2, least, 1e-4)
        return whole, min(max(self.between, 0.0) / j**2, whole)


def corrected_power(
    difference: float, labels: int, verdicts: PairedVerdicts, *, level: float = 0.95, factor: float = 1.0
) -> float:
    """Power to see people's ``difference`` of two methods by the corrected difference (PPI++) with so many labelled units.

    With ``lambda`` of PPI++, the image effects of people's differences count ``1/G`` and, as labels at random do not fall evenly
    on images, ``k^2 n (1 - 1/G) (N - n)/(N - 1)`` with ``k = (1 - lambda J)/n - lambda J/(N - n)``; within images the verdicts
    count ``lambda^2 (Var f - J^2 B)/(N - n)`` and the labels ``(Var(D - lambda f) - (1 - lambda J)^2 B)/n``. The power is that of the
    noncentral t. factor: of the variance.

    >>> known = PairedVerdicts(immunized=(0.5, 0.35), variance=0.4, between=0.02, units=500, images=100, sensitivity=0.9, specificity=0.9)
    >>> corrected_power(0.2, 50, known) < corrected_power(0.2, 200, known) < corrected_power(0.2, 500, known)
    True
    """
    rates("corrected_power", level=level)
    positive("corrected_power", difference=abs(difference), quality=verdicts.quality)
    if not 2 <= labels <= verdicts.units or verdicts.images < 2:
        raise StatisticsError(
            f"corrected_power: labels: expected 2 to {verdicts.units} units of two images or more; found {labels} of "
            f"{verdicts.images}"
        )
    n, rest, images, j = labels, verdicts.units - labels, verdicts.images, verdicts.quality
    whole, between = verdicts.of_people(difference)
    lam = 0.0
    if rest and verdicts.variance > 0:
        lam = min(max(j * whole / ((1 + n / rest) * verdicts.variance), 0.0), 1.0)
    residual = whole - 2 * lam * j * whole + lam**2 * verdicts.variance
    k = (1 - lam * j) / n - (lam * j / rest if rest else 0.0)
    uneven = n * (1 - 1 / images) * rest / (verdicts.units - 1)
    variance = between * (1 / images + k * k * uneven)
    variance += lam**2 * max(verdicts.variance - j * j * between, 0.0) / rest if rest else 0.0
    variance += max(residual - (1 - lam * j) ** 2 * between, 0.0) / n
    df = min(n, images) - 1
    t = -float(stdtrit(df, (1 - level) / 2))
    return float(1 - nctdtr(df, abs(difference) / math.sqrt(factor * variance), t))


def labels_for_difference(
    difference: float,
    verdicts: PairedVerdicts,
    *,
    power: float = 0.8,
    level: float = 0.95,
    factor: float = 1.0,
) -> Plan:
    """Units to label on both methods' edits, at random, to see people's ``difference`` with this power.

    >>> known = PairedVerdicts(immunized=(0.5, 0.35), variance=0.4, between=0.02, units=500, images=100, sensitivity=0.9, specificity=0.9)
    >>> needed = labels_for_difference(0.2, known).needed
    >>> corrected_power(0.2, needed, known) >= 0.8 > corrected_power(0.2, needed - 1, known)
    True
    """
    rates("labels_for_difference", power=power)
    if verdicts.units < 2 or verdicts.images < 2:
        return Plan(None, None, ("fewer than two images were judged on both sides",))

    def enough(n: int) -> bool:
        return corrected_power(difference, n, verdicts, level=level, factor=factor) >= power

    if not enough(verdicts.units):
        most = corrected_power(difference, verdicts.units, verdicts, level=level, factor=factor)
        text = f"labels on all {verdicts.units} units give a power of {most:.0%}: judge more images"
        return Plan(None, None, (text,))
    low, high = 1, verdicts.units
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return Plan(high, float(high), ())

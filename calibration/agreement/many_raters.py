"""Many raters: coefficients from counts of ratings, with ratings missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.agreement.alpha import MISSING, Metric, alpha_of_coincidences, coincidences, ratio_or_nan
from isr.calibration.agreement.jackknife import jackknifed
from isr.errors import StatisticsError
from isr.stats.rows import Interval, codes
from isr.stats.special import stdtrit
from isr.types import Floats, Ints

Coefficient = Literal["gwet_ac1", "scott_fleiss", "conger", "brennan_prediger", "krippendorff"]


def rating_counts(ratings: ArrayLike, *, classes: int) -> Floats:
    """Counts (n, K) per edit and class from codes (n, raters) with MISSING.

    >>> rating_counts([[0, 1], [1, 1]], classes=2).tolist()
    [[1.0, 1.0], [0.0, 2.0]]
    """
    table = np.asarray(ratings, dtype=np.int64)
    if table.ndim != 2 or ((table < MISSING) | (table >= classes)).any():
        raise StatisticsError(f"rating_counts: expected codes -1 .. {classes - 1} of shape (n, raters)")
    return np.stack([(table == k).sum(axis=1) for k in range(classes)], axis=1).astype(np.float64)


class Chance(NamedTuple):
    """A coefficient with its parts and Gwet's standard error of independent edits; None if undefined."""

    value: float | None
    pa: float | None
    pe: float | None
    se: float | None
    low: float | None
    high: float | None
    reason: str


def chance_corrected(
    ratings: ArrayLike, coefficient: Coefficient, *, classes: int, level: float = 0.95
) -> Chance:
    """A chance-corrected coefficient of any number of raters, edits taken as independent (Gwet 2014).

    ratings: codes (n, raters), MISSING allowed except for Conger's kappa. The linearised standard error uses
    t with n - 1 degrees of freedom; the upper endpoint is cut at 1. :func:`raters_agreement` clusters.

    >>> ratings = np.array([[0, 0], [1, 1], [0, 1], [1, 1]])
    >>> round(chance_corrected(ratings, 'brennan_prediger', classes=2).value, 6)  # (3/4 - 1/2) / (1/2)
    0.5
    """
    table = np.asarray(ratings, dtype=np.int64)
    counts = rating_counts(table, classes=classes)
    per_edit = counts.sum(axis=1)
    pairs = per_edit >= 2
    used = (
        pairs if coefficient == "krippendorff" else per_edit > 0
    )  # an edit that nobody rated is none of the n
    counts, per_edit, table, pairs = counts[used], per_edit[used], table[used], pairs[used]
    n, n2 = per_edit.size, int(pairs.sum())
    if n2 == 0:
        return Chance(None, None, None, None, None, None, "no edit has two ratings")
    both = np.where(pairs, per_edit * (per_edit - 1), 1.0)
    pa_i = np.where(pairs, (counts * (counts - 1)).sum(axis=1) / both, 0.0)
    share = counts / np.maximum(per_edit, 1.0)[:, None]
    pi = share[per_edit > 0].mean(axis=0)
    pe, pe_i = _chance_parts(coefficient, table, share, pi, classes, per_edit)
    pa = float(pa_i.sum() / n2)
    shrink = 0.0
    if coefficient == "krippendorff":
        mean = float(per_edit.mean())
        pi = counts.sum(axis=0) / (n * mean)
        pe = float((pi**2).sum())
        pe_i = (counts * pi).sum(axis=1) / mean - pe * (per_edit - mean) / mean
        pa_i = pa_i * per_edit / mean - float((pa_i * per_edit / mean).mean()) * (per_edit - mean) / mean
        pa, shrink = float(pa_i.mean()), 1 / (n * mean)
    if not pe < 1:
        return Chance(None, pa, pe, None, None, None, "one class only: no disagreement is possible by chance")
    raw = (pa - pe) / (1 - pe)
    pa = pa * (1 - shrink) + shrink
    value = (pa - pe) / (1 - pe)
    if n < 2:
        return Chance(value, pa, pe, None, None, None, "one edit: no standard error")
    own = n / n2 * (pa_i - pe * pairs) / (1 - pe) - 2 * (1 - raw) * (pe_i - pe) / (1 - pe)
    se = float(np.sqrt(((own - raw) ** 2).sum() / (n * (n - 1))))
    half = -float(stdtrit(n - 1, (1 - level) / 2)) * se
    return Chance(value, pa, pe, se, value - half, min(1.0, value + half), "")


def _chance_parts(
    coefficient: str, table: Ints, share: Floats, pi: Floats, classes: int, per_edit: Floats
) -> tuple[float, Floats]:
    """Chance agreement and its per-edit linearisation, by coefficient."""
    if coefficient == "gwet_ac1":
        return float((pi * (1 - pi)).sum() / (classes - 1)), share @ (1 - pi) / (classes - 1)
    if coefficient in ("scott_fleiss", "krippendorff"):
        return float((pi**2).sum()), share @ pi
    if coefficient == "brennan_prediger":
        return 1 / classes, np.full(per_edit.size, 1 / classes)
    if coefficient != "conger":
        raise StatisticsError(f"chance_corrected: unknown coefficient {coefficient!r}")
    if (table == MISSING).any():
        raise StatisticsError("chance_corrected: conger needs every rating; use gwet_ac1 or krippendorff")
    raters = table.shape[1]
    said = (table[:, :, None] == np.arange(classes)).astype(np.float64)
    own = said.mean(axis=0)
    others = own.sum(axis=0)[None, :] - own
    pe = float((own * others).sum() / (raters * (raters - 1)))
    return pe, (said * others).sum(axis=(1, 2)) / (raters * (raters - 1))


def fleiss_kappa(counts: ArrayLike) -> float | None:
    """Fleiss (1971) from counts (n, K), as many ratings per edit everywhere; None where undefined.

    >>> round(fleiss_kappa([[2, 0], [0, 2], [1, 1]]) or 0, 4)  # (2/3 - 1/2) / (1 - 1/2)
    0.3333
    """
    return _from_counts(counts, uniform=False)


def randolph_kappa(counts: ArrayLike) -> float | None:
    """Free-marginal kappa (Randolph 2005): chance agreement 1/K.

    >>> round(randolph_kappa([[2, 0], [0, 2], [1, 1]]) or 0, 4)  # (2/3 - 1/2) / (1 - 1/2)
    0.3333
    """
    return _from_counts(counts, uniform=True)


def _from_counts(counts: ArrayLike, *, uniform: bool) -> float | None:
    t = np.asarray(counts, dtype=np.float64)
    per_edit = t.sum(axis=1) if t.ndim == 2 else np.zeros(0)
    if per_edit.size == 0 or (per_edit != per_edit[0]).any() or per_edit[0] < 2:
        raise StatisticsError(
            "fleiss_kappa: expected counts (n, K) with the same number (>= 2) of ratings per edit"
        )
    r = float(per_edit[0])
    pa = float(((t * (t - 1)).sum(axis=1) / (r * (r - 1))).mean())
    pe = 1 / t.shape[1] if uniform else float(((t.sum(axis=0) / t.sum()) ** 2).sum())
    return (pa - pe) / (1 - pe) if pe < 1 else None


def krippendorff_alpha(ratings: ArrayLike, *, metric: Metric = "nominal") -> float | None:
    """Alpha of numeric ratings (n, raters), NaN where missing; None where undefined (one value, no pair).

    >>> round(krippendorff_alpha([[0, 0], [1, 1], [0, 1]]) or 0, 4)  # 1 - 5 * 2 / (2 * 3 * 3)
    0.4444
    """
    x = np.asarray(ratings, dtype=np.float64)
    if x.ndim != 2:
        raise StatisticsError(f"krippendorff_alpha: expected ratings (n, raters), found shape {x.shape}")
    values = np.unique(x[~np.isnan(x)])
    if values.size < 2:
        return None
    table = np.where(np.isnan(x), MISSING, np.searchsorted(values, np.where(np.isnan(x), values[0], x)))
    found = alpha_of_coincidences(
        coincidences(rating_counts(table, classes=values.size)).sum(axis=0), values, metric=metric
    )
    return float(found) if np.isfinite(found) else None


@dataclass(frozen=True, slots=True)
class RatersAgreement:
    """Agreement among several people: alpha, AC1 and Fleiss' kappa with image-clustered intervals."""

    alpha: Interval
    ac1: Interval
    fleiss: Interval
    raters: int


def raters_agreement(
    ratings: ArrayLike,
    image: ArrayLike,
    *,
    classes: int = 2,
    metric: Metric = "nominal",
    level: float = 0.95,
) -> RatersAgreement:
    """Several raters, codes (n, raters) with MISSING; edits with fewer than two ratings carry no pair.

    >>> raters_agreement(np.array([[0, 0], [1, 1], [0, 0]]), ['a', 'b', 'c']).alpha.value  # no two raters differ
    1.0
    """
    counts, group = rating_counts(ratings, classes=classes), codes(image)
    if group.shape != (counts.shape[0],):
        raise StatisticsError("raters_agreement: expected one image per edit")
    images = int(group.max()) + 1 if group.size else 0
    m = counts.sum(axis=1)
    pairs = m >= 2
    n, values = int(pairs.sum()), np.arange(classes, dtype=np.float64)
    per_edit = coincidences(counts)
    alpha_tables = np.zeros((images, classes, classes))
    np.add.at(alpha_tables, group, per_edit)
    agree = np.where(pairs, (counts * (counts - 1)).sum(axis=1) / np.where(pairs, m * (m - 1), 1.0), 0.0)
    share = counts / np.maximum(m, 1.0)[:, None]
    parts = np.zeros((images, 3 + classes))
    np.add.at(parts, group, np.column_stack([agree, pairs, m > 0, share]))

    def corrected(chance: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
        def value(sums: Floats) -> Floats:
            pi = ratio_or_nan(sums[..., 3:], sums[..., 2:3] * np.ones(classes))
            return 1 - ratio_or_nan(1 - ratio_or_nan(sums[..., 0], sums[..., 1]), 1 - chance(pi))

        return value

    one = "only one class occurs, or no edit has two ratings: undefined"
    return RatersAgreement(
        jackknifed(
            f"Krippendorff's alpha ({metric})",
            alpha_tables,
            lambda t: alpha_of_coincidences(t, values, metric=metric),
            n,
            level,
            one,
        ),
        jackknifed(
            "Gwet's AC1",
            parts,
            corrected(lambda p: (p * (1 - p)).sum(axis=-1) / (classes - 1)),
            n,
            level,
            one,
        ),
        jackknifed("Fleiss' kappa", parts, corrected(lambda p: (p**2).sum(axis=-1)), n, level, one),
        int(np.asarray(ratings).shape[1]),
    )

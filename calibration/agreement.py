"""Agreement of a judge with people, and of people with each other.

No single coefficient tells the story: with nine immunized edits in ten, high percent agreement and a negative
kappa occur together. :func:`agreement` therefore reports percent agreement, Cohen's kappa, Gwet's AC1,
Krippendorff's alpha, MCC, sensitivity, specificity and prevalence TOGETHER, each with an image-clustered
interval. A coefficient that is undefined (one class only) is None with a reason, never 0 or 1.

Two-rater coefficients are functions of a table ``(..., K, K)``, rows the first rater. They return NaN where
undefined and broadcast, so that the delete-one-image jackknife is one call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtri, ndtri, stdtrit

from isr.errors import StatisticsError
from isr.stats.rate import Interval, codes, difference_interval, rate_core, rate_interval
from isr.types import Floats, Ints

Weights = Literal["none", "linear", "quadratic"]
Metric = Literal["nominal", "ordinal", "interval", "ratio"]
Coefficient = Literal["gwet_ac1", "scott_fleiss", "conger", "brennan_prediger", "krippendorff"]

MISSING = -1
"""Code of "no rating"."""


def _ratio(a: Floats, b: Floats) -> Floats:
    out: Floats = np.where(b > 0, a / np.where(b > 0, b, 1.0), np.nan)
    return out


# --------------------------------------------------------------------------- two raters: tables


def confusion(a: ArrayLike, b: ArrayLike, *, classes: int = 2) -> Floats:
    """Table (K, K) of codes 0 .. K-1; ``table[i, j]`` counts edits that a calls i and b calls j."""
    first, second = _codes_of("confusion", a, classes), _codes_of("confusion", b, classes)
    if first.shape != second.shape:
        raise StatisticsError("confusion: expected one code of each rater per edit")
    counts = np.bincount(first * classes + second, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.float64)


def _codes_of(where: str, values: ArrayLike, classes: int) -> Ints:
    x = np.asarray(values)
    if x.ndim != 1 or (x.size and (x.dtype.kind not in "buif" or (x != np.floor(x)).any())):
        raise StatisticsError(f"{where}: expected integer codes, one per edit")
    out = x.astype(np.int64)
    if ((out < 0) | (out >= classes)).any():
        raise StatisticsError(f"{where}: expected codes 0 .. {classes - 1}; drop undecided edits first")
    return out


def _shares(table: ArrayLike) -> tuple[Floats, Floats, Floats]:
    t = np.asarray(table, dtype=np.float64)
    p = _ratio(t, t.sum(axis=(-2, -1), keepdims=True) * np.ones_like(t))
    return p, p.sum(axis=-1), p.sum(axis=-2)


def _diagonal(p: Floats) -> Floats:
    out: Floats = np.trace(p, axis1=-2, axis2=-1)
    return out


def percent_agreement(table: ArrayLike) -> Floats:
    """Share of edits on which both say the same."""
    return _diagonal(_shares(table)[0])


def _disagreement(size: int, weights: str) -> Floats:
    gap = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    if weights not in ("none", "linear", "quadratic"):
        raise StatisticsError(
            f"cohen_kappa: weights: expected 'none', 'linear' or 'quadratic', found {weights!r}"
        )
    return {"none": (gap > 0).astype(np.float64), "linear": gap, "quadratic": gap**2}[weights]


def cohen_kappa(table: ArrayLike, *, weights: Weights = "none") -> Floats:
    """``1 - sum w p_ij / sum w p_i. p_.j`` (Cohen 1960, 1968); NaN where no disagreement is possible."""
    p, rows, columns = _shares(table)
    w = _disagreement(p.shape[-1], weights)
    expected = (w * rows[..., :, None] * columns[..., None, :]).sum(axis=(-2, -1))
    return 1 - _ratio((w * p).sum(axis=(-2, -1)), expected)


class KappaError(NamedTuple):
    """Large-sample standard errors of independent edits: in general, and if the true kappa is 0."""

    se: float | None
    se0: float | None


def kappa_standard_error(table: ArrayLike, *, weights: Weights = "none") -> KappaError:
    """Fleiss, Cohen and Everitt (1969), for edits taken as independent; None where kappa is undefined."""
    p, rows, columns = _shares(table)
    n = float(np.asarray(table, dtype=np.float64).sum())
    w = _disagreement(p.shape[-1], weights)
    agree = 1 - w / max(float(w.max()), 1.0)
    po = float((agree * p).sum())
    chance = np.outer(rows, columns)
    pe = float((agree * chance).sum())
    if not n or not pe < 1:
        return KappaError(None, None)
    kappa = (po - pe) / (1 - pe)
    margin = (agree @ columns)[:, None] + (rows @ agree)[None, :]
    full = (p * (agree - margin * (1 - kappa)) ** 2).sum() - (kappa - pe * (1 - kappa)) ** 2
    null = (chance * (agree - margin) ** 2).sum() - pe**2
    return KappaError(*(float(np.sqrt(max(v, 0.0) / n) / (1 - pe)) for v in (full, null)))


def scott_pi(table: ArrayLike) -> Floats:
    """Chance agreement from the mean marginals (Scott 1955); NaN where only one class occurs."""
    p, rows, columns = _shares(table)
    pe = (((rows + columns) / 2) ** 2).sum(axis=-1)
    return 1 - _ratio(1 - _diagonal(p), 1 - pe)


def gwet_ac1(table: ArrayLike) -> Floats:
    """AC1 (Gwet 2008): chance agreement ``sum_k pi_k (1 - pi_k) / (q - 1)``, ``pi_k`` the mean marginals."""
    p, rows, columns = _shares(table)
    pi = (rows + columns) / 2
    pe = (pi * (1 - pi)).sum(axis=-1) / (p.shape[-1] - 1)
    return 1 - _ratio(1 - _diagonal(p), 1 - pe)


def brennan_prediger(table: ArrayLike) -> Floats:
    """Chance agreement 1/q (Brennan and Prediger 1981); PABAK for two classes."""
    p = _shares(table)[0]
    out: Floats = (_diagonal(p) - 1 / p.shape[-1]) / (1 - 1 / p.shape[-1])
    return out


def krippendorff_nominal(table: ArrayLike) -> Floats:
    """Nominal alpha of two raters without missing ratings; NaN where only one class occurs."""
    t = np.asarray(table, dtype=np.float64)
    return alpha_of_coincidences(t + np.swapaxes(t, -1, -2), np.arange(t.shape[-1], dtype=np.float64))


def matthews(table: ArrayLike) -> Floats:
    """Matthews correlation of a 2 x 2 table; NaN where a rater uses one class only."""
    t = np.asarray(table, dtype=np.float64)
    if t.shape[-2:] != (2, 2):
        raise StatisticsError("matthews: expected a 2 x 2 table")
    margins = t.sum(axis=-1).prod(axis=-1) * t.sum(axis=-2).prod(axis=-1)
    determinant = t[..., 1, 1] * t[..., 0, 0] - t[..., 0, 1] * t[..., 1, 0]
    return _ratio(determinant, np.sqrt(margins))


def recalls(table: ArrayLike) -> Floats:
    """(..., K): share of edits that the ROW rater calls k on which the column rater agrees; NaN where none."""
    t = np.asarray(table, dtype=np.float64)
    return _ratio(np.diagonal(t, axis1=-2, axis2=-1).astype(np.float64), t.sum(axis=-1))


# --------------------------------------------------------------------------- many raters


def rating_counts(ratings: ArrayLike, *, classes: int) -> Floats:
    """Counts (n, K) per edit and class from codes (n, raters) with MISSING."""
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
    """
    table = np.asarray(ratings, dtype=np.int64)
    counts = rating_counts(table, classes=classes)
    per_edit = counts.sum(axis=1)
    pairs = per_edit >= 2
    if coefficient == "krippendorff":
        counts, per_edit, table, pairs = counts[pairs], per_edit[pairs], table[pairs], pairs[pairs]
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
    """Fleiss (1971) from counts (n, K), as many ratings per edit everywhere; None where undefined."""
    return _from_counts(counts, uniform=False)


def randolph_kappa(counts: ArrayLike) -> float | None:
    """Free-marginal kappa (Randolph 2005): chance agreement 1/K."""
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


def coincidences(counts: ArrayLike) -> Floats:
    """Krippendorff's coincidences (n, K, K) per edit; edits with fewer than two ratings give zeros."""
    t = np.asarray(counts, dtype=np.float64)
    m = t.sum(axis=1)
    pairs = t[:, :, None] * t[:, None, :] - t[:, :, None] * np.eye(t.shape[1])
    out: Floats = np.where(m[:, None, None] >= 2, pairs / np.maximum(m - 1, 1.0)[:, None, None], 0.0)
    return out


def alpha_of_coincidences(table: ArrayLike, values: Floats, *, metric: Metric = "nominal") -> Floats:
    """``1 - (n - 1) sum o_ck delta_ck / sum n_c n_k delta_ck`` (Krippendorff 2011); NaN if one value occurs.

    table: coincidences (..., K, K); values (K,) in rising order, used by the interval and ratio metrics.
    """
    o = np.asarray(table, dtype=np.float64)
    n_c = o.sum(axis=-1)
    n = n_c.sum(axis=-1)
    delta = _delta(n_c, values, metric)
    expected = (n_c[..., :, None] * n_c[..., None, :] * delta).sum(axis=(-2, -1))
    return 1 - _ratio((n - 1) * (o * delta).sum(axis=(-2, -1)), expected)


def _delta(n_c: Floats, values: Floats, metric: str) -> Floats:
    """Squared differences (..., K, K) of the metric; the ordinal one depends on how often values occur."""
    low, high = values[:, None], values[None, :]
    if metric == "nominal":
        return np.asarray(low != high, dtype=np.float64)
    if metric == "interval":
        return np.asarray((low - high) ** 2, dtype=np.float64)
    if metric == "ratio":
        total = np.abs(low + high)
        return np.where(total > 0, ((low - high) / np.where(total > 0, total, 1.0)) ** 2, 0.0)
    if metric != "ordinal":
        raise StatisticsError(f"krippendorff_alpha: unknown metric {metric!r}")
    middle = np.cumsum(n_c, axis=-1) - n_c / 2
    out: Floats = (middle[..., :, None] - middle[..., None, :]) ** 2
    return out


def krippendorff_alpha(ratings: ArrayLike, *, metric: Metric = "nominal") -> float | None:
    """Alpha of numeric ratings (n, raters), NaN where missing; None where undefined (one value, no pair)."""
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


# --------------------------------------------------------------------------- clustered intervals


def jackknife(
    value: float, replicates: ArrayLike, *, level: float = 0.95
) -> tuple[float | None, float | None, str]:
    """(low, high, reason) from delete-one-image values, on Fisher's z scale with t_{G-1} (Miller 1974).

    ``SE^2 = (G-1)/G sum (z_g - mean z)^2``. On the plain scale, cut to [-1, 1], where a value is +-1. No
    interval (and the reason) with one image, an undefined replicate, or replicates without any spread.
    """
    rest = np.asarray(replicates, dtype=np.float64)
    groups = rest.size
    if groups < 2:
        return None, None, "one image: no interval"
    if not np.isfinite(rest).all():
        return None, None, "undefined when one image is left out: no interval"
    if np.ptp(rest) == 0:
        return None, None, "the same whichever image is left out: the jackknife sees no spread, no interval"
    curved = abs(value) < 1 - 1e-9 and bool((np.abs(rest) < 1 - 1e-9).all())
    z, centre = (np.arctanh(rest), float(np.arctanh(value))) if curved else (rest, value)
    z = np.sort(z)
    se = float(np.sqrt((groups - 1) / groups * ((z - z.mean()) ** 2).sum()))
    half = -float(stdtrit(groups - 1, (1 - level) / 2)) * se
    ends = (centre - half, centre + half)
    low, high = (float(np.tanh(e)) if curved else float(np.clip(e, -1.0, 1.0)) for e in ends)
    return low, high, ""


def _jackknifed(
    name: str, per_image: Floats, function: Callable[[Floats], Floats], n: int, level: float, undefined: str
) -> Interval:
    """A coefficient of summed tables with its delete-one-image interval."""
    total, groups = per_image.sum(axis=0), per_image.shape[0]
    text = f"{name}, delete-one-image jackknife"
    value = float(function(total)) if n else float("nan")
    if not np.isfinite(value):
        return Interval(None, None, None, text, n, groups, None, None, (undefined if n else "no edit",))
    low, high, reason = jackknife(value, function(total[None] - per_image), level=level)
    return Interval(value, low, high, text, n, groups, None, None, (reason,) if reason else ())


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge against people on the same edits; ``table[i, j]`` counts edits judged i that people call j."""

    table: tuple[tuple[int, ...], ...]
    percent: Interval
    kappa: Interval
    ac1: Interval
    alpha: Interval
    mcc: Interval
    sensitivity: Interval
    specificity: Interval
    prevalence: Interval
    n: int
    clusters: int


def agreement(judge: ArrayLike, human: ArrayLike, image: ArrayLike, *, level: float = 0.95) -> Agreement:
    """All coefficients of two binary raters with image-clustered intervals; see the module's first lines.

    judge, human: (n,) 0/1 with undecided edits dropped. Percent agreement, sensitivity, specificity and
    prevalence are rates and get the default interval (within the edits that people call immunized, or not).
    """
    j, y, group = _codes_of("agreement", judge, 2), _codes_of("agreement", human, 2), codes(image)
    if j.shape != y.shape or group.shape != j.shape:
        raise StatisticsError("agreement: expected one verdict, one label and one image per edit")
    n, images = j.size, int(group.max()) + 1 if j.size else 0
    tables = np.bincount(group * 4 + 2 * j + y, minlength=images * 4).reshape(images, 2, 2).astype(np.float64)
    one = "only one class occurs: undefined"

    def rate(hit: ArrayLike, keep: ArrayLike, word: str) -> Interval:
        mask = np.asarray(keep)
        found = rate_interval(np.asarray(hit)[mask], group[mask], level=level)
        if found.n == 0:
            return Interval(
                None, None, None, found.method, 0, 0, None, None, (f"people call no edit {word}",)
            )
        return found

    every = np.ones(n, dtype=bool)
    return Agreement(
        tuple(tuple(int(x) for x in row) for row in tables.sum(axis=0)),
        rate(j == y, every, "anything"),
        _jackknifed("Cohen's kappa", tables, cohen_kappa, n, level, one),
        _jackknifed("Gwet's AC1", tables, gwet_ac1, n, level, one),
        _jackknifed("Krippendorff's alpha", tables, krippendorff_nominal, n, level, one),
        _jackknifed("MCC", tables, matthews, n, level, "a rater uses one class only: undefined"),
        rate(j == 1, y == 1, "immunized"),
        rate(j == 0, y == 0, "not immunized"),
        rate(y == 1, every, "anything"),
        n,
        images,
    )


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
    """Several raters, codes (n, raters) with MISSING; edits with fewer than two ratings carry no pair."""
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
            pi = _ratio(sums[..., 3:], sums[..., 2:3] * np.ones(classes))
            return 1 - _ratio(1 - _ratio(sums[..., 0], sums[..., 1]), 1 - chance(pi))

        return value

    one = "only one class occurs, or no edit has two ratings: undefined"
    return RatersAgreement(
        _jackknifed(
            f"Krippendorff's alpha ({metric})",
            alpha_tables,
            lambda t: alpha_of_coincidences(t, values, metric=metric),
            n,
            level,
            one,
        ),
        _jackknifed(
            "Gwet's AC1",
            parts,
            corrected(lambda p: (p * (1 - p)).sum(axis=-1) / (classes - 1)),
            n,
            level,
            one,
        ),
        _jackknifed("Fleiss' kappa", parts, corrected(lambda p: (p**2).sum(axis=-1)), n, level, one),
        int(np.asarray(ratings).shape[1]),
    )


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How often a held-out person, and the judge, agree with the majority of the other people."""

    human: Interval
    judge: Interval
    gap: Interval


def human_ceiling(
    judge: ArrayLike, ratings: ArrayLike, image: ArrayLike, *, classes: int = 2, level: float = 0.95
) -> Ceiling:
    """Leave-one-rater-out agreement against the judge's agreement with the SAME people on the same edits.

    judge: (n,) codes; ratings: (n, raters) codes with MISSING, at least two raters. Each person in turn is
    held out; where the others have a majority, the person and the judge are both compared with it. ``gap`` is
    judge minus human, paired. ``n`` counts comparisons, one per held-out person and edit; where the others
    tie there is none. All comparisons on one image are one cluster.
    """
    j, group = _codes_of("human_ceiling", judge, classes), codes(image)
    table = np.asarray(ratings, dtype=np.int64)
    counts = rating_counts(table, classes=classes)
    if table.shape[0] != j.size or group.shape != j.shape or table.shape[1] < 2:
        raise StatisticsError(
            "human_ceiling: expected one verdict and image per edit, and ratings of two raters or more"
        )
    person, machine, where = [], [], []
    for r in range(table.shape[1]):
        own = table[:, r]
        others = counts - (own[:, None] == np.arange(classes))
        best = others.max(axis=1)
        clear = (own != MISSING) & (best > 0) & ((others == best[:, None]).sum(axis=1) == 1)
        major = others.argmax(axis=1)[clear]
        person.append(own[clear] == major)
        machine.append(j[clear] == major)
        where.append(group[clear])
    h, m, g = (np.concatenate(parts).astype(np.int64) for parts in (person, machine, where))
    return Ceiling(
        rate_interval(h, g, level=level),
        rate_interval(m, g, level=level),
        difference_interval(m - h, g, level=level),
    )


def mean_interval(values: ArrayLike, image: ArrayLike, *, level: float = 0.95) -> Interval:
    """The mean of numbers in [0, 1] (shares, not only 0/1) with the default clustered interval."""
    x, group = np.asarray(values, dtype=np.float64), codes(image)
    text = "logit-t of a mean, clustered by image_id"
    if x.size == 0:
        return Interval(None, None, None, text, 0, 0, None, None, ("no edit: there is no mean",))
    sizes = np.bincount(group)
    order = np.lexsort((x, group))
    sums = np.bincount(group[order], weights=x[order])
    if sizes.size < 2:
        return Interval(float(x.mean()), None, None, text, x.size, 1, None, None, ("one image: no interval",))
    canonical = np.lexsort((sizes, sums))
    core = rate_core(sums[canonical], sizes[canonical], level=level)
    return Interval(
        float(core.value), float(core.low), float(core.high), text, x.size, sizes.size, None, None, ()
    )


# --------------------------------------------------------------------------- graded ratings


class ICC(NamedTuple):
    """An intraclass correlation with its F-based interval; None where ratings do not vary."""

    value: float | None
    low: float | None
    high: float | None


def intraclass(ratings: ArrayLike, *, level: float = 0.95) -> dict[str, ICC]:
    """The six coefficients of McGraw and Wong (1996) from complete ratings (targets, raters).

    "1" one-way, "A" absolute agreement and "C" consistency of two-way models; ",1" one rating, ",k" the mean.
    """
    x = np.asarray(ratings, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all():
        raise StatisticsError(
            "intraclass: expected complete ratings of two targets or more by two raters or more"
        )
    n, k = x.shape
    mean = x.mean()
    ss_r = k * ((x.mean(axis=1) - mean) ** 2).sum()
    ss_c = n * ((x.mean(axis=0) - mean) ** 2).sum()
    ss_e = ((x - mean) ** 2).sum() - ss_r - ss_c
    names = [f"ICC({kind},{size})" for size in ("1", "k") for kind in ("1", "A", "C")]
    msr, msc, mse = ss_r / (n - 1), ss_c / (k - 1), ss_e / ((n - 1) * (k - 1))
    msw = (ss_c + ss_e) / (n * (k - 1))
    if not min(msr, msw, mse) > 0:
        return dict.fromkeys(names, ICC(None, None, None))
    tail = (1 - level) / 2
    one = _f_interval(msr / msw, n - 1, n * (k - 1), tail)
    same = _f_interval(msr / mse, n - 1, (n - 1) * (k - 1), tail)
    rho = (msr - mse) / (msr + (k - 1) * mse + k * (msc - mse) / n)
    a = _absolute_interval(rho, msr, msc, mse, n, k, tail)
    single = {
        "1": (*((f - 1) / (f + k - 1) for f in (msr / msw, *one)),),
        "A": (rho, *a),
        "C": (*((f - 1) / (f + k - 1) for f in (msr / mse, *same)),),
    }
    out = {f"ICC({kind},1)": ICC(*(float(v) for v in row)) for kind, row in single.items()}
    for kind, row in single.items():
        out[f"ICC({kind},k)"] = ICC(*(float(k * v / (1 + (k - 1) * v)) for v in row))
    return out


def _f_interval(f: float, d1: float, d2: float, tail: float) -> tuple[float, float]:
    return f / float(fdtri(d1, d2, 1 - tail)), f * float(fdtri(d2, d1, 1 - tail))


def _absolute_interval(
    rho: float, msr: float, msc: float, mse: float, n: int, k: int, tail: float
) -> tuple[float, float]:
    """McGraw and Wong (1996, table 7) for absolute agreement, with Satterthwaite's df."""
    a, b = k * rho / (n * (1 - rho)), 1 + k * rho * (n - 1) / (n * (1 - rho))
    v = (a * msc + b * mse) ** 2 / ((a * msc) ** 2 / (k - 1) + (b * mse) ** 2 / ((n - 1) * (k - 1)))
    f1, f2 = float(fdtri(n - 1, v, 1 - tail)), float(fdtri(v, n - 1, 1 - tail))
    rest = k * msc + (k * n - k - n) * mse
    return n * (msr - f1 * mse) / (f1 * rest + n * msr), n * (f2 * msr - mse) / (rest + n * f2 * msr)


def normal_interval(value: float, se: float, *, level: float = 0.95) -> tuple[float, float]:
    """``value +- z se``: for comparison with software that takes edits as independent."""
    half = -float(ndtri((1 - level) / 2)) * se
    return value - half, value + half

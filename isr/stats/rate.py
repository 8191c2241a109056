"""Confidence intervals of one rate and of one paired difference, clustered on the source image.

Edits made from one image share its difficulty, so they are not independent draws. Every default here treats
the image as the unit of randomisation; the intervals that do not are kept for comparison and say so in their
``method``. All clustered algorithms work on per-image sums with the images on the last axis, so that one call
on ``(runs, images)`` arrays evaluates many data sets at once: the simulation that certifies the coverage
(``benchmarks/coverage.py``) runs the very code that ships.

The default (``logit-t``) is built from four rules:

1. interior: ``logit(p) +- t_{G-1} sqrt(V*) / (p (1 - p))`` with the CR1 variance ``V`` floored at the variance
   of independent edits (Liang and Zeger 1986; logit back-transform as in Korn and Graubard 1999, section 3.2);
2. the rarer outcome occurs in ``T < 5`` images: Korn and Graubard (1998) at the effective sample size. With
   ``T < 6`` the design effect ``D`` is raised to ``D + (1 - T/6) (D0 - D)`` where ``D0`` of rule 3 is larger:
   few images with the rarer outcome say little about clustering;
3. no failure at all: the exact limit of ``N / D0`` independent edits, where ``D0 = 1 + (m - 1) / 2`` supposes an
   intra-image correlation of one half, because data without a failure cannot speak about clustering. No upper
   endpoint is ever below this one;
4. the upper endpoint is the largest of the endpoints (rules 1 to 3) of all data that keep only some of the
   failures. The lower endpoint is one minus the upper endpoint of the flipped labels. This makes endpoints
   monotone: see :func:`rate_core` for what exactly is guaranteed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, expit, logit, ndtri, stdtrit

from isr.errors import StatisticsError
from isr.types import Bools, Floats, Ints

Method = Literal[
    "logit-t",
    "korn-graubard",
    "cluster-t",
    "cluster-normal",
    "cluster-bootstrap",
    "wilson",
    "clopper-pearson",
    "jeffreys",
]
Prompts = Literal["fixed", "random"]
Estimand = Literal["edit-mean", "image-mean"]

FEW_IMAGES = 5
"""Below this number of images with the rarer outcome the normal theory of the logit is not trusted."""
PRIOR_IMAGES = 6.0
"""The supposed design effect counts ``1 - T / PRIOR_IMAGES`` with the rarer outcome in ``T`` images."""
MANY_PAIRS = 1_000
"""From this number of Clopper-Pearson intervals on equal ones are computed once."""
FEW_PROMPTS = 10
"""Below this number of prompts Satterthwaite's df is not trusted and ``min(G, H) - 1`` is used."""
MANY_DISTINCT = 30
"""Multinomial weights pay while distinct rows are fewer than clusters divided by this."""
CACHE_BYTES = 2_000_000
"""Size of a block of drawn clusters."""
PRIOR_ICC = 0.5
"""Intra-image correlation that is supposed where the data hold no information about it."""
PRIOR_PROMPT_ICC = 0.1
"""The same for edits that share a prompt, when prompts are a sample."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its confidence interval. ``None`` where something does not exist; ``notes`` says why.

    ``method`` says what was done, ``n`` counts edits, ``clusters`` counts images. ``design_effect`` is the
    variance over that of ``n`` independent edits; ``n_effective = n / max(design_effect, 1)``.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    n: int
    clusters: int
    design_effect: float | None
    n_effective: float | None
    notes: tuple[str, ...]


# --------------------------------------------------------------------------- independent edits


def _tail(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise StatisticsError(
            f"level: expected a number between 0 and 1, found {level!r}; for 95 % give 0.95"
        )
    return (1.0 - level) / 2.0


def wilson(k: ArrayLike, n: ArrayLike, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's (1927) score interval of ``k`` out of ``n`` independent draws; arrays broadcast."""
    z = -float(ndtri(_tail(level)))
    kk, nn = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    p = kk / nn
    centre = (p + z * z / (2 * nn)) / (1 + z * z / nn)
    half = z / (1 + z * z / nn) * np.sqrt(p * (1 - p) / nn + z * z / (4 * nn * nn))
    # at k = 0 and k = n the exact endpoints are 0 and 1; rounding must not say otherwise
    low, high = np.where(kk <= 0, 0.0, centre - half), np.where(kk >= nn, 1.0, centre + half)
    return low.astype(np.float64), high.astype(np.float64)


def clopper_pearson(k: ArrayLike, n: ArrayLike, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Clopper and Pearson's (1934) exact interval; ``k`` and ``n`` may be real (Korn and Graubard 1998)."""
    return _beta_interval(np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64), _tail(level))


def _beta_interval(k: Floats, n: Floats, tail: float) -> tuple[Floats, Floats]:
    if k.size > MANY_PAIRS and k.shape == n.shape:  # few distinct pairs in a simulation, and each is dear
        pairs, place = np.unique(k + 1j * n, return_inverse=True)
        low, high = _beta_quantiles(pairs.real, pairs.imag, tail)
        return low[place].reshape(k.shape), high[place].reshape(k.shape)
    return _beta_quantiles(k, n, tail)


def _beta_quantiles(k: Floats, n: Floats, tail: float) -> tuple[Floats, Floats]:
    low = np.where(k <= 0, 0.0, betaincinv(np.where(k <= 0, 1.0, k), n - k + 1, tail))
    high = np.where(k >= n, 1.0, betaincinv(k + 1, np.where(k >= n, 1.0, n - k), 1 - tail))
    return low, high


def jeffreys(k: ArrayLike, n: ArrayLike, *, level: float = 0.95, ends: bool = True) -> tuple[Floats, Floats]:
    """Equal-tailed interval of the Beta(k + 1/2, n - k + 1/2) posterior.

    ``ends=True`` sets the lower endpoint to 0 at k = 0 and the upper one to 1 at k = n, as Brown, Cai and
    DasGupta (2001, section 4.1.2) recommend; ``False`` gives the raw quantiles.
    """
    tail = _tail(level)
    kk, nn = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    low, high = (
        np.asarray(betaincinv(kk + 0.5, nn - kk + 0.5, q), dtype=np.float64) for q in (tail, 1 - tail)
    )
    if not ends:
        return low, high
    return np.where(kk <= 0, 0.0, low), np.where(kk >= nn, 1.0, high)


def _t_quantile(tail: float, df: ArrayLike) -> Floats:
    """Student's t quantile; of equal df only once, for it is the slowest step of a simulation."""
    dof = np.asarray(df, dtype=np.float64)
    if dof.size > 1 and (dof == dof.flat[0]).all():
        dof = np.asarray(dof.flat[0])
    return np.asarray(stdtrit(dof, tail), dtype=np.float64)


# --------------------------------------------------------------------------- variances


def cr1_variance(sums: ArrayLike, sizes: ArrayLike) -> Floats:
    """Cluster-robust variance of ``sum(sums) / sum(sizes)``, clusters on the last axis.

    ``G/(G-1) * sum_g (sums_g - p sizes_g)^2 / N^2`` (Liang and Zeger 1986 with the usual CR1 factor). NaN
    where there are fewer than two clusters: one cluster has no variance between clusters.
    """
    s, w = np.broadcast_arrays(np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64))
    groups = s.shape[-1]
    total = w.sum(axis=-1)
    if groups < 2:
        return np.full(total.shape, np.nan)
    mean = s.sum(axis=-1) / total
    residual = s - mean[..., None] * w
    out: Floats = groups / (groups - 1) * (residual**2).sum(axis=-1) / total**2
    return out


class TwoWay(NamedTuple):
    """The two-way variance and its parts; ``variance`` is floored at the larger one-way part."""

    variance: Floats
    raw: Floats
    image: Floats
    prompt: Floats
    cell: Floats


def two_way_variance(
    by_image: tuple[ArrayLike, ArrayLike],
    by_prompt: tuple[ArrayLike, ArrayLike],
    by_cell: tuple[ArrayLike, ArrayLike],
) -> TwoWay:
    """Variance of a mean under two crossed clusterings: ``V_img + V_pr - V_cell``, floored.

    Cameron, Gelbach and Miller (2011, eq. 2.8), each part with its own G/(G-1). The difference can be smaller
    than a part, even negative; the result is floored at ``max(V_img, V_pr)``. Each argument is (sums, sizes).
    """
    image, prompt, cell = (cr1_variance(*pair) for pair in (by_image, by_prompt, by_cell))
    raw = image + prompt - cell
    return TwoWay(np.maximum(raw, np.maximum(image, prompt)), raw, image, prompt, cell)


def satterthwaite_df(v_image: ArrayLike, v_prompt: ArrayLike, images: int, prompts: int) -> Floats:
    """``(V_i + V_p)^2 / (V_i^2/(G-1) + V_p^2/(H-1))`` (Satterthwaite 1946); G - 1 where both parts are 0."""
    a, b = np.asarray(v_image, dtype=np.float64), np.asarray(v_prompt, dtype=np.float64)
    down = a * a / (images - 1) + b * b / (prompts - 1)
    return np.where(down > 0, (a + b) ** 2 / np.where(down > 0, down, 1.0), float(images - 1))


def design_effect(variance: ArrayLike, p: ArrayLike, n: ArrayLike) -> Floats:
    """``V / [p (1 - p) / (n - 1)]`` (Kish 1965); NaN where ``p`` is 0 or 1 and nothing can be said."""
    pp = np.asarray(p, dtype=np.float64)
    iid = pp * (1 - pp) / (np.asarray(n, dtype=np.float64) - 1)
    return np.where(iid > 0, np.asarray(variance, dtype=np.float64) / np.where(iid > 0, iid, 1.0), np.nan)


# --------------------------------------------------------------------------- clustered endpoints


def logit_t(
    p: ArrayLike, variance: ArrayLike, df: ArrayLike, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """``expit(logit(p) +- t_df sqrt(V) / (p (1 - p)))``; the whole of [0, 1] where ``p`` is 0 or 1."""
    pp, v, dof = (np.asarray(x, dtype=np.float64) for x in (p, variance, df))
    inside = (pp > 0) & (pp < 1)
    q = np.where(inside, pp, 0.5)
    half = -_t_quantile(_tail(level), dof) * np.sqrt(v) / (q * (1 - q))
    centre = logit(q)
    return np.where(inside, expit(centre - half), 0.0), np.where(inside, expit(centre + half), 1.0)


def korn_graubard(
    p: ArrayLike, deff: ArrayLike, n: ArrayLike, df: ArrayLike, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Clopper-Pearson at ``n* = min(n, n / D (t_{n-1} / t_df)^2)`` and real ``k* = p n*``.

    Korn and Graubard (1998). A NaN design effect (nothing but one outcome) counts as 1.
    """
    pp, d, nn, dof = (np.asarray(x, dtype=np.float64) for x in (p, deff, n, df))
    tail = _tail(level)
    star = _effective_n(np.where(np.isnan(d), 1.0, d), nn, dof, tail)
    pp, star = np.broadcast_arrays(pp, star)
    return _beta_interval(pp * star, star, tail)


def _effective_n(deff: Floats, n: Floats, df: Floats, tail: float) -> Floats:
    ratio = _t_quantile(tail, n - 1) / _t_quantile(tail, df)
    out: Floats = np.minimum(n, n / np.maximum(deff, 1e-300) * ratio**2)
    return out


def zero_limit(n: Floats, prior_deff: Floats, df: Floats, tail: float) -> Floats:
    """Upper endpoint when nothing failed: ``1 - tail^(1/n0)``, ``n0`` the effective n at the prior D0."""
    out: Floats = -np.expm1(np.log(tail) / _effective_n(prior_deff, n, df, tail))
    return out


def _count(n: ArrayLike | None, total: Floats) -> Floats:
    """The number of edits that weights are worth, per data set; 1.5 at least, for one edit has no variance."""
    given = total if n is None else np.broadcast_to(np.asarray(n, dtype=np.float64), total.shape)
    return np.maximum(given, 1.5)


def _endpoints(
    p: Floats, variance: Floats, touched: Floats, n: Floats, df: Floats, level: float
) -> tuple[Floats, Floats]:
    """Rules 1 and 2 elementwise: logit-t, or Korn-Graubard where fewer than FEW_IMAGES are touched."""
    p, variance, touched, n, df = np.broadcast_arrays(p, variance, touched, n, df)
    iid = p * (1 - p) / (n - 1)
    floored = np.maximum(variance, iid)
    low, high = logit_t(p, floored, df, level=level)
    few = touched < FEW_IMAGES
    if few.any():
        d = design_effect(floored[few], p[few], n[few])
        low[few], high[few] = korn_graubard(p[few], d, n[few], df[few], level=level)
    return low, high


class RateCore(NamedTuple):
    """What :func:`rate_core` returns, one entry per data set; ``low_by`` and ``high_by`` are :class:`Made`."""

    value: Floats
    low: Floats
    high: Floats
    variance: Floats
    low_by: Made
    high_by: Made


class Made(NamedTuple):
    """How an endpoint was made: the rule (an index of RULES), the failures and design effect it was made from.

    For a lower endpoint ``kept`` counts the edits that were spared. ``raised`` says that the design effect
    ``deff`` is not that of the data alone.
    """

    rule: Ints
    kept: Floats
    deff: Floats
    raised: Bools


RULES = ("logit-t", "Korn-Graubard", "zero-failure limit")


def rate_core(
    sums: ArrayLike, sizes: ArrayLike, *, n: ArrayLike | None = None, level: float = 0.95
) -> RateCore:
    """The default interval of a rate from per-image sums, images on the last axis.

    sums, sizes: failures and edits per image, shape (..., G), G >= 2 (weighted sums are allowed).
    n: the number of independent edits that the weights are worth (Kish); default ``sum(sizes)``.

    Monotone with equal sizes and whole counts, by construction: one more failing edit anywhere lowers no
    endpoint (:func:`_upper` has the proof; ``tests/stats/test_rate.py`` enumerates and searches). With unequal
    sizes or weights nothing is promised; the same file shows how large a fall a random search finds.
    """
    s, w = np.broadcast_arrays(np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64))
    total = w.sum(axis=-1)
    count = _count(n, total)
    value = s.sum(axis=-1) / total
    high, high_by = _upper(s, w, total, count, level)
    low, low_by = _upper(w - s, w, total, count, level)
    low = np.minimum(1.0 - low, value)
    return RateCore(value, low, np.maximum(high, value), cr1_variance(s, w), low_by, high_by)


def _upper(s: Floats, w: Floats, total: Floats, n: Floats, level: float) -> tuple[Floats, Made]:
    """Rules 3 and 4: the largest upper endpoint over all data with some of the failures taken away.

    With equal sizes an endpoint of rules 1 and 2 depends on the number ``k`` of failures, on the sum ``Q`` of
    squared failures per image, and on the number ``T`` of images with the rarer outcome, which chooses the rule
    and raises the design effect. For given ``k`` and given rule it grows with the variance, hence with ``Q``,
    and falls with ``T``. Among all data with ``k`` of the failures, ``Q`` is largest and ``T`` smallest where
    the most failing images keep theirs and one keeps a part (moving a failure from an image to one with as many
    or more raises ``Q``). So the maximum over ALL data below the observed is found on two paths: failures taken
    in the order of the most failing images, and the same with one failure put first into each of the FEW_IMAGES
    most failing and one edit spared in the FEW_IMAGES least failing (the data with the largest ``Q`` among
    those that rule 1 governs). A maximum over all data below the observed cannot fall as failures are added.
    """
    shape, groups = s.shape[:-1], s.shape[-1]
    s, w = (np.ascontiguousarray(x).reshape(-1, groups) for x in (s, w))
    whole, worth = np.broadcast_to(total, shape).reshape(-1), np.broadcast_to(n, shape).reshape(-1)
    order = np.argsort(-s, axis=-1, kind="stable")
    s, w = np.take_along_axis(s, order, -1), np.take_along_axis(w, order, -1)
    df = np.asarray(groups - 1.0)
    square = (w * w).sum(axis=-1)
    prior = np.maximum(1 + (square * worth / whole**2 - 1) * PRIOR_ICC, 1.0)
    best = zero_limit(worth, prior, df, _tail(level))
    made = Made(np.full(best.shape, 2), np.zeros(best.shape), prior.copy(), np.ones(best.shape, dtype=bool))
    for path in _paths(s, w, whole / worth):
        k, own, n_own = path.k, path.run, worth[path.run]
        p = np.where(path.spared == 0, 1.0, np.minimum(k / whole[own], 1.0))
        residual = path.squares - 2 * p * path.cross + p * p * square[own]
        variance = groups / (groups - 1) * np.maximum(residual, 0.0) / whole[own] ** 2
        touched = np.minimum(path.hit, path.spared)
        seen = np.maximum(np.nan_to_num(design_effect(variance, p, n_own), nan=1.0), 1.0)
        deff = seen + np.maximum(1 - touched / PRIOR_IMAGES, 0.0) * np.maximum(prior[own] - seen, 0.0)
        high = _endpoints(p, deff * p * (1 - p) / (n_own - 1), touched, n_own, df, level)[1]
        if path.reserved:
            high = np.where(touched < FEW_IMAGES, 0.0, high)
        run, at = _argmax(high, own)
        better = high[at] >= best[run]
        run, at = run[better], at[better]
        best[run], made.kept[run], made.deff[run] = high[at], k[at], deff[at]
        made.rule[run], made.raised[run] = touched[at] < FEW_IMAGES, deff[at] > seen[at]
    rule, kept, used, raised = made
    made = Made(rule.reshape(shape), kept.reshape(shape), used.reshape(shape), raised.reshape(shape))
    return best.reshape(shape), made


def _argmax(values: Floats, run: Ints) -> tuple[Ints, Ints]:
    """The runs that occur in ``run`` (sorted) and where the largest value of each stands, the last of equals."""
    starts = np.flatnonzero(np.diff(run, prepend=-1))
    if not starts.size:
        return starts, starts
    top = np.repeat(np.maximum.reduceat(values, starts), np.diff(np.append(starts, run.size)))
    places = np.where(values >= top, np.arange(run.size), -1)
    return run[starts], np.maximum.reduceat(places, starts)


class _Path(NamedTuple):
    """Data with some of the failures, one entry each, those of a run side by side.

    run: index of the data set; k, squares, cross: sums over images of failures, their squares, their products
    with sizes; hit, spared: images with a failure, images with an edit that did not fail.
    """

    run: Ints
    k: Floats
    squares: Floats
    cross: Floats
    hit: Floats
    spared: Floats
    reserved: bool


def _paths(s: Floats, w: Floats, unit: Floats) -> list[_Path]:
    """The two paths of :func:`_upper`; s, w (runs, G) sorted by falling s, unit (runs,) weight of an edit."""
    groups = s.shape[-1]
    rank = np.arange(groups)
    out = [_walk(s, w, np.zeros_like(s), s, unit, np.ones(groups, dtype=bool), reserved=False)]
    if groups >= FEW_IMAGES:
        first = np.where(rank < FEW_IMAGES, np.minimum(unit[:, None], s), 0.0)
        # the last FEW_IMAGES images keep an edit that is spared
        last = np.where((rank >= groups - FEW_IMAGES) & (s > w - unit[:, None]), w - unit[:, None], s)
        fits = (last >= first - 1e-12).all(axis=-1) & (s[:, FEW_IMAGES - 1] > 0)
        used = (rank < FEW_IMAGES) | (rank >= groups - FEW_IMAGES)
        if fits.any():
            found = _walk(s[fits], w[fits], first[fits], last[fits], unit[fits], used, reserved=True)
            out.append(found._replace(run=np.flatnonzero(fits)[found.run]))
    return out


def _walk(
    s: Floats, w: Floats, first: Floats, last: Floats, unit: Floats, used: Bools, *, reserved: bool
) -> _Path:
    """Raise image after image from ``first`` to ``last`` in steps of one edit; points of ``used`` images."""
    groups = s.shape[-1]

    def around(below: Floats, above: Floats) -> Floats:
        """Sums of ``below`` over the images before and of ``above`` over the images after each one."""
        before = np.cumsum(below, axis=-1) - below
        after = above.sum(axis=-1, keepdims=True) - np.cumsum(above, axis=-1)
        out: Floats = before + after
        return out

    step = unit[:, None]
    count = np.where(used, np.ceil((last - first) / step - 1e-9), 0.0).astype(np.int64)
    if reserved:
        count[:, 0] += 1  # the start itself is data of its own
    flat = count.reshape(-1)
    at = np.repeat(np.arange(flat.size), flat)
    nth = np.arange(at.size) - np.repeat(np.cumsum(flat) - flat, flat) + 1
    own = at // groups
    if reserved:
        nth -= at % groups == 0
    low, high, size = (x.reshape(-1)[at] for x in (first, last, w))
    x = np.minimum(low + nth * unit[own], high)
    full = w * (1 - 1e-12)
    sums = [
        around(last, first),
        around(last * last, first * first),
        around(last * w, first * w),
        around((last > 0).astype(np.float64), (first > 0).astype(np.float64)),
        around((last >= full).astype(np.float64), (first >= full).astype(np.float64)),
    ]
    k, squares, cross, hit, done = (q.reshape(-1)[at] for q in sums)
    spared = groups - done - (x >= size * (1 - 1e-12))
    return _Path(own, k + x, squares + x * x, cross + x * size, hit + (x > 0), spared, reserved)


class TwoWayCore(NamedTuple):
    """What :func:`two_way_core` returns, one entry per data set."""

    value: Floats
    low: Floats
    high: Floats
    parts: TwoWay
    df: Floats
    low_by: Made
    high_by: Made


def two_way_core(
    by_image: tuple[ArrayLike, ArrayLike],
    by_prompt: tuple[ArrayLike, ArrayLike],
    by_cell: tuple[ArrayLike, ArrayLike],
    *,
    n: ArrayLike | None = None,
    level: float = 0.95,
) -> TwoWayCore:
    """The default interval of a rate when images and prompts are both samples; (sums, sizes) per grouping.

    Rules 1 to 3 of the module with :func:`two_way_variance`; df by Satterthwaite, or ``min(G, H) - 1`` below
    FEW_PROMPTS prompts (or images). The supposed D0 at zero failures adds PRIOR_PROMPT_ICC per prompt-mate.
    """
    s, w = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in by_image))
    hp, wp = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in by_prompt))
    images, prompts = s.shape[-1], hp.shape[-1]
    total = w.sum(axis=-1)
    count = _count(n, total)
    value = s.sum(axis=-1) / total
    parts = two_way_variance(by_image, by_prompt, by_cell)
    few = min(images, prompts) - 1.0
    df = satterthwaite_df(parts.image, parts.prompt, images, prompts)
    df = np.full_like(df, few) if min(images, prompts) < FEW_PROMPTS else df
    touched = touched_images(s, w).astype(np.float64)
    low, high = _endpoints(np.clip(value, 0.0, 1.0), parts.variance, touched, count, df, level)
    per_unit = count / total**2
    prior = 1 + PRIOR_ICC * ((w * w).sum(axis=-1) * per_unit - 1)
    prior = prior + PRIOR_PROMPT_ICC * ((wp * wp).sum(axis=-1) * per_unit - 1)
    zero = zero_limit(count, np.maximum(prior, 1.0), np.full_like(df, few), _tail(level))
    seen = np.maximum(np.nan_to_num(design_effect(parts.variance, value, count), nan=1.0), 1.0)
    made = []
    for limited, kept in ((1 - zero < low, total - s.sum(axis=-1)), (zero > high, s.sum(axis=-1))):
        rule = np.where(limited, 2, touched < FEW_IMAGES)
        made.append(Made(rule, kept, np.where(limited, np.maximum(prior, 1.0), seen), limited))
    low, high = np.minimum(low, 1 - zero), np.maximum(high, zero)
    return TwoWayCore(value, np.minimum(low, value), np.maximum(high, value), parts, df, *made)


class DifferenceCore(NamedTuple):
    """What :func:`difference_core` returns, one entry per data set."""

    value: Floats
    low: Floats
    high: Floats
    variance: Floats


def difference_core(
    value: ArrayLike,
    second_moment: ArrayLike,
    variance: ArrayLike,
    n: ArrayLike,
    prior_deff: ArrayLike,
    df: ArrayLike,
    *,
    level: float = 0.95,
) -> DifferenceCore:
    """``d +- t_df sqrt(V*)`` clipped to [-1, 1], for the mean ``d`` of paired differences.

    V* is the clustered variance, floored at Bonett and Price's (2012) smoothed one (two more discordant pairs,
    one each way) at the effective sample size ``n / D~``. ``D~ = (I D + D0) / (I + 1)``, ``I = n (q - d^2)``,
    shrinks the observed design effect towards ``D0`` where few of the ``n`` pairs are discordant (``q`` is
    their share, in general the mean square). Hence no discordant pair does not give a zero width.
    """
    d, q, v, nn, d0, dof = (
        np.asarray(x, dtype=np.float64) for x in (value, second_moment, variance, n, prior_deff, df)
    )
    spread = np.maximum(q - d * d, 0.0)
    iid = spread / np.maximum(nn - 1, 1.0)
    deff = np.where(iid > 0, v / np.where(iid > 0, iid, 1.0), 1.0)
    information = nn * spread
    shrunk = np.maximum((information * deff + d0) / (information + 1), 1.0)
    m = nn / shrunk
    smooth = ((q * m + 2) / (m + 2) - (d * m / (m + 2)) ** 2) / (m + 2)
    used = np.maximum(v, smooth)
    half = -stdtrit(dof, _tail(level)) * np.sqrt(used)
    return DifferenceCore(d, np.maximum(d - half, -1.0), np.minimum(d + half, 1.0), used)


# --------------------------------------------------------------------------- cluster bootstrap


def cluster_bootstrap(
    sums: ArrayLike,
    statistic: Callable[[Floats], Floats],
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    max_bytes: int = 64_000_000,
) -> Floats:
    """``resamples`` bootstrap values of a statistic of sums, clusters drawn with replacement.

    sums: (G, K) per-cluster sums. statistic: maps summed columns (B, K) to (B,). The weights of one resample
    are multinomial; clusters with equal rows are exchangeable, so where there are few DISTINCT rows the weights
    are drawn for those only, with their frequencies, which is the same distribution at a fraction of the cost
    (Efron 1979; Field and Welsh 2007 for clusters). Otherwise clusters are drawn and their sums added up. Works
    in blocks of at most ``max_bytes``; no loop over resamples.
    """
    table = np.asarray(sums, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 2:
        raise StatisticsError(
            f"cluster_bootstrap: expected per-cluster sums of shape (G, K) with G >= 2, found {table.shape}"
        )
    groups = table.shape[0]
    rows, counts = _distinct_rows(table)
    few = counts.size * MANY_DISTINCT < groups
    per_resample = 16 * (counts.size if few else groups)
    # blocks of drawn clusters that stay in the cache are read twice as fast as larger ones
    step = max(1, (max_bytes if few else min(max_bytes, CACHE_BYTES)) // per_resample)
    blocks = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        if few:
            total = rng.multinomial(groups, counts / groups, size=size).astype(np.float64) @ rows
        else:
            drawn = rng.integers(0, groups, size=(size, groups))
            total = np.stack([column[drawn].sum(axis=1) for column in table.T], axis=1)
        blocks.append(np.asarray(statistic(total), dtype=np.float64))
    return np.concatenate(blocks)


def _distinct_rows(table: Floats) -> tuple[Floats, Ints]:
    """The distinct rows in sorted order and how often each occurs."""
    ordered = table[np.lexsort(table.T[::-1])]
    new = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    return ordered[new], np.diff(np.append(new, table.shape[0])).astype(np.int64)


def percentile_interval(draws: ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """The two tail quantiles of bootstrap values (Efron 1979)."""
    low, high = np.quantile(np.asarray(draws, dtype=np.float64), [_tail(level), 1 - _tail(level)])
    return float(low), float(high)


# --------------------------------------------------------------------------- from rows to sums


def codes(values: ArrayLike | Sequence[Any]) -> Ints:
    """Integer codes 0 .. G-1 of the distinct values, in sorted order, whatever the order of rows.

    Integers are fastest; strings are hashed, not sorted, row by row.
    """
    if isinstance(values, (list, tuple)) and values and type(values[0]) is str:
        return _codes_of_names(values)  # an array of strings would only be unpacked again
    array = np.asarray(values)
    if array.ndim != 1:
        raise StatisticsError(f"codes: expected one name per edit (1-d), found shape {array.shape}")
    if array.dtype.kind in "bui":
        array = array.astype(np.int64)
        if array.size and int(array.min()) >= 0 and int(array.max()) <= 4 * array.size:
            present = np.zeros(int(array.max()) + 1, dtype=bool)
            present[array] = True
            renamed: Ints = np.cumsum(present, dtype=np.int64) - 1
            return np.asarray(renamed[array], dtype=np.int64)
        return np.asarray(np.unique(array, return_inverse=True)[1], dtype=np.int64)
    if array.dtype.kind == "f":
        return np.asarray(np.unique(array, return_inverse=True)[1], dtype=np.int64)
    return _codes_of_names(array.tolist())


def _codes_of_names(names: Sequence[Any]) -> Ints:
    known: defaultdict[Any, int] = defaultdict(count().__next__)  # numbers names as they come, in one pass
    met = np.fromiter(map(known.__getitem__, names), dtype=np.int64, count=len(names))
    if not all(type(v) is str for v in known):
        return met
    rank = np.empty(len(known), dtype=np.int64)
    rank[np.fromiter(map(known.__getitem__, sorted(known)), dtype=np.int64, count=len(known))] = np.arange(
        len(known)
    )
    return np.asarray(rank[met], dtype=np.int64)


class Rows(NamedTuple):
    """Checked rows: values, image codes, prompt codes, weights (or None), in the caller's order."""

    y: Floats
    image: Ints
    prompt: Ints | None
    weight: Floats | None


def _check_rows(
    where: str,
    y: ArrayLike,
    image: ArrayLike,
    prompt: ArrayLike | None,
    prompts: str,
    weights: ArrayLike | None,
) -> Rows:
    value = np.asarray(y)
    if value.ndim != 1 or value.dtype.kind not in "buif":
        raise StatisticsError(
            f"{where}: expected one number per edit (1-d), found {value.dtype} of shape {value.shape}"
        )
    value = value.astype(np.float64)
    image_codes = codes(image)
    prompt_codes = None if prompt is None else codes(prompt)
    weight = None if weights is None else np.asarray(weights, dtype=np.float64)
    for name, other in (("image", image_codes), ("prompt", prompt_codes), ("weights", weight)):
        if other is not None and other.shape != value.shape:
            raise StatisticsError(
                f"{where}: {name}: expected {value.size} entries, one per edit; found {other.shape}"
            )
    if prompts not in ("fixed", "random"):
        raise StatisticsError(f"{where}: prompts: expected 'fixed' or 'random', found {prompts!r}")
    if prompts == "random" and prompt_codes is None:
        raise StatisticsError(f"{where}: prompts='random' needs the prompt of each edit; give prompt=")
    if weight is not None and (not np.isfinite(weight).all() or (weight <= 0).any()):
        raise StatisticsError(
            f"{where}: weights: expected finite numbers above 0; drop the edits that weigh nothing"
        )
    return Rows(value, image_codes, prompt_codes, weight)


def _estimand_weights(rows: Rows, estimand: str, where: str) -> Floats | None:
    """Row weights of the estimand: the caller's, normalised within each image for the image mean."""
    if estimand == "edit-mean":
        return rows.weight
    if estimand != "image-mean":
        raise StatisticsError(f"{where}: estimand: expected 'edit-mean' or 'image-mean', found {estimand!r}")
    base = np.ones(rows.y.size) if rows.weight is None else rows.weight
    out: Floats = base / np.bincount(rows.image, weights=base)[rows.image]
    return out


def _canonical(rows: Rows) -> Rows:
    """Rows in an order that depends on their content alone, so that sums do not depend on the caller's."""
    keys = [
        rows.y,
        *([] if rows.weight is None else [rows.weight]),
        *([] if rows.prompt is None else [rows.prompt]),
    ]
    order = np.lexsort((*keys, rows.image))
    pick = [None if x is None else x[order] for x in (rows.prompt, rows.weight)]
    return Rows(rows.y[order], rows.image[order], pick[0], pick[1])  # type: ignore[arg-type]


def _sums(y: Floats, group: Ints, weight: Floats | None) -> tuple[Floats, Floats]:
    """(sums, sizes) per group, sorted by content so that later sums do not depend on names or order."""
    used = weight if weight is not None else np.ones(y.size)
    size: Floats = np.bincount(group, weights=used).astype(np.float64)
    total: Floats = np.bincount(group, weights=used * y).astype(np.float64)
    order = np.lexsort((size, total))
    return total[order], size[order]


def _cells(rows: Rows) -> Ints:
    assert rows.prompt is not None
    width = int(rows.prompt.max()) + 1
    return np.asarray(np.unique(rows.image * width + rows.prompt, return_inverse=True)[1], dtype=np.int64)


class Groupings(NamedTuple):
    """Sums and sizes by image and, where prompts are a sample, by prompt and by image x prompt."""

    image: tuple[Floats, Floats]
    prompt: tuple[Floats, Floats] | None
    cell: tuple[Floats, Floats] | None
    kish_n: float


def _group(rows: Rows, prompts: str, weight: Floats | None) -> Groupings:
    n = rows.y.size
    kish = float(n)
    if weight is not None:
        ordered = np.sort(weight)
        kish = float(ordered.sum() ** 2 / (ordered * ordered).sum())
    by_image = _sums(rows.y, rows.image, weight)
    if prompts == "fixed" or rows.prompt is None:
        return Groupings(by_image, None, None, kish)
    by_prompt = _sums(rows.y, rows.prompt, weight)
    return Groupings(by_image, by_prompt, _sums(rows.y, _cells(rows), weight), kish)


# --------------------------------------------------------------------------- one rate


_LABELS = {
    "logit-t": "logit-t",
    "korn-graubard": "Korn-Graubard",
    "cluster-t": "CR1 t",
    "cluster-normal": "CR1 normal",
    "cluster-bootstrap": "percentile bootstrap",
    "wilson": "Wilson",
    "clopper-pearson": "Clopper-Pearson",
    "jeffreys": "Jeffreys",
}
_INDEPENDENT = {"wilson": wilson, "clopper-pearson": clopper_pearson, "jeffreys": jeffreys}


def _describe(label: str, estimand: str, prompts: str) -> str:
    what = f"{label} on the mean of image means" if estimand == "image-mean" else label
    by = "image_id and prompt_id" if prompts == "random" else "image_id"
    return f"{what}, clustered by {by}, prompts {prompts}"


def _missing(value: float | None, text: str, n: int, clusters: int, *notes: str) -> Interval:
    return Interval(value, None, None, text, n, clusters, None, None, notes)


def rate_interval(
    y: ArrayLike,
    image: ArrayLike,
    *,
    prompt: ArrayLike | None = None,
    prompts: Prompts = "fixed",
    level: float = 0.95,
    method: Method = "logit-t",
    estimand: Estimand = "edit-mean",
    weights: ArrayLike | None = None,
    rng: np.random.Generator | None = None,
    resamples: int = 10_000,
) -> Interval:
    """The rate of ``y`` with its interval, clustered on ``image``.

    y: (n,) 0/1 or bool, decided edits only. image, prompt: (n,) names, integers or strings (integers are
    faster). prompts: "fixed" (the published list is all there is) or "random" (a sample: image x prompt).
    estimand: "edit-mean", or "image-mean" = the average of image means; with unequal images they differ.
    weights: (n,) positive. rng: only for ``method="cluster-bootstrap"``.

    The default is described at the top of this module. "wilson", "clopper-pearson" and "jeffreys" take edits
    as independent and are too narrow wherever images differ. No edits: no value. One image (or one prompt,
    where prompts are a sample): a value and no interval. Nothing but one outcome: an interval all the same,
    by rule 3. The reason stands in ``notes``.
    """
    tail = _tail(level)
    if method not in _LABELS:
        raise StatisticsError(
            f"rate_interval: method: expected one of {', '.join(_LABELS)}; found {method!r}"
        )
    rows = _check_rows("rate_interval", y, image, prompt, prompts, weights)
    if not np.isin(rows.y, (0.0, 1.0)).all():
        raise StatisticsError(
            "rate_interval: y: expected 0 or 1 for every edit; drop the undecided ones first"
        )
    if method in _INDEPENDENT and (estimand != "edit-mean" or weights is not None or prompts != "fixed"):
        raise StatisticsError(
            f"rate_interval: {method} takes edits as independent, without weights; use 'logit-t'"
        )
    text = _describe(_LABELS[method], estimand, prompts)
    if method in _INDEPENDENT:
        text = f"{_LABELS[method]}, edits taken as independent"
    n = rows.y.size
    if n == 0:
        return _missing(None, text, 0, 0, "no decided edit: there is no rate")
    if weights is not None or estimand != "edit-mean":
        rows = _canonical(rows)
    grouped = _group(rows, prompts, _estimand_weights(rows, estimand, "rate_interval"))
    s, w = grouped.image
    images = s.size
    value = min(max(float(s.sum() / w.sum()), 0.0), 1.0)
    if method in _INDEPENDENT:
        low, high = (float(x) for x in _INDEPENDENT[method](s.sum(), n, level=level))
        return Interval(value, low, high, text, n, images, None, float(n), ())
    if images < 2:
        return _missing(
            value, text, n, images, "one image: variance between images cannot be estimated, no interval"
        )
    if grouped.prompt is not None and grouped.prompt[0].size < 2:
        return _missing(value, text, n, images, "one prompt taken as a sample of prompts: no interval")
    notes: tuple[str, ...] = _shape_notes(s, w)
    if grouped.prompt is not None:
        notes += _prompt_notes(images, grouped.prompt[0].size)
    if method == "logit-t":
        low, high, variance, label, more = _default(grouped, level)
        text, notes = _describe(label, estimand, prompts), notes + more
    else:
        low, high, variance = _clustered(method, grouped, value, level, tail, rng, resamples)
    deff, n_eff, effect = _effect(variance, value, grouped.kish_n)
    return Interval(value, min(low, value), max(high, value), text, n, images, deff, n_eff, (*notes, *effect))


def _default(grouped: Groupings, level: float) -> tuple[float, float, float, str, tuple[str, ...]]:
    """(low, high, variance, label, notes) by rules 1 to 4; label and notes say which rule made which endpoint."""
    (s, w), n = grouped.image, grouped.kish_n
    core: RateCore | TwoWayCore
    if grouped.prompt is not None and grouped.cell is not None:
        core = two = two_way_core(grouped.image, grouped.prompt, grouped.cell, n=n, level=level)
        variance = float(two.parts.variance)
    else:
        core = one = rate_core(s, w, n=n, level=level)
        variance = float(one.variance)
    failed, total = float(s.sum()), float(w.sum())
    below, low_note = _made(core.low_by, "lower", total - failed, "spared")
    above, high_note = _made(core.high_by, "upper", failed, "failing")
    if failed <= 0 or failed >= total:  # the other endpoint is 0 or 1
        label, low_note, high_note = (above, (), high_note) if failed <= 0 else (below, low_note, ())
    else:
        label = below if below == above else f"{below} (low), {above} (high)"
    return float(core.low), float(core.high), variance, label, (*low_note, *high_note)


def _made(by: Made, which: str, own: float, what: str) -> tuple[str, tuple[str, ...]]:
    """Name of the rule that made an endpoint, and a note where it is more than formula 3 or 4 on the data."""
    rule, kept, deff = RULES[int(by.rule)], float(by.kept), float(by.deff)
    if rule == RULES[2]:
        text = f"exact limit with no {what} edit, a design effect of {deff:.2f} supposed"
        return f"zero-{'failure' if what == 'failing' else 'spared'} limit", (f"{which} endpoint: {text}",)
    raised, fewer = bool(by.raised), kept < own * (1 - 1e-9)
    if not raised and not fewer:
        return rule, ()
    text = f"{which} endpoint: {rule} at a design effect of {deff:.2f}"
    if raised:
        rule += " at a raised design effect"
        text += ", raised because the rarer outcome occurs in few images"
    if fewer:
        rule += " of fewer edits"
        text += f", of the data with {kept:g} of the {own:g} {what} edits, since endpoints never fall"
    return rule, (text,)


def _clustered(
    method: str,
    grouped: Groupings,
    value: float,
    level: float,
    tail: float,
    rng: np.random.Generator | None,
    resamples: int,
) -> tuple[float, float, float]:
    """(low, high, variance) of one data set by a clustered method other than the default."""
    s, w = grouped.image
    n, df, variance = grouped.kish_n, s.size - 1.0, float(cr1_variance(s, w))
    if grouped.prompt is not None and grouped.cell is not None:
        core = two_way_core(grouped.image, grouped.prompt, grouped.cell, n=n, level=level)
        df, variance = float(core.df), float(core.parts.variance)
    if method == "cluster-bootstrap":
        if rng is None:
            raise StatisticsError("rate_interval: cluster-bootstrap needs rng=numpy.random.default_rng(seed)")
        if grouped.prompt is not None:
            raise StatisticsError(
                "rate_interval: cluster-bootstrap resamples images only; use prompts='fixed'"
            )
        draws = cluster_bootstrap(np.stack([s, w], 1), _ratio, rng=rng, resamples=resamples)
        return *percentile_interval(draws, level=level), variance
    if method == "korn-graubard":
        floored = max(variance, value * (1 - value) / max(n - 1, 1.0))
        low, high = korn_graubard(value, design_effect(floored, value, n), n, df, level=level)
        return float(low), float(high), variance
    crit = -float(ndtri(tail)) if method == "cluster-normal" else -float(stdtrit(df, tail))
    half = crit * variance**0.5
    return max(value - half, 0.0), min(value + half, 1.0), variance


def _ratio(total: Floats) -> Floats:
    out: Floats = total[:, 0] / total[:, 1]
    return out


def _effect(variance: float, value: float, n: float) -> tuple[float | None, float | None, tuple[str, ...]]:
    d = float(design_effect(variance, value, n)) if n > 1 else float("nan")
    if not np.isfinite(d):
        return None, None, ("every edit has the same outcome: the data cannot tell the design effect",)
    n_eff = n / max(d, 1.0)
    return d, n_eff, (f"design effect {d:.2f}, effective n {n_eff:.1f}",)


def touched_images(sums: ArrayLike, sizes: ArrayLike) -> Ints:
    """In how many images the rarer outcome occurs (images with some failure, or with some edit spared)."""
    s, w = np.broadcast_arrays(np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64))
    out: Ints = np.minimum((s > 0).sum(axis=-1), (s < w * (1 - 1e-12)).sum(axis=-1))
    return out


def _shape_notes(s: Floats, w: Floats) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    touched = int(touched_images(s, w))
    if touched < FEW_IMAGES:
        notes += (f"the rarer outcome occurs in {touched} of {s.size} images",)
    kish = float(w.sum() ** 2 / (w * w).sum())
    if kish < s.size / 2:
        notes += (
            f"images have very unequal numbers of edits: worth {kish:.1f} equal images out of {s.size}",
        )
    return notes


def _prompt_notes(images: int, prompts: int) -> tuple[str, ...]:
    if min(images, prompts) >= FEW_PROMPTS:
        return ()
    return (
        f"{prompts} prompts are few for a sample of prompts: {min(images, prompts) - 1} degrees of freedom",
    )


# --------------------------------------------------------------------------- one paired difference


def difference_interval(
    d: ArrayLike,
    image: ArrayLike,
    *,
    prompt: ArrayLike | None = None,
    prompts: Prompts = "fixed",
    level: float = 0.95,
    estimand: Estimand = "edit-mean",
    weights: ArrayLike | None = None,
    identical: bool = False,
) -> Interval:
    """The mean of paired differences with its interval: CR1 by image, t_{G-1}, clipped to [-1, 1].

    d: (n,) in [-1, 1], for two 0/1 outcomes one of -1, 0, 1. See :func:`difference_core` for the floor that
    keeps the width above zero when no pair is discordant. ``identical=True`` says that both sides are the same
    edits (A against itself): the difference is 0 with zero width. It is refused if some ``d`` is not 0.
    """
    rows = _check_rows("difference_interval", d, image, prompt, prompts, weights)
    _tail(level)
    if not (np.abs(rows.y) <= 1.0).all():
        raise StatisticsError(
            "difference_interval: d: expected numbers in [-1, 1]; drop undecided pairs first"
        )
    text = _describe("paired t", estimand, prompts)
    n = rows.y.size
    if n == 0:
        return _missing(None, text, 0, 0, "no pair in which both sides are decided: there is no difference")
    rows = _canonical(rows)
    weight = _estimand_weights(rows, estimand, "difference_interval")
    grouped = _group(rows, prompts, weight)
    s, w = grouped.image
    images, value = s.size, float(s.sum() / w.sum())
    if identical:
        if rows.y.any():
            raise StatisticsError("difference_interval: identical=True, but some paired difference is not 0")
        return Interval(0.0, 0.0, 0.0, text, n, images, None, None, ("both sides are the same edits",))
    if images < 2:
        return _missing(
            value, text, n, images, "one image: variance between images cannot be estimated, no interval"
        )
    if grouped.prompt is not None and grouped.prompt[0].size < 2:
        return _missing(value, text, n, images, "one prompt taken as a sample of prompts: no interval")
    return _difference(rows, weight, grouped, value, text, level)


def _difference(
    rows: Rows, weight: Floats | None, grouped: Groupings, value: float, text: str, level: float
) -> Interval:
    (s, w), n = grouped.image, grouped.kish_n
    images = s.size
    total = float(w.sum())
    variance, df = float(cr1_variance(s, w)), images - 1.0
    prior = 1 + PRIOR_ICC * (float((w * w).sum()) * n / total**2 - 1)
    notes: tuple[str, ...] = ()
    if grouped.prompt is not None and grouped.cell is not None:
        parts = two_way_variance(grouped.image, grouped.prompt, grouped.cell)
        wp = grouped.prompt[1]
        few = min(images, wp.size)
        df = (
            few - 1.0
            if few < FEW_PROMPTS
            else float(satterthwaite_df(parts.image, parts.prompt, images, wp.size))
        )
        variance = float(parts.variance)
        prior += PRIOR_PROMPT_ICC * (float((wp * wp).sum()) * n / total**2 - 1)
        notes = _prompt_notes(images, wp.size)
    second = float(np.sort(rows.y**2).mean())
    if weight is not None:
        second = float(np.sort(weight * rows.y**2).sum() / np.sort(weight).sum())
    core = difference_core(value, second, variance, n, max(prior, 1.0), df, level=level)
    spread = (second - value**2) / max(n - 1, 1.0)
    if spread <= 0:
        what = "no pair is discordant" if second == 0 else "all pairs differ alike"
        notes += (f"{what}: the width rests on a supposed design effect",)
        return Interval(
            value, float(core.low), float(core.high), text, rows.y.size, images, None, None, notes
        )
    deff = variance / spread
    n_eff = n / max(deff, 1.0)
    notes += (f"design effect {deff:.2f}, effective n {n_eff:.1f}",)
    return Interval(value, float(core.low), float(core.high), text, rows.y.size, images, deff, n_eff, notes)

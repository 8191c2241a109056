"""Endpoints of a clustered interval of a rate, from sums by image: the rules of the default interval."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.stats.independent import beta_interval, t_quantile, upper_tail
from isr.stats.special import expit, logit
from isr.stats.variance import (
    TwoWay,
    cr1_variance,
    cr2_variance,
    design_effect,
    satterthwaite_df,
    small_sample,
    touched_images,
    two_way_variance,
)
from isr.types import Bools, Floats, Ints

FEW_IMAGES = 5
"""Below this number of images with the rarer outcome the normal theory of the logit is not trusted."""

PRIOR_IMAGES = 6.0
"""The supposed design effect counts ``1 - T / PRIOR_IMAGES`` with the rarer outcome in ``T`` images."""


FEW_PROMPTS = 10
"""Below this number of prompts Satterthwaite's df is not trusted and ``min(G, H) - 1`` is used."""


PRIOR_ICC = 0.5
"""Intra-image correlation that is supposed where the data hold no information about it."""

PRIOR_PROMPT_ICC = 0.1
"""The same for edits that share a prompt, when prompts are a sample."""


Correction = Literal["CR2", "CR1"]


def logit_t(
    p: ArrayLike, variance: ArrayLike, df: ArrayLike, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """``expit(logit(p) +- t_df sqrt(V) / (p (1 - p)))``; the whole of [0, 1] where ``p`` is 0 or 1."""
    pp, v, dof = (np.asarray(x, dtype=np.float64) for x in (p, variance, df))
    inside = (pp > 0) & (pp < 1)
    q = np.where(inside, pp, 0.5)
    half = -t_quantile(upper_tail(level), dof) * np.sqrt(v) / (q * (1 - q))
    centre = logit(q)
    return np.where(inside, expit(centre - half), 0.0), np.where(inside, expit(centre + half), 1.0)


def korn_graubard(
    p: ArrayLike, deff: ArrayLike, n: ArrayLike, df: ArrayLike, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Clopper-Pearson at ``n* = min(n, n / D (t_{n-1} / t_df)^2)`` and real ``k* = p n*``.

    Korn and Graubard (1998). A NaN design effect (nothing but one outcome) counts as 1.
    """
    pp, d, nn, dof = (np.asarray(x, dtype=np.float64) for x in (p, deff, n, df))
    tail = upper_tail(level)
    star = _effective_n(np.where(np.isnan(d), 1.0, d), nn, dof, tail)
    pp, star = np.broadcast_arrays(pp, star)
    return beta_interval(pp * star, star, tail)


def _effective_n(deff: Floats, n: Floats, df: Floats, tail: float) -> Floats:
    ratio = t_quantile(tail, n - 1) / t_quantile(tail, df)
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
    sums: ArrayLike,
    sizes: ArrayLike,
    *,
    n: ArrayLike | None = None,
    level: float = 0.95,
    correction: Correction = "CR2",
) -> RateCore:
    """The default interval of a rate from per-image sums, images on the last axis.

    sums, sizes: failures and edits per image, shape (..., G), G >= 2 (weighted sums are allowed).
    n: the number of independent edits that the weights are worth (Kish); default ``sum(sizes)``. correction: where sizes are
    unequal, rules 1 and 2 on the data themselves take CR2 and Kish's number of images (:func:`small_sample`), and the wider of
    that and of rules 1 to 4 with CR1 and G - 1 counts; "CR1" leaves that out, as results without ``estimates=`` have it.

    Monotone with equal sizes and whole counts, by construction: one more failing edit anywhere lowers no
    endpoint (:func:`_upper` has the proof; ``tests/stats/test_rate.py`` enumerates and searches). With unequal
    sizes or weights nothing is promised; the same file shows how large a fall a random search finds.

    >>> core = rate_core(np.array([1.0, 0.0, 2.0, 1.0]), np.array([2.0, 2.0, 2.0, 2.0]))  # by image: failures, edits
    >>> bool(core.low < 0.5 < core.high)
    True
    """
    own = np.asarray(sizes, dtype=np.float64)
    s, w = np.broadcast_arrays(np.asarray(sums, dtype=np.float64), own)
    total = w.sum(axis=-1)
    count = _count(n, total)
    value = s.sum(axis=-1) / total
    high, high_by = _upper(s, w, total, count, level)
    low, low_by = _upper(w - s, w, total, count, level)
    low, variance = 1.0 - low, cr1_variance(s, w)
    small = small_sample(own)
    if correction == "CR2" and not bool(small.equal.all()):
        variance = cr2_variance(s, w, small)
        touched = touched_images(s, w).astype(np.float64)
        p = np.clip(value, 0.0, 1.0)
        seen = np.maximum(np.nan_to_num(design_effect(variance, p, count), nan=1.0), 1.0)
        prior = np.maximum(1 + ((w * w).sum(axis=-1) * count / total**2 - 1) * PRIOR_ICC, 1.0)
        deff = seen + np.maximum(1 - touched / PRIOR_IMAGES, 0.0) * np.maximum(prior - seen, 0.0)
        ends = _endpoints(p, deff * p * (1 - p) / (count - 1), touched, count, small.df, level)
        rule = np.where(touched < FEW_IMAGES, 1, 0)
        parts = [rule, total - s.sum(axis=-1), deff, deff > seen]
        low_by = _wider(ends[0] < low, low_by, parts)
        high_by = _wider(ends[1] > high, high_by, [parts[0], s.sum(axis=-1), *parts[2:]])
        low, high = np.minimum(low, ends[0]), np.maximum(high, ends[1])
    return RateCore(value, np.minimum(low, value), np.maximum(high, value), variance, low_by, high_by)


def _wider(wider: Bools, before: Made, now: list[Floats | Ints | Bools]) -> Made:
    return Made(*(np.where(wider, b, a) for a, b in zip(before, now, strict=True)))


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
    best = zero_limit(worth, prior, df, upper_tail(level))
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
    zero = zero_limit(count, np.maximum(prior, 1.0), np.full_like(df, few), upper_tail(level))
    seen = np.maximum(np.nan_to_num(design_effect(parts.variance, value, count), nan=1.0), 1.0)
    made = []
    for limited, kept in ((1 - zero < low, total - s.sum(axis=-1)), (zero > high, s.sum(axis=-1))):
        rule = np.where(limited, 2, touched < FEW_IMAGES)
        made.append(Made(rule, kept, np.where(limited, np.maximum(prior, 1.0), seen), limited))
    low, high = np.minimum(low, 1 - zero), np.maximum(high, zero)
    return TwoWayCore(value, np.minimum(low, value), np.maximum(high, value), parts, df, *made)

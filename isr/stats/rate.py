"""The interval of one rate, clustered on the source image: the entry point that picks the method.

Edits made from one image share its difficulty, so they are not independent draws. Every default here treats
the image as the unit of randomisation; the intervals that do not are kept for comparison and say so in their
``method``. All clustered algorithms work on per-image sums with the images on the last axis, so that one call
on ``(runs, images)`` arrays evaluates many data sets at once: the simulation that certifies the coverage
(``benchmarks/coverage.py``) runs the very code that ships.

The default (``logit-t``) is built from four rules:

1. interior: ``logit(p) +- t_df sqrt(V*) / (p (1 - p))`` with the CR2 variance ``V`` and one less than Kish's number of
   images as degrees of freedom (CR1 and G - 1 where sizes are equal), floored at the variance of independent edits (Liang and Zeger 1986; logit back-transform as in Korn and Graubard 1999, section 3.2);
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

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.bootstrap import cluster_bootstrap, percentile_interval
from isr.stats.endpoints import (
    FEW_IMAGES,
    RULES,
    Correction,
    Made,
    RateCore,
    TwoWayCore,
    korn_graubard,
    rate_core,
    two_way_core,
)
from isr.stats.independent import clopper_pearson, jeffreys, upper_tail, wilson
from isr.stats.rows import (
    Estimand,
    Groupings,
    Interval,
    Prompts,
    check_rows,
    describe,
    estimand_weights,
    group_rows,
    in_canonical_order,
    missing_interval,
    prompt_notes,
    size_notes,
)
from isr.stats.special import ndtri, stdtrit
from isr.stats.variance import cr1_variance, design_effect, touched_images
from isr.types import Floats

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
    correction: Correction = "CR2",
) -> Interval:
    """The rate of ``y`` with its interval, clustered on ``image``.

    y: (n,) 0/1 or bool, decided edits only. image, prompt: (n,) names, integers or strings (integers are
    faster). prompts: "fixed" (the published list is all there is) or "random" (a sample: image x prompt).
    estimand: "edit-mean", or "image-mean" = the average of image means; with unequal images they differ.
    weights: (n,) positive. rng: only for ``method="cluster-bootstrap"``. correction: of the default for unequal images (see
    :func:`isr.stats.endpoints.rate_core`).

    The default is described at the top of this module. "wilson", "clopper-pearson" and "jeffreys" take edits
    as independent and are too narrow wherever images differ. No edits: no value. One image (or one prompt,
    where prompts are a sample): a value and no interval. Nothing but one outcome: an interval all the same,
    by rule 3. The reason stands in ``notes``.

    >>> rate_interval([1, 0, 1, 1], [0, 0, 1, 1]).value  # 3 of 4
    0.75
    """
    tail = upper_tail(level)
    if method not in _LABELS:
        raise StatisticsError(
            f"rate_interval: method: expected one of {', '.join(_LABELS)}; found {method!r}"
        )
    rows = check_rows("rate_interval", y, image, prompt, prompts, weights)
    if not np.isin(rows.y, (0.0, 1.0)).all():
        raise StatisticsError(
            "rate_interval: y: expected 0 or 1 for every edit; drop the undecided ones first"
        )
    if method in _INDEPENDENT and (estimand != "edit-mean" or weights is not None or prompts != "fixed"):
        raise StatisticsError(
            f"rate_interval: {method} takes edits as independent, without weights; use 'logit-t'"
        )
    text = describe(_LABELS[method], estimand, prompts)
    if method in _INDEPENDENT:
        text = f"{_LABELS[method]}, edits taken as independent"
    n = rows.y.size
    if n == 0:
        return missing_interval(None, text, 0, 0, "no decided edit: there is no rate")
    if weights is not None or estimand != "edit-mean":
        rows = in_canonical_order(rows)
    grouped = group_rows(rows, prompts, estimand_weights(rows, estimand, "rate_interval"))
    s, w = grouped.image
    images = s.size
    value = min(max(float(s.sum() / w.sum()), 0.0), 1.0)
    if method in _INDEPENDENT:
        low, high = (float(x) for x in _INDEPENDENT[method](s.sum(), n, level=level))
        return Interval(
            value=value,
            low=low,
            high=high,
            method=text,
            n=n,
            clusters=images,
            design_effect=None,
            n_effective=float(n),
            notes=(),
        )
    if images < 2:
        return missing_interval(
            value, text, n, images, "one image: variance between images cannot be estimated, no interval"
        )
    if grouped.prompt is not None and grouped.prompt[0].size < 2:
        return missing_interval(
            value, text, n, images, "one prompt taken as a sample of prompts: no interval"
        )
    notes: tuple[str, ...] = _shape_notes(s, w)
    if grouped.prompt is not None:
        notes += prompt_notes(images, grouped.prompt[0].size)
    if method == "logit-t":
        low, high, variance, label, more = _default(grouped, level, correction)
        text, notes = describe(label, estimand, prompts), notes + more
    else:
        low, high, variance = _clustered(method, grouped, value, level, tail, rng, resamples)
    deff, n_eff, effect = _effect(variance, value, grouped.kish_n)
    return Interval(
        value=value,
        low=min(low, value),
        high=max(high, value),
        method=text,
        n=n,
        clusters=images,
        design_effect=deff,
        n_effective=n_eff,
        notes=(*notes, *effect),
    )


def _default(
    grouped: Groupings, level: float, correction: Correction
) -> tuple[float, float, float, str, tuple[str, ...]]:
    """(low, high, variance, label, notes) by rules 1 to 4; label and notes say which rule made which endpoint."""
    (s, w), n = grouped.image, grouped.kish_n
    core: RateCore | TwoWayCore
    if grouped.prompt is not None and grouped.cell is not None:
        core = two = two_way_core(grouped.image, grouped.prompt, grouped.cell, n=n, level=level)
        variance = float(two.parts.variance)
    else:
        core = one = rate_core(s, w, n=n, level=level, correction=correction)
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


def _shape_notes(s: Floats, w: Floats) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    touched = int(touched_images(s, w))
    if touched < FEW_IMAGES:
        notes += (f"the rarer outcome occurs in {touched} of {s.size} images",)
    return notes + size_notes(w)

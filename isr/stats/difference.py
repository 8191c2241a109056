"""The interval of one paired difference, clustered on the source image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.endpoints import FEW_PROMPTS, PRIOR_ICC, PRIOR_PROMPT_ICC, Correction
from isr.stats.independent import upper_tail
from isr.stats.rows import (
    Estimand,
    Groupings,
    Interval,
    Prompts,
    Rows,
    check_rows,
    describe,
    estimand_weights,
    group_rows,
    in_canonical_order,
    missing_interval,
    prompt_notes,
    size_notes,
)
from isr.stats.special import stdtr, stdtrit
from isr.stats.variance import cr2_variance, satterthwaite_df, small_sample, two_way_variance
from isr.types import Floats


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

    >>> core = difference_core(0.2, 0.4, 0.01, 20, 1.5, 9)
    >>> bool(core.low < 0.2 < core.high)
    True
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
    half = -stdtrit(dof, upper_tail(level)) * np.sqrt(used)
    return DifferenceCore(d, np.maximum(d - half, -1.0), np.minimum(d + half, 1.0), used)


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
    correction: Correction = "CR2",
) -> Interval:
    """The mean of paired differences with its interval: CR2 by image, t of Kish's images - 1, clipped to [-1, 1].

    d: (n,) in [-1, 1], for two 0/1 outcomes one of -1, 0, 1. See :func:`difference_core` for the floor that
    keeps the width above zero when no pair is discordant. ``identical=True`` says that both sides are the same
    edits (A against itself): the difference is 0 with zero width. It is refused if some ``d`` is not 0. ``correction``: for
    unequal images, as in a rate.

    >>> difference_interval([1, 0, -1, 1], [0, 0, 1, 1]).value  # 1 / 4
    0.25
    """
    rows = check_rows("difference_interval", d, image, prompt, prompts, weights)
    upper_tail(level)
    if not (np.abs(rows.y) <= 1.0).all():
        raise StatisticsError(
            "difference_interval: d: expected numbers in [-1, 1]; drop undecided pairs first"
        )
    text = describe("paired t", estimand, prompts)
    n = rows.y.size
    if n == 0:
        return missing_interval(
            None, text, 0, 0, "no pair in which both sides are decided: there is no difference"
        )
    rows = in_canonical_order(rows)
    weight = estimand_weights(rows, estimand, "difference_interval")
    grouped = group_rows(rows, prompts, weight)
    s, w = grouped.image
    images, value = s.size, float(s.sum() / w.sum())
    if identical:
        if rows.y.any():
            raise StatisticsError("difference_interval: identical=True, but some paired difference is not 0")
        return Interval(
            value=0.0,
            low=0.0,
            high=0.0,
            method=text,
            n=n,
            clusters=images,
            design_effect=None,
            n_effective=None,
            notes=("both sides are the same edits",),
        )
    if images < 2:
        return missing_interval(
            value, text, n, images, "one image: variance between images cannot be estimated, no interval"
        )
    if grouped.prompt is not None and grouped.prompt[0].size < 2:
        return missing_interval(
            value, text, n, images, "one prompt taken as a sample of prompts: no interval"
        )
    return _difference(rows, weight, grouped, value, text, level, correction)


def difference_p_value(
    d: ArrayLike, image: ArrayLike, *, prompt: ArrayLike | None = None, prompts: Prompts = "fixed"
) -> float | None:
    """Two-sided p-value of no difference by the t of :func:`difference_interval`; ``None`` where it has no interval.

    For prompts that are a sample of prompts: flipping the signs of whole images takes the prompts as all there are.

    >>> difference_p_value([0, 0, 1, -1], [0, 0, 1, 1])
    1.0
    """
    found = standardised("difference_p_value", d, image, prompt, prompts)
    if found is None:
        return None
    value, se, df = found
    return float(2 * stdtr(df, -abs(value) / se))


class WithinMargin(NamedTuple):
    """p-values that a difference is above ``-margin`` (the first is no worse by more), and that it lies within ``+-margin``."""

    not_worse: float
    equivalent: float


def margin_p_values(
    d: ArrayLike,
    image: ArrayLike,
    margin: float,
    *,
    prompt: ArrayLike | None = None,
    prompts: Prompts = "fixed",
) -> WithinMargin | None:
    """Two one-sided t-tests of a difference against a margin (Schuirmann 1987); ``None`` where it has no interval.

    At the 5 % level they say what the 90 % interval of :func:`difference_interval` says: not worse where it lies above
    ``-margin``, equivalent where it lies inside.

    >>> found = margin_p_values([1, -1, 0, 0] * 25, list(range(100)), 0.5)
    >>> found.not_worse == found.equivalent < 0.001  # no difference: both tests alike
    True
    """
    if not 0 < margin < 1:
        raise StatisticsError(f"margin_p_values: margin: expected a number between 0 and 1; found {margin!r}")
    found = standardised("margin_p_values", d, image, prompt, prompts)
    if found is None:
        return None
    value, se, df = found
    below, above = (float(stdtr(df, -(margin + sign * value) / se)) for sign in (1, -1))
    return WithinMargin(below, max(below, above))


def standardised(
    where: str, d: ArrayLike, image: ArrayLike, prompt: ArrayLike | None, prompts: Prompts
) -> tuple[float, float, float] | None:
    """(mean, standard error, degrees of freedom) of a difference; ``None`` with one image, or one prompt of a sample."""
    rows = in_canonical_order(check_rows(where, d, image, prompt, prompts, None))
    grouped = group_rows(rows, prompts, None) if rows.y.size else None
    few = grouped is None or grouped.image[0].size < 2
    if grouped is None or few or (grouped.prompt is not None and grouped.prompt[0].size < 2):
        return None
    s, w = grouped.image
    value, found = float(s.sum() / w.sum()), _spread(rows, None, grouped, "CR2")
    core = difference_core(value, found.second, found.variance, grouped.kish_n, found.prior, found.df)
    return value, float(core.variance) ** 0.5, found.df


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDifference:
    """How far undecided outcomes leave a difference open.

    ``bounds``: the difference with all of them at one extreme, then at the other. ``identified``: the interval of the
    identified set, from the lower endpoint at the one to the upper at the other. ``tipping_share``: see
    :func:`tipping_share`.
    """

    bounds: tuple[float, float]
    identified: tuple[float, float] | None
    tipping_share: float | None


def open_difference(
    low: ArrayLike,
    high: ArrayLike,
    image: ArrayLike,
    value: float | None,
    *,
    level: float = 0.95,
    prompt: ArrayLike | None = None,
    prompts: Prompts = "fixed",
) -> OpenDifference | None:
    """What undecided outcomes leave open of the mean of paired differences, each in ``low`` to ``high``, (n,).

    ``None`` where no pair is open. value: the difference on the decided pairs, for its sign.
    """
    a, b = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if not (b > a).any():
        return None
    bounds = (float(a.mean()), float(b.mean()))
    least, most = (
        difference_interval(end, image, prompt=prompt, prompts=prompts, level=level) for end in (a, b)
    )
    identified = None if least.low is None or most.high is None else (least.low, most.high)
    share = tipping_share(value, bounds)
    return OpenDifference(bounds=bounds, identified=identified, tipping_share=share)


def tipping_share(value: float | None, bounds: tuple[float, float] | None) -> float | None:
    """The share of the undecided outcomes that must go against a difference for it to be none.

    The difference falls evenly from one bound to the other as more of them do. ``None`` where nothing is undecided, where
    the sign holds whatever they are, or where there is no difference to turn.

    >>> tipping_share(0.2, (-0.125, 0.375))  # 3/8 of the 4/8 between the bounds
    0.75
    """
    if value is None or not value or bounds is None:
        return None
    low, high = bounds
    best, worst = (high, low) if value > 0 else (-low, -high)
    return best / (best - worst) if best > 0 >= worst else None


def _difference(
    rows: Rows,
    weight: Floats | None,
    grouped: Groupings,
    value: float,
    text: str,
    level: float,
    correction: Correction,
) -> Interval:
    found, n, images = _spread(rows, weight, grouped, correction), grouped.kish_n, grouped.image[0].size
    second, variance, notes = found.second, found.variance, found.notes
    core = difference_core(value, second, variance, n, found.prior, found.df, level=level)
    spread = (second - value**2) / max(n - 1, 1.0)
    if spread <= 0:
        what = "no pair is discordant" if second == 0 else "all pairs differ alike"
        notes += (f"{what}: the width rests on a supposed design effect",)
        return Interval(
            value=value,
            low=float(core.low),
            high=float(core.high),
            method=text,
            n=rows.y.size,
            clusters=images,
            design_effect=None,
            n_effective=None,
            notes=notes,
        )
    deff = variance / spread
    n_eff = n / max(deff, 1.0)
    notes += (f"design effect {deff:.2f}, effective n {n_eff:.1f}",)
    return Interval(
        value=value,
        low=float(core.low),
        high=float(core.high),
        method=text,
        n=rows.y.size,
        clusters=images,
        design_effect=deff,
        n_effective=n_eff,
        notes=notes,
    )


class _Spread(NamedTuple):
    """What the width of a difference rests on; see :func:`difference_core`."""

    second: float
    variance: float
    prior: float
    df: float
    notes: tuple[str, ...]


def _spread(rows: Rows, weight: Floats | None, grouped: Groupings, correction: Correction) -> _Spread:
    (s, w), n = grouped.image, grouped.kish_n
    images = s.size
    total = float(w.sum())
    small = small_sample(w, plain=correction == "CR1")
    variance, df = float(cr2_variance(s, w, small)), float(small.df)
    prior = 1 + PRIOR_ICC * (float((w * w).sum()) * n / total**2 - 1)
    notes = size_notes(w)
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
        notes += prompt_notes(images, wp.size)
    second = float(np.sort(rows.y**2).mean())
    if weight is not None:
        second = float(np.sort(weight * rows.y**2).sum() / np.sort(weight).sum())
    return _Spread(second, variance, max(prior, 1.0), df, notes)

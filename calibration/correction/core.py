"""What the estimators share: influences by edit, their variance by image, the interval.

An estimate is a sum over edits of an influence ``phi_i``, its variance ``sum_g (sum_{i in g} phi_i)^2 / (1 - m_g/N)``
over images. Partly labelled images, and the covariance between the judge's part and the people's part, are thereby counted.
The ``*_core`` functions take arrays ``(..., n)`` with the edits of an image side by side and evaluate many data sets at
once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.endpoints import PRIOR_ICC, korn_graubard, logit_t, zero_limit
from isr.stats.rows import Interval, codes
from isr.stats.special import stdtrit
from isr.stats.variance import Small, small_sample
from isr.types import Bools, Floats, Ints

FEW_EFFECTIVE = 2.0
"""Below this effective number of the rarer outcome the logit is replaced by Korn-Graubard."""


class Core(NamedTuple):
    """One entry per data set: estimate, smoothed estimate (never 0 or 1), floored variance, df, labels.

    ``labels`` is the number of labels over the design effect that is supposed where data hold no information
    about clustering, ``1 + (labels per image - 1) / 2``: what the labels are worth if none says immunized.
    """

    value: Floats
    smooth: Floats
    variance: Floats
    df: Floats
    labels: Floats


def divide(a: Floats, b: Floats) -> Floats:
    """a / b, and 0 where b is 0."""
    out: Floats = np.where(b > 0, a / np.where(b > 0, b, 1.0), 0.0)
    return out


def image_sums(phi: ArrayLike, starts: Ints) -> Floats:
    """Sums over the runs of edits of one image; ``starts`` are the first positions of the runs."""
    out: Floats = np.add.reduceat(np.asarray(phi, dtype=np.float64), starts, axis=-1)
    return out


def image_corrections(starts: Ints, n: int) -> Small:
    """Small-sample corrections for the numbers of edits of the images."""
    if starts.size < 2:
        return Small(np.asarray(1.0), np.ones(starts.size), np.asarray(0.0), np.asarray(True))
    return small_sample(np.diff(np.append(starts, n)))


def cluster_variance(phi: Floats, starts: Ints) -> Floats:
    """Variance of a sum of influences (..., n) by images, corrected for few or unequal ones (``small_sample``)."""
    small = image_corrections(starts, phi.shape[-1])
    out: Floats = small.scale * (small.relative * image_sums(phi, starts) ** 2).sum(axis=-1)
    return out


def label_df(labelled: Bools, starts: Ints) -> Floats:
    """Labelled images - 1, or Kish's number of all images - 1 where they are more unequal than that; 0 for one image."""
    own = np.asarray((image_sums(labelled, starts) > 0).sum(axis=-1) - 1.0, dtype=np.float64)
    out: Floats = np.minimum(own, image_corrections(starts, labelled.shape[-1]).df)
    return out


def label_worth(weight: Floats, starts: Ints) -> Floats:
    """Kish's effective number of labels over the supposed design effect of labels that share an image."""
    mass = weight.sum(axis=-1)
    squares = (weight * weight).sum(axis=-1)
    together = (image_sums(weight, starts) ** 2).sum(axis=-1)
    worth = divide(mass**2, squares)
    out: Floats = worth / np.maximum(1 + PRIOR_ICC * (divide(together, squares) - 1), 1.0)
    return out


def bounded(core: Core, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Endpoints in [0, 1] of an estimated rate: logit-t, or Korn-Graubard where the logit breaks down.

    The effective sample size is ``p~ (1 - p~) / V + 1``. Where it holds fewer than FEW_EFFECTIVE of the rarer
    outcome, Korn and Graubard's (1998) interval at that size is used. As for plain rates, no upper endpoint is
    below the exact limit of ``core.labels`` labels none of which says immunized, and conversely.
    """
    value = np.clip(core.value, 0.0, 1.0)
    size = np.maximum(divide(core.smooth * (1 - core.smooth), core.variance) + 1, 2.0)
    low, high = logit_t(value, core.variance, core.df, level=level)
    kg_low, kg_high = korn_graubard(value, 1.0, size, core.df, level=level)
    few = np.minimum(value, 1 - value) * size < FEW_EFFECTIVE
    zero = zero_limit(np.maximum(core.labels, 1.5), np.asarray(1.0), core.df, (1 - level) / 2)
    low, high = np.where(few, kg_low, low), np.where(few, kg_high, high)
    return np.minimum(low, 1 - zero), np.maximum(high, zero)


class Labelled(NamedTuple):
    """Checked rows with the edits of an image side by side, and the first position of each image."""

    judge: Floats
    human: Floats
    labelled: Bools
    starts: Ints
    order: Ints


def arrange(
    where: str, judge: ArrayLike, human: ArrayLike, labelled: ArrayLike, image: ArrayLike
) -> Labelled:
    """Rows checked and sorted by image, then by content, so that no result depends on their order."""
    f, y = np.asarray(judge, dtype=np.float64), np.asarray(human, dtype=np.float64)
    marks, group = np.asarray(labelled), codes(image)
    for name, other in (("human", y), ("labelled", marks), ("image", group)):
        if f.ndim != 1 or other.shape != f.shape:
            raise StatisticsError(
                f"{where}: {name}: expected one entry per edit ({f.size}), found {other.shape}"
            )
    if marks.dtype.kind != "b":
        raise StatisticsError(f"{where}: labelled: expected true or false per edit, found {marks.dtype}")
    if not np.isfinite(f).all():
        raise StatisticsError(f"{where}: judge: {_FINITE}")
    if not np.isfinite(y[marks]).all():
        raise StatisticsError(f"{where}: human: an edit marked as labelled has no label; unmark it")
    y = np.where(marks, y, 0.0)
    order = np.lexsort((y, marks, f, group))
    sizes = np.bincount(group) if f.size else np.zeros(0, dtype=np.int64)
    starts: Ints = (np.cumsum(sizes) - sizes).astype(np.int64)
    return Labelled(f[order], y[order], marks[order], starts, order.astype(np.int64))


_FINITE = "expected a number per edit; drop undecided edits or make them a stratum (strata=)"


def zero_one(where: str, name: str, values: Floats) -> None:
    if np.isnan(values).any():
        raise StatisticsError(f"{where}: {name}: {_FINITE}")
    if not np.isin(values, (0.0, 1.0)).all():
        raise StatisticsError(f"{where}: {name}: expected 0 or 1 for every edit, found other values")


def no_interval(value: float | None, text: str, n: int, images: int, note: str) -> Interval:
    return Interval(
        value=value,
        low=None,
        high=None,
        method=text,
        n=n,
        clusters=images,
        design_effect=None,
        n_effective=None,
        notes=(note,),
    )


def finish(core: Core, text: str, rows: Labelled, level: float, notes: tuple[str, ...]) -> Interval:
    n, images = rows.judge.size, rows.starts.size
    value = float(np.clip(core.value, 0.0, 1.0))
    if images < 2 or float(core.df) < 1:
        return no_interval(value, text, n, images, "labels in fewer than two images: no interval")
    low, high = (float(x) for x in bounded(core, level=level))
    n_eff = float(core.smooth * (1 - core.smooth) / core.variance) + 1 if core.variance > 0 else None
    if n_eff is not None:
        notes = (*notes, f"as precise as {n_eff:.1f} independent edits judged by people")
    return Interval(
        value=value,
        low=min(low, value),
        high=max(high, value),
        method=text,
        n=n,
        clusters=images,
        design_effect=None,
        n_effective=n_eff,
        notes=notes,
    )


def check_probabilities(where: str, probabilities: ArrayLike | None, rows: Labelled) -> Floats | None:
    if probabilities is None:
        return None
    pi = np.asarray(probabilities, dtype=np.float64)
    if pi.shape != rows.judge.shape:
        raise StatisticsError(
            f"{where}: probabilities: expected one per edit ({rows.judge.size}), found {pi.shape}"
        )
    pi = pi[rows.order]
    if not ((pi[rows.labelled] > 0) & (pi[rows.labelled] <= 1)).all():
        raise StatisticsError(f"{where}: probabilities: expected numbers in (0, 1] for the labelled edits")
    return np.where(rows.labelled, pi, 1.0)


def linear(core: Core, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """``value +- t_df sqrt(V)`` clipped to [-1, 1]."""
    half = -stdtrit(core.df, (1 - level) / 2) * np.sqrt(core.variance)
    value = np.clip(core.value, -1.0, 1.0)
    return np.clip(value - half, -1.0, 1.0), np.clip(value + half, -1.0, 1.0)

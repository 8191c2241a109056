"""The post-stratified estimator: people's rate within each verdict, weighted by how often the judge gave it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.correction.core import (
    Core,
    arrange,
    check_probabilities,
    cluster_variance,
    divide,
    finish,
    label_df,
    label_worth,
    no_interval,
    zero_one,
)
from isr.errors import DesignError, StatisticsError
from isr.stats.rows import Interval, codes
from isr.types import Bools, Floats, Ints

ADVISED_PER_VERDICT = 20
"""Labels per verdict below which a note advises more."""


def post_stratified_core(
    stratum: Ints,
    human: Floats,
    labelled: Bools,
    starts: Ints,
    strata: int,
    *,
    probability: Floats | None = None,
    prior: float = 0.5,
) -> Core:
    """``theta = sum_v w_v y_v``: the people's rate within each stratum, weighted by its share of all edits.

    stratum, human, labelled: (..., n). Influence ``phi_i = (y~_v(i) - theta~)/N + L_i (Y_i - y_v) w_v / n_v``
    with Jeffreys-smoothed ``y~_v = (a_v + 1/2)/(n_v + 1)`` in the slope, floored at the variance of independent
    edits ``sum_v w_v (y~_v - theta~)^2 / N + sum_v w_v^2 var~_v / n_v`` (Holt and Smith 1979; Cochran 1977,
    section 5A.9). ``probability``: labels count ``1 / pi_i``. ``prior``: 1/2 for rates; 0 for differences,
    which smooths towards no difference. A stratum that occurs without a label gives NaN.

    >>> stratum, human, labelled = np.array([1, 1, 0, 0]), np.array([1.0, 0, 0, 0]), np.array([True] * 4)
    >>> float(post_stratified_core(stratum, human, labelled, np.arange(4), 2).value)
    0.25
    """
    total = stratum.shape[-1]
    weight = labelled.astype(np.float64) if probability is None else labelled / probability
    shape = (*stratum.shape[:-1], strata)
    share, mass, worth, first, second = (np.zeros(shape) for _ in range(5))
    for v in range(strata):
        inside = stratum == v
        use = weight * inside
        share[..., v] = inside.mean(axis=-1)
        mass[..., v] = use.sum(axis=-1)
        worth[..., v] = divide(mass[..., v] ** 2, (use * use).sum(axis=-1))
        first[..., v] = divide((use * human).sum(axis=-1), mass[..., v])
        second[..., v] = divide((use * human**2).sum(axis=-1), mass[..., v])
    mean = (first * worth + prior) / (worth + 1)
    spread = (second * worth + 0.5) / (worth + 1) - mean**2
    centre = (share * mean).sum(axis=-1)
    slope = mean - centre[..., None]
    gain = divide(share, mass)
    at = [np.take_along_axis(table, stratum, axis=-1) for table in (slope, first, gain)]
    phi = at[0] / total + weight * (human - at[1]) * at[2]
    floor = (share * slope**2).sum(axis=-1) / total + divide(share**2 * spread, worth).sum(axis=-1)
    value = np.where(((share > 0) & (mass == 0)).any(axis=-1), np.nan, (share * first).sum(axis=-1))
    df, worth_of = label_df(labelled, starts), label_worth(weight, starts)
    spread_of = np.maximum(cluster_variance(phi, starts), floor)
    return Core(value, centre, spread_of, df, worth_of)


def check_strata(where: str, stratum: Ints, names: list[str], labelled: Bools) -> tuple[str, ...]:
    """Refuse a stratum that occurs without a label; advise where there are few."""
    every = np.bincount(stratum, minlength=len(names))
    known = np.bincount(stratum[labelled], minlength=len(names))
    empty = [names[v] for v in range(len(names)) if every[v] and not known[v]]
    if empty:
        raise DesignError(
            f"{where}: no label among the edits with {' and '.join(empty)}; post-stratification needs labels drawn at "
            f"random within every verdict that occurs: label some of them (at least {ADVISED_PER_VERDICT} advised)"
        )
    few = [
        f"{names[v]} ({known[v]})"
        for v in range(len(names))
        if 0 < known[v] < min(ADVISED_PER_VERDICT, every[v])
    ]
    return (f"few labels for {', '.join(few)}: {ADVISED_PER_VERDICT} per verdict are advised",) if few else ()


def post_stratified_rate(
    judge: ArrayLike,
    human: ArrayLike,
    labelled: ArrayLike,
    image: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """The people's rate, post-stratified by the judge's verdict; see :func:`post_stratified_core`.

    judge, human, labelled, image: (n,); ``human`` is read where ``labelled``. strata: other strata than the
    verdict, such as bins of a score or undecided as a third one (``judge`` is then not read). Valid for labels
    drawn at random, or at random within strata, or with known ``probabilities`` (n,) of being labelled.
    DesignError where a stratum has none.

    >>> post_stratified_rate([1, 1, 0, 0], [1, 0, 0, 0], [True] * 4, list('abcd')).value  # 2/4 x 1/2 + 2/4 x 0
    0.25
    """
    where = "post_stratified"
    if strata is None:
        zero_one(where, "judge", np.asarray(judge, dtype=np.float64))
    keys = _strata(where, judge if strata is None else strata)
    rows = arrange(where, keys, human, labelled, image)
    text = f"post-stratified by {'verdict' if strata is None else 'stratum'}, logit-t, clustered by image_id"
    if rows.judge.size == 0:
        return no_interval(None, text, 0, 0, "no edit: there is no rate")
    zero_one(where, "human", rows.human)
    names = _stratum_names(
        judge if strata is None else strata, keys, "verdict" if strata is None else "stratum"
    )
    stratum = rows.judge.astype(np.int64)
    notes = check_strata(where, stratum, names, rows.labelled)
    pi = check_probabilities(where, probabilities, rows)
    core = post_stratified_core(stratum, rows.human, rows.labelled, rows.starts, len(names), probability=pi)
    return finish(core, text, rows, level, (f"{int(rows.labelled.sum())} labels", *notes))


def _strata(where: str, values: ArrayLike) -> Ints:
    array = np.asarray(values)
    # NaN differs from itself, whether a float or an object
    if any(x is None for x in array.tolist()) if array.dtype.kind == "O" else (array != array).any():
        raise StatisticsError(f"{where}: strata: expected a name per edit, found none; name the undecided")
    return codes(array)


def _stratum_names(values: ArrayLike, keys: Ints, kind: str) -> list[str]:
    array = np.asarray(values)
    first = np.zeros(int(keys.max()) + 1, dtype=np.int64)
    first[keys[::-1]] = np.arange(keys.size)[::-1]
    return [f"{kind} {array[i]:g}" if array.dtype.kind == "f" else f"{kind} {array[i]}" for i in first]

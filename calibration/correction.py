"""The rate that people would have given, from a judge's verdicts and a sample of human labels.

Which estimator is valid depends on how the labelled edits were chosen, and nothing in the data can tell.
:func:`corrected_rate` therefore takes the design, and picks the estimator or refuses:

===================  ==============================================================================
``label_design``     estimator
===================  ==============================================================================
``random``           post-stratified by verdict; PPI++ for a graded score
``within_verdict``   post-stratified by verdict (sampling within verdict biases the other two)
``external``         Rogan-Gladen, Lee-adjusted, from labels of another experiment
``weights``          post-stratified or PPI++ with known inclusion probabilities
===================  ==============================================================================

The estimators from labels inside the test set share one form: the estimate is a sum over edits of an influence
``phi_i``, its variance ``G/(G-1) sum_g (sum_{i in g} phi_i)^2`` over images. Partly labelled images, and the
covariance between the judge's part and the people's part, are thereby counted. The ``*_core`` functions take
arrays ``(..., n)`` with the edits of an image side by side and evaluate many data sets at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from isr.errors import DesignError, StatisticsError
from isr.stats.rate import (
    PRIOR_ICC,
    PRIOR_IMAGES,
    Interval,
    codes,
    cr1_variance,
    design_effect,
    korn_graubard,
    logit_t,
    satterthwaite_df,
    touched_images,
    zero_limit,
)
from isr.types import Bools, Floats, Ints

LabelDesign = Literal["random", "within_verdict", "external", "weights"]
CalibrationDesign = Literal["random", "within_label", "within_verdict"]
Estimator = Literal["auto", "post-stratified", "ppi++", "rogan-gladen"]

FEW_EFFECTIVE = 2.0
"""Below this effective number of the rarer outcome the logit is replaced by Korn-Graubard."""
SUSPECT_Z = 4.0
"""Labels called random whose share differs between verdicts by more standard errors than this are noted."""
ADVISED_PER_VERDICT = 20
"""Labels per verdict below which a note advises more."""


# --------------------------------------------------------------------------- shared pieces


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


def _divide(a: Floats, b: Floats) -> Floats:
    """a / b, and 0 where b is 0."""
    out: Floats = np.where(b > 0, a / np.where(b > 0, b, 1.0), 0.0)
    return out


def image_sums(phi: ArrayLike, starts: Ints) -> Floats:
    """Sums over the runs of edits of one image; ``starts`` are the first positions of the runs."""
    out: Floats = np.add.reduceat(np.asarray(phi, dtype=np.float64), starts, axis=-1)
    return out


def _cluster_variance(phi: Floats, starts: Ints) -> Floats:
    groups = starts.size
    out: Floats = groups / max(groups - 1, 1) * (image_sums(phi, starts) ** 2).sum(axis=-1)
    return out


def _label_df(labelled: Bools, starts: Ints) -> Floats:
    """Labelled images - 1: 0 where all labels are in one image, which has no variance between images."""
    return np.asarray((image_sums(labelled, starts) > 0).sum(axis=-1) - 1.0, dtype=np.float64)


def _label_worth(weight: Floats, starts: Ints) -> Floats:
    """Kish's effective number of labels over the supposed design effect of labels that share an image."""
    mass = weight.sum(axis=-1)
    squares = (weight * weight).sum(axis=-1)
    together = (image_sums(weight, starts) ** 2).sum(axis=-1)
    worth = _divide(mass**2, squares)
    out: Floats = worth / np.maximum(1 + PRIOR_ICC * (_divide(together, squares) - 1), 1.0)
    return out


def bounded(core: Core, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Endpoints in [0, 1] of an estimated rate: logit-t, or Korn-Graubard where the logit breaks down.

    The effective sample size is ``p~ (1 - p~) / V + 1``. Where it holds fewer than FEW_EFFECTIVE of the rarer
    outcome, Korn and Graubard's (1998) interval at that size is used. As for plain rates, no upper endpoint is
    below the exact limit of ``core.labels`` labels none of which says immunized, and conversely.
    """
    value = np.clip(core.value, 0.0, 1.0)
    size = np.maximum(_divide(core.smooth * (1 - core.smooth), core.variance) + 1, 2.0)
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


def _zero_one(where: str, name: str, values: Floats) -> None:
    if np.isnan(values).any():
        raise StatisticsError(f"{where}: {name}: {_FINITE}")
    if not np.isin(values, (0.0, 1.0)).all():
        raise StatisticsError(f"{where}: {name}: expected 0 or 1 for every edit, found other values")


def _no_interval(value: float | None, text: str, n: int, images: int, note: str) -> Interval:
    return Interval(value, None, None, text, n, images, None, None, (note,))


def _finish(core: Core, text: str, rows: Labelled, level: float, notes: tuple[str, ...]) -> Interval:
    n, images = rows.judge.size, rows.starts.size
    value = float(np.clip(core.value, 0.0, 1.0))
    if images < 2 or float(core.df) < 1:
        return _no_interval(value, text, n, images, "labels in fewer than two images: no interval")
    low, high = (float(x) for x in bounded(core, level=level))
    n_eff = float(core.smooth * (1 - core.smooth) / core.variance) + 1 if core.variance > 0 else None
    if n_eff is not None:
        notes = (*notes, f"as precise as {n_eff:.1f} independent edits judged by people")
    return Interval(value, min(low, value), max(high, value), text, n, images, None, n_eff, notes)


# --------------------------------------------------------------------------- post-stratified


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
        worth[..., v] = _divide(mass[..., v] ** 2, (use * use).sum(axis=-1))
        first[..., v] = _divide((use * human).sum(axis=-1), mass[..., v])
        second[..., v] = _divide((use * human**2).sum(axis=-1), mass[..., v])
    mean = (first * worth + prior) / (worth + 1)
    spread = (second * worth + 0.5) / (worth + 1) - mean**2
    centre = (share * mean).sum(axis=-1)
    slope = mean - centre[..., None]
    gain = _divide(share, mass)
    at = [np.take_along_axis(table, stratum, axis=-1) for table in (slope, first, gain)]
    phi = at[0] / total + weight * (human - at[1]) * at[2]
    floor = (share * slope**2).sum(axis=-1) / total + _divide(share**2 * spread, worth).sum(axis=-1)
    value = np.where(((share > 0) & (mass == 0)).any(axis=-1), np.nan, (share * first).sum(axis=-1))
    df, worth_of = _label_df(labelled, starts), _label_worth(weight, starts)
    spread_of = np.maximum(_cluster_variance(phi, starts), floor)
    return Core(value, centre, spread_of, df, worth_of)


def _check_strata(where: str, stratum: Ints, names: list[str], labelled: Bools) -> tuple[str, ...]:
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


def post_stratified(
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
    """
    where = "post_stratified"
    if strata is None:
        _zero_one(where, "judge", np.asarray(judge, dtype=np.float64))
    keys = _strata(where, judge if strata is None else strata)
    rows = arrange(where, keys, human, labelled, image)
    text = f"post-stratified by {'verdict' if strata is None else 'stratum'}, logit-t, clustered by image_id"
    if rows.judge.size == 0:
        return _no_interval(None, text, 0, 0, "no edit: there is no rate")
    _zero_one(where, "human", rows.human)
    names = _stratum_names(
        judge if strata is None else strata, keys, "verdict" if strata is None else "stratum"
    )
    stratum = rows.judge.astype(np.int64)
    notes = _check_strata(where, stratum, names, rows.labelled)
    pi = _probabilities(where, probabilities, rows)
    core = post_stratified_core(stratum, rows.human, rows.labelled, rows.starts, len(names), probability=pi)
    return _finish(core, text, rows, level, (f"{int(rows.labelled.sum())} labels", *notes))


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


def _probabilities(where: str, probabilities: ArrayLike | None, rows: Labelled) -> Floats | None:
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


# --------------------------------------------------------------------------- PPI++


def ppi_lambda(human: ArrayLike, score: ArrayLike, rest: ArrayLike) -> float:
    """``Cov(Y, f) / ((1 + n/N_u) Var f)`` clipped to [0, 1] (Angelopoulos, Duchi and Zrnic 2023, PPI++).

    human, score: labels and scores of the labelled edits; rest: scores of the others. As in ppi_py, the
    covariance divides by n, the variance over all scores by N - 1. 0 where scores do not vary or none is left.
    """
    y, f, u = (np.asarray(x, dtype=np.float64) for x in (human, score, rest))
    pooled = np.concatenate([f, u])
    if u.size == 0 or f.size == 0 or pooled.size < 2 or np.ptp(pooled) == 0:
        return 0.0
    covariance = float(((y - y.mean()) * (f - f.mean())).mean())
    return float(np.clip(covariance / ((1 + f.size / u.size) * pooled.var(ddof=1)), 0.0, 1.0))


class PPI(NamedTuple):
    """A prediction-powered mean of independent edits: estimate, lambda and standard error."""

    value: float
    lam: float
    se: float


def ppi_mean(
    human: ArrayLike, score: ArrayLike, rest: ArrayLike, *, lam: float | None = None, ddof: int = 1
) -> PPI:
    """``lambda mean(rest) + mean(human - lambda score)`` with the standard error of independent edits.

    The unclustered building block, for checks against other software; ``ddof=0`` is ppi_py's convention.
    """
    y, f, u = (np.asarray(x, dtype=np.float64) for x in (human, score, rest))
    used = ppi_lambda(y, f, u) if lam is None else lam
    residual = y - used * f
    judged = used**2 * u.var(ddof=ddof) / u.size if used > 0 else 0.0
    value = (used * float(u.mean()) if used > 0 else 0.0) + float(residual.mean())
    return PPI(value, used, float(np.sqrt(judged + residual.var(ddof=ddof) / residual.size)))


def ppi_core(
    score: Floats,
    human: Floats,
    labelled: Bools,
    starts: Ints,
    *,
    probability: Floats | None = None,
    prior: float = 0.5,
) -> Core:
    """Clustered PPI++: ``theta = lambda f_u + mean_L(Y - lambda f)`` with lambda of :func:`ppi_lambda`.

    score, human, labelled: (..., n). ``phi_i = (1 - L_i) lambda (f_i - f_u)/N_u + L_i (Y_i - lambda f_i - r)/n``.
    Floored at the variance of independent edits, whose residual part is smoothed by half an observation so
    that a judge without error in the sample does not give a zero width. Valid for labels drawn at random, or
    with known ``probability`` (labels count 1/pi and f_u becomes the mean score of all edits).
    """
    total = score.shape[-1]
    weight = labelled.astype(np.float64) if probability is None else labelled / probability
    other = (~labelled).astype(np.float64) if probability is None else np.ones(score.shape)
    n, rest = weight.sum(axis=-1), other.sum(axis=-1)
    worth = _divide(n**2, (weight * weight).sum(axis=-1))
    mean_y = _divide((weight * human).sum(axis=-1), n)
    mean_f = _divide((weight * score).sum(axis=-1), n)
    covariance = _divide((weight * human * score).sum(axis=-1), n) - mean_y * mean_f
    pooled = score.var(axis=-1, ddof=1) if total > 1 else np.zeros(score.shape[:-1])
    lam = np.clip(_divide(covariance, (1 + _divide(worth, rest)) * pooled), 0.0, 1.0)
    lam = np.where(rest > 0, lam, 0.0)
    f_u = _divide((other * score).sum(axis=-1), rest)
    residual = human - lam[..., None] * score
    r = mean_y - lam * mean_f
    value = np.where(n > 0, lam * f_u + r, np.nan)
    left, right = other * (score - f_u[..., None]), weight * (residual - r[..., None])
    phi = left * _divide(lam, rest)[..., None] + right * _divide(np.ones_like(n), n)[..., None]
    squares = _divide((weight * (residual - r[..., None]) ** 2).sum(axis=-1), n) * worth
    floor = lam**2 * _divide((left**2).sum(axis=-1), rest**2) + _divide((squares + 0.5) / (worth + 1), worth)
    smooth = (value * worth + prior) / (worth + 1)
    df, worth_of = _label_df(labelled, starts), _label_worth(weight, starts)
    spread_of = np.maximum(_cluster_variance(phi, starts), floor)
    return Core(value, smooth, spread_of, df, worth_of)


def ppi(
    score: ArrayLike,
    human: ArrayLike,
    labelled: ArrayLike,
    image: ArrayLike,
    *,
    probabilities: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """The people's rate by clustered PPI++ from a graded score in [0, 1]; see :func:`ppi_core`.

    Valid only for labels drawn at random (or with known ``probabilities``): never within verdict.
    """
    where = "ppi"
    rows = arrange(where, score, human, labelled, image)
    text = "PPI++, logit-t, clustered by image_id"
    if rows.judge.size == 0:
        return _no_interval(None, text, 0, 0, "no edit: there is no rate")
    if not ((rows.judge >= 0) & (rows.judge <= 1)).all():
        raise StatisticsError(f"{where}: score: expected numbers in [0, 1]; divide by the top of the scale")
    _zero_one(where, "human", rows.human)
    if not rows.labelled.any():
        raise DesignError(
            f"{where}: no label; PPI++ needs labels drawn at random from the test set: label some edits"
        )
    pi = _probabilities(where, probabilities, rows)
    core = ppi_core(rows.judge, rows.human, rows.labelled, rows.starts, probability=pi)
    return _finish(core, text, rows, level, (f"{int(rows.labelled.sum())} labels",))


# --------------------------------------------------------------------------- Rogan-Gladen


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a judge did on labelled edits of another experiment.

    Of ``positives`` edits that people call immunized, the judge said so for ``true_positives``; likewise
    negatives. Real numbers are allowed: :meth:`from_rows` divides by the design effects of the images.
    label_design: how the labelled edits were drawn: "random"; "within_label" (at random among those that people
    call immunized and among the others, which leaves both error rates unbiased); "within_verdict" is refused by
    Rogan-Gladen, and so is None, for selection by verdict biases both error rates. images: how many images the
    labels come from, None if unknown; they bound the degrees of freedom.
    """

    true_positives: float
    positives: float
    true_negatives: float
    negatives: float
    label_design: CalibrationDesign | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        for name, right, count in (
            ("positives", self.true_positives, self.positives),
            ("negatives", self.true_negatives, self.negatives),
        ):
            if not (0 <= right <= count * (1 + 1e-9) < np.inf):
                raise StatisticsError(
                    f"Calibration: true_{name}, {name}: expected 0 <= true_{name} <= {name}, found {right!r} and {count!r}"
                )
        if self.label_design not in (None, *get_args(CalibrationDesign)):
            raise DesignError(
                f"Calibration: label_design: expected one of {', '.join(get_args(CalibrationDesign))}; "
                f"found {self.label_design!r}"
            )

    @property
    def sensitivity(self) -> float:
        self._both("positives", self.positives)
        return self.true_positives / self.positives

    @property
    def specificity(self) -> float:
        self._both("negatives", self.negatives)
        return self.true_negatives / self.negatives

    def _both(self, name: str, count: float) -> None:
        if count <= 0:
            raise DesignError(
                f"Calibration: {name}: found none; Rogan-Gladen needs labelled edits of both kinds"
            )

    @staticmethod
    def from_rows(
        judge: ArrayLike,
        human: ArrayLike,
        image: ArrayLike,
        *,
        label_design: CalibrationDesign | None = None,
    ) -> Calibration:
        """Counts at effective size: within each human label, n over the design effect of being right.

        Where the data cannot tell it (all right, all wrong, one image) an intra-image correlation of one half
        is supposed, as for rates.
        """
        f, y, group = np.asarray(judge, dtype=np.float64), np.asarray(human, dtype=np.float64), codes(image)
        if f.ndim != 1 or y.shape != f.shape or group.shape != f.shape:
            raise StatisticsError(
                "Calibration.from_rows: judge, human, image: expected one entry each per edit"
            )
        _zero_one("Calibration.from_rows", "judge", f)
        _zero_one("Calibration.from_rows", "human", y)
        counts: list[float] = []
        for truth in (1.0, 0.0):
            own = y == truth
            right, n = (f == y)[own].astype(np.float64), float(own.sum())
            if n == 0:
                word = "immunized" if truth else "not immunized"
                raise DesignError(
                    f"Calibration.from_rows: people call no edit {word}; Rogan-Gladen needs labelled edits of both kinds"
                )
            inside = codes(group[own])
            sums, sizes = np.bincount(inside, weights=right), np.bincount(inside)
            order = np.lexsort((sizes, sums))
            n_eff = n / float(prudent_deff(sums[order], sizes[order]))
            counts += [float(right.mean()) * n_eff, n_eff]
        return Calibration(
            counts[0], counts[1], counts[2], counts[3], label_design, images=int(np.unique(group).size)
        )


def prudent_deff(sums: ArrayLike, sizes: ArrayLike) -> Floats:
    """Design effect of a rate from per-image sums, images on the last axis; at least 1.

    Raised towards ``D0 = 1 + (m - 1) / 2`` where the rarer outcome occurs in few images, and ``D0`` where there
    is one outcome or one image only: rules 2 and 3 of :mod:`isr.stats.rate`.
    """
    s, w = np.broadcast_arrays(np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64))
    n = w.sum(axis=-1)
    prior = np.maximum(1 + PRIOR_ICC * ((w * w).sum(axis=-1) / n - 1), 1.0)
    seen = design_effect(cr1_variance(s, w), s.sum(axis=-1) / n, np.maximum(n, 1.5))
    seen = np.where(np.isfinite(seen), np.maximum(seen, 1.0), 1.0)
    share = np.maximum(1 - touched_images(s, w) / PRIOR_IMAGES, 0.0) if s.shape[-1] > 1 else np.ones(n.shape)
    out: Floats = seen + share * np.maximum(prior - seen, 0.0)
    return out


class Corrected(NamedTuple):
    """Rogan-Gladen: estimate (not clipped) and endpoints, one entry per data set."""

    value: Floats
    low: Floats
    high: Floats


def rogan_gladen_value(p: ArrayLike, specificity: ArrayLike, sensitivity: ArrayLike) -> Floats:
    """``(p + q0 - 1) / (q0 + q1 - 1)`` (Rogan and Gladen 1978, eq. 2), not clipped."""
    pp, q0, q1 = (np.asarray(x, dtype=np.float64) for x in (p, specificity, sensitivity))
    out: Floats = (pp + q0 - 1) / (q0 + q1 - 1)
    return out


def rogan_gladen_core(
    p: ArrayLike,
    variance: ArrayLike,
    q0: ArrayLike,
    q1: ArrayLike,
    m0: ArrayLike,
    m1: ArrayLike,
    crit: ArrayLike,
    *,
    floor: ArrayLike = 0.0,
) -> Corrected:
    """Delta method (Rogan and Gladen 1978, eq. 5): ``theta +- crit sqrt(V)``, clipped to [0, 1].

    ``V = [V_p + (1-theta)^2 q0(1-q0)/m0 + theta^2 q1(1-q1)/m1] / (q0+q1-1)^2``, ``V_p`` clustered; the bracket
    is at least ``floor``, so that a judge without error or a rate of 0 does not give a zero width.
    """
    pp, v, s0, s1, n0, n1 = (np.asarray(x, dtype=np.float64) for x in (p, variance, q0, q1, m0, m1))
    theta = rogan_gladen_value(pp, s0, s1)
    inner = v + (1 - theta) ** 2 * s0 * (1 - s0) / n0 + theta**2 * s1 * (1 - s1) / n1
    half = np.asarray(crit) * np.sqrt(np.maximum(inner, floor)) / np.abs(s0 + s1 - 1)
    return Corrected(theta, np.clip(theta - half, 0.0, 1.0), np.clip(theta + half, 0.0, 1.0))


def lee_core(
    p: ArrayLike,
    n: ArrayLike,
    q0: ArrayLike,
    q1: ArrayLike,
    m0: ArrayLike,
    m1: ArrayLike,
    crit: ArrayLike,
    *,
    level: float = 0.95,
) -> Corrected:
    """Adjusted Rogan-Gladen interval of Lee et al. (2025, arXiv 2511.21140), after Lang and Reiczigel (2014).

    ``p~ = (n p + z^2/2)/(n + z^2)``, ``q~ = (m q + 1)/(m + 2)``; the centre moves by ``2 z^2 [-(1-theta~) q~0
    (1-q~0)/(m0+2) + theta~ q~1 (1-q~1)/(m1+2)]``; half-width ``crit se~``. With ``crit = z`` as published;
    here ``n = N / max(D, 1)`` and ``crit = t_{G-1}``. The published code clips endpoints only, which can give
    an interval of zero width or one that misses its estimate; here the centre is clipped first.
    """
    pp, nn, s0, s1, n0, n1 = (np.asarray(x, dtype=np.float64) for x in (p, n, q0, q1, m0, m1))
    z2 = float(ndtri((1 - level) / 2)) ** 2
    p_a, n_a = (nn * pp + z2 / 2) / (nn + z2), nn + z2
    s0_a, s1_a = (n0 * s0 + 1) / (n0 + 2), (n1 * s1 + 1) / (n1 + 2)
    slope = s0_a + s1_a - 1
    theta = (p_a + s0_a - 1) / slope
    part0, part1 = s0_a * (1 - s0_a) / (n0 + 2), s1_a * (1 - s1_a) / (n1 + 2)
    shift = 2 * z2 * (-(1 - theta) * part0 + theta * part1)
    inner = p_a * (1 - p_a) / n_a + (1 - theta) ** 2 * part0 + theta**2 * part1
    half = np.asarray(crit) * np.sqrt(inner) / np.abs(slope)
    centre = np.clip(theta + shift, 0.0, 1.0)
    return Corrected(
        rogan_gladen_value(pp, s0, s1), np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)
    )


def informative(calibration: Calibration, *, level: float = 0.95) -> float:
    """Lower bound of sensitivity + specificity - 1, from rates with one success and one failure added."""
    m0, m1 = calibration.negatives, calibration.positives
    q0, q1 = (calibration.true_negatives + 1) / (m0 + 2), (calibration.true_positives + 1) / (m1 + 2)
    spread = q0 * (1 - q0) / (m0 + 2) + q1 * (1 - q1) / (m1 + 2)
    return float(q0 + q1 - 1 + ndtri((1 - level) / 2) * np.sqrt(spread))


class External(NamedTuple):
    """Rogan-Gladen from outside labels: estimate (not clipped), endpoints, effective n of the judge's rate, df."""

    value: Floats
    low: Floats
    high: Floats
    n: Floats
    df: Floats


def external_core(
    sums: ArrayLike,
    sizes: ArrayLike,
    q0: ArrayLike,
    q1: ArrayLike,
    m0: ArrayLike,
    m1: ArrayLike,
    *,
    images: int | None = None,
    method: Literal["lee", "delta"] = "lee",
    level: float = 0.95,
) -> External:
    """Rogan-Gladen from per-image sums of verdicts (..., G) and outside error rates; G >= 2.

    The judge's rate counts ``n = N / D`` edits, ``D`` by :func:`prudent_deff`. t with
    G - 1 df, or fewer where the calibration labels come from few ``images``: Satterthwaite's df of the judge's
    part (G - 1) and of that of the error rates (images - 1). Both parts are smoothed where they enter the df
    and where they floor the delta method.
    """
    s, w = np.broadcast_arrays(np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64))
    s0, s1, n0, n1 = (np.asarray(x, dtype=np.float64) for x in (q0, q1, m0, m1))
    total, groups = w.sum(axis=-1), s.shape[-1]
    p, n = s.sum(axis=-1) / total, total / prudent_deff(s, w)
    z2 = float(ndtri((1 - level) / 2)) ** 2
    p_a = (n * p + z2 / 2) / (n + z2)
    own = p_a * (1 - p_a) / (n + z2)
    s0_a, s1_a = (n0 * s0 + 1) / (n0 + 2), (n1 * s1 + 1) / (n1 + 2)
    theta = np.clip((p + s0_a - 1) / (s0_a + s1_a - 1), 0.0, 1.0)
    errors = (1 - theta) ** 2 * s0_a * (1 - s0_a) / (n0 + 2) + theta**2 * s1_a * (1 - s1_a) / (n1 + 2)
    df = np.full(np.shape(own), groups - 1.0)
    if images is not None:
        df = np.minimum(df, satterthwaite_df(own, errors, groups, images))
    crit = -stdtrit(df, (1 - level) / 2)
    if method == "lee":
        found = lee_core(p, n, s0, s1, n0, n1, crit, level=level)
    else:
        variance = np.maximum(cr1_variance(s, w), p * (1 - p) / np.maximum(n - 1, 1.0))
        found = rogan_gladen_core(p, variance, s0, s1, n0, n1, crit, floor=own + errors)
    return External(found.value, found.low, found.high, n, df)


def rogan_gladen(
    judge: ArrayLike,
    image: ArrayLike,
    calibration: Calibration,
    *,
    method: Literal["lee", "delta"] = "lee",
    level: float = 0.95,
) -> Interval:
    """The people's rate from the judge's rate and its error rates in another experiment; see :func:`external_core`.

    judge, image: (n,) 0/1 verdicts of the test set. Where sensitivity + specificity - 1 is not clearly above
    0 the judge carries no information: no value, interval [0, 1], and a note that says so. DesignError unless
    ``calibration`` declares labels that were drawn without looking at verdicts.
    """
    f, group = np.asarray(judge, dtype=np.float64), codes(image)
    label = "Lee-adjusted" if method == "lee" else "delta"
    text = f"Rogan-Gladen ({label}), clustered by image_id"
    if f.shape != group.shape:
        raise StatisticsError(
            f"rogan_gladen: image: expected one entry per edit ({f.size}), found {group.shape}"
        )
    _check_calibration("rogan_gladen", calibration)
    if f.size == 0:
        return _no_interval(None, text, 0, 0, "no edit: there is no rate")
    _zero_one("rogan_gladen", "judge", f)
    n, sizes = f.size, np.bincount(group)
    q0, q1, m0, m1 = (
        calibration.specificity,
        calibration.sensitivity,
        calibration.negatives,
        calibration.positives,
    )
    if informative(calibration, level=level) <= 0:
        note = "sensitivity + specificity - 1 is not clearly above 0: this judge says nothing about the rate"
        return Interval(None, 0.0, 1.0, text, n, sizes.size, None, None, (note,))
    p = float(f.mean())
    value = float(np.clip(rogan_gladen_value(p, q0, q1), 0.0, 1.0))
    if sizes.size < 2:
        return _no_interval(
            value, text, n, 1, "one image: variance between images cannot be estimated, no interval"
        )
    if calibration.images is not None and calibration.images < 2:
        return _no_interval(value, text, n, sizes.size, "calibration labels in one image: no interval")
    sums = np.bincount(group, weights=f)
    order = np.lexsort((sizes, sums))
    core = external_core(
        sums[order], sizes[order], q0, q1, m0, m1, images=calibration.images, method=method, level=level
    )
    n_eff = float(core.n)
    notes: tuple[str, ...] = (
        f"sensitivity {q1:.3f}, specificity {q0:.3f} from {m0 + m1:.1f} effective labels",
    )
    if calibration.images is None:
        notes += ("the number of images of the calibration labels is unknown: taken as independent edits",)
    low, high = min(float(core.low), value), max(float(core.high), value)
    return Interval(value, low, high, text, n, sizes.size, n / n_eff, n_eff, notes)


def _check_calibration(where: str, calibration: Calibration) -> None:
    """Refuse labels of one kind, and labels that were or may have been selected by verdict."""
    if not calibration.positives > 0 or not calibration.negatives > 0:
        word = "immunized" if not calibration.positives > 0 else "not immunized"
        raise DesignError(
            f"{where}: calibration: no labelled edit that people call {word}; Rogan-Gladen needs labelled edits of both kinds"
        )
    if calibration.label_design not in ("random", "within_label"):
        raise DesignError(
            f"{where}: calibration: label_design={calibration.label_design!r}; labels selected by verdict bias sensitivity "
            "and specificity, so Rogan-Gladen needs Calibration(..., label_design='random') or 'within_label', and "
            "labels drawn that way"
        )


def rogan_gladen_joint_core(judge: Floats, human: Floats, labelled: Bools, starts: Ints) -> Core:
    """Rogan-Gladen with the calibration edits inside the test set, labelled at random.

    ``phi_i = [(J_i-p)/N + L(1-Y)((1-J)-q0)(1-theta)/m0 - L Y (J-q1) theta/m1] / (q0+q1-1)``: the judge's rate
    and its error rates share edits and images, and the sum per image counts their covariance. Floored at the
    variance of independent edits with the error rates smoothed as in :func:`lee_core`.
    """
    total = judge.shape[-1]
    positive, negative = labelled * human, labelled * (1 - human)
    m1, m0 = positive.sum(axis=-1), negative.sum(axis=-1)
    q1 = _divide((positive * judge).sum(axis=-1), m1)
    q0 = _divide((negative * (1 - judge)).sum(axis=-1), m0)
    p, slope = judge.mean(axis=-1), q0 + q1 - 1
    safe = np.where(slope > 0, slope, np.nan)
    theta = (p + q0 - 1) / safe
    inside = np.clip(theta, 0.0, 1.0)
    first = (judge - p[..., None]) / total
    second = negative * ((1 - judge) - q0[..., None]) * _divide(1 - inside, m0)[..., None]
    third = positive * (judge - q1[..., None]) * _divide(inside, m1)[..., None]
    variance = _cluster_variance((first + second - third) / safe[..., None], starts)
    s0, s1 = (m0 * q0 + 1) / (m0 + 2), (m1 * q1 + 1) / (m1 + 2)
    errors = (1 - inside) ** 2 * s0 * (1 - s0) / (m0 + 2) + inside**2 * s1 * (1 - s1) / (m1 + 2)
    floor = (p * (1 - p) / max(total - 1, 1) + errors) / safe**2
    known = m0 + m1
    smooth = (inside * known + 0.5) / (known + 1)
    df, worth_of = _label_df(labelled, starts), _label_worth(labelled.astype(np.float64), starts)
    return Core(theta, smooth, np.maximum(variance, floor), df, worth_of)


def rogan_gladen_joint(
    judge: ArrayLike, human: ArrayLike, labelled: ArrayLike, image: ArrayLike, *, level: float = 0.95
) -> Interval:
    """Rogan-Gladen from labels drawn at random inside the test set; see :func:`rogan_gladen_joint_core`.

    Valid, but less efficient than :func:`post_stratified`; kept for comparison with published numbers.
    """
    where, text = "rogan_gladen_joint", "Rogan-Gladen (joint), logit-t, clustered by image_id"
    rows = arrange(where, judge, human, labelled, image)
    if rows.judge.size == 0:
        return _no_interval(None, text, 0, 0, "no edit: there is no rate")
    _zero_one(where, "judge", rows.judge)
    _zero_one(where, "human", rows.human)
    y, f = rows.human[rows.labelled], rows.judge[rows.labelled]
    if not (y == 1).any() or not (y == 0).any():
        raise DesignError(f"{where}: labels of both kinds are needed; label more edits at random")
    table = Calibration(
        float((f * y).sum()), float(y.sum()), float(((1 - f) * (1 - y)).sum()), float((1 - y).sum())
    )
    if informative(table, level=level) <= 0:
        note = "sensitivity + specificity - 1 is not clearly above 0: this judge says nothing about the rate"
        return Interval(None, 0.0, 1.0, text, rows.judge.size, rows.starts.size, None, None, (note,))
    core = rogan_gladen_joint_core(rows.judge, rows.human, rows.labelled, rows.starts)
    return _finish(core, text, rows, level, (f"{int(rows.labelled.sum())} labels",))


# --------------------------------------------------------------------------- the guard


_NEEDS = {
    "post-stratified": "labels drawn from the test set, at random or at random within verdict",
    "ppi++": "labels drawn from the test set at random, or with known inclusion probabilities",
    "rogan-gladen": "labels of another experiment (external), or drawn at random, chosen without looking at verdicts",
}
_VALID = {
    "random": ("post-stratified", "ppi++", "rogan-gladen"),
    "within_verdict": ("post-stratified",),
    "external": ("rogan-gladen",),
    "weights": ("post-stratified", "ppi++"),
}


def corrected_rate(
    judge: ArrayLike,
    human: ArrayLike | None,
    labelled: ArrayLike | None,
    image: ArrayLike,
    *,
    label_design: LabelDesign,
    estimator: Estimator = "auto",
    score: ArrayLike | None = None,
    calibration: Calibration | None = None,
    probabilities: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """The people's rate by the estimator that fits how labels were drawn, or DesignError.

    judge: (n,) 0/1 verdicts. human, labelled: (n,), None for the external design. score: (n,) graded scores in
    [0, 1], which choose PPI++ and are refused where it is biased. calibration: error rates from another
    experiment, which declares how its labels were drawn. probabilities: (n,) known
    inclusion probabilities. ``estimator`` asks for one by name; it is refused where the design makes it biased.
    """
    where = "corrected_rate"
    if label_design not in _VALID:
        raise DesignError(
            f"{where}: label_design: expected one of {', '.join(_VALID)}; found {label_design!r}"
        )
    chosen = _choose(where, label_design, estimator, score is not None)
    _zero_one(where, "judge", np.asarray(judge, dtype=np.float64))
    if score is not None and chosen != "ppi++":
        raise DesignError(
            f"{where}: score= is read by ppi++ only, which needs {_NEEDS['ppi++']}; leave it out for {chosen} with "
            f"label_design={label_design!r}, or use its bins as strata of post_stratified"
        )
    inside = labelled is not None and bool(np.asarray(labelled).any())
    if label_design == "external":
        if inside:
            raise DesignError(
                f"{where}: label_design='external', but edits of this test set carry labels; say how those were drawn: "
                "'random', 'within_verdict' or 'weights'"
            )
        if calibration is None:
            raise DesignError(
                f"{where}: label_design='external' needs calibration= (sensitivity and specificity counts, and how the "
                "labels were drawn)"
            )
        return rogan_gladen(judge, image, calibration, level=level)
    if calibration is not None:
        raise DesignError(
            f"{where}: calibration= comes from another experiment; that is label_design='external', not {label_design!r}"
        )
    if human is None or labelled is None or (not inside and np.asarray(judge).size):
        raise DesignError(
            f"{where}: label_design={label_design!r} needs labels on edits of this test set; found none"
        )
    if (label_design == "weights") != (probabilities is not None):
        raise DesignError(
            f"{where}: probabilities= and label_design='weights' belong together; give both or neither"
        )
    if chosen == "post-stratified":
        return post_stratified(judge, human, labelled, image, probabilities=probabilities, level=level)
    found = (
        rogan_gladen_joint(judge, human, labelled, image, level=level)
        if chosen == "rogan-gladen"
        else ppi(
            judge if score is None else score,
            human,
            labelled,
            image,
            probabilities=probabilities,
            level=level,
        )
    )
    if label_design == "random":
        _refuse_selected(where, chosen, judge, labelled)
    return found


def _choose(where: str, design: str, estimator: str, graded: bool) -> str:
    if estimator == "auto":
        if graded and design in ("random", "weights"):
            return "ppi++"
        return _VALID[design][0]
    if estimator not in _NEEDS:
        raise DesignError(
            f"{where}: estimator: expected 'auto' or one of {', '.join(_NEEDS)}; found {estimator!r}"
        )
    if estimator not in _VALID[design]:
        raise DesignError(
            f"{where}: {estimator} is biased for label_design={design!r}; it needs {_NEEDS[estimator]}; "
            f"use {_VALID[design][0]} here"
        )
    return estimator


def _refuse_selected(where: str, estimator: str, judge: ArrayLike, labelled: ArrayLike) -> None:
    """Refuse labels called random whose share differs between verdicts far beyond chance."""
    f, marks = np.asarray(judge, dtype=np.float64), np.asarray(labelled, dtype=np.float64)
    one = f == 1
    if not one.any() or one.all():
        return
    a, b, share = float(marks[one].mean()), float(marks[~one].mean()), float(marks.mean())
    spread = share * (1 - share) * (1 / one.sum() + 1 / (~one).sum())
    if spread > 0 and abs(a - b) > SUSPECT_Z * spread**0.5:
        raise DesignError(
            f"{where}: labels are called random, but {a:.0%} of the edits that the judge calls immunized carry one and "
            f"{b:.0%} of the others; {estimator} needs labels drawn without looking at verdicts: "
            "declare label_design='within_verdict'"
        )


# --------------------------------------------------------------------------- two methods


def corrected_difference(
    judge_a: ArrayLike,
    judge_b: ArrayLike,
    human_a: ArrayLike,
    human_b: ArrayLike,
    labelled: ArrayLike,
    image: ArrayLike,
    *,
    label_design: LabelDesign,
    estimator: Estimator = "auto",
    probabilities: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """The people's rate of method A minus that of B on the same units, with a judge that may err differently.

    All (n,), one row per unit; ``labelled`` marks units where people labelled BOTH outputs. Random labels:
    PPI++ on ``Y_A - Y_B`` with ``f = J_A - J_B``. Labels drawn within the four cells of (J_A, J_B):
    post-stratified on the cells. Linear t, clipped to [-1, 1]. External labels are refused: a judge's error
    rates may differ between methods, so labels must exist on both methods' outputs.
    """
    where = "corrected_difference"
    if label_design == "external":
        raise DesignError(
            f"{where}: a judge can err differently on the two methods; labels on both outputs of the same units of this "
            "test set are needed ('random', 'within_verdict' or 'weights')"
        )
    if label_design not in _VALID:
        raise DesignError(
            f"{where}: label_design: expected one of {', '.join(_VALID)}; found {label_design!r}"
        )
    if (label_design == "weights") != (probabilities is not None):
        raise DesignError(
            f"{where}: probabilities= and label_design='weights' belong together; give both or neither"
        )
    ja, jb, ya, yb = _outcomes(where, judge_a, judge_b, human_a, human_b, labelled)
    chosen = _choose(where, label_design, estimator, label_design != "within_verdict")
    if chosen == "rogan-gladen":
        raise DesignError(
            f"{where}: Rogan-Gladen is not available for differences; use ppi++ or post-stratified"
        )
    cells = 2 * ja + jb
    rows = arrange(where, cells, ya - yb, labelled, image)
    text = f"{'PPI++' if chosen == 'ppi++' else 'post-stratified'} on paired differences, t, clustered by image_id"
    n, images = rows.judge.size, rows.starts.size
    if n == 0:
        return _no_interval(None, text, 0, 0, "no pair: there is no difference")
    if not rows.labelled.any():
        raise DesignError(f"{where}: no unit is labelled on both methods' outputs; label some units")
    cell, pi = rows.judge.astype(np.int64), _probabilities(where, probabilities, rows)
    notes: tuple[str, ...] = (f"{int(rows.labelled.sum())} labelled pairs",)
    if chosen == "post-stratified":
        names = [f"verdicts A={a} B={b}" for a in (0, 1) for b in (0, 1)]
        notes += _check_strata(where, cell, names, rows.labelled)
        core = post_stratified_core(
            cell, rows.human, rows.labelled, rows.starts, 4, probability=pi, prior=0.0
        )
    else:
        if label_design == "random":
            for verdicts in (ja, jb):
                _refuse_selected(where, chosen, verdicts, labelled)
        gap = (cell // 2 - cell % 2).astype(np.float64)
        core = ppi_core(gap, rows.human, rows.labelled, rows.starts, probability=pi, prior=0.0)
    value = float(np.clip(core.value, -1.0, 1.0))
    if images < 2 or float(core.df) < 1:
        return _no_interval(value, text, n, images, "labels in fewer than two images: no interval")
    low, high = (float(x) for x in linear(core, level=level))
    return Interval(value, low, high, text, n, images, None, None, notes)


def _outcomes(where: str, *columns: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """Verdicts on A and B, labels on A and B, checked to be 0 or 1 (labels where both are labelled)."""
    ja, jb, ya, yb = (np.asarray(x, dtype=np.float64) for x in columns[:4])
    marks = np.asarray(columns[4])
    if len({x.shape for x in (ja, jb, ya, yb, marks)}) != 1:
        found = sorted({str(x.shape) for x in (ja, jb, ya, yb, marks)})
        raise StatisticsError(f"{where}: expected verdicts and labels of one length, found {found}")
    for name, values in (("judge_a", ja), ("judge_b", jb)):
        _zero_one(where, name, values)
    if marks.dtype.kind == "b":  # arrange refuses the rest
        for name, values in (("human_a", ya[marks]), ("human_b", yb[marks])):
            _zero_one(where, name, values)
    return ja, jb, ya, yb


def linear(core: Core, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """``value +- t_df sqrt(V)`` clipped to [-1, 1]."""
    half = -stdtrit(core.df, (1 - level) / 2) * np.sqrt(core.variance)
    value = np.clip(core.value, -1.0, 1.0)
    return np.clip(value - half, -1.0, 1.0), np.clip(value + half, -1.0, 1.0)

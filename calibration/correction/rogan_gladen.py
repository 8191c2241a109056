"""Rogan and Gladen (1978), Lee-adjusted: the judge's rate corrected by its sensitivity and specificity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from isr.calibration.correction.core import (
    Core,
    arrange,
    cluster_variance,
    divide,
    finish,
    label_df,
    label_worth,
    no_interval,
    zero_one,
)
from isr.errors import DesignError, StatisticsError
from isr.stats.endpoints import PRIOR_ICC, PRIOR_IMAGES
from isr.stats.rows import Interval, codes
from isr.stats.special import ndtri, stdtrit
from isr.stats.variance import cr2_variance, design_effect, satterthwaite_df, small_sample, touched_images
from isr.types import Bools, Floats, Ints

CalibrationDesign = Literal["random", "within_label", "within_verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
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
        zero_one("Calibration.from_rows", "judge", f)
        zero_one("Calibration.from_rows", "human", y)
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
            true_positives=counts[0],
            positives=counts[1],
            true_negatives=counts[2],
            negatives=counts[3],
            label_design=label_design,
            images=int(np.unique(group).size),
        )


def prudent_deff(sums: ArrayLike, sizes: ArrayLike) -> Floats:
    """Design effect of a rate from per-image sums, images on the last axis; at least 1.

    Raised towards ``D0 = 1 + (m - 1) / 2`` where the rarer outcome occurs in few images, and ``D0`` where there
    is one outcome or one image only: rules 2 and 3 of :mod:`isr.stats.rate`.
    """
    s, w = np.broadcast_arrays(np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64))
    n = w.sum(axis=-1)
    prior = np.maximum(1 + PRIOR_ICC * ((w * w).sum(axis=-1) / n - 1), 1.0)
    spread = cr2_variance(s, w, small_sample(w)) if s.shape[-1] > 1 else np.full(n.shape, np.nan)
    seen = design_effect(spread, s.sum(axis=-1) / n, np.maximum(n, 1.5))
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
    """``(p + q0 - 1) / (q0 + q1 - 1)`` (Rogan and Gladen 1978, eq. 2), not clipped.

    >>> round(float(rogan_gladen_value(0.5, 0.9, 0.8)), 4)  # (.5 + .9 - 1) / (.9 + .8 - 1)
    0.5714
    """
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
    here ``n = N / max(D, 1)`` and ``crit = t_{G-1}``. Endpoints are clipped, as in the published code; where that
    leaves no width, or an interval that misses its estimate, the centre is clipped first.
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
    value, centre = rogan_gladen_value(pp, s0, s1), theta + shift
    inside = np.clip(centre, 0.0, 1.0)
    low, high = np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)
    own = np.clip(value, 0.0, 1.0)
    bad = (high <= low) | (own < low) | (own > high)
    low = np.where(bad, np.minimum(np.clip(inside - half, 0.0, 1.0), own), low)
    high = np.where(bad, np.maximum(np.clip(inside + half, 0.0, 1.0), own), high)
    return Corrected(value, low, high)


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
    Kish's images - 1 df, or fewer where the calibration labels come from few ``images``: Satterthwaite's df of the judge's
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
    small = small_sample(w)
    df = np.broadcast_to(small.df, np.shape(own))
    if images is not None:
        df = np.minimum(df, satterthwaite_df(own, errors, groups, images))
    crit = -stdtrit(df, (1 - level) / 2)
    if method == "lee":
        found = lee_core(p, n, s0, s1, n0, n1, crit, level=level)
    else:
        variance = np.maximum(cr2_variance(s, w, small), p * (1 - p) / np.maximum(n - 1, 1.0))
        found = rogan_gladen_core(p, variance, s0, s1, n0, n1, crit, floor=own + errors)
    return External(found.value, found.low, found.high, n, df)


def rogan_gladen_rate(
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

    >>> seen = Calibration(true_positives=50, positives=50, true_negatives=50, negatives=50, label_design='random')
    >>> rogan_gladen_rate([1, 0] * 20, list(range(40)), seen).value is not None
    True
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
        return no_interval(None, text, 0, 0, "no edit: there is no rate")
    zero_one("rogan_gladen", "judge", f)
    n, sizes = f.size, np.bincount(group)
    q0, q1, m0, m1 = (
        calibration.specificity,
        calibration.sensitivity,
        calibration.negatives,
        calibration.positives,
    )
    if informative(calibration, level=level) <= 0:
        note = "sensitivity + specificity - 1 is not clearly above 0: this judge says nothing about the rate"
        return Interval(
            value=None,
            low=0.0,
            high=1.0,
            method=text,
            n=n,
            clusters=sizes.size,
            design_effect=None,
            n_effective=None,
            notes=(note,),
        )
    p = float(f.mean())
    value = float(np.clip(rogan_gladen_value(p, q0, q1), 0.0, 1.0))
    if sizes.size < 2:
        return no_interval(
            value, text, n, 1, "one image: variance between images cannot be estimated, no interval"
        )
    if calibration.images is not None and calibration.images < 2:
        return no_interval(value, text, n, sizes.size, "calibration labels in one image: no interval")
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
    return Interval(
        value=value,
        low=low,
        high=high,
        method=text,
        n=n,
        clusters=sizes.size,
        design_effect=n / n_eff,
        n_effective=n_eff,
        notes=notes,
    )


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
    q1 = divide((positive * judge).sum(axis=-1), m1)
    q0 = divide((negative * (1 - judge)).sum(axis=-1), m0)
    p, slope = judge.mean(axis=-1), q0 + q1 - 1
    safe = np.where(slope > 0, slope, np.nan)
    theta = (p + q0 - 1) / safe
    inside = np.clip(theta, 0.0, 1.0)
    first = (judge - p[..., None]) / total
    second = negative * ((1 - judge) - q0[..., None]) * divide(1 - inside, m0)[..., None]
    third = positive * (judge - q1[..., None]) * divide(inside, m1)[..., None]
    variance = cluster_variance((first + second - third) / safe[..., None], starts)
    s0, s1 = (m0 * q0 + 1) / (m0 + 2), (m1 * q1 + 1) / (m1 + 2)
    errors = (1 - inside) ** 2 * s0 * (1 - s0) / (m0 + 2) + inside**2 * s1 * (1 - s1) / (m1 + 2)
    floor = (p * (1 - p) / max(total - 1, 1) + errors) / safe**2
    known = m0 + m1
    smooth = (inside * known + 0.5) / (known + 1)
    df, worth_of = label_df(labelled, starts), label_worth(labelled.astype(np.float64), starts)
    return Core(theta, smooth, np.maximum(variance, floor), df, worth_of)


def rogan_gladen_joint(
    judge: ArrayLike, human: ArrayLike, labelled: ArrayLike, image: ArrayLike, *, level: float = 0.95
) -> Interval:
    """Rogan-Gladen from labels drawn at random inside the test set; see :func:`rogan_gladen_joint_core`.

    Valid, but less efficient than :func:`post_stratified_rate`; kept for comparison with published numbers.

    >>> judge, human = [1, 1, 0, 0] * 5, [1, 1, 0, 0] * 5
    >>> rogan_gladen_joint(judge, human, [True] * 20, list(range(20))).value  # a judge without an error
    0.5
    """
    where, text = "rogan_gladen_joint", "Rogan-Gladen (joint), logit-t, clustered by image_id"
    rows = arrange(where, judge, human, labelled, image)
    if rows.judge.size == 0:
        return no_interval(None, text, 0, 0, "no edit: there is no rate")
    zero_one(where, "judge", rows.judge)
    zero_one(where, "human", rows.human)
    y, f = rows.human[rows.labelled], rows.judge[rows.labelled]
    if not (y == 1).any() or not (y == 0).any():
        raise DesignError(f"{where}: labels of both kinds are needed; label more edits at random")
    table = Calibration(
        true_positives=float((f * y).sum()),
        positives=float(y.sum()),
        true_negatives=float(((1 - f) * (1 - y)).sum()),
        negatives=float((1 - y).sum()),
    )
    if informative(table, level=level) <= 0:
        note = "sensitivity + specificity - 1 is not clearly above 0: this judge says nothing about the rate"
        return Interval(
            value=None,
            low=0.0,
            high=1.0,
            method=text,
            n=rows.judge.size,
            clusters=rows.starts.size,
            design_effect=None,
            n_effective=None,
            notes=(note,),
        )
    core = rogan_gladen_joint_core(rows.judge, rows.human, rows.labelled, rows.starts)
    return finish(core, text, rows, level, (f"{int(rows.labelled.sum())} labels",))

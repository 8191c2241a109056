"""Groups as a sample of groups: random effects by REML, an interval for their mean, and one for a new group.

``y ~ N(mu 1, V + tau^2 I)``: ``V`` is the covariance of the groups' own estimates, which share images and are therefore not
independent; ``tau^2`` is the variance between groups. "It transfers" is a claim about groups that were not tried, and they are
what the prediction interval speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.difference import standardised
from isr.stats.independent import upper_tail
from isr.stats.rows import Prompts, codes
from isr.stats.special import stdtrit
from isr.stats.variance import small_sample
from isr.types import Floats, Ints

Weights = Literal["equal", "precision"]
LEAST_GROUPS = 4
"""Below it, k - 2 leaves at most one degree of freedom for what differs between groups."""
GRID = (
    np.linspace(0.0, 1.0, 65) ** 2
)  # where the restricted likelihood is looked at before its best place is made exact
HALVINGS = 60
AWAY_FROM_ZERO = 0.5
"""For a new group the restricted likelihood is multiplied by tau to this power: half of what Chung et al. (2013) take.

REML finds no variance between groups in many samples in which there is some; an interval for a new group that takes the 0 at its word
covers 92 % (docs/coverage.md). Their whole penalty covers more than it says.
"""


class PooledCore(NamedTuple):
    """What :func:`pooled_core` returns, one entry per data set."""

    mean: Floats
    variance: Floats
    tau2: Floats
    factor: Floats
    tau2_new: Floats


def pooled_core(y: ArrayLike, covariance: ArrayLike) -> PooledCore:
    """REML for tau^2, and the mean by generalised least squares. y: (..., k), covariance: (..., k, k).

    The residuals from a common mean are rotated until they are independent, with variances ``lambda_j + tau^2``; the restricted
    likelihood is then a function of one number (Patterson and Thompson 1971). ``variance``: of the mean, ``1 / 1'W1``;
    ``factor``: Hartung and Knapp's (2001) ``(y - mu)'W(y - mu) / (k - 1)``, by which they multiply it. ``tau2_new``: of a new group,
    kept away from 0 (:data:`AWAY_FROM_ZERO`).

    >>> core = pooled_core([0.0, 2.0, 4.0, 6.0], np.eye(4))
    >>> float(core.mean), round(float(core.tau2), 6)  # the variance of 0, 2, 4, 6 is 20/3, of which 1 is the groups' own
    (3.0, 5.666667)
    """
    values, v = np.asarray(y, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    k = values.shape[-1]
    basis = _contrasts(k)
    own, turn = np.linalg.eigh(basis.T @ v @ basis)
    scale = np.trace(v, axis1=-2, axis2=-1)[..., None] / k
    own = np.maximum(own, 1e-9 * scale)
    z2 = np.einsum("...ij,...i->...j", turn, values @ basis) ** 2
    tau2 = _reml(own, z2)
    total = v + tau2[..., None, None] * np.eye(k)
    ones = np.ones((*values.shape, 1))
    weight = np.linalg.solve(total, ones)[..., 0]
    precision = weight.sum(axis=-1)
    mean = (weight * values).sum(axis=-1) / precision
    residual = values - mean[..., None]
    rest = np.linalg.solve(total, residual[..., None])[..., 0]
    factor = (residual * rest).sum(axis=-1) / (k - 1)
    return PooledCore(mean, 1 / precision, tau2, factor, np.maximum(tau2, _reml(own, z2, AWAY_FROM_ZERO)))


def equal_weights(y: ArrayLike, covariance: ArrayLike) -> tuple[Floats, Floats]:
    """The plain mean over groups, and its variance; y: (..., k), covariance: (..., k, k).

    ``s^2 / k + c``, ``s^2`` the variance between the estimates and ``c`` the mean of their covariances: its expectation is the
    variance of the mean whatever the groups' own variances are, so that no noise in these makes it too sure of itself, as weights
    by precision do where groups have unequal or few images. At least ``1'V1 / k^2``, what there is without any variance between groups.

    >>> mean, variance = equal_weights([0.0, 2.0, 4.0, 6.0], np.eye(4))
    >>> float(mean), round(float(variance), 4)  # 20/3 / 4
    (3.0, 1.6667)
    """
    values, v = np.asarray(y, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    k = values.shape[-1]
    whole, own = v.sum(axis=(-2, -1)), np.trace(v, axis1=-2, axis2=-1)
    shared = (whole - own) / (k * (k - 1))
    spread = values.var(axis=-1, ddof=1) / k + shared
    return values.mean(axis=-1), np.maximum(spread, whole / k**2)


class ShrunkCore(NamedTuple):
    """Each group's predicted true value and its error, (..., k)."""

    value: Floats
    variance: Floats


def shrunk_core(y: ArrayLike, covariance: ArrayLike, core: PooledCore) -> ShrunkCore:
    """Best linear unbiased predictions of the groups' true values (Henderson 1975), at the tau^2 that is kept away from 0.

    At REML's 0 every group would be the mean, and as certain as it. The part of the error that is the mean's has Hartung and Knapp's
    factor, where it is above 1.
    """
    values, v = np.asarray(y, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    tau2 = core.tau2_new[..., None]
    weight = np.linalg.inv(v + tau2[..., None] * np.eye(values.shape[-1]))
    by_group = weight.sum(axis=-1)
    precision = by_group.sum(axis=-1, keepdims=True)
    mean = (by_group * values).sum(axis=-1, keepdims=True) / precision
    value = mean + tau2 * np.einsum("...ij,...j->...i", weight, values - mean)
    error = np.maximum(tau2 - tau2**2 * np.diagonal(weight, axis1=-2, axis2=-1), 0.0)
    factor = np.maximum(core.factor, 1.0)[..., None]
    return ShrunkCore(value, error + (1 - tau2 * by_group) ** 2 * factor / precision)


def _contrasts(k: int) -> Floats:
    """An orthonormal basis (k, k - 1) of what is left when a common mean is taken away."""
    out = np.zeros((k, k - 1))
    for j in range(1, k):
        out[:j, j - 1], out[j, j - 1] = 1.0, -float(j)
        out[:, j - 1] /= (j * (j + 1)) ** 0.5
    return out


def _reml(own: Floats, z2: Floats, away: float = 0.0) -> Floats:
    """The tau^2 >= 0 at which ``-1/2 sum(log(own + tau^2) + z2 / (own + tau^2)) + away log(tau)`` is largest.

    own, z2: (..., k - 1). Looked for on a grid, then made exact where the slope changes its sign.
    """

    def likelihood(at: Floats) -> Floats:
        total = own[..., None, :] + at[..., None]
        out: Floats = -(np.log(total) + z2[..., None, :] / total).sum(axis=-1)
        return out + away * np.log(np.maximum(at, 1e-300)) if away else out

    def slope(at: Floats) -> Floats:
        total = own + at[..., None]
        out: Floats = ((z2 - total) / total**2).sum(axis=-1)
        return out + away / np.maximum(at, 1e-300) if away else out

    most = 4 * (
        z2.max(axis=-1) + own.max(axis=-1)
    )  # beyond it the slope is below (away - 0.6 (k - 1)) / tau^2
    places = most[..., None] * GRID
    best = likelihood(places).argmax(axis=-1)
    low, high = (
        np.take_along_axis(places, np.clip(best + step, 0, GRID.size - 1)[..., None], axis=-1)[..., 0]
        for step in (-1, 1)
    )
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rises = slope(middle) > 0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    found = (low + high) / 2
    ends = likelihood(np.stack([np.zeros_like(found), found], axis=-1))
    return np.where(ends[..., 0] >= ends[..., 1], 0.0, found)


def common_correlation(covariance: ArrayLike) -> Floats:
    """The covariance with the mean of its correlations in place of each; (..., k, k).

    Few images tell k (k - 1) / 2 correlations badly, and weights that trust them make a mean too sure of itself; one number they
    tell well. It stays positive semidefinite, for no k variables can all be correlated below -1/(k - 1).

    >>> common_correlation([[1.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 1.0]])[0].round(3).tolist()  # (.5 + .1 + .3) / 3
    [1.0, 0.3, 0.3]
    """
    v = np.asarray(covariance, dtype=np.float64)
    k = v.shape[-1]
    spread = np.sqrt(np.diagonal(v, axis1=-2, axis2=-1))
    outer = spread[..., :, None] * spread[..., None, :]
    shared = ((v / outer).sum(axis=(-2, -1)) - k) / (k * (k - 1))
    matrix = shared[..., None, None] + (1 - shared[..., None, None]) * np.eye(k)
    out: Floats = matrix * outer
    return out


def floored(gram: ArrayLike, variance: ArrayLike) -> Floats:
    """A covariance of cluster sums (..., k, k) with the variances (..., k) that the groups' own intervals rest on.

    Where these are larger (a floor: no discordant pair does not make a group certain) they are added to the diagonal; where they are
    smaller its row and column shrink. Both keep it positive semidefinite.
    """
    g, wanted = np.asarray(gram, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    have = np.diagonal(g, axis1=-2, axis2=-1)
    shrink = np.sqrt(np.minimum(1.0, wanted / np.where(have > 0, have, np.inf)))
    shrink = np.where(have > 0, shrink, 1.0)
    out = g * shrink[..., :, None] * shrink[..., None, :]
    more = np.maximum(wanted - have, 0.0)
    out = out + more[..., None] * np.eye(g.shape[-1])
    return np.asarray(out, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEstimates:
    """Each group's own difference, with the covariance of all: y (k,), covariance (k, k), n and clusters by group.

    ``df``: of their plain mean, Kish's number of images (or of prompts that are a sample) less one.
    """

    y: Floats
    covariance: Floats
    df: float
    n: Ints
    clusters: Ints


def group_differences(
    d: ArrayLike,
    image: ArrayLike,
    group: ArrayLike,
    *,
    prompt: ArrayLike | None = None,
    prompts: Prompts = "fixed",
) -> GroupEstimates:
    """The mean paired difference of each group (codes 0 .. k-1), and how they vary together because they share images.

    Sums of residuals by image give the covariance, corrected as the single differences are (CR2), each variance the one that
    :func:`isr.stats.difference.difference_interval` uses. Prompts that are a sample add their own sums. Raises
    ``StatisticsError`` where a group has no interval: one image, or one prompt of a sample.

    >>> found = group_differences([1, 0, 1, 0, 1, 1], list('abcabc'), [0, 0, 0, 1, 1, 1])
    >>> found.y.round(2).tolist(), round(float(found.covariance[0, 1]), 3)  # (1/3 * -2/3 - 2/3 * 1/3 + 1/3 * 1/3) / 9 * 3/2
    ([0.67, 0.67], -0.056)
    """
    values, place, part = np.asarray(d, dtype=np.float64), codes(image), codes(group)
    asked = None if prompt is None else codes(prompt)
    k = int(part.max()) + 1 if part.size else 0
    single = []
    for g in range(k):
        own = part == g
        found = standardised(
            "group_differences", values[own], place[own], None if asked is None else asked[own], prompts
        )
        if found is None:
            raise StatisticsError(
                f"group_differences: group {g}: expected two images or more (and prompts, where they are a sample); drop it"
            )
        single.append(found)
    clusterings = [place] if prompts == "fixed" or asked is None else [place, asked]
    parts = [_influence(values, cluster, part, k, plain=len(clusterings) > 1) for cluster in clusterings]
    df = min((_kish(cluster, part, k) - 1 for cluster in clusterings), default=0.0) if k else 0.0
    gram = np.sum([u.T @ u for u in parts], axis=0)
    return GroupEstimates(
        y=np.array([value for value, _, _ in single], np.float64),
        covariance=floored(gram, [se * se for _, se, _ in single]),
        df=df,
        n=np.bincount(part, minlength=k).astype(np.int64),
        clusters=np.array([np.unique(place[part == g]).size for g in range(k)], np.int64),
    )


def _kish(cluster: Ints, group: Ints, k: int) -> float:
    """Kish's number of clusters for the mean over groups of their means: each counts by its share of each group."""
    sizes = np.bincount(cluster * k + group, minlength=(int(cluster.max()) + 1) * k).reshape(-1, k)
    share = (sizes / sizes.sum(axis=0)).sum(axis=1)
    return float(share.sum() ** 2 / (share**2).sum())


def _influence(values: Floats, cluster: Ints, group: Ints, k: int, *, plain: bool) -> Floats:
    """What each cluster contributes to each group's mean, (clusters, k), scaled as the variance of the mean is."""
    cell, size = cluster * k + group, (int(cluster.max()) + 1) * k
    sums = np.bincount(cell, weights=values, minlength=size).reshape(-1, k)
    sizes = np.bincount(cell, minlength=size).reshape(-1, k).astype(np.float64)
    total = sizes.sum(axis=0)
    out: Floats = (sums - sums.sum(axis=0) / total * sizes) / total
    for g in range(k):
        own = sizes[:, g] > 0
        small = small_sample(sizes[own, g], plain=plain)
        out[own, g] *= np.sqrt(small.scale * small.relative)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """One group's own value, and the one that the others draw towards the mean, with its interval."""

    own: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledGroups:
    """The mean over groups like these with its interval, an interval for a new group, the standard deviation between groups.

    ``groups``: partly pooled, in the order given.
    """

    k: int
    value: float
    low: float
    high: float
    new_low: float
    new_high: float
    between: float
    groups: tuple[Shrunk, ...]


def pool_groups(
    y: ArrayLike,
    covariance: ArrayLike,
    *,
    df: float = np.inf,
    level: float = 0.95,
    limits: tuple[float, float] = (-np.inf, np.inf),
    weights: Weights = "equal",
) -> PooledGroups | None:
    """Random effects over groups; ``None`` below four of them (:data:`LEAST_GROUPS`).

    y: (k,) estimates, covariance: (k, k) of them. df: degrees of freedom of the estimates themselves, where they are few. The
    mean has equal weights and t of k - 1 (:func:`equal_weights`); with weights by "precision" it is that of generalised least squares
    with Hartung and Knapp's factor, never below 1 (Knapp and Hartung 2003, Roever et al. 2015). A new group lies in
    ``mu +- t_{k-2} sqrt(tau^2 + se^2)`` (Higgins, Thompson and Spiegelhalter 2009), tau^2 there kept away from 0; both are clipped to ``limits``. ``groups``: :func:`shrunk_core`.

    >>> found = pool_groups([0.0, 2.0, 4.0, 6.0], np.eye(4))
    >>> found.value, 5.5 < found.groups[3].value < 6  # drawn towards the mean
    (3.0, True)
    """
    values, v = np.asarray(y, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    k, tail = values.size, upper_tail(level)
    if v.shape != (k, k) or not (np.isfinite(values).all() and np.isfinite(v).all()):
        raise StatisticsError(
            f"pool_groups: expected {k} finite numbers and their covariance; found {v.shape}"
        )
    if k < LEAST_GROUPS:
        return None
    if not (np.diagonal(v) > 0).all():
        raise StatisticsError("pool_groups: covariance: expected variances above 0; a group is never certain")
    core = pooled_core(values, v)
    tau2 = float(core.tau2)
    if weights == "precision":
        mean, se2 = float(core.mean), float(core.variance) * max(1.0, float(core.factor))
    else:
        mean, se2 = map(float, equal_weights(values, v))
    own, new = (-float(stdtrit(min(dof, df), tail)) for dof in (k - 1.0, k - 2.0))
    drawn = shrunk_core(values, v, core)
    half = own * np.sqrt(drawn.variance)
    least, most = limits
    spread = (float(core.tau2_new) + se2) ** 0.5

    def clip(value: float) -> float:
        return float(min(max(value, least), most))

    return PooledGroups(
        k=k,
        value=mean,
        low=clip(mean - own * se2**0.5),
        high=clip(mean + own * se2**0.5),
        new_low=clip(mean - new * spread),
        new_high=clip(mean + new * spread),
        between=tau2**0.5,
        groups=tuple(
            Shrunk(own=float(o), value=float(s), low=clip(s - h), high=clip(s + h))
            for o, s, h in zip(values, drawn.value, half, strict=True)
        ),
    )

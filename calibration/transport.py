"""Do a judge's error rates carry over? A test that sensitivity and specificity are the same in every group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.rows import codes
from isr.types import Floats, Ints

WARN_BELOW = 0.05


@dataclass(frozen=True, slots=True)
class Homogeneity:
    """p-value of equal rates over groups; ``rates`` by group, None where a group has no such edit."""

    rate: str
    rates: dict[str, float | None]
    p_value: float | None
    method: str

    @property
    def warns(self) -> bool:
        """Whether the rates differ by more than chance: then none of them speaks for another population."""
        return self.p_value is not None and self.p_value < WARN_BELOW


def homogeneity(
    judge: ArrayLike,
    human: ArrayLike,
    groups: ArrayLike,
    image: ArrayLike,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
) -> tuple[Homogeneity, Homogeneity]:
    """(sensitivity, specificity) of a judge over groups of labelled edits, such as editors.

    Statistic: Pearson's ``sum_e n_e (q_e - q)^2 / (q (1 - q))`` of being right among the edits with the same
    label. Its null distribution comes from permuting the groups of edits of the same image (images that occur
    in one group only do not move); where no image occurs in two groups, whole images are permuted. ``p = (1 + #)
    / (1 + draws)`` (Phipson and Smyth 2010). Without two groups or without an error there is no p-value.

    >>> judge, human = [1, 0] * 8, [1, 0] * 8
    >>> groups, image = ['x'] * 8 + ['y'] * 8, [i // 2 for i in range(16)]
    >>> [h.rates for h in homogeneity(judge, human, groups, image, rng=np.random.default_rng(0), draws=99)]
    [{'x': 1.0, 'y': 1.0}, {'x': 1.0, 'y': 1.0}]
    """
    j, y, image_code = np.asarray(judge), np.asarray(human), codes(image)
    names = np.asarray(groups).astype(str)
    if not j.shape == y.shape == names.shape == image_code.shape or j.ndim != 1:
        raise StatisticsError("homogeneity: expected one verdict, label, group and image per edit")
    return (
        _one("sensitivity", j, y, 1, names, image_code, rng, draws),
        _one("specificity", j, y, 0, names, image_code, rng, draws),
    )


def _one(
    rate: str,
    j: np.ndarray,
    y: np.ndarray,
    truth: int,
    names: np.ndarray,
    image: Ints,
    rng: np.random.Generator,
    draws: int,
) -> Homogeneity:
    own = y == truth
    right, group, where = (j == y)[own].astype(np.float64), names[own], image[own]
    found = {
        str(g): float(right[group == g].mean()) if (group == g).any() else None for g in np.unique(names)
    }
    labels, code = np.unique(group, return_inverse=True)
    if labels.size < 2 or right.size == 0 or np.ptp(right) == 0:
        why = (
            "fewer than two groups have such edits" if labels.size < 2 else "every such edit is judged alike"
        )
        return Homogeneity(rate, found, None, why)
    observed = _pearson(right, code[None], labels.size)[0]
    crossed = np.unique(np.stack([where, code]), axis=1).shape[1] > np.unique(where).size
    shuffled = _within(code, where, rng, draws) if crossed else _whole(code, where, rng, draws)
    hits = int((_pearson(right, shuffled, labels.size) >= observed - 1e-9).sum())
    text = f"permutation {'within' if crossed else 'of'} images, {draws} draws"
    return Homogeneity(rate, found, (1 + hits) / (1 + draws), text)


def _pearson(right: Floats, code: Ints, groups: int) -> Floats:
    """The statistic for each row of group codes (draws, n)."""
    q, out = float(right.mean()), np.zeros(code.shape[0])
    for g in range(groups):
        inside = code == g
        n = inside.sum(axis=1)
        mean = np.divide(inside @ right, n, out=np.full(n.shape, q), where=n > 0)
        out += n * (mean - q) ** 2
    return out / (q * (1 - q))


def _within(code: Ints, image: Ints, rng: np.random.Generator, draws: int) -> Ints:
    """Group codes (draws, n) permuted among the edits of each image."""
    order = np.lexsort((rng.random((draws, code.size)), np.broadcast_to(image, (draws, code.size))), axis=1)
    place = np.argsort(image, kind="stable")
    out = np.empty((draws, code.size), np.int64)
    np.put_along_axis(out, np.broadcast_to(place, order.shape), code[order], axis=1)
    return out


def _whole(code: Ints, image: Ints, rng: np.random.Generator, draws: int) -> Ints:
    """Group codes (draws, n) permuted among whole images."""
    _, first, inverse = np.unique(image, return_index=True, return_inverse=True)
    of_image = np.broadcast_to(code[first], (draws, first.size))
    out: Ints = rng.permuted(of_image, axis=1)[:, inverse]
    return out

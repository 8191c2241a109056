"""Variances of clustered means, their degrees of freedom and design effects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.types import Bools, Floats, Ints


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


class Small(NamedTuple):
    """Small-sample corrections for images of these sizes, one entry per data set.

    ``scale * relative`` (images on the last axis): by what each squared residual of an image is multiplied. ``equal``: sizes
    for which nothing is corrected.
    """

    scale: Floats
    relative: Floats
    df: Floats
    equal: Bools


def small_sample(sizes: ArrayLike, *, plain: bool = False) -> Small:
    """Corrections for few or unequal images. sizes: (..., G), G >= 2.

    Each squared residual is divided by ``1 - m_g / N``: CR2 of Bell and McCaffrey (2002) for a mean, which is CR1's G/(G-1)
    where sizes are equal. Degrees of freedom: Kish's (1965) number of equal images ``N^2 / sum m_g^2``, minus one. Theirs at
    the correlation that the data tell cover more where few images hold most edits, at up to twice the width
    (docs/statistics.md). ``plain``: CR1 and G - 1 whatever the sizes, as rules 1 of estimates have it.
    """
    w = np.asarray(sizes, dtype=np.float64)
    total, images = w.sum(axis=-1), w.shape[-1]
    whole = total[..., None]
    alike = (np.ptp(w, axis=-1) <= 1e-9 * w.max(axis=-1)) | plain
    c = whole / np.maximum(whole - w, 1e-12 * whole)
    c = np.where(alike[..., None], images / (images - 1), c)
    scale = c.min(axis=-1)
    df = np.where(alike, images - 1.0, np.maximum(total**2 / (w * w).sum(axis=-1) - 1, 1.0))
    return Small(scale, c / scale[..., None], df, alike)


def cr2_variance(sums: ArrayLike, sizes: ArrayLike, small: Small) -> Floats:
    """Cluster-robust variance of ``sum(sums) / sum(sizes)`` with the corrections of :func:`small_sample`.

    >>> sizes = [4.0, 4.0, 4.0]
    >>> one, other = cr2_variance([1, 2, 4], sizes, small_sample(sizes)), cr1_variance([1, 2, 4], sizes)
    >>> bool(one == other)  # equal sizes
    True
    """
    s, w = np.broadcast_arrays(np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64))
    total = w.sum(axis=-1)
    residual = s - (s.sum(axis=-1) / total)[..., None] * w
    out: Floats = small.scale * (small.relative * residual**2).sum(axis=-1) / total**2
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
    """``V / [p (1 - p) / (n - 1)]`` (Kish 1965); NaN where ``p`` is 0 or 1 and nothing can be said.

    >>> round(float(design_effect(0.05, 0.5, 10)), 4)
    1.8
    """
    pp = np.asarray(p, dtype=np.float64)
    iid = pp * (1 - pp) / (np.asarray(n, dtype=np.float64) - 1)
    return np.where(iid > 0, np.asarray(variance, dtype=np.float64) / np.where(iid > 0, iid, 1.0), np.nan)


def touched_images(sums: ArrayLike, sizes: ArrayLike) -> Ints:
    """In how many images the rarer outcome occurs (images with some failure, or with some edit spared)."""
    s, w = np.broadcast_arrays(np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64))
    out: Ints = np.minimum((s > 0).sum(axis=-1), (s < w * (1 - 1e-12)).sum(axis=-1))
    return out

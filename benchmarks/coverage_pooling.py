"""Coverage of what is pooled over editors: the mean over editors like these, and the interval for a new editor.

    python benchmarks/coverage_pooling.py [--runs 4000] [--seed 1]

40 images x 5 prompts under k editors; two methods, whose edits of one image correlate by .3 (probit; the image's part is half shared
by all, a fifth the method's own under every editor, the rest the method's under one editor), so that the editors' differences share
images. True differences of editors are normal around .1 with standard deviation tau. This prints
every variant that was tried, on the seed on which they were chosen; docs/coverage.md has the chosen ones on another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.simulating import Array, Score, Section
from isr.stats.difference import difference_core
from isr.stats.endpoints import PRIOR_ICC
from isr.stats.pooling import (
    PooledCore,
    common_correlation,
    equal_weights,
    floored,
    pooled_core,
    shrunk_core,
)

IMAGES, PROMPTS, LATENT, MU = (
    40,
    5,
    0.454,
    0.1,
)  # a latent correlation of .454 is one of .3 between outcomes at one half
PARTS = (0.5, 0.2, 0.3)
BLOCK = 500
EDITORS, TAUS, MIDDLES = (4, 6, 10), (0.0, 0.05, 0.15), (0.5, 0.85)
SHIPPED, BY_REML, APART = "default", "tau^2 of a new editor by REML", "as if no image were shared"
PRECISE = "mean by precision"
UNEQUAL: dict[str, tuple[int, ...]] = {
    "6 each": (6,) * 6,
    "200, 5 with 6": (200, *(6,) * 5),
    "100, 9 with 10": (100, *(10,) * 9),
    "200, 11 with 6": (200, *(6,) * 11),
    "5 with 40, one with 2": (*(40,) * 5, 2),
}
"""Images of each editor, the first ones of one list."""


def draw(
    rng: np.random.Generator, runs: int, k: int, tau: float, middle: float, most: int = IMAGES
) -> tuple[Array, Array]:
    """(editors' true differences, (runs, k); sums of paired differences by image, (runs, images, k), and of their squares)."""
    theta = MU + tau * rng.normal(size=(runs, 1, k, 1))
    shared, noise = rng.normal(size=(runs, most, 1, 1)), rng.normal(size=(runs, most, k, PROMPTS))
    outcome = []
    for sign in (1, -1):
        rate = np.clip(middle + sign * theta / 2, 0.001, 0.999)
        method, own = rng.normal(size=(runs, most, 1, 1)), rng.normal(size=(runs, most, k, 1))
        image = PARTS[0] ** 0.5 * shared + PARTS[1] ** 0.5 * method + PARTS[2] ** 0.5 * own
        rest = (noise + rng.normal(size=noise.shape)) * 0.5**0.5
        outcome.append(ndtri(rate) + image * LATENT**0.5 + rest * (1 - LATENT) ** 0.5 > 0)
    d = outcome[0].astype(np.float64) - outcome[1]
    return theta[:, 0, :, 0], np.stack([d.sum(axis=3), (d * d).sum(axis=3)], axis=-1)


def estimates(sums: Array, images: Array) -> tuple[Array, Array]:
    """(y, V) as ``isr.stats.pooling.group_differences`` gives them; images: (k,), of which each editor has the first ones."""
    n = images * PROMPTS
    seen = np.arange(sums.shape[1])[:, None] < images
    sums = sums * seen[..., None]
    y, second = sums[..., 0].sum(axis=1) / n, sums[..., 1].sum(axis=1) / n
    residual = (sums[..., 0] - PROMPTS * y[:, None, :]) * seen / n * (images / (images - 1)) ** 0.5
    gram = np.einsum("rig,rih->rgh", residual, residual)
    prior = 1 + PRIOR_ICC * (PROMPTS - 1)
    own = difference_core(y, second, np.diagonal(gram, axis1=1, axis2=2), n, prior, images - 1.0)
    return y, floored(gram, own.variance)


def kish(images: Array) -> float:
    """Kish's number of images for the mean over editors, as the product counts them."""
    share = ((np.arange(int(images.max()))[:, None] < images) / images).sum(axis=1)
    return float(share.sum() ** 2 / (share**2).sum())


def variants(y: Array, v: Array, every: bool, tried: bool) -> Iterator[tuple[str, PooledCore]]:
    """(name, what is pooled); its variance with the factor of the variant, its tau^2 of a new editor as the variant takes it.

    tried: also those that were tried and left; "every correlation" needs more images than editors.
    """
    common = common_correlation(v)
    core = pooled_core(y, common)
    mean, variance = equal_weights(y, common)
    yield SHIPPED, core._replace(mean=mean, variance=variance)
    if every:
        safe = np.maximum(core.factor, 1)
        yield BY_REML, core._replace(mean=mean, variance=variance, tau2_new=core.tau2)
        yield PRECISE, core._replace(variance=core.variance * safe)
    if tried:
        yield "no factor", core
        yield "factor as it is", core._replace(variance=core.variance * core.factor)
        for name, matrix in (("every correlation", v), (APART, v * np.eye(y.shape[1]))):
            other = pooled_core(y, matrix)
            yield name, other._replace(variance=other.variance * np.maximum(other.factor, 1))


def cell(
    k: int,
    tau: float,
    middle: float,
    runs: int,
    key: Sequence[int],
    every: bool = False,
    tried: bool = False,
    images: Sequence[int] = (),
) -> dict[str, list[float]]:
    """By variant: coverage of the mean, mean width, coverage of a new editor, mean width, of one of these, mean width, mean of tau.

    A new editor's difference is normal: how much of it lies inside is known for each run, and not drawn.
    """
    rng, held_images = np.random.default_rng(list(key)), np.array(images or [IMAGES] * k, np.float64)
    least = kish(held_images) - 1
    own, new = (-float(stdtrit(min(df, least), 0.025)) for df in (k - 1, k - 2))
    out: dict[str, list[float]] = {}
    for start in range(0, runs, BLOCK):
        theta, sums = draw(rng, min(BLOCK, runs - start), k, tau, middle, int(held_images.max()))
        y, v = estimates(sums, held_images)
        for name, core in variants(y, v, every, tried):
            half, wide = own * np.sqrt(core.variance), new * np.sqrt(core.variance + core.tau2_new)
            inside = np.abs(core.mean - MU) <= half
            low, high = np.maximum(core.mean - wide, -1.0), np.minimum(core.mean + wide, 1.0)
            met = ((low <= MU) & (high >= MU)).astype(np.float64)
            if tau:
                met = ndtr((high - MU) / tau) - ndtr((low - MU) / tau)
            held = (np.zeros(1), np.zeros(1))
            if name == SHIPPED:
                drawn = shrunk_core(y, common_correlation(v), core)
                reach = own * np.sqrt(drawn.variance)
                held = ((np.abs(drawn.value - theta) <= reach).mean(axis=1), 2 * reach.mean(axis=1))
            total = out.setdefault(name, [0.0] * 7)
            for i, one in enumerate((inside, 2 * half, met, high - low, *held, np.sqrt(core.tau2))):
                total[i] += float(np.sum(one)) / runs
    return out


def cells() -> Iterator[tuple[float, int, float]]:
    """(rates around, editors, tau): near 1 the largest tau would leave no room."""
    for middle in MIDDLES:
        yield from ((middle, k, tau) for k in EDITORS for tau in (TAUS if middle == MIDDLES[0] else TAUS[:2]))


def pooling_section(runs: int, seed: int) -> Section:
    section = Section(
        title="Pooled over editors",
        text="40 images x 5 prompts under k editors, paired differences of two methods (ICC .3, true differences of editors normal around 10 "
        "points with standard deviation tau). The mean over editors like these, with equal weights and t of k - 1; the interval for a new editor, with t of "
        "k - 2 and a tau^2 that is kept away from 0; the editors' own values, drawn towards the others (the mean share of them that are covered). "
        "Beside them, a new editor with REML's own tau^2, and the mean with weights by precision (generalised least squares, Hartung and "
        "Knapp's factor).",
        header=["rates around", "k", "images", "tau", "mean (default)", "new editor (default)", "each editor (default)", "new editor, REML's tau^2", "mean by precision"],
        runs=runs,
        watched=("mean (default)", "new editor (default)", "each editor (default)"),
    )  # fmt: skip
    every = [(m, k, "40 each", tau, ()) for m, k, tau in cells()]
    every += [(0.5, len(n), name, tau, n) for name, n in UNEQUAL.items() for tau in TAUS]
    for place, (middle, k, name, tau, images) in enumerate(every):
        found = cell(k, tau, middle, runs, (seed, 12, place), every=True, images=images)
        picks = ((SHIPPED, 0), (SHIPPED, 2), (SHIPPED, 4), (BY_REML, 2), (PRECISE, 0))
        scores = [Score(*found[pick][at : at + 2]) for pick, at in picks]
        told = [f"{100 * one.coverage:.1f} ({one.width:.3f})" for one in scores]
        section.rows.append([f"{middle}", f"{k}", name, f"{tau}", *told])
        for what, one in zip(("mean", "new editor", "each editor"), scores, strict=False):
            section.watch(one, f"{what}, rates around {middle}, k = {k}, images {name}, tau = {tau}")
    return section


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(
        "| rates around | k | tau | variant | mean over editors | a new editor | sd between editors, mean |"
    )
    print("|---|---|---|---|---|---|---|")
    for place, (middle, k, tau) in enumerate(cells()):
        found = cell(k, tau, middle, args.runs, (args.seed, 12, place), every=True, tried=True)
        for name, (mean, width, new, wide, _, _, spread) in found.items():
            shares = f"{100 * mean:.1f} ({width:.3f}) | {100 * new:.1f} ({wide:.3f}) | {spread:.3f}"
            print(f"| {middle} | {k} | {tau} | {name} | {shares} |", flush=True)


if __name__ == "__main__":
    main()

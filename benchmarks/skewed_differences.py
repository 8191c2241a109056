"""What was tried where one method fails by whole images and the other by single edits, and does not help enough.

Two methods of one rate, 5 edits an image, ICC .8 against 0 (and pairs of like patterns, for what it costs). Coverage of 0 and mean
width of the default interval of a difference; of its union with Hall's (1992) interval for a skewed mean of images; of the default
with t of ``2 G / (kurtosis - 1)`` degrees of freedom, at most ``G - 1``.

    python benchmarks/skewed_differences.py [--runs 20000] [--seed 20251214]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.simulating import Array, Tally, blocks, edits, image_rates
from isr.stats.difference import difference_core
from isr.stats.endpoints import PRIOR_ICC
from isr.stats.variance import cr2_variance, small_sample

M = 5
UNLIKE = [(p, images, (0.8, 0.0)) for p in (0.05, 0.1) for images in (12, 25, 40, 60)]
LIKE = [
    (p, 40, iccs) for p, iccs in ((0.05, (0.3, 0.3)), (0.1, (0.6, 0.1)), (0.3, (0.3, 0.3)), (0.1, (0.8, 0.8)))
]


def hall(x: float, skew: Array) -> Array:
    """The inverse of Hall's transformation of a studentised mean with this skewness."""
    g = np.where(np.abs(skew) < 1e-9, 1e-9, skew)
    found: Array = 3 / g * (np.cbrt(1 + g * (x - g / 6)) - 1)
    return found


def cell(p: float, images: int, iccs: tuple[float, float], runs: int, seed: int) -> Tally:
    rng, tally = np.random.default_rng([seed, images, round(1000 * p)]), Tally()
    sizes, n = np.full(images, M), images * M
    small = small_sample(sizes)
    for block in blocks(runs):
        a, b = (edits(rng, image_rates(rng, block, images, p, icc), M) for icc in iccs)
        d = a - b
        mean, second = d.mean(axis=1), (d * d).mean(axis=1)
        sums = d.reshape(block, images, M).sum(axis=2)
        variance = cr2_variance(sums, sizes, small)
        residual = sums - M * mean[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            skew = np.nan_to_num((residual**3).sum(axis=1) / (residual**2).sum(axis=1) ** 1.5)
            kurtosis = np.nan_to_num((residual**4).mean(axis=1) / (residual**2).mean(axis=1) ** 2, nan=3.0)
        prior = 1 + PRIOR_ICC * (M - 1)
        core = difference_core(mean, second, variance, n, prior, small.df)
        tally.add("default", 0.0, core.low, core.high)
        t, se = -float(stdtrit(images - 1, 0.025)), np.sqrt(core.variance)
        low, high = mean - se * hall(t, skew), mean - se * hall(-t, skew)
        tally.add("with Hall's", 0.0, np.minimum(low, core.low), np.maximum(high, core.high))
        df = np.clip(2 * images / np.maximum(kurtosis - 1, 2.0), 3, images - 1.0)
        wide = difference_core(mean, second, variance, n, prior, df)
        tally.add("df by kurtosis", 0.0, wide.low, wide.high)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=20251214)
    args = parser.parse_args()
    print(f"{args.runs} runs a cell; coverage in % (mean width)")
    print("| ICCs | p | images | default | with Hall's | df by kurtosis |\n|---|---|---|---|---|---|")
    for p, images, iccs in (*UNLIKE, *LIKE):
        found = cell(p, images, iccs, args.runs, args.seed)
        print(f"| {iccs[0]}, {iccs[1]} | {p} | {images} | {' | '.join(found.cells())} |", flush=True)


if __name__ == "__main__":
    main()

"""How the corrections for very unequal images were chosen: logit-t alone, under several variances and degrees of freedom.

On other seeds than those of docs/coverage.md. CR1 with G - 1; CR2 with Kish's number of images less one (what isr takes); CR2 with
the degrees of freedom of Bell and McCaffrey (2002) for independent edits, and at the intra-image correlation that the data tell
(Imbens and Kolesar 2016). Each cell: coverage in per cent (mean width).

    python benchmarks/unequal_images.py [--runs 6000] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.coverage_more import UNEQUAL
from benchmarks.simulating import Array, image_rates
from isr.stats.endpoints import logit_t
from isr.stats.variance import cr1_variance, cr2_variance, small_sample

GRID = np.linspace(0.0, 1.0, 41) ** 2  # correlations between which degrees of freedom are interpolated


def bell_mccaffrey(sizes: Array, correlation: float) -> float:
    """``(tr B)^2 / tr(B^2)``, B the covariance of the corrected residual sums of images under exchangeable edits."""
    n = sizes.sum()
    scale = 1 / np.sqrt(1 - sizes / n)
    own = sizes * (1 - correlation) + correlation * sizes**2  # variance of an image's sum
    b = -(np.outer(own, sizes) + np.outer(sizes, own)) / n + np.outer(sizes, sizes) * own.sum() / n**2
    b[np.diag_indices(sizes.size)] += own
    b *= np.outer(scale, scale)
    return float(np.trace(b) ** 2 / (b * b).sum())


def cell(sizes: Array, p: float, icc: float, runs: int, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, sizes.size, round(100 * p), round(100 * icc)])
    s = rng.binomial(sizes.astype(np.int64), image_rates(rng, runs, sizes.size, p, icc)).astype(np.float64)
    n, small = float(sizes.sum()), small_sample(sizes)
    value = s.sum(axis=1) / n
    iid = value * (1 - value) / (n - 1)
    plain, corrected = (np.maximum(v, iid) for v in (cr1_variance(s, sizes), cr2_variance(s, sizes, small)))
    told = corrected / np.maximum(iid, 1e-12) - 1
    seen = np.clip(told / (float((sizes**2).sum()) / n - 1), 0.0, 1.0)
    table = [bell_mccaffrey(sizes, r) for r in GRID]
    rules = (
        (plain, sizes.size - 1.0),
        (corrected, float(small.df)),
        (corrected, table[0]),
        (corrected, np.interp(seen, GRID, table)),
    )
    out = []
    for variance, df in rules:
        low, high = logit_t(value, variance, df)
        out.append(f"{100 * ((low <= p) & (p <= high)).mean():.1f} ({(high - low).mean():.2f})")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(
        "| sizes | p | ICC | CR1, G - 1 | CR2, Kish | CR2, Bell-McCaffrey at 0 | CR2, Bell-McCaffrey as told |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, sizes in UNEQUAL.items():
        for p in (0.1, 0.3, 0.5):
            for icc in (0.0, 0.3, 0.6):
                cells = cell(sizes.astype(np.float64), p, icc, args.runs, args.seed)
                print(f"| {name} | {p} | {icc} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

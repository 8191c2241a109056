"""Whether plans from small pilots hold what they promise: true power of the planned number of images, over many pilots.

Two methods on the same edits (5 an image, probit), planned for their true difference with 80 % power from pilots of 8, 15 and
30 images. "share": of the pilots whose plan has at least that power; promised is the assurance. The true power is the normal
theory's at the true variance, which comes from 400,000 images.

    python benchmarks/plan_assurance.py [--pilots 2000] [--seed 20251214]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.simulating import two_methods
from isr.stats.planning import assured_factor, images_for_difference, power_of_difference, variance_components

CELLS = ((0.9, 0.95, 0.3), (0.5, 0.7, 0.3), (0.3, 0.4, 0.6), (0.05, 0.15, 0.5), (0.9, 0.97, 0.1))
PILOTS, EDITS, POWER = (8, 15, 30), 5, 0.8


def true_variance(cell: tuple[float, float, float], seed: int) -> float:
    """Variance of the mean difference of an image."""
    a, b = two_methods(np.random.default_rng([seed, 1]), 200, 2_000, EDITS, *cell)
    return float((a - b).reshape(-1, EDITS).mean(axis=1).var())


def plans(
    cell: tuple[float, float, float], images: int, pilots: int, seed: int, assurance: float
) -> Iterator[tuple[int, float]]:
    """(planned images, their true power) after each pilot that shows a difference at all."""
    one, other, _ = cell
    truth = true_variance(cell, seed)
    a, b = two_methods(np.random.default_rng([seed, 2, images]), pilots, images, EDITS, *cell)
    image = np.repeat(np.arange(images), EDITS)
    for d in a - b:
        between, within, _ = variance_components(d, image)
        if not between and not within:
            continue  # isr plan refuses: no discordant pair
        factor = assured_factor(d, image, assurance) if assurance else 1.0
        found = images_for_difference(
            one - other, (between or 0) * factor, (within or 0) * factor, EDITS, power=POWER
        )
        needed = max(found.needed or 2, 2)
        power = power_of_difference(one - other, truth, 0.0, needed, 1)
        yield needed, power or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pilots", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=20251214)
    args = parser.parse_args()
    print(
        "| rates | image share | pilot | at its word: share, median images | assurance 0.8: share, median images |"
    )
    print("|---|---|---|---|---|")
    for number, cell in enumerate(CELLS):
        for images in PILOTS:
            said = []
            for assurance in (0.0, 0.8):
                found = list(plans(cell, images, args.pilots, args.seed + number, assurance))
                share = np.mean([power >= POWER - 0.001 for _, power in found])
                said.append(f"{share:.0%}, {np.median([n for n, _ in found]):.0f}")
            print(f"| {cell[0]} - {cell[1]} | {cell[2]} | {images} images | {' | '.join(said)} |")


if __name__ == "__main__":
    main()

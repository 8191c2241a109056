"""Seconds of one exact sign-flip test by number of images: the smallest of several calls.

python benchmarks/sign_flip_speed.py
"""

from __future__ import annotations

import time

import numpy as np

from isr.stats.sign_flip import sign_flip_test

CALLS = 20


def main() -> None:
    print("| images | edits an image | milliseconds | p-value |")
    print("|---|---|---|---|")
    rng = np.random.default_rng(0)
    for images, edits in ((200, 5), (2_000, 5), (2_000, 50)):
        d, image = rng.integers(-1, 2, images * edits), np.repeat(np.arange(images), edits)
        sums = np.bincount(image, weights=d)
        taken = []
        for _ in range(CALLS):
            began = time.perf_counter()
            found = sign_flip_test(sums, np.arange(images))
            taken.append(time.perf_counter() - began)
        print(f"| {images} | {edits} | {1000 * min(taken):.1f} | {found.p_value} |")


if __name__ == "__main__":
    main()

"""Speed and memory of the cluster bootstrap against scipy.stats.bootstrap, and of the default interval.

    python benchmarks/bootstrap_speed.py [--resamples 10000] [--scipy-resamples 10000]

Data: 100,000 edits in 10,000 images of 10. Both bootstraps see the same per-image (sum, size) pairs, resample
images, use percentile intervals and the same number of resamples; scipy works vectorised in batches of 100
(its default of one batch would need 2.4 GB). With fewer --scipy-resamples its time is scaled linearly, and the
table says so. Times are the best of three on both sides, wall and CPU. Peak MB is that of Python's and numpy's
allocations in the call (tracemalloc, in a second, untimed one). Images with equal pairs are exchangeable and are
drawn together, so that the speed depends on the number of DISTINCT pairs: the other rows show that.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from isr.stats.bootstrap import cluster_bootstrap, percentile_interval
from isr.stats.rate import rate_interval

REPEATS = 3


def timed(function: Callable[[], Any]) -> tuple[float, float, Any]:
    """Best wall and CPU seconds of REPEATS calls, and the value."""
    wall, cpu, value = float("inf"), float("inf"), None
    for _ in range(REPEATS):
        start, used = time.perf_counter(), time.process_time()
        value = function()
        wall, cpu = min(wall, time.perf_counter() - start), min(cpu, time.process_time() - used)
    return wall, cpu, value


def peak_mb(function: Callable[[], Any]) -> float:
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def data(images: int, per_image: int, *, unequal: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
    rng = np.random.default_rng(7)
    sizes = rng.integers(1, 2 * per_image, images) if unequal else np.full(images, per_image)
    return np.stack([rng.binomial(sizes, rng.beta(0.7, 1.3, images)), sizes], axis=1).astype(np.float64)


def weighted(images: int, per_image: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Pairs that are all distinct, the hardest case for our bootstrap: real-valued weights."""
    table = data(images, per_image, unequal=True)
    return table * np.random.default_rng(8).uniform(0.5, 1.5, (images, 1))


def ratio(total: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    out: np.ndarray[Any, np.dtype[np.float64]] = total[:, 0] / total[:, 1]
    return out


def bootstrap_rows(resamples: int, scipy_resamples: int) -> list[list[str]]:
    from scipy.stats import bootstrap

    table = data(10_000, 10, unequal=False)

    def ours(pairs: Any) -> tuple[float, float]:
        draws = cluster_bootstrap(pairs, ratio, rng=np.random.default_rng(0), resamples=resamples)
        return percentile_interval(draws)

    def scipys() -> Any:
        return bootstrap(
            (table[:, 0], table[:, 1]),
            lambda s, w, axis: s.sum(axis=axis) / w.sum(axis=axis),
            paired=True,
            vectorized=True,
            batch=100,
            n_resamples=scipy_resamples,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval

    scale = resamples / scipy_resamples
    wall, cpu, other = timed(scipys)
    wall, cpu = wall * scale, cpu * scale
    note = "" if scipy_resamples == resamples else f" (from {scipy_resamples} resamples)"
    rows = [_row(f"scipy.stats.bootstrap{note}", (wall, cpu), (wall, cpu), peak_mb(scipys), tuple(other))]
    for name, pairs in (
        ("ours, 10 edits per image", table),
        ("ours, 1 to 19 edits per image", data(10_000, 10, unequal=True)),
        ("ours, all pairs distinct", weighted(10_000, 10)),
    ):
        *seconds, ends = timed(lambda pairs=pairs: ours(pairs))
        kinds = np.unique(pairs, axis=0).shape[0]
        peak = peak_mb(lambda pairs=pairs: ours(pairs))
        rows.append(_row(f"{name} ({kinds} pairs)", (seconds[0], seconds[1]), (wall, cpu), peak, ends))
    return rows


def _row(
    name: str, seconds: tuple[float, float], scipy: tuple[float, float], peak: float, ends: tuple[float, ...]
) -> list[str]:
    times = [f"{theirs / own:.1f}" for own, theirs in zip(seconds, scipy, strict=True)]
    return [
        name,
        *(f"{x:.3f}" for x in seconds),
        *times,
        f"{peak:.0f}",
        f"{ends[0]:.4f} {ends[1]:.4f}",
    ]


def interval_rows() -> list[list[str]]:
    rng = np.random.default_rng(9)
    image = rng.permutation(np.repeat(np.arange(200_000), 5))
    prompt, y = rng.integers(0, 50, image.size), rng.random(image.size) < 0.4
    names = np.char.add("image", image.astype(str))
    listed = names.tolist()
    rows = []
    for name, call in (
        ("integers", lambda: rate_interval(y, image)),
        ("array of strings", lambda: rate_interval(y, names)),
        ("list of strings", lambda: rate_interval(y, listed)),
        ("integers, prompts a sample", lambda: rate_interval(y, image, prompt=prompt, prompts="random")),
    ):
        wall, cpu, found = timed(call)
        ends = f"{found.low:.5f} {found.high:.5f}"
        rows.append([name, f"{wall:.3f}", f"{cpu:.3f}", f"{peak_mb(call):.0f}", ends])
    return rows


def show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--scipy-resamples", type=int, default=10_000)
    args = parser.parse_args(argv)
    print(f"Cluster bootstrap, 100,000 edits in 10,000 images, {args.resamples:,} resamples\n")
    show(
        ["bootstrap", "seconds", "CPU s", "times as fast as scipy", "by CPU", "peak MB", "95 % interval"],
        bootstrap_rows(args.resamples, args.scipy_resamples),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"Peak memory of the whole process so far, scipy included: {peak:.0f} MB\n")
    print("Default interval of 1,000,000 edits in 200,000 images\n")
    show(["image names", "seconds", "CPU s", "peak MB", "95 % interval"], interval_rows())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

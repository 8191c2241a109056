"""Confidence sequences that are looked at after every image: how often one ever misses the truth, and what looking costs.

    python benchmarks/coverage_sequences.py [--runs 20000] [--seed 20251214]

prints the two tables that ``benchmarks/coverage.py`` puts into docs/coverage.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.simulating import Array, Section, blocks, image_rates
from isr.stats.endpoints import rate_core
from isr.stats.sequence import BettingSequence

LOOKS = 1_000  # images, and a look after each
RATES = (0.03, 0.1, 0.3, 0.5, 0.9, 0.97)
NAIVE_LOOKS = range(100, LOOKS + 1, 100)
MOST_IMAGES = 6_000
SEQUENCE = "sequence (every image)"
RULED = "bets for half-width 0.05 (every image)"
WANTED = 0.05
NAIVE = "default interval (every 100 images)"
UNDECIDED = 0.1
Law = Callable[[np.random.Generator, int, int, float], Array]


def beta(icc: float, edits: int) -> Law:
    """Image means of ``edits`` edits whose rate is drawn from a beta distribution, (runs, images)."""

    def drawn(rng: np.random.Generator, runs: int, images: int, p: float) -> Array:
        return rng.binomial(edits, image_rates(rng, runs, images, p, icc)) / edits

    return drawn


def mixture(share: float, edits: int) -> Law:
    """So many of the images fail altogether or not at all; the edits of the others are independent. Its ICC is the share."""

    def drawn(rng: np.random.Generator, runs: int, images: int, p: float) -> Array:
        whole = rng.random((runs, images)) < share
        rates = np.where(whole, rng.random((runs, images)) < p, p)
        return rng.binomial(edits, rates) / edits

    return drawn


LAWS: dict[str, tuple[Law, int]] = {
    "1 edit": (beta(0.0, 1), 1),
    "5 edits, beta, ICC 0": (beta(0.0, 5), 5),
    "5 edits, beta, ICC 0.3": (beta(0.3, 5), 5),
    "5 edits, beta, ICC 0.8": (beta(0.8, 5), 5),
    "5 edits, mixture, ICC 0.3": (mixture(0.3, 5), 5),
    "5 edits, mixture, ICC 0.8": (mixture(0.8, 5), 5),
}


def missed(least: Array, most: Array, p: float, wanted: float | None) -> tuple[Array, Array]:
    """Which runs ever exclude the truth, from below and from above; (runs, images) means at least and at most.

    The only candidate is the truth itself, so that no rounding of the ends hides a miss.
    """
    runs, images = least.shape
    one = BettingSequence(runs=runs, wanted=wanted, grid=np.array([p]))
    other = one if most is least else BettingSequence(runs=runs, wanted=wanted, grid=np.array([p]))
    for t in range(images):
        one.add(least[:, t])
        if other is not one:
            other.add(most[:, t])
    return one.low >= p, other.high <= p


def ever_cell(law: str, p: float, runs: int, key: Sequence[int], undecided: str = "") -> Array:
    """Shares of runs that ever exclude the truth, (2, 2): without a rule and with one, from below and from above."""
    rng = np.random.default_rng(key)
    draw, edits = LAWS[law]
    found = np.zeros((2, 2))
    for some in blocks(runs):
        least = most = draw(rng, some, LOOKS, p)
        if undecided:
            failing = np.rint(least * edits).astype(np.int64)
            share = {"any": (1, 1), "failing": (1 / p, 0), "others": (0, 1 / (1 - p))}[undecided]
            lost = rng.binomial(failing, min(UNDECIDED * share[0], 1.0))
            hidden = rng.binomial(edits - failing, min(UNDECIDED * share[1], 1.0))
            least, most = (failing - lost) / edits, (failing + hidden) / edits
        found += [[side.sum() for side in missed(least, most, p, wanted)] for wanted in (None, WANTED)]
    return found / runs


def naive_cell(law: str, p: float, runs: int, key: Sequence[int]) -> float:
    """Share of runs in which the default interval of a fixed number of images holds the truth at each of 10 looks."""
    rng = np.random.default_rng([*key, 1])
    draw, edits = LAWS[law]
    means = draw(rng, runs, LOOKS, p)
    held = np.ones(runs, np.bool_)
    for n in NAIVE_LOOKS:
        core = rate_core(np.rint(means[:, :n] * edits), np.full(n, float(edits)), n=float(n * edits))
        held &= (core.low <= p) & (p <= core.high)
    return float(held.mean())


def ever_section(runs: int, seed: int) -> Section:
    """How often a sequence ever misses."""
    few = max(100, runs // 100)
    section = Section(
        title="Sequences: runs that never exclude the truth",
        text=f"Confidence sequences that are looked at after each of {LOOKS:,} images: that of `--watch`, and that of `--until half-width=0.05`, whose bets are for this half-width. Each cell: the share of runs in "
        "per cent in which NO look excludes the truth (excluded from below + from above). Undecided: a tenth of all edits, drawn "
        "from any, from the failing ones or from the others; the ends are then those of two sequences. Beside it, for contrast: the "
        f"default interval of a fixed number of images, looked at after every 100th, in {few} runs.",
        header=["law of an image", "p", "undecided", SEQUENCE, RULED, NAIVE],
        runs=runs,
        watched=(SEQUENCE, RULED),
    )
    cells = [(law, p, "") for law in LAWS for p in RATES]
    cells += [("5 edits, beta, ICC 0.3", p, who) for p in (0.3, 0.5) for who in ("any", "failing", "others")]
    for i, (law, p, who) in enumerate(cells):
        both = ever_cell(law, p, runs, (seed, 20, i), who)
        naive = "-" if who else f"{100 * naive_cell(law, p, few, (seed, 20, i)):.1f}"
        told = [f"{100 * (1 - a - b):.1f} ({100 * a:.1f} + {100 * b:.1f})" for a, b in both]
        section.rows.append([law, f"{p}", who or "none", *told, naive])
        lowest = (1 - float(both.sum(axis=1).max()), f"{law}, p = {p}{who and f', undecided: {who}'}")
        section.lowest = min(section.lowest, lowest)
    return section


# --------------------------------------------------------------------------- cost


def stopping(law: str, p: float, wanted: float, runs: int, key: Sequence[int]) -> Array:
    """Images that a run asks until its half-width is small enough, (runs,)."""
    rng = np.random.default_rng(key)
    sequence = BettingSequence(runs=runs, wanted=wanted)
    asked, total = np.zeros(runs), np.zeros(runs)
    for x in _images(rng, LAWS[law][0], p, runs):
        sequence.add(x)
        total = total + x
        value = total / sequence.images  # what is printed holds it too
        half = (np.maximum(sequence.high, value) - np.minimum(sequence.low, value)) / 2
        asked[(asked == 0) & (half <= wanted + 1e-9) & ~sequence.empty] = sequence.images
        if (asked > 0).all():
            break
    return np.where(asked > 0, asked, MOST_IMAGES)


def _images(rng: np.random.Generator, draw: Law, p: float, runs: int) -> Iterator[Array]:
    for _ in range(0, MOST_IMAGES, 100):
        yield from draw(rng, runs, 100, p).T


def fixed_images(law: str, p: float, wanted: float, key: Sequence[int]) -> int:
    """The least number of images at which the default interval has such a half-width on average over 50 runs."""
    draw, edits = LAWS[law]
    means = draw(np.random.default_rng(key), 50, MOST_IMAGES, p)

    def half(n: int) -> float:
        core = rate_core(np.rint(means[:, :n] * edits), np.full(n, float(edits)), n=float(n * edits))
        return float((core.high - core.low).mean() / 2)

    guess = (1.96 / wanted) ** 2 * float(means.var())
    low, high = max(2, int(0.6 * guess)), int(1.6 * guess + 60)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if half(middle) <= wanted else (middle, high)
    return high


def cost_section(runs: int, seed: int) -> Section:
    """What looking costs."""
    some = min(max(100, runs // 40), 500)
    section = Section(
        title="Sequences: what looking costs",
        text="Images that `isr score --until half-width=H` asks, against the least number at which the default interval, planned for a "
        f"fixed number of images, has that half-width on average. {some} runs a cell. Each cell: mean images (90th percentile); fixed n; "
        "how many times as many.",
        header=[
            "law of an image",
            "p",
            "H = 0.1: sequence",
            "fixed n",
            "times",
            "H = 0.05: sequence",
            "fixed n",
            "times",
        ],
    )
    for i, law in enumerate(("1 edit", "5 edits, beta, ICC 0.3", "5 edits, beta, ICC 0.8")):
        for j, p in enumerate((0.03, 0.1, 0.3, 0.5)):
            row = [law, f"{p}"]
            for wanted in (0.1, 0.05):
                asked = stopping(law, p, wanted, some, (seed, 21, i, j))
                fixed = fixed_images(law, p, wanted, (seed, 22, i, j))
                row += [
                    f"{asked.mean():.0f} ({np.quantile(asked, 0.9):.0f})",
                    f"{fixed}",
                    f"{asked.mean() / fixed:.1f}",
                ]
            section.rows.append(row)
    return section


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=20251214)
    args = parser.parse_args()
    from benchmarks.coverage import rendered

    for section in (cost_section(args.runs, args.seed), ever_section(args.runs, args.seed)):
        print("\n".join(rendered(section)), flush=True)


if __name__ == "__main__":
    main()

"""Cells beyond the first ones: very unequal images, undecided edits, methods that fail in different patterns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulating import EQUAL, Section, Tally, blocks, edits, image_rates
from isr.stats.difference import difference_core
from isr.stats.endpoints import PRIOR_ICC, rate_core
from isr.stats.sign_flip import sign_flip_test
from isr.stats.variance import cr2_variance, small_sample


def _log_normal(images: int, mean: float, cv: float) -> NDArray[np.int64]:
    """Sizes at the quantiles of a log-normal distribution, scaled until their coefficient of variation is ``cv``."""
    from scipy.special import ndtri

    z = ndtri((np.arange(images) + 0.5) / images)
    spread = np.linspace(0.1, 3.0, 2_000)
    sizes = [np.maximum(1, np.round(mean * np.exp(s * z) / np.exp(s * z).mean())) for s in spread]
    found: NDArray[np.int64] = min(sizes, key=lambda w: abs(w.std() / w.mean() - cv)).astype(np.int64)
    return found


UNEQUAL: dict[str, NDArray[np.int64]] = {
    "40, log-normal, cv 1.5": _log_normal(40, 5, 1.5),
    "40, one with 40 %": np.array([130] + [5] * 39),
    "25, one with 40 %": np.array([80] + [5] * 24),
    "40, three with 60 %": np.array([93, 93, 92] + [5] * 37),
}


def unequal_cell(name: str, p: float, icc: float, runs: int, key: Sequence[int]) -> Tally:
    rng, tally, sizes = np.random.default_rng(list(key)), Tally(), UNEQUAL[name]
    for block in blocks(runs):
        s = rng.binomial(sizes, image_rates(rng, block, sizes.size, p, icc)).astype(np.float64)
        for label, correction in (("rate (default)", "CR2"), ("rate, CR1 and G - 1", "CR1")):
            found = rate_core(s, sizes, correction=correction)  # type: ignore[arg-type]
            tally.add(label, p, found.low, found.high)
        other = rng.binomial(sizes, image_rates(rng, block, sizes.size, p, icc))
        d, n = s - other, float(sizes.sum())  # two methods whose images differ independently
        second = np.abs(d).sum(axis=1) / n  # at least: pairs of an image that differ both ways are not seen
        mean = d.sum(axis=1) / n
        for label, plain in (("difference (default)", False), ("difference, CR1 and G - 1", True)):
            small = small_sample(sizes, plain=plain)
            prior = max(1 + PRIOR_ICC * (float((sizes**2).sum()) / n - 1), 1.0)
            core = difference_core(mean, second, cr2_variance(d, sizes, small), n, prior, small.df)
            tally.add(label, 0.0, core.low, core.high)
    return tally


def unequal_section(runs: int, seed: int) -> Section:
    watched = ("rate (default)", "difference (default)")
    section = Section(
        title="Very unequal images",
        text="Numbers of edits by image: log-normal with a coefficient of variation of 1.5; 130 (80) beside 5 each; 93, 93 and "
        "92 beside 5 each. The default divides each squared residual by 1 - m/N (CR2) and counts Kish's images less one as "
        "degrees of freedom, and takes the wider of that and of the rules of equal images (CR1 and G - 1, beside it). Difference: two methods of one rate.",
        header=[],
        runs=runs,
        watched=watched,
    )
    for i, name in enumerate(UNEQUAL):
        for p in (0.1, 0.3, 0.5):
            for j, icc in enumerate((0.0, 0.3, 0.6)):
                tally = unequal_cell(name, p, icc, runs, (seed, 7, i, round(1000 * p), j))
                section.header = section.header or ["sizes", "p", "ICC", *tally.hit]
                section.rows.append([name, f"{p}", f"{icc}", *tally.cells()])
                for column in watched:
                    section.watch(tally.score(column), f"{name}, {column}, p = {p}, ICC {icc}")
    return section


UNDECIDED = (0.03, 0.06, 0.1, 0.2)
WHO = ("any edit", "failing edits only", "the others only")


def identified_cell(p: float, icc: float, share: float, who: str, runs: int, key: Sequence[int]) -> Tally:
    """Edits that stay undecided, ``share`` of all, drawn from those that ``who`` says."""
    rng, tally, images, m = np.random.default_rng(list(key)), Tally(), EQUAL.size, int(EQUAL[0])
    for block in blocks(runs):
        y = edits(rng, image_rates(rng, block, images, p, icc), m)
        chance = {WHO[0]: share, WHO[1]: share / p * y, WHO[2]: share / (1 - p) * (1 - y)}[who]
        lost = rng.random(y.shape) < chance
        low, high = ((np.where(lost, end, y)).reshape(block, images, m).sum(axis=2) for end in (0.0, 1.0))
        least, most = rate_core(low, EQUAL), rate_core(high, EQUAL)
        tally.add("identified set (default)", p, least.low, most.high)
        tally.add("bounds alone", p, least.value, most.value)
        n = images * m - lost.sum(axis=1)
        kept = (~lost).reshape(block, images, m).sum(axis=2)
        whole = n > 0
        decided = rate_core(low[whole], np.maximum(kept[whole], 1e-9))
        tally.add("decided edits alone", p, decided.low, decided.high)
    return tally


def identified_section(runs: int, seed: int) -> Section:
    name = "identified set (default)"
    section = Section(
        title="Undecided edits: the interval of the identified set",
        text="40 images x 5 prompts, ICC 0.3; a share of the edits stays undecided, drawn from any, from the failing ones or from "
        "the others. The interval reaches from the lower endpoint with all of them at one extreme to the upper endpoint with "
        "all at the other. Bounds alone are no interval; decided edits alone are one where edits are undecided at random.",
        header=[],
        runs=runs,
        watched=(name,),
    )
    for i, share in enumerate(UNDECIDED):
        for j, p in enumerate((0.3, 0.5, 0.75)):
            for k, who in enumerate(WHO):
                tally = identified_cell(p, 0.3, share, who, runs, (seed, 8, i, j, k))
                section.header = section.header or ["undecided", "p", "who", *tally.hit]
                section.rows.append([f"{share:.0%}", f"{p}", who, *tally.cells()])
                section.watch(tally.score(name), f"{share:.0%} undecided, p = {p}, {who}")
    return section


def patterns_cell(p: float, images: int, iccs: tuple[float, float], runs: int, key: Sequence[int]) -> Tally:
    """Two methods of one rate; ``iccs``: how alike the edits of an image are under each."""
    rng, tally, m = np.random.default_rng(list(key)), Tally(), 5
    sizes = np.full(images, m)
    for block in blocks(runs):
        a, b = (edits(rng, image_rates(rng, block, images, p, icc), m) for icc in iccs)
        d = a - b
        sums = d.reshape(block, images, m).sum(axis=2)
        small = small_sample(sizes)
        variance = cr2_variance(sums, sizes, small)
        core = difference_core(
            d.mean(axis=1), (d * d).mean(axis=1), variance, images * m, 1 + PRIOR_ICC * (m - 1), small.df
        )
        tally.add("difference (default)", 0.0, core.low, core.high)
        place = np.arange(images)
        p_values = np.array([sign_flip_test(row, place).p_value for row in sums])
        tally.add(
            "sign-flip test, not rejected", 1.0, np.where(p_values > 0.05, 0.0, 2.0), np.full(block, 3.0)
        )
    return tally


def patterns_section(runs: int, seed: int) -> Section:
    watched = ("difference (default)", "sign-flip test, not rejected")
    section = Section(
        title="Methods that fail in different patterns",
        text="Two methods of one rate, 5 edits an image, drawn independently: under the first the edits of an image are alike "
        "(ICC), under the second less. The test flips whole images and is exact for exchangeable methods, which these are not "
        "where the ICCs differ. `isr compare` tells design effects that differ twofold.",
        header=["ICCs", "p", "images", *watched],
        runs=runs,
        watched=watched,
    )
    for i, iccs in enumerate(((0.8, 0.8), (0.8, 0.0), (0.6, 0.1))):
        for j, p in enumerate((0.05, 0.1, 0.5, 0.95)):
            for k, images in enumerate((12, 25, 40, 60)):
                tally = patterns_cell(p, images, iccs, runs, (seed, 9, i, j, k))
                own = [tally.score(c) for c in watched]
                section.rows.append(
                    [
                        f"{iccs[0]}, {iccs[1]}",
                        f"{p}",
                        f"{images}",
                        f"{100 * own[0].coverage:.1f} ({own[0].width:.3f})",
                        f"{100 * own[1].coverage:.1f}",
                    ]
                )
                for column, score in zip(watched, own, strict=True):
                    section.watch(score, f"ICCs {iccs[0]} and {iccs[1]}, {column}, p = {p}, {images} images")
    return section

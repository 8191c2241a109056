"""Cells of coefficients: kappa at rare classes, and the area under the curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from benchmarks.simulating import Section, Tally, blocks, edits, image_rates, judged
from isr.calibration.agreement.two_raters import cohen_kappa, gwet_ac1
from isr.stats.discrimination import auc
from isr.stats.jackknife import jackknife_interval

KAPPA_IMAGES, KAPPA_EDITS = (12, 25, 60, 120), 5
PREVALENCES = (0.05, 0.3, 0.95)
JUDGES = ((0.95, 0.6), (0.6, 0.95), (0.85, 0.9))


def kappa_cell(
    prevalence: float, judge: tuple[float, float], images: int, runs: int, key: Sequence[int]
) -> tuple[dict[str, Tally], dict[str, int]]:
    """Tallies of the coefficients, and in how many runs each has no interval."""
    rng, (se, sp) = np.random.default_rng(list(key)), judge
    table = np.array(
        [[(1 - prevalence) * sp, (1 - prevalence) * (1 - sp)], [prevalence * (1 - se), prevalence * se]]
    )
    functions = {"kappa": cohen_kappa, "AC1": gwet_ac1}
    tallies, none = {n: Tally() for n in functions}, dict.fromkeys(functions, 0)
    for block in blocks(runs):
        y = edits(rng, image_rates(rng, block, images, prevalence, 0.3), KAPPA_EDITS)
        j = judged(rng, y, se, sp)
        shape = (block, images, KAPPA_EDITS)
        code = (2 * y + j).reshape(shape)
        cells = np.stack([(code == c).sum(axis=2) for c in range(4)], axis=-1).reshape(block, images, 2, 2)
        tables = cells.astype(np.float64)
        for name, function in functions.items():
            truth = float(function(table))
            whole, rest = function(tables.sum(axis=1)), function(tables.sum(axis=1)[:, None] - tables)
            for value, replicates in zip(whole, rest, strict=True):
                low, high, _ = jackknife_interval(float(value), replicates)
                if not np.isfinite(value) or low is None or high is None:
                    none[name] += 1
                else:
                    tallies[name].add(name, truth, np.array([low]), np.array([high]))
    return tallies, none


def kappa_section(runs: int, seed: int) -> Section:
    section = Section(
        title="Agreement of judge and people at rare classes",
        text="5 edits an image, ICC 0.3; the judge's sensitivity and specificity. Jackknife over images on Fisher's scale, with "
        "the degrees of freedom that the spread of the replicates tells. In brackets: mean width; share of runs without an "
        "interval, which are in no coverage.",
        header=["prevalence", "judge", "images", "kappa", "AC1"],
        runs=runs,
        watched=("kappa", "AC1"),
    )
    for i, prevalence in enumerate(PREVALENCES):
        for j, judge in enumerate(JUDGES):
            for k, images in enumerate(KAPPA_IMAGES):
                tallies, none = kappa_cell(prevalence, judge, images, runs, (seed, 10, i, j, k))
                cells = []
                for name, tally in tallies.items():
                    score = tally.score(name)
                    cells.append(f"{100 * score.coverage:.1f} ({score.width:.3f}; {none[name] / runs:.0%})")
                    section.watch(
                        score,
                        f"{name}, prevalence {prevalence}, judge {judge[0]}/{judge[1]}, {images} images",
                    )
                section.rows.append([f"{prevalence}", f"{judge[0]}/{judge[1]}", f"{images}", *cells])
    return section


def auc_cell(strength: float, images: int, runs: int, key: Sequence[int]) -> Tally:
    """A metric that shares an image effect with the outcome: ``strength`` is its shift for an immunized edit."""
    rng, tally, m = np.random.default_rng(list(key)), Tally(), 5
    # score of an immunized edit minus that of another one: shift s, variance 2 (0.5 + 0.5)
    truth = float(ndtr(strength / 2**0.5))
    for _ in range(runs):
        y = edits(rng, image_rates(rng, 1, images, 0.5, 0.3), m)[0]
        image = np.repeat(np.arange(images), m)
        x = strength * y + 0.5**0.5 * (rng.normal(size=images)[image] + rng.normal(size=y.size))
        found = auc(x, y, image)  # type: ignore[arg-type]
        if found.low is not None and found.high is not None:
            tally.add("AUC (default)", truth, np.array([found.low]), np.array([found.high]))
    return tally


def auc_section(runs: int, seed: int) -> Section:
    section = Section(
        title="Area under the curve",
        text="5 edits an image, half of them immunized (ICC 0.3); a metric with an image effect of its own, shifted for immunized "
        "edits. Jackknife over images on the logit.",
        header=["AUC", "images", "AUC (default)"],
        runs=runs,
        watched=("AUC (default)",),
    )
    for i, strength in enumerate((0.0, 1.0, 2.5)):
        for k, images in enumerate((12, 25, 40)):
            tally = auc_cell(strength, images, runs, (seed, 11, i, k))
            score = tally.score("AUC (default)")
            section.rows.append([f"{float(ndtr(strength / 2**0.5)):.2f}", f"{images}", *tally.cells()])
            section.watch(score, f"AUC {float(ndtr(strength / 2**0.5)):.2f}, {images} images")
    return section

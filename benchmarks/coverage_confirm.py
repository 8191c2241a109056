"""Two methods and a judge that may err differently on them: corrected differences, the judge's quality, planned power."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulating import Array, Section, Tally, blocks, judged, pick, two_methods
from isr.calibration.correction.core import Core, bounded, linear
from isr.calibration.correction.post_stratified import post_stratified_core
from isr.calibration.correction.ppi import ppi_core
from isr.calibration.correction.quality import (
    Strata,
    j_within,
    linear_within,
    quality_cores,
    quality_gap_core,
    stratify,
)
from isr.stats.difference import difference_core
from isr.stats.label_planning import PairedVerdicts, corrected_power
from isr.stats.variance import cr1_variance

JUDGES = {
    "alike": ((0.85, 0.90), (0.85, 0.90)),
    "worse on A": ((0.70, 0.90), (0.90, 0.90)),
    "kind to A": ((0.95, 0.75), (0.80, 0.95)),
}
IMAGES, EDITS = 40, 5


def corrected_difference_cell(
    p_a: float, p_b: float, judge: str, v_image: float, labels: int, runs: int, key: Sequence[int]
) -> Tally:
    rng, tally, truth, images, m = np.random.default_rng(list(key)), Tally(), p_a - p_b, 40, 5
    starts = np.arange(0, images * m, m)
    for block in blocks(runs):
        a, b = two_methods(rng, block, images, m, p_a, p_b, v_image)
        ja, jb = (judged(rng, y, *q) for y, q in zip((a, b), JUDGES[judge], strict=True))
        d, f = a - b, ja - jb
        marks = pick(rng, np.ones(a.shape, dtype=bool), labels)
        mean = f.mean(axis=1)
        variance = cr1_variance(f.reshape(block, images, m).sum(axis=2), np.full(images, m))
        raw = difference_core(mean, (f * f).mean(axis=1), variance, images * m, 3.0, images - 1.0)
        tally.add("judge as it is", truth, raw.low, raw.high)
        tally.add("PPI++ (default)", truth, *linear(ppi_core(f, d, marks, starts, prior=0.0)))
        cell = (2 * ja + jb).astype(np.int64)
        core = post_stratified_core(cell, d, marks, starts, 4, prior=0.0)
        ok = np.isfinite(core.value)
        low, high = linear(Core(*(x[ok] for x in core)))
        tally.add("post-stratified on the four cells", truth, low, high)
    return tally


def corrected_difference_section(runs: int, seed: int) -> Section:
    section = Section(
        title="Corrected difference of two methods, judge errors that differ between methods",
        text="40 images x 5 prompts, 80 units labelled at random on both outputs.",
        header=[],
        runs=runs,
        watched=("PPI++ (default)",),
    )
    cells = [
        (pa, pb, judge, v)
        for judge in JUDGES
        for pa, pb in ((0.05, 0.05), (0.3, 0.3), (0.5, 0.7))
        for v in (0.1, 0.6)
    ]
    for c, (pa, pb, judge, v) in enumerate(cells):
        tally = corrected_difference_cell(pa, pb, judge, v, 80, runs, (seed, 6, c))
        section.header = section.header or ["judge", "rates", "image share", *tally.hit]
        section.rows.append([judge, f"{pa} - {pb}", f"{v}", *tally.cells()])
        section.watch(tally.score("PPI++ (default)"), f"judge {judge}, {pa} - {pb}, image share {v}")
    return section


def quality_cell(
    rates: tuple[float, float], judge: str, strata: Strata, labels: int, runs: int, key: Sequence[int]
) -> Tally:
    """Sensitivity, specificity and J of the first method, and the difference in J, of labels drawn at random or in the cells."""
    rng, tally, starts = np.random.default_rng(list(key)), Tally(), np.arange(0, IMAGES * EDITS, EDITS)
    (sensitivity, specificity), (other_sensitivity, other_specificity) = JUDGES[judge]
    j = sensitivity + specificity - 1
    for block in blocks(runs):
        a, b = two_methods(rng, block, IMAGES, EDITS, *rates, 0.3)
        ja, jb = (judged(rng, y, *q) for y, q in zip((a, b), JUDGES[judge], strict=True))
        if strata == "own":
            marks = pick(rng, np.ones(a.shape, dtype=bool), labels)
        else:
            cell = 2 * ja + jb
            marks = np.any([pick(rng, cell == c, labels // 4) for c in range(4)], axis=0)
        both, hits = stratify(ja, jb, strata)
        cores = quality_cores(both[0], hits[0], a, marks, starts)
        gap = quality_gap_core(both, hits, (a, b), marks, starts)
        for name, truth, core, ends in (
            ("sensitivity", sensitivity, cores.sensitivity, bounded(cores.sensitivity)),
            ("specificity", specificity, cores.specificity, bounded(cores.specificity)),
            ("J", j, cores.j, j_within(cores)),
            (
                "difference in J",
                j - (other_sensitivity + other_specificity - 1),
                gap,
                linear_within(gap, 2.0),
            ),
        ):
            known = np.isfinite(core.value)
            tally.add(name, truth, ends[0][known], ends[1][known])
    return tally


def quality_section(runs: int, seed: int) -> Section:
    watched = ("sensitivity", "specificity", "J", "difference in J")
    section = Section(
        title="How good the judge is on each of two methods",
        text="40 images x 5 prompts, image share .3; 80 units labelled on both outputs, at random or 20 in each of the four cells "
        "of the two verdicts. J = sensitivity + specificity - 1 of the first method; the difference in J is what decides "
        "whether one calibration may serve both.",
        header=["judge", "rates", "labels", *watched],
        runs=runs,
        watched=watched,
    )
    rates = ((0.1, 0.1), (0.3, 0.3), (0.5, 0.7))
    cells = [(j, r, s) for j in JUDGES for r in rates for s in ("own", "cells")]
    for c, (judge, pair, strata) in enumerate(cells):
        tally = quality_cell(pair, judge, strata, 80, runs, (seed, 31, c))  # type: ignore[arg-type]
        drawn = "random" if strata == "own" else "in the cells"
        section.rows.append([judge, f"{pair[0]} - {pair[1]}", drawn, *tally.cells()])
        for name in watched:
            section.watch(tally.score(name), f"{name}, judge {judge}, {pair[0]} - {pair[1]}, {drawn}")
    return section


def _moments(f: Array, images: int) -> tuple[float, float]:
    """Variance of paired differences of verdicts, and its part between images beyond chance, over all runs."""
    parts: NDArray[np.float64] = f.reshape(f.shape[0], images, -1)
    m = parts.shape[2]
    means = parts.mean(axis=2)
    between = m * means.var(axis=1, ddof=1)
    within = ((parts - means[..., None]) ** 2).sum(axis=(1, 2)) / (images * (m - 1))
    return float(f.var(axis=1).mean()), float((between - within).mean() / m)


POWER_CELLS = (
    ((0.6, 0.4), (0.85, 0.90), 0.3, 40, 5, 70),
    ((0.6, 0.4), (0.85, 0.90), 0.3, 40, 10, 60),
    ((0.5, 0.3), (0.90, 0.90), 0.6, 60, 5, 60),
    ((0.5, 0.35), (0.80, 0.80), 0.1, 80, 5, 120),
    ((0.2, 0.05), (0.85, 0.90), 0.3, 40, 5, 60),
    ((0.5, 0.4), (0.95, 0.90), 0.3, 100, 5, 200),
    ((0.5, 0.5), (0.85, 0.90), 0.3, 40, 5, 80),
)


def power_cell(cell: int, runs: int, key: Sequence[int]) -> tuple[float, float]:
    """(planned, simulated) power of the corrected difference."""
    rates, quality, share, images, m, labels = POWER_CELLS[cell]
    rng, starts = np.random.default_rng(list(key)), np.arange(0, images * m, m)
    shown, moments, immunized = 0, [], []
    for block in blocks(runs):
        a, b = two_methods(rng, block, images, m, *rates, share)
        ja, jb = (judged(rng, y, *quality) for y in (a, b))
        marks = pick(rng, np.ones(a.shape, dtype=bool), labels)
        low, high = linear(ppi_core(ja - jb, a - b, marks, starts, prior=0.0))
        shown += int(((low > 0) | (high < 0)).sum())
        moments.append(_moments(ja - jb, images))
        immunized.append((float(ja.mean()), float(jb.mean())))
    variance, between = np.mean(moments, axis=0)
    first, second = np.mean(immunized, axis=0)
    known = PairedVerdicts(
        immunized=(first, second), variance=variance, between=between, units=images * m, images=images,
        sensitivity=quality[0], specificity=quality[1],
    )  # fmt: skip
    gap = rates[0] - rates[1]
    return (corrected_power(gap, labels, known) if gap else 0.05), shown / runs


def power_section(runs: int, seed: int) -> Section:
    section = Section(
        title="Planned power of a corrected difference",
        text="What `isr plan --label-difference` promises from what the verdicts show (their shares, the variance of their paired "
        "differences, its part between images) and from the judge's quality, beside the share of simulated studies whose corrected "
        "difference excludes 0. Power, in %; the last row has no difference, and 5 is the level.",
        header=[
            "rates",
            "sensitivity, specificity",
            "image share",
            "units",
            "labelled",
            "planned",
            "simulated",
        ],
        runs=runs,
    )
    for c, (rates, quality, share, images, m, labels) in enumerate(POWER_CELLS):
        planned, simulated = power_cell(c, runs, (seed, 32, c))
        section.rows.append([
            f"{rates[0]} - {rates[1]}", f"{quality[0]}, {quality[1]}", f"{share}", f"{images} x {m}", f"{labels}",
            f"{100 * planned:.1f}", f"{100 * simulated:.1f}",
        ])  # fmt: skip
    return section

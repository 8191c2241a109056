"""ISR against the measured distortion of the protected images: their PSNR, as a mean over images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from isr.report.plots.canvas import Drawn, NoFigure
from isr.report.plots.captions import caption, intervals, sizes
from isr.report.plots.curves import (
    Panel,
    Point,
    Series,
    control_told,
    curve_figure,
    named_sizes,
    panels_of,
    series_of,
)
from isr.report.plots.forest import told_open
from isr.report.runs import ReportRun, spelt
from isr.scoring.finished import contenders
from isr.text import counted

COLUMN = "protected_psnr"
AXIS = "PSNR of the protected images (dB)"
MOST_DB = 1000.0  # beyond which a number is no PSNR of pictures


@dataclass(frozen=True)
class Distortion:
    """The PSNR (dB) of a treatment's protected images: mean of the finite ones, and how many are of each kind."""

    mean: float | None
    finite: int
    same: int  # infinite: the protected image is the source
    missing: int


def distortion(run: ReportRun, treatment: tuple[str, ...]) -> Distortion:
    """Of one treatment (as ``spelt``): one number for each image, as ``isr compare`` takes them."""
    for one in contenders([run.finished]):
        if spelt(one.treatment) == treatment:
            found = one.measured(COLUMN)
            images = len({unit.image_id for unit in one.edits})
            finite = [x for x in found if abs(x) <= MOST_DB]
            mean = math.fsum(finite) / len(finite) if finite else None
            same = found.count(math.inf)
            return Distortion(mean, len(finite), same, images - len(finite) - same)
    return Distortion(None, 0, 0, 0)


def distortions(runs: Sequence[ReportRun]) -> tuple[list[Series], dict[Point, Distortion], list[Panel]]:
    """The methods, the distortion of each treatment, and what each instrument says of them.

    Raises ``NoFigure`` where no treatment has a finite PSNR.
    """
    every = series_of(runs)
    measured = {p: distortion(p.run, spelt(p.treatment)) for s in every for p in s.points}
    panels = panels_of(runs, every, lambda p: measured[p].mean)
    if not panels:
        raise NoFigure(
            "every protected image that was measured is its source (infinite PSNR)"
            if any(d.same for d in measured.values())
            else "no PSNR of protected images was measured: the metadata names no protected images, or no sources"
        )
    return every, measured, panels


def draw(runs: Sequence[ReportRun]) -> Drawn:
    """The figure. Raises ``NoFigure`` where no treatment has a finite PSNR."""
    every, measured, panels = distortions(runs)
    figure, drawn = curve_figure(panels, AXIS, dodge=False)
    places = [x for panel in panels for c in panel.curves for x, _ in c.points]
    low, high = min(places), max(places)
    room = max(0.08 * (high - low), 0.5)
    for axes in drawn:
        axes.set_xlim(low - room, high + room)
        axes.locator_params(axis="x", nbins=6)
    shown = (
        "Immunization Success Rate (ISR) against the distortion of the protected images: their PSNR beside the sources in dB, the mean over "
        f"images (to the right is less visible). Vertical lines: {intervals(runs)}."
    )
    curves = [c for panel in panels for c in panel.curves]
    if any(len(c.points) > 1 for c in curves):
        shown += " A line joins the budgets of one method."
    shown += control_told(panels)
    rows = [row for c in curves for _, row in c.points]
    told = dict.fromkeys(_left_out(s.label, p, measured[p]) for s in every for p in s.points)
    kept = [s for s in every if any(measured[p].mean is not None for p in s.points)]
    return Drawn(figure, caption(runs, shown + told_open(rows) + "".join(told), sizes(named_sizes(kept))))


def _left_out(label: str, point: Point, found: Distortion) -> str:
    """What infinite and missing numbers a treatment has, in a sentence."""
    parts = []
    if found.same:
        parts.append(f"{counted(found.same, 'image')} equal to the source (infinite PSNR)")
    if found.missing:
        parts.append(f"{counted(found.missing, 'image')} without a measurement")
    if not parts:
        return ""
    name = f"{label}, eps {point.word}" if point.word else label
    end = "not in the mean" if found.mean is not None else "the method is not shown"
    return f" {name}: {' and '.join(parts)}; {end}."

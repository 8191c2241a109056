"""Writes the figures of runs, each as SVG, PDF and PNG, with ``captions.txt`` beside them; ``isr report --figures``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isr.errors import IsrError
from isr.files import write_together
from isr.report.plots import agreement, budget, comparison, decomposition, distortion, forest
from isr.report.plots.canvas import FORMATS, Drawn, NoFigure, rendered, settings
from isr.report.runs import ReportRun

CAPTIONS = "captions.txt"
Make = Callable[[Sequence[ReportRun], Path | None], Drawn]
FIGURES: Mapping[str, Make] = {
    "forest": lambda runs, labels: forest.draw(runs),
    "decomposition": lambda runs, labels: decomposition.draw(runs),
    "comparison": lambda runs, labels: comparison.draw(runs),
    "budget": lambda runs, labels: budget.draw(runs),
    "distortion": lambda runs, labels: distortion.draw(runs),
    "agreement": lambda runs, labels: agreement.draw(runs, labels),
}


@dataclass(frozen=True)
class Figures:
    """What was written, and why each of the other figures was not, by its name. ``files``: figures, then captions."""

    files: tuple[Path, ...]
    missing: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """The figures that were written."""
        return [name for name in FIGURES if self.files and name not in self.missing]


def write_figures(runs: Sequence[ReportRun], out: Path, labels: Path | None = None) -> Figures:
    """Writes every figure that these runs allow into the folder ``out``; the same runs give the same bytes.

    labels: a file of people's labels, by default the one beside a run. Raises ``InputError`` for a file of labels that cannot
    be read where it was given, ``MissingExtraError`` without matplotlib; writes nothing where no figure can be made.
    """
    contents: dict[Path, bytes] = {}
    captions: list[str] = []
    missing: dict[str, str] = {}
    with settings():
        for name, make in FIGURES.items():
            try:
                drawn = make(runs, labels)
            except NoFigure as error:
                missing[name] = str(error)
                continue
            except IsrError as error:
                if labels is not None:
                    raise
                missing[name] = str(error)
                continue
            contents |= {out / f"{name}.{ending}": data for ending, data in rendered(drawn.figure).items()}
            captions.append(f"{name}: {drawn.caption}")
    if contents:
        contents[out / CAPTIONS] = ("\n\n".join(captions) + "\n").encode()
        out.mkdir(parents=True, exist_ok=True)
        write_together(contents)
    return Figures(tuple(contents), {name: why + _stale(out, name) for name, why in missing.items()})


def _stale(out: Path, name: str) -> str:
    """That files of this name lie there from before."""
    left = [f"{name}.{ending}" for ending in FORMATS if (out / f"{name}.{ending}").exists()]
    return f" ({', '.join(left)} in {out} are from before)" if left else ""

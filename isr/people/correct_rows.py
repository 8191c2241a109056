"""What a correction by labels is made of: its settings, its rows of judge and people, its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.correction.by_design import Estimator
from isr.calibration.correction.rogan_gladen import CalibrationDesign
from isr.calibration.transport import Homogeneity
from isr.people.agree import column_of, image_of
from isr.people.judgements import Judgements
from isr.people.labels import Consensus, Labels, consensus
from isr.stats.rows import Interval
from isr.text import rate_with_interval, summary
from isr.types import Bools, Floats, Ints

Design = Literal["random", "within_verdict", "external"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How labels were drawn and joined, and how to estimate."""

    design: Design
    consensus: Consensus = "majority"
    estimator: Estimator = "auto"
    by: str = "editor"
    level: float = 0.95
    seed: int = 0
    pool_guidelines: bool = False
    allow_unmatched: bool = (
        False  # labels of edits that the run has not are of other experiments: leave them out
    )
    drawn: CalibrationDesign | None = None  # design external: how the labelled edits were chosen


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One rate: the judge's and the people's. ``bounds``: all undecided edits at one extreme, then the other;
    ``identified``: an interval of that set, the share of undecided edits at its upper endpoint: conservative.

    ``corrected`` is ``None`` where the guard refuses; ``refused`` says why.
    """

    rate: str
    raw: Interval
    corrected: Interval | None
    refused: str
    bounds: tuple[float, float] | None
    sensitivity: Interval
    specificity: Interval
    labels: int
    undecided: int
    homogeneity: tuple[Homogeneity, ...] = ()
    identified: tuple[float, float] | None = None


@dataclass(frozen=True)
class CorrectionReport:
    """All that ``isr calibrate`` says about rates."""

    signature: str
    rates: Mapping[str, Correction]
    warnings: tuple[str, ...] = ()
    controls: Mapping[str, Correction] = field(
        default_factory=dict
    )  # of the control edits, where they have labels

    def __repr__(self) -> str:
        lines = ["the judge's rates and what people would have said"]
        for c in self.rates.values():
            people = f"refused: {c.refused}" if c.corrected is None else rate_with_interval(c.corrected)
            lines.append(f"  {c.rate}: {rate_with_interval(c.raw)}; corrected by {c.labels} labels: {people}")
        if self.controls:
            lines.append(f"  of the control edits too: controls ({', '.join(self.controls)})")
        if self.warnings:
            lines.append(f"  {len(self.warnings)} warning(s): warnings")
        return summary("CorrectionReport", [*lines, f"  {self.signature}"])

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON; without labels of control edits it has no ``controls``."""
        made = {"schema": "isr.correction/1", **asdict(self)}
        if not self.controls:
            del made["controls"]
        return made


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The edits that a judge has answers for: codes of judge and people (-1 undecided or none), image, group."""

    edits: tuple[str, ...]
    judge: Ints
    human: Ints
    image: np.ndarray
    group: np.ndarray
    pi: Floats
    drawn: CalibrationDesign | None = None  # how labels of another experiment were chosen

    def take(self, keep: Bools) -> Rows:
        edits = tuple(e for e, k in zip(self.edits, keep, strict=True) if k)
        return Rows(
            edits=edits,
            judge=self.judge[keep],
            human=self.human[keep],
            image=self.image[keep],
            group=self.group[keep],
            pi=self.pi[keep],
            drawn=self.drawn,
        )


def rows_of(
    judgements: Judgements,
    labels: Labels,
    question: str,
    settings: Settings,
    edits: Sequence[str] | None = None,
) -> Rows:
    """One row per edit of the judge (or of ``edits``)."""
    chosen = tuple(sorted(judgements.edits) if edits is None else edits)
    codes = [judgements.code(question, e) for e in chosen]
    first = labels.first
    return Rows(
        edits=chosen,
        judge=np.array([MISSING if c is None else c for c in codes], np.int64),
        human=consensus(labels.codes(chosen, question), settings.consensus),
        image=np.array([image_of(e, labels, [judgements]) for e in chosen], np.str_),
        group=np.array([column_of(e, settings.by, labels, [judgements]) for e in chosen], np.str_),
        pi=np.array(
            [p if e in first and (p := first[e].pi) is not None else np.nan for e in chosen], np.float64
        ),
    )

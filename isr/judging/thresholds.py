"""Calibration files: a threshold on scores, learnt from people, in place of a rubric's own decision.

A file is bound to one judge's identity and to the rubric of each question; it is refused for any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from isr.calibration.scores import Isotonic, Platt
from isr.canonical import sha256_json, short
from isr.errors import InputError, UsageError
from isr.files import write_text
from isr.judging.cards import Card
from isr.judging.field_errors import field_errors
from isr.judging.rubrics import Rubric
from isr.reading import MAX_TOML, Unreadable, read_text, toml_of
from isr.types import AnswerReason, Question, Value, Verdict

SCHEMA = "isr.calibration/1"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Decision(_Part):
    """How one question's score becomes a verdict: ``fails`` where its probability reaches the threshold.

    ``isotonic``: probabilities at scores, linear in between, constant outside. ``platt``: ``expit(slope * score
    + intercept)``. ``learned_on`` and ``report`` say what the choice rests on and have no part in it.
    """

    rubric: str
    rubric_digest: str
    map: Literal["isotonic", "platt"]
    threshold: float = Field(ge=0, le=1)
    scores: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    slope: float = 0.0
    intercept: float = 0.0
    learned_on: dict[str, Any] = Field(default_factory=dict)
    report: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> Decision:
        if self.map == "isotonic" and not 0 < len(self.scores) == len(self.probabilities):
            raise ValueError("as many probabilities as scores, and one at least, of an isotonic map")
        if list(self.scores) != sorted(set(self.scores)):
            raise ValueError("scores that rise")
        return self

    def probability(self, score: float) -> float:
        """Probability that people say ``fails``."""
        if self.map == "isotonic":
            fit: Isotonic | Platt = Isotonic(np.array(self.scores), np.array(self.probabilities))
        else:
            fit = Platt(self.slope, self.intercept, True)
        return float(fit(np.array([score]))[0])

    @property
    def choice(self) -> dict[str, Any]:
        """What decides."""
        return self.model_dump(mode="json", exclude={"learned_on", "report"})


class _File(_Part):
    schema_: str = Field(alias="schema")
    judge: str
    judge_digest: str
    semantic: Decision | None = None
    perceptual: Decision | None = None


@dataclass(frozen=True)
class Recalibration:
    """The content of a calibration file."""

    judge: str
    judge_digest: str
    decisions: Mapping[Question, Decision] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Digest of what decides, as named in a run's signature."""
        chosen = {q.value: d.choice for q, d in self.decisions.items()}
        return sha256_json({"judge": self.judge_digest, **chosen})

    def apply(self, question: Question, verdict: Verdict) -> Verdict:
        """The verdict by the threshold on its score. Undecided stays undecided, unless it waited for a threshold."""
        decision = self.decisions.get(question)
        lost = verdict.value is Value.UNDECIDED and verdict.reason != AnswerReason.UNCALIBRATED
        if decision is None or lost or verdict.score is None:
            return verdict
        fails = decision.probability(verdict.score) >= decision.threshold
        return replace(verdict, value=Value.FAILS if fails else Value.FINE, reason="")


def read_recalibration(path: Path) -> Recalibration:
    """The calibration in a file. Raises ``InputError`` with every problem at once."""
    return parse_recalibration(calibration_text(path), str(path))


def calibration_text(path: Path) -> str:
    """The text of a calibration file. Raises ``InputError`` if it cannot be read."""
    try:
        return read_text(path, MAX_TOML)
    except Unreadable as error:
        raise InputError(
            f"{path}: expected a calibration file; found {error.found}; make it with isr calibrate --out"
        ) from error


def parse_recalibration(text: str, path: str) -> Recalibration:
    """The calibration in a text; ``path`` says where it is from. Raises ``InputError`` with every problem at once."""
    try:
        content = toml_of(text)
        raw = _File.model_validate(content)
    except Unreadable as error:
        raise InputError(
            f"{path}: expected a calibration file; found {error.found}; make it with isr calibrate --out"
        ) from error
    except ValidationError as error:
        problems = field_errors(error, content, _File, Path(path).name, "make it again")
        raise InputError(f"{path}: {len(problems)} problem(s)", problems) from None
    decisions = {q: d for q in Question if (d := getattr(raw, q.value)) is not None}
    if raw.schema_ != SCHEMA or not decisions:
        raise InputError(
            f"{path}: expected a calibration of version {SCHEMA} for a question; found none; make it again"
        )
    return Recalibration(raw.judge, raw.judge_digest, decisions)


def write_recalibration(path: Path, found: Recalibration) -> None:
    """Writes a calibration file (TOML)."""
    lines = [
        f"schema = {_toml(SCHEMA)}",
        f"judge = {_toml(found.judge)}",
        f"judge_digest = {_toml(found.judge_digest)}",
    ]
    for question, decision in found.decisions.items():
        whole = decision.model_dump(mode="json")
        plain = {k: v for k, v in whole.items() if not isinstance(v, dict)}
        if decision.map == "isotonic":
            plain = {k: v for k, v in plain.items() if k not in ("slope", "intercept")}
        else:
            plain = {k: v for k, v in plain.items() if k not in ("scores", "probabilities")}
        lines += ["", f"[{question.value}]", *(f"{k} = {_toml(v)}" for k, v in plain.items())]
        for table in ("learned_on", "report"):
            entries = [f"{k} = {_toml(v)}" for k, v in whole[table].items() if v is not None]
            if entries:
                lines += ["", f"[{question.value}.{table}]", *entries]
    write_text(path, "\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    """A text, number or list in TOML; JSON's spelling of these is TOML's."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def require_match(
    found: Sequence[Recalibration], members: Sequence[Card], rubrics: Mapping[Question, Rubric]
) -> None:
    """Raises ``UsageError`` unless each calibration is of a judge and of rubrics that this run uses."""
    known = {c.digest: c.name for c in members}
    for one in found:
        if one.judge_digest not in known:
            now = ", ".join(f"{name} {short(digest)}" for digest, name in known.items())
            raise UsageError(
                f"--calibration: expected a calibration of this run's judge ({now}); found one of {one.judge} "
                f"{short(one.judge_digest)}; a threshold holds for one judge with its settings: calibrate this one"
            )
        for question, decision in one.decisions.items():
            if decision.rubric_digest != rubrics[question].digest:
                raise UsageError(
                    f"--calibration: expected a calibration for {rubrics[question].name} "
                    f"({short(rubrics[question].digest)}); found one for {decision.rubric} "
                    f"({short(decision.rubric_digest)}); score with that rubric, or calibrate for this one"
                )
    digests = [one.judge_digest for one in found]
    if len(set(digests)) < len(digests):
        raise UsageError("--calibration: expected one file per judge; found two for one judge; drop one")


def uncalibrated(
    found: Sequence[Recalibration], members: Sequence[Card], rubrics: Mapping[Question, Rubric]
) -> list[str]:
    """A line for each judge whose scores wait for a threshold that none of the calibrations gives."""
    lines = []
    for card in members:
        own = next((f for f in found if f.judge_digest == card.digest), None)
        known = {} if own is None else own.decisions
        waiting = [r.name for q, r in rubrics.items() if q not in known and _has_no_threshold(r)]
        if waiting:
            lines.append(
                f"{card.name}: no threshold for {', '.join(waiting)}: its scores have no meaning of their own, and no edit "
                f"is decided by them. They are kept; label edits drawn at random (isr label), learn a threshold from "
                f"them (isr calibrate RUN --labels LABELS --design random --out cal.toml), then score again with "
                f"--calibration cal.toml, which asks nobody"
            )
    return lines


def _has_no_threshold(rubric: Rubric) -> bool:
    return rubric.decision is not None and rubric.decision.fails_below is None

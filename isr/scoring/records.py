"""The records of a result, as they stand in ``result.json``: plain dictionaries whose fields are known."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from isr.types import Estimate


class UndecidedCount(TypedDict):
    """How many edits one judge left undecided for one reason."""

    arm: str
    question: str
    judge: str
    reason: str
    n: int


class Counts(TypedDict):
    """Edits of a part. ``headline``: ``bounds`` where too many are undecided for a value to speak for all."""

    edits: int
    decided: int
    undecided: list[UndecidedCount]
    headline: Literal["value", "bounds"]
    refused: NotRequired[int]  # edits that an editor refused to make: none of the edits, and never judged


class SkippedRow(TypedDict):
    """A field of a row of the metadata that was left out."""

    edit_id: str
    field: str


class DataRecord(TypedDict):
    """The edit directory: the digest of what was evaluated, and how much of it."""

    digest: str
    edits: int
    of: int
    controls: int
    images: int
    skipped: list[SkippedRow]


class UntilRecord(TypedDict):
    """What became of a run's rule to stop: ``images`` of ``of`` count. ``left``: requests without an answer, where it is not finished."""

    half_width: float
    order_seed: int
    treatments: int
    met: bool
    images: int
    of: int
    left: NotRequired[int]


class JudgeRecord(TypedDict):
    """One judge: its card's name, its identity in full, and the models that answered under it."""

    name: str
    digest: str
    backend: str
    model: str
    revision: str
    deployment: str
    decoding: dict[str, Any]
    images: dict[str, Any]
    engine: dict[str, Any]
    plugin: NotRequired[dict[str, str]]
    reported_models: list[str]


class PictureRemark(TypedDict):
    """What was seen in the pictures against their roles and ids: ``isr.edits.pictures.Finding``."""

    kind: str
    level: str
    who: str
    n: int
    of: int
    examples: list[str]
    text: str


class AnsweredRemark(TypedDict):
    """What the answers under one judge's name say about who gave them. ``level``: ``note`` (can be honest) or ``warning``."""

    level: str
    judge: str
    text: str


class RubricRecord(TypedDict):
    """One rubric: its name with its version, the question that it asks, the digest of its text."""

    name: str
    question: str
    digest: str


class Reliability(TypedDict):
    """How well repeats of one judge and question agree (docs/statistics.md)."""

    judge: str
    question: str
    repeats: int
    measures: str
    not_unanimous: Estimate
    flip_rate: Estimate
    alpha: Estimate
    edits: int
    noise_share: float | None
    voting_share: float | None
    advice: str
    notes: list[str]

"""The values that flow through the package: frozen, pure, without identity or effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isr.errors import TransportReason
from isr.signature import Signature

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Question(StrEnum):
    """What a judge is asked about one edit; ``fails`` always speaks against the editor."""

    SEMANTIC = "semantic"
    PERCEPTUAL = "perceptual"


class Arm(StrEnum):
    """Which edit of a unit: made from the protected image, or from the unprotected source."""

    PROTECTED = "protected"
    CONTROL = "control"


class Tri(IntEnum):
    """Kleene's three values, as small integers."""

    NO = 0
    YES = 1
    UNKNOWN = -1


class Value(StrEnum):
    """What a judge's answer to one question says."""

    FAILS = "fails"
    FINE = "fine"
    UNDECIDED = "undecided"


class Finish(StrEnum):
    """How a judge's reply ended. A reply that ended in any ``OTHER`` way counts as complete."""

    STOP = "stop"
    LENGTH = "length"  # cut off: undecided (``truncated``)
    CONTENT_FILTER = "content_filter"
    REJECTED = "rejected"  # the host takes others of this judge's requests, and never this one
    TOO_LONG = "too_long"  # the request has more tokens than the model takes
    OTHER = "other"


_FINISHES = tuple(Finish)


class AnswerReason(StrEnum):
    """Why a completed answer leaves a question undecided; it is terminal."""

    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    NOT_JSON = "not_json"
    MISSING_FIELD = "missing_field"
    OFF_SCALE = "off_scale"
    CONTRADICTION = "contradiction"
    REQUEST_REJECTED = "request_rejected"  # the host refused this request for good, and answered others
    PROMPT_TOO_LONG = "prompt_too_long"  # it has more tokens than the model takes
    ABORTED = "aborted"  # the host ended the reply by an error, an abort or a call of a tool
    UNCALIBRATED = (
        "uncalibrated"  # a score on a scale whose threshold is learnt from people, and none is given
    )


class PanelReason(StrEnum):
    """Why a panel whose members all decided is undecided."""

    TIE = "panel_tie"


class PeopleReason(StrEnum):
    """Why people's labels leave a question undecided."""

    CANNOT_TELL = "cannot_tell"  # no rater answers it
    RATERS_TIE = "raters_tie"  # as many say fails as say fine


class StoreReason(StrEnum):
    """Why an answer that was kept leaves a question undecided."""

    DAMAGED = "damaged"  # its digest does not hold, or it cannot be read


Reason = AnswerReason | TransportReason | PanelReason | PeopleReason | StoreReason
_REASONS: Mapping[str, Reason] = {
    **{r.value: r for r in AnswerReason},
    **{r.value: r for r in TransportReason},
    **{r.value: r for r in PanelReason},
    **{r.value: r for r in PeopleReason},
    **{r.value: r for r in StoreReason},
}


def reason_of(word: str) -> Reason:
    """The undecided reason that a word names. Raises ``ValueError`` for any other word."""
    found = _REASONS.get(word)
    if found is None:
        raise ValueError(f"reason: expected one of {', '.join(_REASONS)}; found {word!r}")
    return found


class Unit(NamedTuple):
    """What a comparison pairs on."""

    image_id: str
    prompt_id: str
    editor: str
    seed: str
    purifier: str


class Treatment(NamedTuple):
    """What was done to the source before the edit."""

    method: str
    config: str
    eps: str
    surrogate: str


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image file of an edit directory: its relative path and the SHA-256 of the file's bytes."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One row of an edit directory, with its files digested and its defaults filled in."""

    edit_id: str
    prompt: str
    unit: Unit
    treatment: Treatment
    edited: ImageRef
    source: ImageRef | None = None
    control: ImageRef | None = None
    protected: ImageRef | None = None
    split: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def cluster(self) -> str:
        """The image that this edit shares with other edits; intervals are clustered on it."""
        return self.unit.image_id

    def column(self, name: str) -> str:
        """The value of a column by which results can be grouped; ``""`` where the row has none."""
        if name == "split":
            return self.split
        if name == "edit_id":
            return self.edit_id
        if name in Unit._fields:
            return str(getattr(self.unit, name))
        if name in Treatment._fields:
            return str(getattr(self.treatment, name))
        return self.extra.get(name, "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The parsed answer to one question: ``fails``, ``fine``, or ``undecided`` with its reason.

    Raises ``ValueError`` for a value or a reason that is none of the vocabulary.
    """

    value: Value
    reason: Reason | Literal[""] = ""
    _: KW_ONLY
    score: int | None = None
    grades: Mapping[str, int] = field(default_factory=dict)
    reasoning: str = ""
    p_yes: float | None = None  # the judge's probability of ``fails``, where it was asked for

    def __post_init__(self) -> None:
        if (
            type(self.value) is not Value
        ):  # a word; a run makes millions of verdicts, and ours are members already
            object.__setattr__(self, "value", Value(self.value))
        if self.reason:
            object.__setattr__(self, "reason", reason_of(self.reason))

    @property
    def tri(self) -> Tri:
        """``fails`` as YES, ``fine`` as NO, ``undecided`` as UNKNOWN."""
        return {Value.FAILS: Tri.YES, Value.FINE: Tri.NO}.get(self.value, Tri.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value that never travels without its interval, its n and what it rests on.

    ``value``, ``low``, ``high`` are ``None`` where they do not exist; ``notes`` then says why.
    ``bounds`` are the values with all undecided outcomes at one extreme, then at the other; ``identified`` is the interval
    of the identified set, from the lower endpoint at the one extreme to the upper at the other, where these differ.
    ``signature`` says what the estimate rests on; every estimate of a ``Result`` has it. It takes no part in equality and is no part of
    ``as_dict``: the result says it once. There is no ``__float__`` on purpose.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    method: str
    n: int
    clusters: int
    bounds: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    signature: Signature | None = field(default=None, compare=False)
    identified: tuple[float, float] | None = None

    @property
    def is_open(self) -> bool:
        """Whether undecided outcomes leave the value open: its bounds differ."""
        return self.bounds is not None and self.bounds[1] - self.bounds[0] > 1e-12

    def as_dict(self) -> dict[str, Any]:
        """The estimate as plain JSON values, in the order of the result file."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "method": self.method,
            "n": self.n,
            "clusters": self.clusters,
            "bounds": None if self.bounds is None else list(self.bounds),
            **({} if self.identified is None else {"identified": list(self.identified)}),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """A judge's completed reply, whatever it says. It is terminal: nothing in it makes it be asked again.

    ``served`` says who answered (model, fingerprint, request_id, host, backend_version), ``usage`` what it
    took (prompt_tokens, completion_tokens), ``sent`` the digest of each image as it was sent, by role. ``p_yes``
    is the probability of the verdict ``fails`` against ``fine``, from the logprobs of the verdict's tokens. ``reasoning``
    is the beginning of the thoughts that the host sent apart from the text; no verdict is read from it.

    Raises ``ValueError`` for a ``finish_reason`` that is no ``Finish`` and no word of one.
    """

    text: str
    finish_reason: Finish
    _: KW_ONLY
    refusal: str = ""
    served: Mapping[str, str] = field(default_factory=dict)
    usage: Mapping[str, int] = field(default_factory=dict)
    sent: Mapping[str, str] = field(default_factory=dict)
    received_at: str = ""
    latency_s: float = 0.0
    p_yes: float | None = None
    reasoning: str = ""

    def __post_init__(self) -> None:
        if type(self.finish_reason) is Finish:
            return
        try:
            object.__setattr__(self, "finish_reason", Finish(self.finish_reason))
        except ValueError:
            raise ValueError(
                f"Answer: finish_reason expected one of {', '.join(Finish)}; found {self.finish_reason!r}; translate "
                f"the server's own word ('length' for a reply that was cut off)"
            ) from None

    @classmethod
    def recorded(cls, fields: Mapping[str, Any]) -> Answer:
        """The answer in a record: a word that is no ``Finish`` is read as ``OTHER``, and kept in ``served``.

        Raises ``TypeError`` for fields that an answer has not.
        """
        said = dict(fields)
        word = said.get("finish_reason", Finish.STOP)
        if word not in _FINISHES:
            said["finish_reason"] = Finish.OTHER
            if isinstance(word, str) and word:
                said["served"] = {**said.get("served", {}), "finish_reason": word}
        return cls(**said)

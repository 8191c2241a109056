"""Requests that a host refuses for good, and the answers for which that stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from isr.errors import TransportError
from isr.judging.cards import Card
from isr.judging.requests import Request
from isr.types import Answer, Finish


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that the host refused for good, and the answer for which that stands if the host takes others."""

    request: Request
    ask: int
    error: TransportError
    answer: Answer


def terminal_answer(card: Card, error: TransportError) -> Answer:
    """The answer that stands for a refusal of the host for good."""
    return Answer(
        text="",
        finish_reason=Finish(error.terminal),
        refusal=str(error),
        served={"host": card.endpoint.address} if card.endpoint.address else {},
        received_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )

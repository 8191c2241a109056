"""When a judge is asked no further: what its replies so far say about all that would follow. Pure; the loop acts on it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isr.errors import IsrError, RejectedError, TransportError, TransportReason, UselessJudgeError
from isr.judging.cards import Card
from isr.judging.remedies import advice, remedy
from isr.judging.retry import nobody_listens
from isr.types import Answer, AnswerReason

REJECTIONS_BEFORE_STOP = 5  # of a judge that never answered
REJECTIONS_IN_A_ROW = 20  # of one that did: it takes no request any more
SAME_FAILURES = 6  # attempts that failed alike, with words, before anything was answered
FIRST_ANSWERS = 20  # useless ones after which nothing else is expected
OUTAGE = (
    TransportReason.CONNECTION,
    TransportReason.TIMEOUT,
    TransportReason.SERVER_ERROR,
    TransportReason.RATE_LIMITED,
)
OUTAGE_AFTER = 10  # requests given up in a row by which a host counts as down
IN_A_ROW = 50  # useless ones of a judge that gave better before
BY_THE_HOST = (AnswerReason.CONTENT_FILTER, AnswerReason.REQUEST_REJECTED, AnswerReason.PROMPT_TOO_LONG)
TECHNICAL = (
    AnswerReason.EMPTY,
    AnswerReason.TRUNCATED,
    AnswerReason.NOT_JSON,
    AnswerReason.MISSING_FIELD,
    AnswerReason.OFF_SCALE,
    AnswerReason.ABORTED,
)


def summed_up(card: Card, warned: Mapping[str, int], tolerated: int | None) -> Iterator[str]:
    """How often each warning was meant, and that a host was too slow for so many requests at once; a line each."""
    for said, n in warned.items():
        if n > 1:
            yield f"{n} requests failed so ({said})"
    if tolerated is not None:
        yield (
            f"the host was too busy or too slow for more than {tolerated} request(s) at once; set limits.concurrency = "
            f"{tolerated} in the card, or raise limits.timeout_s"
        )


def alike(words: str) -> str:
    """Words of a failure without what differs from request to request: numbers, and the ids of requests."""
    return re.sub(r"\b(?=[\w-]*\d)[\w-]{8,}\b|\d{4,}", "...", words)


def dead(card: Card, error: TransportError) -> str:
    """Why a run ends whose judge never answered anything."""
    at = card.endpoint.base_url or "its address"
    do = (
        "start the server or correct the address"
        if nobody_listens(error)
        else "check the server and the address"
    )
    return f"{card.name}: nothing was ever answered at {at}: {do}, then run the same command again ({error})"


@dataclass(kw_only=True)
class Stopping:
    """What one judge's replies have been in a run. ``known``: it has answered, in this run or before."""

    card: Card
    known: bool = False
    answered: int = 0
    usable: bool = False  # an answer was decided, or undecided for a reason that is the model's own
    in_a_row: int = 0  # useless answers
    useless: Counter[str] = field(default_factory=Counter)
    alike: Counter[str] = field(default_factory=Counter)
    rejections: int = 0  # in a row
    outage: int = 0  # requests given up in a row

    @property
    def has_answered(self) -> bool:
        """Whether the judge ever answered: what it refuses then is one request's own."""
        return self.known or self.answered > 0

    def on_answer(self, answer: Answer, reason: str) -> None:
        """reason: why the answer is undecided, or ``""``."""
        self.answered += 1
        self.rejections = self.outage = 0
        self.alike.clear()
        if reason in BY_THE_HOST:
            return  # says nothing about what the model can do
        self.in_a_row = self.in_a_row + 1 if reason in TECHNICAL else 0
        if reason in TECHNICAL:
            self.useless[reason] += 1
        else:
            self.usable = True

    def is_useless(self) -> bool:
        """Whether the first answers all came to nothing for technical reasons, or so many in a row that the rest will."""
        first = not self.usable and self.useless.total() >= FIRST_ANSWERS
        return first or self.in_a_row >= IN_A_ROW

    def useless_error(self, last: Answer, store: Path) -> UselessJudgeError:
        """What ends a run whose judge gives nothing that can be used."""
        counted = ", ".join(f"{n} {reason}" for reason, n in self.useless.most_common())
        worst = self.useless.most_common(1)[0][0]
        return UselessJudgeError(
            f"{self.card.name}: none of its {'last' if self.usable else 'first'} {self.in_a_row} answers can be used ({counted}): "
            f"{remedy(self.card, last, worst)}; then `isr store discard {store} --reason {worst}` puts these answers aside, "
            f"and the same command asks anew; or go on all the same with --keep-going"
        )

    def on_retry(self, error: TransportError) -> IsrError | None:
        """What ends the run before a request is tried again: the same failure, in words, where nothing was ever answered."""
        if self.has_answered or not error.worded or error.overloaded or error.retry_after_s is not None:
            return None
        self.alike[str(error)] += 1
        if self.alike[str(error)] < SAME_FAILURES:
            return None
        return RejectedError(
            f"{self.card.name}: the same failure {SAME_FAILURES} times and no answer ({error}); {advice(str(error))}, then "
            f"run the same command again"
        )

    def on_rejection(self, error: TransportError) -> IsrError | None:
        """What ends the run after a request that the host refuses for good."""
        self.rejections += 1
        if self.has_answered:
            if self.rejections < REJECTIONS_IN_A_ROW:
                return None
            return RejectedError(
                f"{self.card.name}: the endpoint answered before, and has rejected {self.rejections} requests in a row ({error}); "
                f"{advice(str(error))}, then run the same command again"
            )
        if self.rejections < REJECTIONS_BEFORE_STOP:
            return None
        return error.stops or RejectedError(
            f"{self.card.name}: the endpoint rejects every request ({error}); {advice(str(error))}"
        )

    def on_failure(self, error: TransportError) -> str:
        """Why the run ends after a request that was given up; ``""`` to go on."""
        self.outage += error.reason in OUTAGE
        if self.outage < max(OUTAGE_AFTER, 2 * self.card.limits.concurrency):
            return ""
        return f"{self.card.name}: {self.outage} requests in a row were given up ({error})"

"""How far a run is, and who answered in it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from isr.errors import TransportError, TransportReason
from isr.judging.pace import Lately, Pace, nothing_arrives
from isr.judging.thinking import shows_thoughts
from isr.text import plain
from isr.types import Answer

WHY_LENGTH = 100  # characters
WHYS = 50  # different ones, as a host may say another thing each time


class Served(NamedTuple):
    """Who gave an answer, by its host's own words; ``""`` where it says nothing. ``day``: when it was received (UTC).

    ``engine``: how it came, if not as one reply to one request.
    """

    judge: str
    model: str
    host: str
    provider: str
    day: str
    thought: bool
    engine: str = ""

    @classmethod
    def of(cls, judge: str, answer: Answer) -> Served:
        """Who gave an answer under a judge's name."""
        said = answer.served
        model, host, provider = (said.get(name, "") for name in ("model", "host", "provider"))
        return cls(
            judge,
            model,
            host,
            provider,
            answer.received_at[:10],
            shows_thoughts(answer),
            said.get("engine", ""),
        )


class Look(NamedTuple):
    """What the complete first images of a run say of one treatment; ``low`` to ``high`` holds at every look.

    ``least`` and ``most``: the ISR with all undecided edits at one extreme, then at the other. ``name``: of the treatment, where
    there are several.
    """

    name: str
    images: int
    least: float
    most: float
    low: float
    high: float


@dataclass(kw_only=True)
class Progress:
    """What a run has done so far. Numbers only grow; a watcher may read them at any time."""

    total: int = 0  # requests that the run needs, as far as known; those found in the store included
    stored: int = 0
    answered: int = 0
    retries: int = 0
    why: dict[str, int] = field(default_factory=dict)  # retries by what failed, in few words
    undecided: Counter[str] = field(default_factory=Counter)
    failed: dict[bytes, TransportReason] = field(default_factory=dict)  # by request key
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    priced: bool = False
    served: Counter[Served] = field(default_factory=Counter)  # who gave the answers that were used
    stopped: str = ""
    elsewhere: str = ""  # what is done at a host and is not in flight: batches
    looks: tuple[Look, ...] = ()  # one for each treatment, where the run is looked at while it goes on
    judges: dict[str, str] = field(default_factory=dict)  # names of the cards by the digests of their judges
    pace: Pace = field(default_factory=Pace)
    last_error: str = ""  # what the request said that was tried again last, in few words

    def asks(self) -> None:
        """A request goes out."""
        self.pace.begin(time.monotonic())

    def arrived(self) -> None:
        """An answer is kept."""
        self.answered += 1
        self.pace.arrived(time.monotonic())

    def retried(self, error: TransportError) -> None:
        """A request is tried again."""
        self.retries += 1
        self.pace.failed(time.monotonic())
        words = " ".join(str(error).split())[:WHY_LENGTH]
        self.last_error = plain(words)
        if words in self.why or len(self.why) < WHYS:
            self.why[words] = self.why.get(words, 0) + 1

    @property
    def most_failed(self) -> str:
        """What failed most often, in few words; ``""`` where nothing was tried again."""
        return max(self.why, key=self.why.__getitem__, default="")

    @property
    def done(self) -> int:
        return self.stored + self.answered + self.failures

    @property
    def lately(self) -> Lately | None:
        """What the last half minute brought; ``None`` before the first request."""
        return self.pace.lately(time.monotonic())

    @property
    def waits(self) -> str:
        """That no answer comes, since when and why; ``""`` where answers come, or nothing is left to ask.

        Of requests that are with a host for hours, what is known of them there.
        """
        if self.elsewhere:
            return plain(self.elsewhere)
        over = self.stopped or self.done >= self.total
        return "" if over else nothing_arrives(self.lately, self.last_error)

    def models(self, judge: str) -> list[str]:
        """The models that answered under a judge's name, as far as they were named."""
        return sorted({s.model for s in self.served if s.judge == judge and s.model})

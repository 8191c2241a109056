"""How far a run is, and who answered in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from isr.errors import TransportError, TransportReason
from isr.judging.thinking import shows_thoughts
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
    waits: str = ""  # for what that is not in flight: batches at a host
    looks: tuple[Look, ...] = ()  # one for each treatment, where the run is looked at while it goes on

    def retried(self, error: TransportError) -> None:
        """A request is tried again."""
        self.retries += 1
        words = " ".join(str(error).split())[:WHY_LENGTH]
        if words in self.why or len(self.why) < WHYS:
            self.why[words] = self.why.get(words, 0) + 1

    @property
    def most_failed(self) -> str:
        """What failed most often, in few words; ``""`` where nothing was tried again."""
        return max(self.why, key=self.why.__getitem__, default="")

    @property
    def done(self) -> int:
        return self.stored + self.answered + self.failures

    def models(self, judge: str) -> list[str]:
        """The models that answered under a judge's name, as far as they were named."""
        return sorted({s.model for s in self.served if s.judge == judge and s.model})

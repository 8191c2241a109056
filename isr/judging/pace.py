"""How a run goes at this moment: what its last half minute brought, and since when nothing has arrived. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

SPAN_S = 30.0
SILENT_S = 5.0  # without an answer, where requests failed meanwhile, that are told
LONG_S = 30.0  # without an answer that are told whatever the reason
MARK_S = 1.0


class Lately(NamedTuple):
    """What the last ``seconds`` of a run brought (at most ``SPAN_S``). ``silent_s``: since its last answer, or its first request.

    ``failing``: requests were tried again since then.
    """

    seconds: float
    answers: int
    retries: int
    silent_s: float
    failing: bool

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / max(self.seconds, MARK_S)


@dataclass(kw_only=True)
class Pace:
    """Counts what arrives, with its time in seconds of any one clock. A watcher may ask at any time."""

    began: float | None = None  # when the first request went out
    answered: int = 0
    retried: int = 0
    last: float = 0.0  # when the last answer came, or the first request went out
    failing: bool = False
    marks: deque[tuple[float, int, int]] = field(default_factory=deque)  # time; counts before it

    def begin(self, now: float) -> None:
        """A request goes out; the first one counts."""
        if self.began is None:
            self.last, self.began = now, now

    def arrived(self, now: float) -> None:
        """An answer came."""
        self._mark(now)
        self.answered += 1
        self.last, self.failing = now, False

    def failed(self, now: float) -> None:
        """A request is tried again."""
        self._mark(now)
        self.retried += 1
        self.failing = True

    def lately(self, now: float) -> Lately | None:
        """The last half minute; ``None`` before the first request."""
        if self.began is None:
            return None
        since = now - SPAN_S
        answered, retried = self.answered, self.retried
        before = next((mark for mark in list(self.marks) if mark[0] >= since), (now, answered, retried))
        return Lately(
            seconds=min(max(now - self.began, 0.0), SPAN_S),
            answers=answered - before[1],
            retries=retried - before[2],
            silent_s=max(now - self.last, 0.0),
            failing=self.failing,
        )

    def _mark(self, now: float) -> None:
        self.begin(now)
        if not self.marks or now - self.marks[-1][0] >= MARK_S:
            self.marks.append((now, self.answered, self.retried))
        while now - self.marks[0][0] > SPAN_S + MARK_S:
            self.marks.popleft()


def nothing_arrives(lately: Lately | None, error: str) -> str:
    """That no answer comes, since when, and why as far as it is known; ``""`` where answers come.

    error: what was last said by a server, already safe to show.
    """
    if lately is None or lately.silent_s < (SILENT_S if lately.failing else LONG_S):
        return ""
    parts = [f"no answer for {lately.silent_s:.0f} s"]
    if lately.retries:
        word = "retry" if lately.retries == 1 else "retries"
        parts.append(f"{lately.retries} {word} in the last {lately.seconds:.0f} s")
    if lately.failing and error:
        parts.append(f"last error: {error}")
    return "; ".join(parts)

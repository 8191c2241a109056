"""Several servers of one model, asked as one judge: the least loaded one next, and another where one fails.

Each has a throttle and a health of its own. A server that dies costs the requests that it had in flight: they are asked
elsewhere at once, and it is tried again now and then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from isr.errors import IsrError, JudgeError, SecretError, TransportError, TransportReason
from isr.judging.retry import Throttle
from isr.types import Answer

if TYPE_CHECKING:
    from isr.judging.backends import Judge
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

log = logging.getLogger("isr")

DOWN_S, LONGEST_DOWN_S = (
    1.0,
    30.0,
)  # how long a server that failed is left alone: doubled each time, up to this
FAILURES = 2  # in a row, other than a refused connection, from which on a server counts as down
_NEW = 0.2  # weight of a new latency in the running mean
_FAILED = (TransportReason.CONNECTION, TransportReason.TIMEOUT, TransportReason.SERVER_ERROR)


@dataclass(kw_only=True)
class Member:
    """One server: its judge, its throttle, and how it has been."""

    judge: Judge
    throttle: Throttle
    coming: int = 0  # requests that are on their way to a place
    failures: int = 0  # in a row
    down_until: float = 0.0
    latency_s: float = 0.0  # running mean; 0 before the first answer
    answered: int = 0
    tried: bool = False  # whether it ever answered, or failed
    unusable: IsrError | None = None  # why it is asked no more

    def is_up(self, now: float) -> bool:
        return now >= self.down_until

    @property
    def free(self) -> int:
        """Places that are free now."""
        return self.throttle.free - self.coming

    @property
    def load(self) -> float:
        """Share of its places that are taken."""
        return 1 - self.free / self.throttle.allowed

    @property
    def rate(self) -> float:
        """Answers a second, as far as is known; 0 before the first one."""
        return self.throttle.allowed / self.latency_s if self.latency_s else 0.0

    def arrive(self) -> None:
        """The place that was kept is taken, or given up."""
        self.coming -= 1

    def succeeded(self, seconds: float) -> None:
        self.failures, self.down_until = 0, 0.0
        self.answered += 1
        self.latency_s += (seconds - self.latency_s) * (_NEW if self.latency_s else 1)

    def failed(self, error: TransportError, now: float) -> None:
        reason = error.reason
        limited = reason is TransportReason.RATE_LIMITED
        if limited and error.retry_after_s and not self.throttle.is_scattered(error):
            self.throttle.hold(error.retry_after_s, error)
        if reason not in _FAILED:
            return
        self.failures += 1
        if reason is TransportReason.CONNECTION or self.failures >= FAILURES:
            self.down_until = now + min(LONGEST_DOWN_S, DOWN_S * 2 ** (self.failures - 1))


@dataclass
class Pool:
    """The servers of one judge as one judge, and as the gate of its retries.

    left: how many requests are left to be answered; the last ones go to whoever will finish them first.
    """

    members: Sequence[Member]
    left: Callable[[], int] = lambda: 2**31
    clock: Callable[[], float] = time.monotonic
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """The reply of one of the servers. A ``TransportError`` says ``at`` which of them there was none.

        What one server refuses is asked at each other one, before it counts as refused: a server that was started
        otherwise is no reason to drop a question. One that cannot be used at all is left out.
        """
        refused: dict[int, IsrError] = {}
        while True:
            member = await self._chosen(set(refused))
            at = self.members.index(member)
            try:
                answer = await self._asked(member, request, images)
            except TransportError as error:
                error.at = at
                if not _is_own(error):
                    raise
                refused[at] = error
            except (JudgeError, SecretError) as error:
                member.unusable = error
                log.warning("a server of this judge is left out: %s", error)
                refused[at] = error
            else:
                self._blame(refused)
                return answer
            left = [i for i, m in enumerate(self.members) if i not in refused and m.unusable is None]
            if not left:
                raise self._worst(list(refused.values()))

    async def _asked(self, member: Member, request: Request, images: Prepared) -> Answer:
        began = self.clock()
        try:
            async with member.throttle.place(member.arrive):
                began = self.clock()
                answer = await member.judge.ask(request, images)
            member.succeeded(self.clock() - began)
            return answer
        except TransportError as error:
            member.failed(error, self.clock())
            raise
        finally:
            member.tried = True
            async with self._changed:
                self._changed.notify_all()

    def _blame(self, refused: Mapping[int, IsrError]) -> None:
        """Leaves servers alone for a while that refused what another one answered."""
        for at, error in refused.items():
            member = self.members[at]
            if isinstance(error, TransportError) and error.terminal:
                log.warning("a server of this judge refuses what another one answers: %s", error)
                member.down_until = self.clock() + LONGEST_DOWN_S

    @staticmethod
    def _worst(errors: Sequence[IsrError]) -> IsrError:
        """Of what all servers said, what leaves most open: a failure that may pass, a refusal, a judge that is none."""
        passing = [e for e in errors if isinstance(e, TransportError) and not e.terminal]
        refusals = [e for e in errors if isinstance(e, TransportError) and e.terminal]
        return next(iter([*passing, *refusals, *errors]))

    async def close(self) -> None:
        """Closes all of them."""
        for member in self.members:
            await member.judge.close()

    async def _chosen(self, without: Collection[int] = ()) -> Member:
        """The server that is asked next; its place is kept. Waits until one has a place."""
        async with self._changed:
            while (member := self._next(without)) is None:
                now = self.clock()
                soon = [m.down_until - now for m in self.members if m.down_until > now]
                soon += [m.throttle.held_for for m in self.members if m.throttle.held_for > 0]
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), min(soon, default=None))
            member.coming += 1
            return member

    def _next(self, without: Collection[int] = ()) -> Member | None:
        """The least loaded server that is up and has a place; where all are down, the one that is tried soonest."""
        now = self.clock()
        able = [m for i, m in enumerate(self.members) if i not in without and m.unusable is None]
        able = able or list(self.members)
        up = [m for m in able if m.is_up(now)] or [min(able, key=lambda m: m.down_until)]
        ready = [m for m in up if m.free > 0 and m.throttle.held_for <= 0 and not self._is_too_slow(m, up)]
        return min(ready, key=lambda m: (m.load, m.latency_s), default=None)

    def _is_too_slow(self, member: Member, up: Sequence[Member]) -> bool:
        """Whether the others will have answered all that is left before this one answers one more."""
        others = [m for m in up if m is not member and m.rate]
        if not others or not member.latency_s:
            return False
        last = self.left() / sum(m.rate for m in others) + min(m.latency_s for m in others)
        return member.latency_s > last

    # the gate of the retries

    def is_dead(self, error: BaseException | None) -> bool:
        """Whether none of the servers ever answered, and each failed often enough; one that was not tried may yet."""
        return all(m.tried and m.throttle.is_dead(error) for m in self.members)

    @property
    def allowed(self) -> int:
        """Requests that may be in flight at all servers together."""
        return sum(m.throttle.allowed for m in self.members)

    @property
    def tolerated(self) -> int | None:
        """How many requests at once the least of them bore, where one was too busy or too slow for more."""
        return min((t for m in self.members if (t := m.throttle.tolerated) is not None), default=None)

    def place(self) -> AbstractAsyncContextManager[None]:
        """Nothing: a place is taken at the server that is chosen."""
        return nullcontext()

    def hold(self, seconds: float, error: TransportError) -> None:
        """Nothing more starts for so long at the server that said so."""
        if error.at is not None:
            self.members[error.at].throttle.hold(seconds, error)

    def is_scattered(self, error: TransportError) -> bool:
        """Whether a failure is a 429 that few others met at the server that said so."""
        return error.at is not None and self.members[error.at].throttle.is_scattered(error)

    def elsewhere(self, error: TransportError) -> bool:
        """Whether the request may be asked at once at another server."""
        now = self.clock()
        others = (m for i, m in enumerate(self.members) if i != error.at and m.unusable is None)
        return any(m.is_up(now) and m.throttle.held_for <= 0 for m in others)


def _is_own(error: TransportError) -> bool:
    """Whether a failure may be one server's own, so that another is asked before it counts: a refusal, a limit."""
    return bool(error.terminal) or error.reason is TransportReason.RATE_LIMITED

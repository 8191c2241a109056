"""The one retry loop, and the limits under which requests go out."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_random_exponential,
)

from isr.errors import IsrError, TransportError, TransportReason
from isr.judging.cards import Limits

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

TRIES_AT_A_CLOSED_DOOR = 2
CALM = 20  # times as many successes as requests are allowed, before one more than a slow host took is tried
BACKOFF = wait_random_exponential(multiplier=0.5, max=60)


class Throttle:
    """How many requests may be in flight, and how fast they may start.

    Additive increase, multiplicative decrease: a 429 halves the number (once for all requests that were in
    flight together), as many successes as the number allow one more, up to the card's ``concurrency``. A host that is
    too busy (503) or too slow (no reply in time) halves it as well; where it was too slow, the half becomes the most, and
    only long success lifts that again: a host that answers one at a time goes on with what its client gave up.

    alone_first: one request at a time until one is answered, so that what fails for all fails once.
    """

    def __init__(self, limits: Limits, sleep: Sleep = asyncio.sleep, *, alone_first: bool = False) -> None:
        self._full = limits.concurrency
        self.most = limits.concurrency
        self.allowed = 1 if alone_first else limits.concurrency
        self._alone = alone_first
        self._calm = 0  # successes since a reply came too late
        self._gap = 60.0 / limits.requests_per_minute if limits.requests_per_minute else 0.0
        self._sleep = sleep
        self._next_start = 0.0
        self._held_until = 0.0
        self._in_flight = 0
        self._successes = 0
        self._epoch = 0
        self._free = asyncio.Condition()
        self.heard = False  # whether anything was ever there to answer, if only with an error

    async def start(self) -> int:
        """Waits for a free place and for the rate; returns the epoch to hand to ``end``."""
        async with self._free:
            await self._free.wait_for(lambda: self._in_flight < self.allowed)
            self._in_flight += 1
        now = time.monotonic()
        at = max(now, self._held_until)
        if self._gap:
            at = max(at, self._next_start)
            self._next_start = at + self._gap
        if at > now:
            try:
                await self._sleep(at - now)
            except BaseException:  # cancelled while waiting: the place is free again
                await self.end(self._epoch, limited=False, succeeded=False)
                raise
        return self._epoch

    def hold(self, seconds: float) -> None:
        """Nothing more starts for so long: the host's limit is reached, not one request's bad luck."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    async def end(self, epoch: int, limited: bool, succeeded: bool = True, late: bool = False) -> None:
        """Gives the place back. limited: the host answered 429, was too busy, or (``late``) did not answer in time."""
        async with self._free:
            self._in_flight -= 1
            if limited and epoch == self._epoch:
                self.allowed = max(1, self.allowed // 2)
                self.most = self.allowed if late else self.most
                self._calm = 0
                self._epoch += 1
                self._successes = 0
            elif succeeded and not limited:
                if self._alone:
                    self._alone, self.allowed = False, self.most
                self._calm += 1
                if self.most < self._full and self._calm >= CALM * self.most:
                    self.most, self._calm = self.most + 1, 0
                self._successes += 1
                if self._successes >= self.allowed and self.allowed < self.most:
                    self.allowed += 1
                    self._successes = 0
            self._free.notify_all()

    @property
    def is_slow(self) -> bool:
        """Whether replies came too late until the host was asked one thing at a time."""
        return self.most == 1 < self._full

    def place(self) -> _Place:
        """A place among the requests in flight, as an async context manager."""
        return _Place(self)


class _Place:
    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._epoch = 0

    async def __aenter__(self) -> None:
        self._epoch = await self._throttle.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        late = isinstance(error, TransportError) and error.reason is TransportReason.TIMEOUT
        limited = isinstance(error, TransportError) and (
            late or error.overloaded or error.reason is TransportReason.RATE_LIMITED
        )
        if error is None or (isinstance(error, IsrError) and not nobody_listens(error)):
            self._throttle.heard = True
        await self._throttle.end(self._epoch, limited, succeeded=error is None, late=late)


def nobody_listens(error: BaseException | None) -> bool:
    """Whether a request got no further than the name or the door of a host: unknown, or the connection refused."""
    while error is not None:
        if isinstance(error, socket.gaierror) or getattr(error, "errno", None) == errno.ECONNREFUSED:
            return True
        error = error.__cause__ or error.__context__  # the border raises its own error ``from None``
    return False


async def with_retries(
    call: Callable[[], Awaitable[T]],
    limits: Limits,
    throttle: Throttle,
    on_retry: Callable[[TransportError], None] = lambda error: None,
    sleep: Sleep = asyncio.sleep,
) -> T:
    """The result of ``call``, tried again after transport failures that may pass.

    Exponential backoff with full jitter (Brooker, 2015); ``Retry-After`` is honoured up to
    ``limits.max_retry_after_s``, beyond which the request is given up. A 429 is no failed attempt: it is waited
    out, for ``limits.max_wait_s`` seconds of waiting in all; a second one for the same request holds all others
    back as well. Anything else is given up after ``limits.max_attempts``; where nothing has ever answered and nobody
    listens, after ``TRIES_AT_A_CLOSED_DOOR``. Raises the last ``TransportError``.
    """
    failed = 0

    def may_pass(error: BaseException) -> bool:
        if not isinstance(error, TransportError) or not error.retryable:
            return False
        return error.retry_after_s is None or error.retry_after_s <= limits.max_retry_after_s

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, TransportError) else None
        return asked or BACKOFF(state)  # none said, or "at once": our own

    def hopeless(state: RetryCallState) -> bool:
        nonlocal failed
        error = state.outcome.exception() if state.outcome else None
        failed += not (isinstance(error, TransportError) and error.reason is TransportReason.RATE_LIMITED)
        closed = not throttle.heard and nobody_listens(error) and failed >= TRIES_AT_A_CLOSED_DOOR
        return (
            closed
            or failed >= limits.max_attempts
            or state.idle_for + state.upcoming_sleep > limits.max_wait_s
        )

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransportError):
            if error.reason is TransportReason.RATE_LIMITED and (
                state.attempt_number > 1 or throttle.allowed == 1
            ):
                throttle.hold(state.upcoming_sleep)
            on_retry(error)

    async for attempt in AsyncRetrying(
        stop=hopeless,
        wait=pause,
        retry=retry_if_exception(may_pass),
        before_sleep=before_sleep,
        sleep=sleep,
        reraise=True,
    ):
        with attempt:
            async with throttle.place():
                return await call()
    raise AssertionError("unreachable: the last error is raised again")

"""The one retry loop, and the limits under which requests go out."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from math import ceil
from types import TracebackType
from typing import Protocol, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_random_exponential,
)

from isr.errors import IsrError, TransportError, TransportReason
from isr.judging.card_sections import Limits

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

TRIES_AT_A_CLOSED_DOOR = 2
TRIES_AT_FIRST = {
    TransportReason.CONNECTION: 3,  # reset, ended early, no TLS
    TransportReason.TIMEOUT: 3,
    TransportReason.SERVER_ERROR: 6,
}
"""Attempts that failed so, of all requests together, by which a host that never answered counts as dead."""
SILENT_S = 180.0  # so long a host must have been silent
SCATTERED = 1 / 4  # share of 429s among the last requests, up to which they are those requests' own bad luck
GROWING = 1 / 8  # share up to which one more is tried
WINDOW = 16  # last requests of which the share is taken at the least; else of twice as many as are allowed
CALM = 10  # times as many successes as requests are allowed, before one more than a slow host took is tried
BACKOFF = wait_random_exponential(multiplier=0.5, max=60)


class Over(Exception):
    """Raised in place of asking where a run has ended meanwhile: no failure, and never tried again."""


class Throttle:
    """How many requests may be in flight, and how fast they may start.

    Additive increase, multiplicative decrease: where more than a quarter of the last requests met a 429 (those that are
    still in flight count as answered), the number is halved, once for all requests that were in flight together; as many
    successes as the number allow one more, up to the card's ``concurrency``, while no more than an eighth meet one. So a 429 now and
    then, which hosts with many users give whatever one of them does, delays the request that met it and no other. A host that is
    too busy (503) or too slow (no reply in time) halves it as well, and the half becomes the most, until long success lifts
    it again: a host that answers one at a time refuses the others, or goes on with what its client gave up.

    alone_first: one request at a time until one is answered, so that what fails for all fails once.
    """

    def __init__(self, limits: Limits, sleep: Sleep = asyncio.sleep, *, alone_first: bool = False) -> None:
        self._full = limits.concurrency
        self._limits = limits
        self.most = limits.concurrency
        self.allowed = 1 if alone_first else limits.concurrency
        self._alone = alone_first
        self._calm = 0  # successes since the host was too busy or too slow
        self._gap = 60.0 / limits.requests_per_minute if limits.requests_per_minute else 0.0
        self._sleep = sleep
        self._next_start = 0.0
        self._held_until = 0.0
        self._in_flight = 0
        self._successes = 0
        self._epoch = 0
        self._limits_met: deque[bool] = deque()  # of the last requests of this epoch, whether each met a 429
        self.scattered = False  # whether the last 429 was one of few
        self._free = asyncio.Condition()
        self.heard = False  # whether anything was ever there to answer, if only with an error
        self._answered = False  # whether a request was ever answered, or refused
        self._failures: Counter[TransportReason] = Counter()  # before that

    async def start(self) -> int:
        """Waits for a free place and for the rate; returns the epoch to hand to ``end``."""
        async with self._free:
            try:
                await self._free.wait_for(lambda: self._in_flight < self.allowed)
            except asyncio.CancelledError:
                self._free.notify()  # it may have been told of a place that another can take
                raise
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

    @property
    def free(self) -> int:
        """Places that are free now."""
        return self.allowed - self._in_flight

    @property
    def held_for(self) -> float:
        """Seconds for which nothing starts."""
        return self._held_until - time.monotonic()

    def elsewhere(self, error: TransportError) -> bool:
        """Never: there is one host."""
        return False

    def is_scattered(self, error: TransportError) -> bool:
        """Whether a failure is a 429 that few others met, so that others may be asked while its request waits."""
        return error.reason is TransportReason.RATE_LIMITED and self.scattered

    def hold(self, seconds: float, error: TransportError | None = None) -> None:
        """Nothing more starts for so long: the host's limit is reached, not one request's bad luck."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    async def end(self, epoch: int, limited: bool, succeeded: bool = True, late: bool = False) -> None:
        """Gives the place back. limited: the host answered 429, or (``late``) was too busy or too slow."""
        async with self._free:
            self._in_flight -= 1
            if limited and not late:
                if epoch == self._epoch:
                    self._remember(limited=True)
                self.scattered = epoch == self._epoch and self._share(self._in_flight) <= SCATTERED
            if limited and epoch == self._epoch and not (self.scattered and not late):
                self.allowed = max(1, self.allowed // 2)
                self.most = self.allowed if late and not self._alone else self.most
                self._calm = 0
                self._epoch += 1
                self._successes = 0
                self._limits_met.clear()
            elif succeeded and not limited:
                if self._alone:
                    self._alone, self.allowed = False, self.most
                self._remember(limited=False)
                self._calm += 1
                if self.most < self._full and self._calm >= CALM * self.most:
                    self.most, self._calm = self.most + 1, 0
                self._successes += 1
                if self._successes >= self.allowed and self.allowed < self.most and self._share() <= GROWING:
                    self.allowed += 1
                    self._successes = 0
            self._free.notify(max(0, self.allowed - self._in_flight))

    def _remember(self, *, limited: bool) -> None:
        self._limits_met.append(limited)
        while len(self._limits_met) > max(WINDOW, 2 * self.allowed):
            self._limits_met.popleft()

    def _share(self, in_flight: int = 0) -> float:
        """The share of 429s among the last requests, and so many more that may all be answered."""
        return sum(self._limits_met) / max(len(self._limits_met) + in_flight, 1)

    @property
    def tolerated(self) -> int | None:
        """How many requests at once the host bore, where it was too busy or too slow for more; else ``None``."""
        return self.most if self.most < self._full else None

    def saw(self, error: BaseException | None) -> None:
        """Counts how a request ended: the first one that is answered, or refused for good, shows that a host is there."""
        if error is None or (isinstance(error, IsrError) and not nobody_listens(error)):
            self.heard = True
        passing = isinstance(error, TransportError) and error.retryable
        if error is None or (isinstance(error, IsrError) and not passing):
            self._answered = True
        elif (
            isinstance(error, TransportError)
            and error.reason in TRIES_AT_FIRST
            and error.retry_after_s is None
        ):
            self._failures[error.reason] += 1

    def is_dead(self, error: BaseException | None) -> bool:
        """Whether nothing was ever answered, and enough failed to say that nothing will be.

        A host that says why (``worded``) is judged by its words (``Stopping``); one that is busy, or says when to come again, is waited for
        as long as the card says.
        """
        if self._answered or not isinstance(error, TransportError) or error.reason not in TRIES_AT_FIRST:
            return False
        failures = self._failures[error.reason]
        if nobody_listens(error):
            return not self.heard and failures >= TRIES_AT_A_CLOSED_DOOR
        if error.retry_after_s is not None or (error.worded and not error.overloaded):
            return False
        tries = TRIES_AT_FIRST[error.reason]
        if error.overloaded:
            tries = max(tries, self._limits.max_attempts)
        if error.reason is TransportReason.TIMEOUT:
            tries = max(tries, ceil(SILENT_S / self._limits.timeout_s))
        return failures >= tries

    def place(self, on_arrival: Callable[[], None] = lambda: None) -> _Place:
        """A place among the requests in flight, as an async context manager. on_arrival: called once it is taken, or not."""
        return _Place(self, on_arrival)


class _Place:
    def __init__(self, throttle: Throttle, on_arrival: Callable[[], None]) -> None:
        self._throttle = throttle
        self._on_arrival = on_arrival
        self._epoch = 0

    async def __aenter__(self) -> None:
        try:
            self._epoch = await self._throttle.start()
        finally:
            self._on_arrival()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        late = isinstance(error, TransportError) and (
            error.overloaded or error.reason is TransportReason.TIMEOUT
        )
        limited = isinstance(error, TransportError) and (late or error.reason is TransportReason.RATE_LIMITED)
        self._throttle.saw(error)
        await self._throttle.end(self._epoch, limited, succeeded=error is None, late=late)


def nobody_listens(error: BaseException | None) -> bool:
    """Whether a request got no further than the name or the door of a host: unknown, or the connection refused."""
    while error is not None:
        if isinstance(error, socket.gaierror) or getattr(error, "errno", None) == errno.ECONNREFUSED:
            return True
        error = error.__cause__ or error.__context__  # the border raises its own error ``from None``
    return False


class Gate(Protocol):
    """What requests pass before they are sent: a host's ``Throttle``, or the ``Pool`` of several."""

    @property
    def allowed(self) -> int: ...

    def is_dead(self, error: BaseException | None) -> bool: ...

    def place(self) -> AbstractAsyncContextManager[None]: ...

    def hold(self, seconds: float, error: TransportError) -> None: ...

    def elsewhere(self, error: TransportError) -> bool: ...


async def with_retries(
    call: Callable[[], Awaitable[T]],
    limits: Limits,
    throttle: Gate,
    on_retry: Callable[[TransportError], None] = lambda error: None,
    sleep: Sleep = asyncio.sleep,
) -> T:
    """The result of ``call``, tried again after transport failures that may pass.

    Exponential backoff with full jitter (Brooker, 2015); ``Retry-After`` is honoured up to
    ``limits.max_retry_after_s``, beyond which the request is given up. A 429 is no failed attempt: it is waited
    out, for ``limits.max_wait_s`` seconds of waiting in all; a second one for the same request holds all others
    back as well. Anything else is given up after ``limits.max_attempts``, and as soon as a host that never answered counts as
    dead (``Throttle.is_dead``). Where another host of the same judge is there, it is asked at once. Raises
    the last ``TransportError``.
    """
    failed = 0

    def may_pass(error: BaseException) -> bool:
        if not isinstance(error, TransportError) or not error.retryable:
            return False
        return error.retry_after_s is None or error.retry_after_s <= limits.max_retry_after_s

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransportError) and throttle.elsewhere(error):
            return 0.0
        asked = error.retry_after_s if isinstance(error, TransportError) else None
        return asked or BACKOFF(state)  # none said, or "at once": our own

    def hopeless(state: RetryCallState) -> bool:
        nonlocal failed
        error = state.outcome.exception() if state.outcome else None
        failed += not (isinstance(error, TransportError) and error.reason is TransportReason.RATE_LIMITED)
        return (
            throttle.is_dead(error)
            or failed >= limits.max_attempts
            or state.idle_for + state.upcoming_sleep > limits.max_wait_s
        )

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransportError):
            if error.reason is TransportReason.RATE_LIMITED and (
                state.attempt_number > 1 or throttle.allowed == 1 or throttle.elsewhere(error)
            ):
                throttle.hold(max(state.upcoming_sleep, error.retry_after_s or 0.0), error)
            on_retry(error)

    first: TransportError | None = None
    try:
        async with throttle.place():
            return await call()
    except TransportError as error:
        first = error
    async for attempt in AsyncRetrying(
        stop=hopeless,
        wait=pause,
        retry=retry_if_exception(may_pass),
        before_sleep=before_sleep,
        sleep=sleep,
        reraise=True,
    ):
        with attempt:
            if attempt.retry_state.attempt_number == 1:
                raise first
            async with throttle.place():
                return await call()
    raise AssertionError("unreachable: the last error is raised again")

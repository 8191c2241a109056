"""The one retry loop and the throttle; every pause is handed in, so that nothing here waits."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable

import pytest

from isr.errors import AuthenticationError, IsrError, TransportError
from isr.judging import retry
from isr.judging.card_sections import Limits
from isr.judging.retry import BACKOFF, Throttle, nobody_listens, with_retries
from tests.processes import LIMIT_S


class Pauses:
    """A clock that stands still: remembers every pause and returns at once."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)


def failing(*errors: BaseException | None) -> Callable[[], Awaitable[str]]:
    """A call that fails with each error in turn, and answers where there is none."""
    left = list(errors)

    async def call() -> str:
        error = left.pop(0)
        if error is not None:
            raise error
        return "answer"

    return call


def tried(
    *errors: BaseException | None, limits: Limits | None = None
) -> tuple[str | BaseException, list[float], list[TransportError]]:
    """The result (or what was raised), the pauses, the errors after which it was tried again."""
    limits, pauses, retried = limits or Limits(), Pauses(), []
    throttle = Throttle(limits, Pauses())  # what it holds back it waits for by the same clock

    async def run() -> str | BaseException:
        try:
            return await with_retries(failing(*errors), limits, throttle, retried.append, pauses)
        except (IsrError, ValueError) as error:
            return error

    return asyncio.run(run()), pauses.asked, retried


FAULT = TransportError("server_error", "500")
LATER_SAID = TransportError(
    "server_error", "500 (oops)", worded=True
)  # whose words decide how often in a row


def test_a_call_that_succeeds_is_made_once() -> None:
    assert tried(None) == ("answer", [], [])


def test_failures_that_may_pass_are_tried_again() -> None:
    errors = [TransportError(r, r) for r in ("rate_limited", "server_error", "timeout", "connection")]
    result, pauses, retried = tried(*errors, None)
    assert result == "answer"
    assert len(pauses) == 4
    assert retried == errors


@pytest.mark.parametrize(
    "error",
    [TransportError("rejected", "400", retryable=False), AuthenticationError("401"), ValueError("a bug")],
)
def test_anything_else_is_not(error: BaseException) -> None:
    assert tried(error) == (error, [], [])


def test_it_gives_up_after_the_last_attempt_with_the_last_error() -> None:
    last = TransportError("timeout", "the last")
    result, pauses, retried = tried(FAULT, FAULT, last, limits=Limits(max_attempts=3))
    assert result is last
    assert len(pauses) == len(retried) == 2
    assert tried(FAULT, limits=Limits(max_attempts=1)) == (FAULT, [], [])


def test_backoff_is_exponential_with_full_jitter_and_bounded() -> None:
    # 0.5 * 2^0 = 0.5, then 1, 2, ... at most 60 s; the pause is drawn between 0 and that
    most = [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    limits = Limits(max_attempts=len(most) + 1)
    runs = [tried(*[LATER_SAID] * len(most), None, limits=limits)[1] for _ in range(60)]
    for pauses in runs:
        assert all(0 <= p <= m for p, m in zip(pauses, most, strict=True))
    for column, m in zip(zip(*runs, strict=True), most, strict=True):
        assert len(set(column)) > 30  # drawn, not fixed
        assert max(column) > m / 2  # of 60 draws; all below half by chance: 2^-60
    assert isinstance(BACKOFF, retry.wait_random_exponential)


def test_retry_after_is_honoured_exactly() -> None:
    errors = [TransportError("rate_limited", "429", retry_after_s=s) for s in (1.5, 130.0)]
    assert tried(*errors, None)[:2] == ("answer", [1.5, 130.0])


def test_retry_after_zero_is_no_invitation_to_hammer() -> None:
    at_once = [TransportError("rate_limited", "429", retry_after_s=0.0) for _ in range(4)]
    answer, pauses, _ = tried(*at_once, None)
    assert answer == "answer"
    assert sum(pauses) > 0.05  # our own backoff: four uniform draws below 0.5, 1, 2 and 4 s


def test_retry_after_beyond_the_bound_gives_up_at_once() -> None:
    limits = Limits(max_retry_after_s=10)
    late = TransportError("rate_limited", "429", retry_after_s=10.01)
    assert tried(late, limits=limits) == (late, [], [])
    intime = TransportError("rate_limited", "429", retry_after_s=10.0)
    assert tried(intime, None, limits=limits) == ("answer", [10.0], [intime])


def test_a_place_is_free_while_a_request_waits_to_be_tried_again() -> None:
    limits = Limits(concurrency=1)
    order: list[str] = []

    async def run() -> None:
        throttle, paused, go = Throttle(limits), asyncio.Event(), asyncio.Event()

        async def long_pause(seconds: float) -> None:
            paused.set()
            await go.wait()

        slow = asyncio.create_task(with_retries(failing(FAULT, None), limits, throttle, sleep=long_pause))
        await paused.wait()
        order.append(await with_retries(failing(None), limits, throttle))
        assert not slow.done()
        go.set()
        order.append(await slow)

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))
    assert order == ["answer", "answer"]


# The throttle


async def one(throttle: Throttle, error: BaseException | None = None) -> None:
    try:
        async with throttle.place():
            if error is not None:
                raise error
    except TransportError:
        pass


LIMITED = TransportError("rate_limited", "429")


def test_no_more_are_in_flight_than_allowed() -> None:
    most = 0

    async def run() -> None:
        throttle, inside = Throttle(Limits(concurrency=3)), 0

        async def work() -> None:
            nonlocal inside, most
            async with throttle.place():
                inside += 1
                most = max(most, inside)
                for _ in range(3):
                    await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(work() for _ in range(20)))

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))
    assert most == 3


def test_a_429_halves_once_for_all_that_were_in_flight_together() -> None:
    async def run() -> list[int]:
        throttle, seen = Throttle(Limits(concurrency=16)), []
        for _ in range(6):
            epochs = [await throttle.start() for _ in range(throttle.allowed)]
            for epoch in epochs:  # all of them are refused
                await throttle.end(epoch, limited=True)
            seen.append(throttle.allowed)
        return seen

    assert asyncio.run(run()) == [8, 4, 2, 1, 1, 1]


def test_a_429_of_an_earlier_epoch_changes_nothing() -> None:
    async def run() -> list[int]:
        throttle = Throttle(Limits(concurrency=8))
        early, late = await throttle.start(), await throttle.start()
        await throttle.end(early, limited=True)
        after = [throttle.allowed]
        await throttle.end(late, limited=True)
        after.append(throttle.allowed)
        await throttle.end(await throttle.start(), limited=True)
        return [*after, throttle.allowed]

    assert asyncio.run(run()) == [4, 4, 2]


def test_successes_bring_it_back_one_by_one_up_to_the_card() -> None:
    async def run() -> tuple[list[int], int]:
        throttle = Throttle(Limits(concurrency=4))
        await one(throttle, LIMITED)
        seen = [throttle.allowed]
        for _ in range(12):
            await one(throttle)
            seen.append(throttle.allowed)
        return seen, throttle.allowed

    # 2 successes at 2 allow 3; 3 more allow 4, the card's number, which is never exceeded
    assert asyncio.run(run()) == ([2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4], 4)


def test_other_failures_neither_halve_nor_count_as_successes() -> None:
    async def run() -> int:
        throttle = Throttle(Limits(concurrency=4))
        await one(throttle, LIMITED)
        for _ in range(20):
            await one(throttle, FAULT)
        return throttle.allowed

    assert asyncio.run(run()) == 2


def test_starts_are_spaced_by_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])

    async def run() -> list[float]:
        pauses = Pauses()
        throttle = Throttle(Limits(concurrency=100, requests_per_minute=30), sleep=pauses)
        for _ in range(4):
            await throttle.start()
        now[0] += 60
        await throttle.start()  # nothing is owed after a quiet minute, and no burst is saved up
        await throttle.start()
        return pauses.asked

    # 30 a minute: 2 s apart; the first of each lot starts at once
    assert asyncio.run(run()) == [2.0, 4.0, 6.0, 2.0]


def test_without_a_rate_nobody_waits() -> None:
    pauses = Pauses()

    async def run() -> None:
        throttle = Throttle(Limits(concurrency=5), sleep=pauses)
        for _ in range(5):
            await throttle.start()

    asyncio.run(run())
    assert pauses.asked == []


def test_a_place_is_given_back_when_the_call_fails_or_is_cancelled() -> None:
    async def run() -> None:
        throttle = Throttle(Limits(concurrency=1, requests_per_minute=1))

        async def held() -> None:
            async with throttle.place():
                await asyncio.Event().wait()

        holder = asyncio.create_task(held())
        await asyncio.sleep(0)
        waiter = asyncio.create_task(held())  # waits for the place, later for the rate
        await asyncio.sleep(0)
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        for _ in range(5):
            await asyncio.sleep(0)
        assert throttle._in_flight == 1  # the waiter has the place and waits for the minute to pass
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert throttle._in_flight == 0

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_waiting_costs_nothing() -> None:
    class Counted(Throttle):
        looks = 0

        @property
        def allowed(self) -> int:
            self.looks += 1
            return 1

        @allowed.setter
        def allowed(self, value: int) -> None:
            pass

    async def run() -> tuple[int, int]:
        throttle = Counted(Limits(concurrency=1))
        epoch = await throttle.start()
        waiting = [asyncio.create_task(throttle.start()) for _ in range(10)]
        for _ in range(5):
            await asyncio.sleep(0)
        before = throttle.looks
        for _ in range(200):
            await asyncio.sleep(0)
        quiet = throttle.looks - before
        await throttle.end(epoch, limited=False)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        started = sum(w.done() for w in waiting)
        for w in waiting:
            w.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return quiet, started

    assert asyncio.run(asyncio.wait_for(run(), LIMIT_S)) == (0, 1)


def at_a_closed_door(cause: OSError) -> TransportError:
    """As the border makes it: its own error, the cause only in its context."""
    try:
        try:
            raise cause
        except OSError:
            raise TransportError("connection", "nothing listens at 127.0.0.1:9") from None
    except TransportError as error:
        return error


CLOSED = [
    at_a_closed_door(ConnectionRefusedError(errno.ECONNREFUSED, "refused")),
    at_a_closed_door(OSError(errno.ECONNREFUSED, "Multiple exceptions: refused, refused")),
    at_a_closed_door(socket.gaierror(socket.EAI_NONAME, "not known")),
]


@pytest.mark.parametrize("error", CLOSED)
def test_where_nobody_ever_answered_a_closed_door_is_tried_twice(error: TransportError) -> None:
    assert nobody_listens(error)
    result, pauses, _ = tried(*[error] * 9)
    assert result is error
    assert len(pauses) == 1


@pytest.mark.parametrize("error", CLOSED)
def test_a_door_that_closes_later_is_tried_as_often_as_the_card_says(error: TransportError) -> None:
    """Whatever came back before, an error of the server too, shows that somebody is there at times."""
    result, pauses, _ = tried(FAULT, *[error] * 9, limits=Limits(max_attempts=9))
    assert result is error
    assert len(pauses) == 8  # between nine attempts


def test_other_failures_of_a_connection_are_no_closed_door() -> None:
    ended = at_a_closed_door(ConnectionResetError(errno.ECONNRESET, "reset"))
    assert not nobody_listens(ended)
    answered = tried(None, limits=Limits(max_attempts=9))
    assert answered[0] == "answer"


BUSY = TransportError("server_error", "503 (down)", worded=True, overloaded=True)
LATER = TransportError("server_error", "503", retry_after_s=0.5)
FIRST = [
    (at_a_closed_door(ConnectionResetError(errno.ECONNRESET, "reset")), 3),
    (TransportError("connection", "it ended early"), 3),
    (TransportError("timeout", "no reply"), 3),
    (FAULT, 6),
    (BUSY, 20),  # it may be starting: as long as the card says
    (LATER, 20),  # it says when
    (TransportError("server_error", "500 (oops)", worded=True), 20),  # which its words decide
    (TransportError("rate_limited", "429"), 60),
]


@pytest.mark.parametrize(("error", "tries"), FIRST)
def test_a_host_that_never_answered_is_given_up_soon(error: TransportError, tries: int) -> None:
    result, pauses, _ = tried(*[error] * 50, None, limits=Limits(max_attempts=20, max_wait_s=1e9))
    assert len(pauses) + 1 == min(tries, 51)
    assert (result == "answer") == (tries > 50)


@pytest.mark.parametrize("error", [error for error, tries in FIRST if tries < 20])
def test_one_that_answered_is_tried_as_often_as_the_card_says(error: TransportError) -> None:
    limits, pauses = Limits(max_attempts=9), Pauses()
    throttle = Throttle(limits, Pauses())

    async def work() -> None:
        await with_retries(failing(None), limits, throttle, sleep=pauses)
        with pytest.raises(TransportError):
            await with_retries(failing(*[error] * 9), limits, throttle, sleep=pauses)

    asyncio.run(work())
    assert len(pauses.asked) == 8


def test_failures_of_several_requests_count_together() -> None:
    limits, throttle = Limits(max_attempts=1), Throttle(Limits(max_attempts=1), Pauses())

    async def work() -> list[bool]:
        dead = []
        for _ in range(7):
            with pytest.raises(TransportError):
                await with_retries(failing(FAULT), limits, throttle, sleep=Pauses())
            dead.append(throttle.is_dead(FAULT))
        return dead

    assert asyncio.run(work()) == [False] * 5 + [True, True]


async def _through(throttle: Throttle, error: BaseException | None, times: int) -> None:
    for _ in range(times):
        try:
            async with throttle.place():
                if error is not None:
                    raise error
        except TransportError:
            pass


@pytest.mark.parametrize(
    "error",
    [
        TransportError("timeout", "no reply"),
        TransportError("server_error", "503", overloaded=True),
    ],
)
def test_a_host_that_is_too_busy_or_too_slow_is_asked_less_at_once(error: TransportError) -> None:
    throttle = Throttle(Limits(concurrency=8))
    assert throttle.tolerated is None
    asyncio.run(_through(throttle, error, 1))
    assert (throttle.allowed, throttle.tolerated) == (4, 4)
    asyncio.run(_through(throttle, None, 39))  # 10 x 4 successes before one more is tried
    assert (throttle.allowed, throttle.tolerated) == (4, 4)
    asyncio.run(_through(throttle, None, 20))
    assert (throttle.allowed, throttle.tolerated) == (5, 5)
    asyncio.run(_through(throttle, None, 50 + 60 + 70 + 20))
    assert throttle.tolerated is None


def test_a_rate_limit_leaves_the_most_as_it_is() -> None:
    throttle = Throttle(Limits(concurrency=8))
    asyncio.run(_through(throttle, TransportError("rate_limited", "429"), 1))
    assert (throttle.allowed, throttle.tolerated) == (4, None)
    asyncio.run(_through(throttle, None, 4 + 5 + 6 + 7))
    assert throttle.allowed == 8


def test_until_one_request_is_answered_it_is_alone() -> None:
    throttle = Throttle(Limits(concurrency=8), alone_first=True)
    assert throttle.allowed == 1
    asyncio.run(_through(throttle, TransportError("server_error", "503", overloaded=True), 5))
    assert (throttle.allowed, throttle.tolerated) == (1, None)
    asyncio.run(_through(throttle, None, 1))
    assert throttle.allowed == 8


# 429s: some, or all


async def flights(throttle: Throttle, refuses: Callable[[int, int], bool], number: int) -> tuple[int, int]:
    """(calls, refused) of so many flights, each as large as is allowed; what is refused is known before what is answered.

    refuses: by the number of the call, and its place in the flight.
    """
    calls = refused = 0
    for _ in range(number):
        epochs = [await throttle.start() for _ in range(throttle.allowed)]
        met = [refuses(calls + place, place) for place in range(len(epochs))]
        for epoch in (e for e, limited in zip(epochs, met, strict=True) if limited):
            await throttle.end(epoch, limited=True)
        for epoch in (e for e, limited in zip(epochs, met, strict=True) if not limited):
            await throttle.end(epoch, limited=False)
        calls, refused = calls + len(epochs), refused + sum(met)
    return calls, refused


def now_and_then(call: int, place: int) -> bool:
    """A tenth of all calls."""
    return call % 10 == 3


def test_a_429_now_and_then_delays_nobody_else() -> None:
    async def run() -> list[int]:
        throttle, seen = Throttle(Limits(concurrency=20)), []
        for _ in range(40):
            await flights(throttle, now_and_then, 1)
            seen.append(throttle.allowed)
        return seen

    assert set(asyncio.run(run())) == {20}


def test_a_storm_is_still_backed_off_from_however_long_all_went_well() -> None:
    async def run() -> tuple[list[int], int, bool]:
        throttle, calls, seen = Throttle(Limits(concurrency=32)), 0, []
        await flights(throttle, now_and_then, 50)
        while throttle.allowed > 1:
            calls += (await flights(throttle, lambda call, place: True, 1))[0]
            seen.append(throttle.allowed)
        return seen, calls, throttle.scattered

    seen, calls, scattered = asyncio.run(run())
    assert seen == [16, 8, 4, 2, 1]
    assert calls == 32 + 16 + 8 + 4 + 2
    assert not scattered


def test_after_a_storm_a_429_now_and_then_does_not_keep_it_small() -> None:
    async def run() -> tuple[int, int]:
        throttle = Throttle(Limits(concurrency=16))
        await flights(throttle, lambda call, place: True, 5)
        least = throttle.allowed
        await flights(throttle, now_and_then, 60)
        return least, throttle.allowed

    assert asyncio.run(run()) == (1, 16)


@pytest.mark.parametrize(("bears", "most"), [(2, 1 / 3), (10, 0.2), (40, 0.15)])
def test_a_host_that_bears_fewer_at_once_refuses_few_in_the_long_run(bears: int, most: float) -> None:
    async def run() -> tuple[int, float]:
        throttle = Throttle(Limits(concurrency=64))
        await flights(throttle, lambda call, place: place >= bears, 40)
        calls, refused = await flights(throttle, lambda call, place: place >= bears, 200)
        return calls - refused, refused / calls

    answered, share = asyncio.run(run())
    assert share < most
    assert answered > 0.7 * bears * 200


def test_a_place_goes_to_one_who_waits_though_another_was_told_of_it_and_left() -> None:
    async def run() -> bool:
        throttle = Throttle(Limits(concurrency=1))
        epoch = await throttle.start()
        told, waits = (asyncio.create_task(throttle.start()) for _ in range(2))
        for _ in range(3):
            await asyncio.sleep(0)
        await throttle.end(epoch, limited=False)  # tells the first of them
        told.cancel()
        await asyncio.wait_for(waits, LIMIT_S)
        return told.cancelled()

    assert asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_only_as_many_are_woken_as_there_are_places() -> None:
    looks = 0

    class Counted(Throttle):
        @property
        def allowed(self) -> int:
            nonlocal looks
            looks += 1
            return 2

        @allowed.setter
        def allowed(self, value: int) -> None:
            pass

    async def run() -> int:
        throttle = Counted(Limits(concurrency=2))
        epochs = [await throttle.start() for _ in range(2)]
        waiting = [asyncio.create_task(throttle.start()) for _ in range(100)]
        for _ in range(5):
            await asyncio.sleep(0)
        before = looks
        await throttle.end(epochs[0], limited=False)
        for _ in range(20):
            await asyncio.sleep(0)
        found = looks - before
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return found

    assert asyncio.run(asyncio.wait_for(run(), LIMIT_S)) <= 10

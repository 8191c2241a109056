"""Several servers behind one judge: real servers, of which one is killed and one is slow."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from isr.errors import CardError, ModelNotFoundError, TransportError
from isr.judging.card_sections import Limits
from isr.judging.cards import load_card
from isr.judging.pool import Member, Pool
from isr.judging.retry import Throttle, with_retries
from isr.scoring.options import Options
from isr.scoring.run import Run, Watch, run
from isr.types import Answer, Finish
from tests.chat_server import Running, serving
from tests.directories import make_directory
from tests.samples import a_request

GOOD = Answer(text="{}", finish_reason=Finish.STOP)
IN_FLIGHT = 4


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A judge that answers, or fails as it is told."""

    def __init__(self, clock: Clock, takes_s: float = 1.0) -> None:
        self.clock, self.takes_s = clock, takes_s
        self.fails: TransportError | None = None
        self.asked = 0

    async def ask(self, request: Any, images: Any) -> Answer:
        self.asked += 1
        await asyncio.sleep(0)
        self.clock.now += self.takes_s
        if self.fails is not None:
            raise self.fails
        return GOOD

    async def close(self) -> None:
        pass


def pool_of(*servers: Server, left: int = 10_000) -> Pool:
    members = [Member(judge=s, throttle=Throttle(Limits(concurrency=IN_FLIGHT))) for s in servers]
    return Pool(members, lambda: left, servers[0].clock)


def gone() -> TransportError:
    return TransportError("connection", "refused")


def asked_one_by_one(pool: Pool, times: int) -> None:
    async def work() -> None:
        for _ in range(times):
            await with_retries(lambda: pool.ask(a_request(), None), Limits(), pool)  # type: ignore[arg-type]

    asyncio.run(work())


def test_a_server_that_is_gone_costs_what_it_had_and_is_tried_again() -> None:
    clock = Clock()
    one, other = Server(clock, 0.01), Server(clock, 0.01)
    pool = pool_of(one, other)
    one.fails = gone()
    asked_one_by_one(pool, 20)
    assert (one.asked, other.asked) == (1, 20)  # down for a second, of which 0.2 went by
    one.fails = None
    clock.now += 2
    asked_one_by_one(pool, 10)
    assert one.asked > 1
    assert pool.members[0].failures == 0


def test_a_request_whose_server_fails_is_asked_elsewhere_at_once() -> None:
    clock, pauses = Clock(), []
    one, other = Server(clock, 0.01), Server(clock, 0.01)
    pool = pool_of(one, other)
    one.fails = gone()

    async def work() -> None:
        async def sleep(seconds: float) -> None:
            pauses.append(seconds)

        await with_retries(lambda: pool.ask(a_request(), None), Limits(), pool, sleep=sleep)  # type: ignore[arg-type]

    asyncio.run(work())
    assert pauses == [0.0]


def test_where_all_are_gone_the_retries_wait_as_for_one_host() -> None:
    clock, pauses = Clock(), []
    servers = Server(clock, 0.01), Server(clock, 0.01)
    pool = pool_of(*servers)
    for server in servers:
        server.fails = TransportError("server_error", "500")

    async def work() -> None:
        async def sleep(seconds: float) -> None:
            pauses.append(seconds)

        await with_retries(lambda: pool.ask(a_request(), None), Limits(max_attempts=8), pool, sleep=sleep)  # type: ignore[arg-type]

    with pytest.raises(TransportError, match="500"):
        asyncio.run(work())
    assert sum(s.asked for s in servers) == 8
    assert max(pauses) > 0


def test_the_last_requests_go_to_whoever_finishes_them_first() -> None:
    """The slow server takes 10 s, the fast one 0.1 s: with 4 places it answers 40 a second, the last 20 in half of one."""
    clock = Clock()
    fast, slow = Server(clock, 0.1), Server(clock, 10.0)
    pool = pool_of(fast, slow)
    asked_one_by_one(pool, 4)
    assert slow.asked >= 1
    pool.left = lambda: 20
    before = slow.asked
    asked_one_by_one(pool, 20)
    assert slow.asked == before


def test_a_limit_at_one_server_holds_back_that_one_alone() -> None:
    clock = Clock()
    one, other = Server(clock, 0.01), Server(clock, 0.01)
    pool = pool_of(one, other)
    one.fails = TransportError("rate_limited", "429", retry_after_s=60.0)
    asked_one_by_one(pool, 20)
    assert (one.asked, other.asked) == (1, 20)


def test_a_limit_now_and_then_holds_back_no_server() -> None:
    """What one server refuses at once is asked at the other, and the first is not left alone for a minute."""

    async def work() -> list[int]:
        clock = Clock()
        servers = [Server(clock, 0.0), Server(clock, 0.0)]
        pool = pool_of(*servers)
        for number in range(100):
            servers[0].fails = (
                TransportError("rate_limited", "429", retry_after_s=60.0) if number % 10 == 5 else None
            )
            await asyncio.gather(
                *(
                    with_retries(lambda: pool.ask(a_request(), None), Limits(), pool)  # type: ignore[arg-type]
                    for _ in range(1 if servers[0].fails else IN_FLIGHT)
                )
            )
        return [s.asked for s in servers]

    one, other = asyncio.run(work())
    assert min(one, other) > 100


def refusing() -> TransportError:
    return TransportError("rejected", "400 (At most 1 image)", retryable=False, terminal="rejected")


def test_what_one_server_refuses_is_asked_at_another() -> None:
    """A server that was started otherwise drops no question, and is left alone for a while."""
    clock = Clock()
    one, other = Server(clock, 0.01), Server(clock, 0.01)
    pool = pool_of(one, other)
    one.fails = refusing()
    asked_one_by_one(pool, 30)
    assert (one.asked, other.asked) == (1, 30)


def test_what_all_servers_refuse_is_refused() -> None:
    clock = Clock()
    servers = [Server(clock, 0.01) for _ in range(3)]
    pool = pool_of(*servers)
    for server in servers:
        server.fails = refusing()
    with pytest.raises(TransportError, match="At most 1 image"):
        asked_one_by_one(pool, 1)
    assert [s.asked for s in servers] == [1, 1, 1]


def test_a_server_without_the_model_is_left_out() -> None:
    clock = Clock()
    one, other = Server(clock, 0.01), Server(clock, 0.01)
    pool = pool_of(one, other)
    one.fails = ModelNotFoundError("404")  # type: ignore[assignment]
    asked_one_by_one(pool, 20)
    assert (one.asked, other.asked) == (1, 20)
    other.fails = ModelNotFoundError("404")  # type: ignore[assignment]
    with pytest.raises(ModelNotFoundError):
        asked_one_by_one(pool, 1)


def test_a_server_that_must_be_waited_for_an_hour_holds_up_nobody() -> None:
    clock = Clock()
    one, other = Server(clock, 0.01), Server(clock, 0.01)
    pool = pool_of(one, other)
    one.fails = TransportError("rate_limited", "429", retry_after_s=3600.0)
    asked_one_by_one(pool, 20)
    assert (one.asked, other.asked) == (1, 20)


def test_a_dead_server_stops_nothing_while_another_has_not_answered_yet() -> None:
    """The refused connection comes at once, the first answer of a model after seconds."""

    async def work() -> None:
        clock = Clock()
        dead, slow = Server(clock, 0.0), Server(clock, 0.0)
        answer = asyncio.Event()
        gone_ = gone()
        gone_.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        dead.fails = gone_

        async def late(request: Any, images: Any) -> Answer:
            await answer.wait()
            return GOOD

        slow.ask = late  # type: ignore[method-assign]
        pool = pool_of(dead, slow)

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(0)
            if dead.asked >= 6:
                answer.set()
            clock.now += 5

        limits = Limits(max_attempts=50)
        asked = [
            with_retries(lambda: pool.ask(a_request(), None), limits, pool, sleep=sleep) for _ in range(8)
        ]  # type: ignore[arg-type]
        assert await asyncio.gather(*asked) == [GOOD] * 8

    asyncio.run(work())


def card(folder: Path, servers: list[Running]) -> str:
    urls = ", ".join(f'"{s.base_url}"' for s in servers)
    path = folder / "judge.toml"
    path.write_text(
        f'backend = "openai_chat"\nmodel = "test-model"\n[endpoint]\nbase_urls = [{urls}]\n'
        f"[limits]\nconcurrency = {IN_FLIGHT}\ntimeout_s = 60\n",
        "utf-8",
    )
    return str(path)


def test_three_servers_of_which_one_is_killed_and_one_is_slow(tmp_path: Path) -> None:
    """600 requests: nothing is lost, and nothing is asked twice but what the killed one had in flight."""
    make_directory(tmp_path / "e", images=30, prompts=5)  # 150 edits and controls, two questions each
    with ExitStack() as open_:
        killed = open_.enter_context(serving(latency_s=0.01))
        fast = open_.enter_context(serving(latency_s=0.01))
        slow = open_.enter_context(serving(latency_s=0.1))
        judge = card(tmp_path, [killed, fast, slow])

        async def work() -> tuple[Run, int]:
            watch = Watch()
            task = asyncio.create_task(run(Options(directory=tmp_path / "e", judge=judge), watch))
            while watch.progress.answered < 100:  # an event of the run, not of the clock
                await asyncio.sleep(0.005)
            asked = killed.stats()["calls"]
            killed.kill()
            return await task, asked

        done, asked = asyncio.run(work())
        answered = [Counter(s.stats()["answered"]) for s in (fast, slow)]
        calls = sum(s.stats()["calls"] for s in (fast, slow))
    assert done.exit_code == 0
    assert done.result.decided == 300
    assert done.progress.answered == 600
    assert done.progress.failures == 0
    assert max((answered[0] + answered[1]).values()) == 1  # of what lived nothing was asked twice
    # 600 answers; of the killed one's calls at most those that came between counting and the end, and its places, are lost
    assert 600 - asked <= calls <= 600 - asked + 3 * IN_FLIGHT
    assert answered[1].total() >= 1
    (said,) = done.result.answered
    assert said["level"] == "note"
    assert "several hosts answered" in said["text"]


@pytest.mark.parametrize(
    ("endpoint", "field"),
    [
        ('base_urls = ["http://a/v1", "http://a/v1"]', "endpoint.base_urls"),
        ('base_url = "http://c/v1"\nbase_urls = ["http://a/v1", "http://b/v1"]', "endpoint.base_urls"),
        ('base_urls = ["http://a/v1", "ftp://b/v1"]', "endpoint.base_urls"),
    ],
)
def test_addresses_that_are_no_set_of_servers_are_refused(tmp_path: Path, endpoint: str, field: str) -> None:
    path = tmp_path / "judge.toml"
    path.write_text(f'backend = "openai_chat"\nmodel = "m"\n[endpoint]\n{endpoint}\n', "utf-8")
    with pytest.raises(CardError, match=field):
        load_card(str(path))


def test_several_addresses_are_one_judge(tmp_path: Path) -> None:
    one, several = tmp_path / "one.toml", tmp_path / "several.toml"
    head = 'backend = "openai_chat"\nmodel = "m"\n[endpoint]\n'
    one.write_text(head + 'base_url = "http://a/v1"\n', "utf-8")
    several.write_text(head + 'base_urls = ["http://a/v1", "http://b/v1"]\n', "utf-8")
    first, second = load_card(str(one)), load_card(str(several))
    assert first.digest == second.digest
    assert [e.base_url for e in second.endpoint.each] == ["http://a/v1", "http://b/v1"]
    assert [e.base_url for e in first.endpoint.each] == ["http://a/v1"]

"""A pool of actors that die: what is asked again, where, and what ends the run. The actors are made up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from isr.actors.pool import Died, GivenUp, Pool
from isr.actors.suspects import BARREN, Death
from isr.errors import JudgeError, TransportError


class Fake:
    """An actor on a node; ``does`` makes the reply to a task."""

    made = 0

    def __init__(
        self, does: Callable[[Fake, Any], Awaitable[Any]], node: str = "n", fact: object = "same"
    ) -> None:
        self.does, self.node, self.fact = does, node, fact
        self.inside: list[Any] = []
        self.most = 0
        self.dead = asyncio.Event()
        self.killed = False
        self.room = asyncio.Event()
        self.room.set()

    async def placed(self) -> str:
        await self.room.wait()
        return self.node

    async def begin(self) -> object:
        if isinstance(self.fact, Exception):
            raise self.fact
        return self.fact

    async def call(self, *task: Any) -> Any:
        self.inside.append(task[0])
        self.most = max(self.most, len(self.inside))
        work = asyncio.ensure_future(self.does(self, task[0]))
        death = asyncio.ensure_future(self.dead.wait())
        try:
            await asyncio.wait({work, death}, return_when=asyncio.FIRST_COMPLETED)
            if self.dead.is_set():
                raise Died(Death.PROCESS, "it is gone")
            return await work
        finally:
            self.inside.remove(task[0])
            work.cancel()
            death.cancel()

    def kill(self) -> None:
        self.killed = True
        self.dead.set()


async def reply(actor: Fake, task: Any) -> Any:
    for _ in range(3):
        await asyncio.sleep(0)
    if str(task).startswith("poison"):
        actor.dead.set()
        await asyncio.Event().wait()
    return f"{task} done"


def pool_of(actors: list[Fake], does: Callable[[Fake, Any], Awaitable[Any]] = reply, **more: Any) -> Pool:
    def make() -> Fake:
        actors.append(Fake(does))
        return actors[-1]

    return Pool(make, name="judge", **{"most": 2, "places": 3, **more})


async def all_of(pool: Pool, tasks: list[str]) -> list[Any]:
    return await asyncio.gather(*(pool.call(t, t) for t in tasks), return_exceptions=True)


def test_a_task_that_kills_its_actor_is_given_up_and_the_others_are_done() -> None:
    async def work() -> None:
        actors: list[Fake] = []
        pool = pool_of(actors)
        await pool.start()
        tasks = [f"t{i}" for i in range(20)]
        tasks.insert(4, "poison")
        got = dict(zip(tasks, await all_of(pool, tasks), strict=True))
        poison = got.pop("poison")
        assert isinstance(poison, GivenUp)
        assert poison.reason == "server_error"
        assert not poison.retryable
        assert got == {t: f"{t} done" for t in got}
        assert sum(a.dead.is_set() for a in actors) == 2  # K = 2: once among others, once alone
        await pool.close()
        assert all(a.killed for a in actors)

    asyncio.run(work())


def test_suspects_are_alone_in_their_actors_and_places_are_kept() -> None:
    alone: dict[str, int] = {}

    async def does(actor: Fake, task: str) -> str:
        asked[task] += 1
        if asked[task] > 1:
            alone[task] = max(alone.get(task, 0), len(actor.inside))
            await asyncio.sleep(0)
            alone[task] = max(alone[task], len(actor.inside))
        elif task == "first":
            actor.dead.set()
        return str(await reply(actor, task))

    asked: Counter[str] = Counter()

    async def work() -> None:
        actors: list[Fake] = []
        pool = pool_of(actors, does)
        await pool.start()
        tasks = ["first", *(f"t{i}" for i in range(30))]
        assert pool.capacity == 2 * (3 + 1)
        assert await all_of(pool, tasks) == [f"{t} done" for t in tasks]
        assert len(alone) > 1
        assert set(alone.values()) == {1}
        assert {a.most for a in actors} <= {1, 2, 3}
        await pool.close()

    asyncio.run(work())


def test_a_lack_of_memory_starts_the_actor_anew_and_is_the_tasks_own_the_second_time() -> None:
    asked: Counter[str] = Counter()

    async def does(actor: Fake, task: str) -> str:
        asked[task] += 1
        if task == "large" or (task == "unlucky" and asked[task] == 1):
            raise TransportError("out_of_memory", f"{task} does not fit", retryable=False)
        return str(await reply(actor, task))

    async def work() -> None:
        actors: list[Fake] = []
        pool = pool_of(actors, does)
        await pool.start()
        large, unlucky, other = await all_of(pool, ["large", "unlucky", "other"])
        assert (str(large), large.reason) == ("large does not fit", "out_of_memory")
        assert (unlucky, other) == ("unlucky done", "other done")
        assert asked["large"] == 2
        assert sum(a.killed for a in actors) >= 2
        await pool.close()

    asyncio.run(work())


def test_no_room_is_an_error_in_time_and_not_a_hang() -> None:
    async def work() -> None:
        now = 0.0

        def clock() -> float:
            nonlocal now
            now += 0.01
            return now

        actors: list[Fake] = []

        def make() -> Fake:
            actors.append(Fake(reply))
            actors[-1].room.clear()
            return actors[-1]

        pool = Pool(make, name="judge", most=2, least=1, room_s=0.05, room=lambda: "GPU 0", clock=clock)
        with pytest.raises(
            JudgeError, match=r"judge: expected room for 1 actor.* found room for 0 \(GPU 0\)"
        ):
            await pool.start()
        await pool.close()

    asyncio.run(work())


def test_a_node_that_cannot_is_left_out_and_the_last_ones_reason_ends_the_run() -> None:
    async def work(facts: list[object]) -> Any:
        left = list(facts)
        pool = Pool(lambda: Fake(reply, fact=left.pop(0)), name="judge", most=len(facts))
        await pool.start()
        try:
            return await pool.call("t", "t"), len(pool.slots)
        finally:
            await pool.close()

    unfit = JudgeError("no such model here")
    assert asyncio.run(work([unfit, "same"])) == ("t done", 1)
    with pytest.raises(JudgeError, match="no such model here"):
        asyncio.run(work([unfit]))


def test_actors_that_always_end_are_not_made_for_ever() -> None:
    async def work() -> None:
        actors: list[Fake] = []
        pool = pool_of(actors, most=1, places=1)
        await pool.start()
        got = await all_of(pool, [f"poison {i}" for i in range(3 * BARREN)])
        assert all(isinstance(g, GivenUp) for g in got)
        assert len(actors) == BARREN
        with pytest.raises(GivenUp, match=f"{BARREN} actors ended one after the other"):
            await pool.free(lambda: 0)
        await pool.close()

    asyncio.run(work())


def test_an_actor_that_says_nothing_counts_as_gone() -> None:
    async def does(actor: Fake, task: str) -> str:
        if task == "stuck":
            await asyncio.Event().wait()
        return str(await reply(actor, task))

    async def work() -> None:
        actors: list[Fake] = []
        pool = pool_of(actors, does, most=1, places=1, silent_s=0.01)
        await pool.start()
        stuck, other = await all_of(pool, ["stuck", "other"])
        assert isinstance(stuck, GivenUp)
        assert stuck.reason == "timeout"
        assert other == "other done"
        await pool.close()

    asyncio.run(work())

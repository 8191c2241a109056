"""Tasks given to a pool of actors that may die: each to the least loaded one, and again elsewhere after a death.

Nothing here knows who places actors (``isr.actors.cluster``). Everything runs in one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from isr.actors.suspects import Death, Suspects
from isr.errors import IsrError, JudgeError, TransportError, TransportReason

log = logging.getLogger("isr")

ROOM_S = 60.0  # to wait for room for an actor where none is there


class Died(Exception):
    """An actor is no more. ``death``: how it ended."""

    def __init__(self, death: Death, said: str) -> None:
        self.death = death
        super().__init__(said)


class GivenUp(TransportError):
    """A task is asked no more: its actors ended, again and again."""


class Actor(Protocol):
    """One actor, wherever it is placed. Every call raises ``Died`` if it is no more, else what it raised itself."""

    async def placed(self) -> str:
        """Waits until it runs; the name of its node, for messages."""

    async def begin(self) -> object:
        """Makes ready what it holds. Raises ``IsrError`` where its node cannot."""

    async def call(self, *task: Any) -> Any:
        """The reply to a task."""

    def kill(self) -> None:
        """Ends it."""


@dataclass(eq=False, kw_only=True)
class Slot:
    """An actor of the pool, and the tasks that are in it."""

    actor: Actor
    inside: set[Hashable] = field(default_factory=set)
    node: str = ""  # once it is placed
    ready: bool = False
    closing: bool = False  # it takes no more, and ends when it is empty
    gone: bool = False
    replied_at: float = 0.0


class Pool:
    """At most ``most`` actors, with up to ``places`` tasks in each.

    make: makes an actor, which may wait for room. least: how many must find room before the first task. room_s: how long is
    waited for that, and for any room at all later. room: what the cluster has, in words. silent_s: a task without a reply for
    so long, in an actor that replied to nothing else meanwhile, counts as its end. name: of what the actors hold, for messages.
    """

    def __init__(
        self,
        make: Callable[[], Actor],
        *,
        name: str,
        most: int,
        places: int = 1,
        least: int = 1,
        room_s: float = ROOM_S,
        silent_s: float = 1800.0,
        room: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._room, self._clock = make, room, clock
        self.name, self.most, self.places, self.least = name, most, places, least
        self.room_s, self.silent_s = room_s, silent_s
        self.suspects = Suspects()
        self.slots: list[Slot] = []
        self.facts: object = None  # what the first actor that was ready said of itself
        self._wanting = 0  # tasks that wait for an actor of their own
        self._left_out: IsrError | None = None  # why an actor was left out
        self._over: IsrError | None = None  # why nothing more is asked
        self._empty_since = 0.0
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begins all actors, and waits until ``least`` of them have room. Raises ``IsrError`` where that is not so in time."""
        self._empty_since = self._clock()
        for _ in range(self.most):
            self._add()
        await self._until(lambda: len(self._placed) >= self.least, self.least)
        await self._until(lambda: any(s.ready for s in self.slots), 1)

    @property
    def capacity(self) -> int:
        """How many tasks may be given to it now: those that its actors have places for, and one that waits for each of them."""
        return sum(self.places + 1 for s in self.slots if s.ready and not s.closing)

    async def free(self, taken: Callable[[], int]) -> None:
        """Waits until it has room for more tasks than are ``taken``; ``tell`` says that these changed.

        Raises what makes that impossible.
        """
        await self._until(lambda: taken() < self.capacity, 1)

    async def tell(self) -> None:
        """Wakes who waits: something changed."""
        async with self._changed:
            self._changed.notify_all()

    async def call(self, key: Hashable, *task: Any) -> Any:
        """The reply to a task, from whichever actor is there.

        Raises ``GivenUp`` once its actors ended too often, and whatever the actor raises.
        """
        while True:
            slot = await self._chosen(key, self.suspects.is_alone(key))
            try:
                reply = await self._replied(slot, *task)
            except Died as died:
                await self._lost(slot, died)
                self._require_sane(key, died)
                continue
            except TransportError as error:
                if error.reason is not TransportReason.OUT_OF_MEMORY:
                    raise
                slot.closing = True  # a new process has its memory whole
                self.suspects.ran_out(key)
                if self.suspects.is_given_up(key) is not None:
                    raise
                continue
            finally:
                await self._left(slot, key)
            self.suspects.succeeded(key)
            return reply

    async def close(self) -> None:
        """Ends all actors."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for slot in self.slots:
            slot.gone = True
            slot.actor.kill()
        self.slots.clear()

    # ------------------------------------------------------------------------------------------ actors

    @property
    def _placed(self) -> list[Slot]:
        return [s for s in self.slots if s.node]

    def _add(self) -> None:
        slot = Slot(actor=self._make())
        self.slots.append(slot)
        task = asyncio.create_task(self._begin(slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self, slot: Slot) -> None:
        try:
            slot.node = await slot.actor.placed()
            await self.tell()
            facts = await asyncio.wait_for(slot.actor.begin(), self.silent_s)
        except (Died, TimeoutError) as error:
            silent = f"it did not begin within {self.silent_s:g} s"
            await self._lost(slot, error if isinstance(error, Died) else Died(Death.SILENT, silent))
            return
        except IsrError as error:
            await self._leave_out(slot, error)
            return
        if self.facts is not None and facts != self.facts:
            told = f"{self.name}: expected the same on every node; found another on {slot.node}: {facts}, not {self.facts}"
            await self._leave_out(slot, JudgeError(f"{told}; install the same there"))
            return
        self.facts = facts
        slot.ready, slot.replied_at = True, self._clock()
        await self.tell()

    async def _leave_out(self, slot: Slot, error: IsrError) -> None:
        """Ends an actor whose node cannot do the work; the last one's reason ends the run."""
        log.warning("%s: an actor on %s is left out: %s", self.name, slot.node or "a node", error)
        self._left_out = error
        self._drop(slot)
        if not self.slots:
            self._over = self._over or error
        await self.tell()

    async def _lost(self, slot: Slot, died: Died) -> None:
        """An actor died: what was in it is asked again, and another one takes its place. Once for all that see it."""
        if slot.gone:
            return
        self.suspects.died(slot.inside, died.death)
        log.warning(
            "%s: an actor on %s is gone (%s); %d request(s) were in it",
            self.name,
            slot.node or "no node yet",
            died.death.value,
            len(slot.inside),
        )
        self._drop(slot)
        if self.suspects.is_hopeless():
            self._over = self._over or GivenUp(
                TransportReason.SERVER_ERROR,
                f"{self.name}: {self.suspects.barren} actors ended one after the other without a reply (the last one: {died}); "
                "what was received is kept; look into the logs of the nodes, then run the same command again",
                retryable=False,
            )
        else:
            self._add()
        await self.tell()

    def _drop(self, slot: Slot) -> None:
        slot.gone = True
        slot.actor.kill()
        if slot in self.slots:
            self.slots.remove(slot)
        if not self._placed:
            self._empty_since = self._clock()

    def _require_sane(self, key: Hashable, died: Died) -> None:
        if self._over is not None:
            raise self._over
        if (death := self.suspects.is_given_up(key)) is not None:
            reason = {
                Death.MEMORY: TransportReason.OUT_OF_MEMORY,
                Death.NODE: TransportReason.CONNECTION,
                Death.SILENT: TransportReason.TIMEOUT,
            }
            raise GivenUp(
                reason.get(death, TransportReason.SERVER_ERROR),
                f"{self.name}: the actors that it was given to ended, the last one alone with it ({death.value})",
                retryable=False,
            )

    # ------------------------------------------------------------------------------------------- tasks

    def _open(self, alone: bool) -> list[Slot]:
        """Actors that take one more task: an empty one for a task that is to be alone, which others leave room for."""
        ready = [s for s in self.slots if s.ready and not s.closing]
        if alone:
            return [s for s in ready if not s.inside]
        mine = [s for s in ready if not any(self.suspects.is_alone(k) for k in s.inside)]
        kept = sorted(mine, key=lambda s: len(s.inside))[: self._wanting]  # they empty themselves
        return [s for s in mine if s not in kept and len(s.inside) < self.places]

    async def _chosen(self, key: Hashable, alone: bool) -> Slot:
        self._wanting += alone
        try:
            await self._until(lambda: bool(self._open(alone)), 1)
            slot = min(self._open(alone), key=lambda s: len(s.inside))
            slot.inside.add(key)
            return slot
        finally:
            self._wanting -= alone

    async def _replied(self, slot: Slot, *task: Any) -> Any:
        began = self._clock()
        reply = asyncio.ensure_future(slot.actor.call(*task))
        try:
            while not reply.done():
                quiet = self._clock() - max(began, slot.replied_at)
                if quiet >= self.silent_s:
                    raise Died(Death.SILENT, f"no reply for {quiet:.0f} s")
                await asyncio.wait({reply}, timeout=self.silent_s - quiet)
            slot.replied_at = self._clock()
            return await reply
        finally:
            reply.cancel()

    async def _left(self, slot: Slot, key: Hashable) -> None:
        slot.inside.discard(key)
        if slot.closing and not slot.inside and not slot.gone:
            self._drop(slot)
            self._add()
        await self.tell()

    async def _until(self, met: Callable[[], bool], least: int) -> None:
        """Waits for a condition. Raises what makes it impossible: no room for any actor in time, or all of them unfit."""
        async with self._changed:
            while not met():
                if self._over is not None:
                    raise self._over
                left: float | None = None
                if len(self._placed) < least:
                    left = self.room_s - (self._clock() - self._empty_since)
                    if left <= 0:
                        raise self._left_out or self._no_room(least)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), left)

    def _no_room(self, least: int) -> JudgeError:
        return JudgeError(
            f"{self.name}: expected room for {least} actor(s) within {self.room_s:g} s; found room for {len(self._placed)} "
            f"({self._room()}); ask for less of each actor, add nodes, or wait until others leave the cluster"
        )

"""The workers of one judge: as many as may be in flight, and one more for each request that waits for its next try."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

MOST = 8  # times as many workers as were meant, stand-ins included; each holds one request


class Crew:
    """Runs ``work`` on so many workers at once, until it returns ``False`` to each of them.

    A worker whose request waits may be stood in for, so that others are asked meanwhile.
    """

    def __init__(self, work: Callable[[], Awaitable[bool]], number: int) -> None:
        self._work, self._number = work, number
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._surplus = 0  # workers that are no longer needed

    async def run(self) -> None:
        """Returns once nothing is left. Raises what a worker raised, the others cancelled."""
        async with asyncio.TaskGroup() as self._group:
            for _ in range(self._number):
                self._add()

    def stand_in(self) -> Callable[[], None] | None:
        """One more worker, until what is returned is called; ``None`` where there are enough of them."""
        if self._group is None or len(self._tasks) >= MOST * self._number:
            return None
        if self._surplus:
            self._surplus -= 1
        else:
            self._add()
        return self._dismiss

    def cancel(self) -> None:
        """Ends all of them, whatever they are at."""
        for task in self._tasks:
            task.cancel()

    def _dismiss(self) -> None:
        self._surplus += 1

    def _add(self) -> None:
        assert self._group is not None
        task = self._group.create_task(self._worker())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _worker(self) -> None:
        while not self._surplus:
            if not await self._work():
                return
        self._surplus -= 1

"""One judge working through its requests with many workers of an engine: the run of the direct path, with more in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import Any

from isr.errors import JudgeError, SecretError, TransportError
from isr.judging.backends import Judge
from isr.judging.crew import Crew
from isr.judging.engines import Engine, Workers
from isr.judging.loop import JudgeRun
from isr.judging.requests import Request
from isr.judging.retry import Throttle


class WorkerRun(JudgeRun):
    """One judge, asked by workers.

    A request is looked up in the store only once a worker is free for it. turn: judges that share it ask one after the other, so
    that each has all places; where the plan has an order they ask side by side.
    """

    def __init__(
        self, *args: Any, engine: Engine, sets: Sequence[str], turn: asyncio.Lock, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        assert engine.workers_of is not None
        self._workers: Workers = engine.workers_of(self.card, sets)
        self.crew = Crew(self._next, self._workers.most)
        limits = self.card.limits.model_copy(update={"concurrency": self._workers.most})
        self.gate = Throttle(limits)
        self._turn = turn
        self._ended: TransportError | None = None  # why no worker is there any more

    async def run(self) -> None:
        """Asks until nothing is missing, the budget is used up, the judge fails, or the user interrupts."""
        async with nullcontext() if self.plan.order_seed is not None else self._turn:
            await super().run()
        if self._ended is not None and not (self.stopping.has_answered or self.stored):
            self.error = self.error or JudgeError(str(self._ended))  # there is nothing to make a result of

    def _opened(self) -> Judge:
        self.judge = self._workers
        return self._workers

    async def missing(self) -> AsyncIterator[tuple[Request, int]]:
        """(request, ask number) for everything that is still to be asked, each once it can be."""
        async for item in super().missing():
            try:
                self._opened()
                await self._workers.free()
            except (JudgeError, SecretError) as error:  # what is in flight is waited for
                self.error = self.error or error
                self.progress.stopped = self.progress.stopped or str(error)
                return
            except TransportError as error:
                self._ended = error
                self.progress.stopped = self.progress.stopped or str(error)
                return
            yield item

"""What becomes of the lines of one batch: answers are kept, failures asked again or counted, as on the direct path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from isr.errors import FilteredError, JudgeError, SecretError, TransportError
from isr.judging.backends import border, filtered, taken
from isr.judging.engines import Unanswered
from isr.judging.prices import cost_of_answer

if TYPE_CHECKING:
    from isr.judging.batch_ledger import Asked, Shard
    from isr.judging.batch_run import BatchRun
    from isr.types import Answer

TOGETHER = 256  # answers that are committed together


class Taking:
    """What becomes of the lines of one batch. ``settled``: requests with an answer or a failure for good."""

    def __init__(self, run: BatchRun, shard: Shard, mine: Mapping[str, Asked]) -> None:
        self.run, self.shard, self.mine = run, shard, mine
        self.settled: set[str] = set()
        self.again: set[str] = set()
        self.answered = 0
        self._refused: list[tuple[str, TransportError]] = []
        self._lines: list[tuple[str, Mapping[str, Any]]] = []

    async def line(self, name: str, line: Mapping[str, Any]) -> None:
        """Takes one line; answers are committed some at a time."""
        if name not in self.mine or name in self.settled or name in self.again:
            return
        self._lines.append((name, line))
        if len(self._lines) >= TOGETHER:
            await self.flush()

    async def flush(self) -> None:
        """Commits what was taken."""
        lines, self._lines = self._lines, []
        await asyncio.gather(*(self._take(name, line) for name, line in lines))

    async def end(self) -> None:
        """Commits the rest. Refusals for good are kept if the same batch has answers: the host takes others."""
        await self.flush()
        run = self.run
        for name, error in self._refused:
            self._settled(name)
            if self.answered:
                run.stopping.rejections = 0
            self._unless_over(lambda name=name, error=error: run.failed(*run.items[name], error))  # type: ignore[misc]
        if self.answered:
            await run.keep_refused()

    async def _take(self, name: str, line: Mapping[str, Any]) -> None:
        run, (request, ask) = self.run, self.run.items[name]
        try:
            answer = self._read(line, name)
        except TransportError as error:
            self._failed(name, error)
            return
        except (JudgeError, SecretError) as error:
            self._settled(name)
            self._over(error)
            return
        if answer is None:
            return
        served = {**answer.served, "engine": run.engine.name, "batch": self.shard.batch_id}
        answer = replace(answer, served=served, sent=self.mine[name].sent)
        worst = run.worst.pop(name, 0.0)
        cost = cost_of_answer(run.priced, answer, worst)
        self.settled.add(name)
        self.answered += 1
        try:
            await run.keep(request, ask, answer, cost)
        except (JudgeError, SecretError) as error:
            self._over(error)
        finally:
            run.budget.settle(worst, cost)

    def _read(self, line: Mapping[str, Any], name: str) -> Answer | None:
        """The answer in a line, checked as that of a backend; ``None`` where its request was not run."""
        run = self.run
        assert run.host is not None
        with border(run.card, "read"):
            try:
                given = run.host.read(line, run.items[name][0])
            except FilteredError as error:
                given = filtered(run.card, error)
            return None if isinstance(given, Unanswered) else taken(given)

    def _settled(self, name: str) -> None:
        """A request came to an end that costs nothing."""
        self.settled.add(name)
        self.run.budget.settle(self.run.worst.pop(name, 0.0), 0.0)

    def _failed(self, name: str, error: TransportError) -> None:
        run = self.run
        if error.terminal or not error.retryable:
            self._refused.append((name, error))
            return
        run.tries[name] += 1
        if run.tries[name] >= run.card.limits.max_attempts:
            self._settled(name)
            self._unless_over(lambda: run.failed(*run.items[name], error))
            return
        self.again.add(name)
        self._unless_over(lambda: run.note_retry(error))

    def _unless_over(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (JudgeError, SecretError) as error:
            self._over(error)

    def _over(self, error: JudgeError | SecretError) -> None:
        """Nothing more is asked; the other lines have been paid for, and are taken."""
        self.run.error = self.run.error or error
        self.run.progress.stopped = self.run.progress.stopped or str(error)

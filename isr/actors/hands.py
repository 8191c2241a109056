"""A pool of actors for code without an event loop: tasks go out as they are made, outcomes come back as they are there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, TypeVar

from isr.actors.cluster import Cluster, Settings, own_signals, started
from isr.actors.held import Holds
from isr.actors.pool import Pool
from isr.errors import TransportError

T = TypeVar("T")


@dataclass(frozen=True)
class Task(Generic[T]):
    """A call of a method of what the actors hold. ``key``: what tells it apart. ``about``: comes back with the outcome."""

    key: Hashable
    about: T
    method: str
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of a task: its reply, or why there is none (``lost``) though the others go on."""

    about: T
    reply: Any = None
    lost: TransportError | None = None


class Hands:
    """Actors of a cluster, in a context: they end with the block."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._cluster = Cluster(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="isr-hands", daemon=True)
        self._pool: Pool | None = None

    def __enter__(self) -> Hands:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._pool is not None:
            self._wait(self._pool.close())
        self._cluster.leave()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, make: Callable[[], Holds], name: str, *, gpus: float | None = None) -> Any:
        """What the first actor says of itself once it is ready. gpus: of each; one where the nodes have any, by default.

        Raises ``IsrError``.
        """
        with own_signals():
            self._cluster.join()
        some = self.settings.gpus if gpus is None else gpus
        if some is None:
            some = 1.0 if any(n.get("GPU", 0) for n in self._cluster.nodes()) else 0.0
        self._pool = self._wait(started(self._cluster, make, name, gpus=some))
        return self._pool.facts

    def call(self, method: str, *args: Any) -> Any:
        """The reply of one call."""
        assert self._pool is not None
        return self._wait(self._pool.call(object(), method, *args))

    def map(self, tasks: Iterator[Task[T]]) -> Iterator[Outcome[T]]:
        """The outcomes of tasks, each as it comes; a task is taken once an actor may be free for it.

        A task that cannot be done is ``lost``, and the others go on. The first other error ends the taking: what is in
        flight is waited for, then it is raised.
        """
        assert self._pool is not None
        there: SimpleQueue[tuple[Task[T], Future[Any]]] = SimpleQueue()
        inside, error = 0, None
        more = True
        while True:
            while more and inside <= self._pool.most:
                task = next(tasks, None)
                if task is None:
                    more = False
                    break
                future = asyncio.run_coroutine_threadsafe(
                    self._pool.call(task.key, task.method, *task.args), self._loop
                )
                future.add_done_callback(lambda done, task=task: there.put((task, done)))  # type: ignore[misc]
                inside += 1
            if not inside:
                break
            task, future = there.get()
            inside -= 1
            try:
                yield Outcome(task.about, future.result())
            except TransportError as lost:
                yield Outcome(task.about, lost=lost)
            except Exception as other:
                error, more = error or other, False
        if error is not None:
            raise error

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

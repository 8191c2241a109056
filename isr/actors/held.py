"""What runs in an actor: an object that is made there, and its methods by name. Every error of the package comes back as data."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from isr.actors.wire import Wire, to_wire
from isr.errors import IsrError

MOST_SAID = 100  # warnings that an actor sends before it keeps silent


class Holds(Protocol):
    """What an actor can hold."""

    def facts(self) -> object:
        """What must be the same in every actor: plain data that can be compared. Raises ``IsrError`` where it cannot work here."""


class Held:
    """The class of the actors. A reply is (value, error as data, warnings).

    folder: where the driver stands; relative paths start there, if the node has it too.
    """

    def __init__(self, make: Callable[[], Holds], folder: str) -> None:
        self._make = make
        self._held: Holds | None = None
        if os.path.isdir(folder):
            os.chdir(folder)
        self._said = _Kept(logging.WARNING)
        logging.getLogger("isr").addHandler(self._said)

    async def node(self) -> tuple[str, str]:
        """(id, name) of the node, and with it that the actor runs."""
        import ray

        return ray.get_runtime_context().get_node_id(), socket.gethostname()

    async def begin(self) -> tuple[Any, Wire | None, list[str]]:
        """Makes the object; the reply is what it says of itself."""

        def made() -> object:
            held = self._held = self._make()
            return held.facts()

        return await self._reply(lambda: asyncio.to_thread(made))

    async def call(self, method: str, *args: Any) -> tuple[Any, Wire | None, list[str]]:
        """The reply of a method; one that is no coroutine runs in a thread."""
        function = getattr(self._held, method)
        if inspect.iscoroutinefunction(function):
            return await self._reply(lambda: function(*args))
        return await self._reply(lambda: asyncio.to_thread(function, *args))

    async def _reply(self, work: Callable[[], Awaitable[Any]]) -> tuple[Any, Wire | None, list[str]]:
        try:
            return await work(), None, self._said.taken()
        except IsrError as error:
            return None, to_wire(error), self._said.taken()


class _Kept(logging.Handler):
    """Warnings that wait to go to the driver with the next reply."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._waiting: list[str] = []
        self._n = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._n += 1
        if self._n <= MOST_SAID:
            self._waiting.append(record.getMessage())

    def taken(self) -> list[str]:
        said, self._waiting = self._waiting, []
        return said

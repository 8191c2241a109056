"""Connections to a local page: how many may be open, and how long one may take to say what it wants.

Any user of this machine can open the port. Without these bounds half a request could hold a connection for ever, and a
few hundred of them all the files that a process may open.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_OPEN = 64
"""Connections; a new one beyond them closes the one that has waited longest without a whole request."""
HEAD_S = 10.0
"""Seconds from a connection's first moment, or from its last reply, to the end of its next request's header."""
TAKE_S = 30.0
"""Seconds in which a client has to take something of what waits for it."""


class Connection(H11Protocol):
    """uvicorn's protocol, closed where no header is complete in time, or where too many others are open."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._late: asyncio.TimerHandle | None = None
        self._given_up = False

    @property
    def waits(self) -> bool:
        """Whether nothing is asked: no request has come, or the last one was answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        held = [c for c in self.connections if isinstance(c, Connection) and not c._given_up]
        if len(held) > MOST_OPEN:
            idle = [c for c in held if c is not self and (c.waits or c.transport.is_closing())]
            min(idle, key=lambda c: c._since, default=self)._give_up()
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._since = self.loop.time()
        self._watch()  # half of the next request may be there already

    def pause_writing(self) -> None:
        """Whoever asks for more than the system keeps for it has to take some of it in time."""
        super().pause_writing()
        self._unread = self.loop.call_later(TAKE_S, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread.cancel()

    def _watch(self) -> None:
        """One timer for each wait; more bytes of the same header do not start it anew."""
        if not self.waits:
            self._unwatch()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_S, self._close)

    def _unwatch(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        if self.waits:
            self._give_up()

    def _give_up(self) -> None:
        """Ends the connection at once; what was to be sent is dropped."""
        self._given_up = True
        self.transport.abort()

"""Runs a local page until Ctrl-C, or beside other work in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from isr.web.connections import Connection
from isr.web.guard import HOST, Guard, listen, new_token


class _Server(uvicorn.Server):
    """A server in a thread: signals belong to the command that started it."""

    def install_signal_handlers(self) -> None:
        return


def guarded(app: Any, port: int, token: str = "") -> tuple[uvicorn.Config, socket.socket, str]:
    """(configuration, bound socket, address with its token) of a page behind its guard."""
    listening = listen(port)
    number = listening.getsockname()[1]
    token = token or new_token()
    config = uvicorn.Config(
        Guard(app, token, number),
        http=Connection,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
    )
    return config, listening, f"http://{HOST}:{number}/?token={token}"


def run(config: uvicorn.Config, listening: socket.socket) -> None:
    """Serves until Ctrl-C, which is how it is meant to end."""
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def beside(config: uvicorn.Config, listening: socket.socket) -> Iterator[None]:
    """Serves in a thread until the block ends."""
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=5)

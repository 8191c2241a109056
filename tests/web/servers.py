"""Real servers in processes of their own."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes import LIMIT_S, STDOUT, Popen, read_until, started, wait_for


@dataclass
class Served:
    """A running ``isr label``; ``address`` holds its token."""

    process: Popen[str]
    address: str

    @property
    def origin(self) -> str:
        return self.address.split("/?")[0]

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def listens(port: int) -> bool:
    """Whether a server takes connections there."""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def labelling(directory: Path, *options: str, port: int = 0) -> Iterator[Served]:
    """``isr label`` until the block ends."""
    port = port or free_port()
    command = [sys.executable, "-u", "-m", "isr", "label", str(directory), "--port", str(port), *options]
    with started(command, stderr=STDOUT) as process:
        found = read_until(process.stdout, r"open: (http\S+)")
        wait_for(lambda: listens(port), process, what=f"a server at port {port}")
        yield Served(process, found[1])
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(LIMIT_S)

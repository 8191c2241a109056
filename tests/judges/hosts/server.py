"""A real HTTP server that behaves as judge servers were publicly reported to; in a process of its own.

``python -m tests.judges.hosts.server`` prints its port and serves until it is killed. The first part of the path
is the behaviour: ``/no-mmproj/v1/chat/completions``; ``GET /no-mmproj/stats`` counts what it was asked. A part
``behaviour~anything`` is the same behaviour with counts of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import json
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.judges.hosts import (
    behaviours_answers,
    behaviours_faults,
    behaviours_filters,
    behaviours_hosts,
    behaviours_waits,
)
from tests.judges.hosts.replies import BEHAVIOURS, Ask, Asked, Reply
from tests.processes import read_until, started

ROOT = Path(__file__).resolve().parents[3]
MODULES = (behaviours_answers, behaviours_faults, behaviours_filters, behaviours_hosts, behaviours_waits)


class Server:
    """All behaviours side by side, each with counts of its own."""

    def __init__(self) -> None:
        self.asked: defaultdict[str, Asked] = defaultdict(Asked)

    async def complete(self, request: web.Request) -> Reply:
        path = request.match_info["behaviour"]
        raw = await request.read()
        seen, digest = self.asked[path], hashlib.sha256(raw).hexdigest()
        seen.tries[digest] += 1
        seen.in_flight += 1
        try:
            ask = Ask(http=request, body=json.loads(raw), digest=digest, seen=seen)
            reply = BEHAVIOURS[path.partition("~")[0]](ask)
            return await reply if inspect.isawaitable(reply) else reply
        finally:
            seen.in_flight -= 1

    async def stats(self, request: web.Request) -> web.Response:
        return web.json_response(self.asked[request.match_info["behaviour"]].stats())

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/{behaviour}/stats", self.stats)
        app.router.add_post("/{behaviour}/v1/chat/completions", self.complete)
        return app


@dataclass(frozen=True)
class Hosts:
    """The server in another process."""

    port: int

    def base_url(self, behaviour: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{behaviour}/v1"

    def stats(self, behaviour: str) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{behaviour}/stats") as reply:
            out: dict[str, int] = json.load(reply)
            return out


@contextlib.contextmanager
def serving() -> Iterator[Hosts]:
    """The server, for as long as the block lasts."""
    command = [sys.executable, "-m", "tests.judges.hosts.server"]
    with started(command, cwd=ROOT, stderr=None) as process:
        yield Hosts(int(read_until(process.stdout, r"^\d+$")[0]))


async def _serve() -> None:
    runner = web.AppRunner(Server().app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main(argv: Any = None) -> None:
    asyncio.run(_serve())


if __name__ == "__main__":
    main()

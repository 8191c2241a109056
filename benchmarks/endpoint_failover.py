"""What several servers behind one judge give, while one of them is killed and another has a tenth of the speed.

Three servers in processes of their own, each with 8 places; an answer takes 0.5 s at two of them and 5 s at the third.
After 100 of 600 answers one of the fast ones is killed. Throughput is compared with what the servers that live can give
together: 2 x 8 / 0.5 s + 8 / 5 s before, 8 / 0.5 s + 8 / 5 s afterwards.

    python benchmarks/endpoint_failover.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from aiohttp import web
from PIL import Image

from isr.scoring.options import Options
from isr.scoring.run import Watch, run

PLACES, FAST_S, SLOW_S = 8, 0.5, 5.0
EDITS, KILLED_AFTER = 300, 100


def serve(latency_s: float) -> None:
    """A server of chat completions with ``PLACES`` places."""
    seen: Counter[str] = Counter()
    places = asyncio.Semaphore(PLACES)

    async def complete(request: web.Request) -> web.Response:
        body = await request.read()
        seen[str(hash(body))] += 1
        async with places:
            await asyncio.sleep(latency_s)
        semantic = b"source_kept" in body
        said = {
            "reasoning": "seen",
            "score": 3,
            **({"source_kept": 3} if semantic else {}),
            "verdict": "fine",
        }
        choice = {"message": {"content": json.dumps(said)}, "finish_reason": "stop"}
        return web.json_response({"model": "m", "choices": [choice]})

    async def stats(request: web.Request) -> web.Response:
        return web.json_response({"calls": seen.total(), "twice": sum(n > 1 for n in seen.values())})

    async def work() -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", complete)
        app.router.add_get("/stats", stats)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(work())


@dataclass(frozen=True, kw_only=True)
class Round:
    """One run. ``share``: of the throughput that the servers could give."""

    seconds: float
    share: float
    lost: int
    twice: int
    in_flight: int


def write_edits(folder: Path) -> None:
    rows = []
    for n in range(EDITS):
        pixels = np.random.default_rng(n).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"edit-{n}.png")
        Image.fromarray(255 - pixels).save(folder / f"source-{n}.png")
        rows.append(
            {
                "file_name": f"edit-{n}.png",
                "source_file_name": f"source-{n}.png",
                "prompt": "make it red",
                "method": "m",
            }
        )
    (folder / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")


def one_round(folder: Path) -> Round:
    command = [sys.executable, __file__, "--serve"]
    servers = [
        subprocess.Popen([*command, str(s)], stdout=subprocess.PIPE, text=True)
        for s in (FAST_S, FAST_S, SLOW_S)
    ]
    try:
        ports = [int(str(p.stdout.readline())) for p in servers if p.stdout]
        urls = ", ".join(f'"http://127.0.0.1:{p}/v1"' for p in ports)
        (folder / "judge.toml").write_text(
            f'backend = "openai_chat"\nmodel = "m"\n[endpoint]\nbase_urls = [{urls}]\n[limits]\nconcurrency = {PLACES}\n',
            "utf-8",
        )
        return asyncio.run(_measured(folder, servers, ports))
    finally:
        for process in servers:
            process.kill()
            process.wait()


async def _measured(folder: Path, servers: list[subprocess.Popen[str]], ports: list[int]) -> Round:
    import time
    import urllib.request

    def stats(port: int) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats") as reply:
            found: dict[str, int] = json.load(reply)
            return found

    with tempfile.TemporaryDirectory() as out:
        watch = Watch()
        options = Options(directory=folder / "edits", judge=str(folder / "judge.toml"), out=Path(out))
        task = asyncio.create_task(run(options, watch))
        while not watch.progress.answered:
            await asyncio.sleep(0.001)
        began = time.monotonic()
        while watch.progress.answered < KILLED_AFTER:
            await asyncio.sleep(0.001)
        killed_at = time.monotonic() - began
        dead = await asyncio.to_thread(stats, ports[0])
        servers[0].kill()
        done = await task
        seconds = done.seconds["judging"]
        alive = [await asyncio.to_thread(stats, port) for port in ports[1:]]
    fast, slow = PLACES / FAST_S, PLACES / SLOW_S
    possible = killed_at * (2 * fast + slow) + (seconds - killed_at) * (fast + slow)
    calls = dead["calls"] + sum(a["calls"] for a in alive)
    return Round(
        seconds=seconds,
        share=2 * EDITS / possible,
        lost=done.progress.failures,
        twice=sum(a["twice"] for a in alive),
        in_flight=calls - 2 * EDITS,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=float, metavar="SECONDS")
    args = parser.parse_args()
    if args.serve is not None:
        serve(args.serve)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "edits").mkdir()
        write_edits(folder / "edits")
        rounds = [one_round(folder) for _ in range(args.rounds)]
    print(
        f"{2 * EDITS} requests, one of two fast servers killed after {KILLED_AFTER}, a third at a tenth of the speed"
    )
    print(
        f"{'seconds':>8} {'of what was possible':>21} {'lost':>5} {'twice at the living':>20} {'asked again':>12}"
    )
    for r in rounds:
        print(f"{r.seconds:8.1f} {r.share:21.1%} {r.lost:5} {r.twice:20} {r.in_flight:12}")
    print(f"median share {statistics.median(r.share for r in rounds):.1%}")


if __name__ == "__main__":
    main()

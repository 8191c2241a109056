"""What `isr score` costs beyond the network: against a bare HTTP client and a plain loop over the openai client.

A server in a process of its own answers after 50 ms. 200 pairs of 512 px PNG, two questions each: 400 requests,
20 at a time, the same images for all. Contenders are processes of their own; they take turns, and the table
shows the median of the rounds.

    floor     an aiohttp client that posts bodies which were prepared before its clock began
    raw       AsyncOpenAI.chat.completions.create in a loop, images read and base64-encoded for each request
    isr       `isr score` on a directory that it has never seen: every image decoded and checked first
    isr warm  the same after `isr validate`: images known, answers asked anew

wall, CPU: seconds of the whole process, from start to exit, for isr with report.html. work, and its CPU: the same without
starting Python, importing the client library and preparing the floor's bodies (for isr: checking, judging, estimating, writing
the store; without the report, which the others have none of). Below the table, where isr's seconds go by stage.

    python benchmarks/score_overhead.py [--rounds 3] [--pairs 200]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

WORKERS = 20
LATENCY_S = 0.05
CONTENDERS = ("floor", "raw", "isr", "isr warm")


class Answering(asyncio.Protocol):
    """The least server that does: reads a request of known length, answers after the latency."""

    bytes_in = 0
    requests = 0
    reply = b""
    latency = LATENCY_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.head = bytearray()
        self.left = -1

    def data_received(self, data: bytes) -> None:
        Answering.bytes_in += len(data)
        if self.left >= 0:
            self.left -= len(data)
        else:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            fields = bytes(self.head[:end]).lower()
            if fields.startswith(b"get"):
                self._send(json.dumps([Answering.requests, Answering.bytes_in]).encode())
                self.head = bytearray()
                return
            length = int(fields.split(b"content-length:")[1].split(b"\r\n")[0])
            self.left = length - (len(self.head) - end - 4)
        if self.left <= 0:
            self.head, self.left = bytearray(), -1
            Answering.requests += 1
            asyncio.get_running_loop().call_later(Answering.latency, self._send, Answering.reply)

    def _send(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)  # type: ignore[attr-defined]


async def serve() -> None:
    text = json.dumps({"reasoning": "as asked", "score": 4, "source_kept": 4, "verdict": "fine"})
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1000, "completion_tokens": 30, "total_tokens": 1030}
    reply = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }
    Answering.reply = json.dumps(reply).encode()
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def make_directory(root: Path, pairs: int) -> None:
    """Pictures that compress like photographs: about 170 kB each."""
    for folder in ("edits", "sources"):
        (root / folder).mkdir(parents=True)
    rows = []
    for i in range(pairs):
        for folder, seed in (("sources", 2 * i), ("edits", 2 * i + 1)):
            noise = np.random.default_rng(seed).integers(0, 256, (512, 512, 3), np.uint8)
            Image.fromarray(noise).filter(ImageFilter.GaussianBlur(5)).save(root / folder / f"{i}.png")
        row = {
            "file_name": f"edits/{i}.png",
            "source_file_name": f"sources/{i}.png",
            "prompt": "make it snow",
        }
        rows.append(json.dumps(row))
    (root / "metadata.jsonl").write_text("\n".join(rows))


def bodies(root: Path) -> Iterator[bytes]:
    """The bodies that the raw loop and the floor send: the same texts and images as `isr score`."""
    for messages, schema in conversations(root):
        yield json.dumps(
            {"model": "m", "messages": messages, "max_tokens": 512, "response_format": schema}
        ).encode()


def conversations(root: Path) -> Iterator[tuple[list[dict[str, object]], dict[str, object] | None]]:
    from isr.judging.rubrics import load_pair

    rubrics = list(load_pair().values())
    for line in (root / "metadata.jsonl").read_text().splitlines():
        row = json.loads(line)
        for rubric in rubrics:
            content: list[dict[str, object]] = []
            for part in rubric.user:
                if part.image:
                    name = row["file_name"] if part.image == "edit" else row["source_file_name"]
                    url = "data:image/png;base64," + base64.b64encode((root / name).read_bytes()).decode()
                    content.append({"type": "image_url", "image_url": {"url": url}})
                else:
                    content.append(
                        {"type": "text", "text": part.text.replace("{{prompt}}", json.dumps(row["prompt"]))}
                    )
            system = {"role": "system", "content": rubric.system_text("json_schema")}
            yield [system, {"role": "user", "content": content}], rubric.response_format("json_schema")


async def floor(root: Path, port: int) -> tuple[float, float]:
    import aiohttp

    ready = iter(list(bodies(root)))
    url, headers = f"http://127.0.0.1:{port}/v1/chat/completions", {"Content-Type": "application/json"}
    began, used = time.perf_counter(), time.process_time()
    async with aiohttp.ClientSession() as session:

        async def worker() -> None:
            for body in ready:
                async with session.post(url, data=body, headers=headers) as reply:
                    await reply.read()

        await asyncio.gather(*[worker() for _ in range(WORKERS)])
    return time.perf_counter() - began, time.process_time() - used


async def raw(root: Path, port: int) -> tuple[float, float]:
    import openai
    import openai.types.chat

    conversations(root)
    began, used = time.perf_counter(), time.process_time()
    todo = conversations(root)
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="x") as client:

        async def worker() -> None:
            for messages, schema in todo:
                reply = await client.chat.completions.create(
                    model="m",
                    messages=messages,
                    max_tokens=512,
                    response_format=schema,  # type: ignore[arg-type]
                )
                json.loads(reply.choices[0].message.content or "")

        await asyncio.gather(*[worker() for _ in range(WORKERS)])
    return time.perf_counter() - began, time.process_time() - used


def card(folder: Path, port: int) -> Path:
    path = folder / "bench.toml"
    path.write_text(
        f'backend = "openai_chat"\nmodel = "m"\n[endpoint]\nbase_url = "http://127.0.0.1:{port}/v1"\n'
        f"[limits]\nconcurrency = {WORKERS}\n"
    )
    return path


@dataclass(frozen=True)
class Run:
    """Seconds of one contender: of its whole process, of its work, and by stage as (wall, CPU)."""

    wall: float
    cpu: float
    work: float
    work_cpu: float
    stages: dict[str, tuple[float, float]]


WORK = (
    "checking",
    "judging",
    "estimating",
)  # stages of isr; "loading" is the start, "reporting" what comes after


def scored(arguments: list[str]) -> None:
    """`isr` in this process; at its end it says on stderr when each stage was over."""
    import isr.scoring.run
    from isr.cli import main

    laps: list[tuple[str, float, float]] = []

    class Clock(isr.scoring.run.Clock):
        def lap(self, stage: str) -> None:
            super().lap(stage)
            laps.append((stage, time.perf_counter(), time.process_time()))

    isr.scoring.run.Clock = Clock  # type: ignore[misc]
    sys.argv = ["isr", *arguments]
    try:
        main()
    finally:
        laps.append(("reporting", time.perf_counter(), time.process_time()))
        print(json.dumps(laps), file=sys.stderr)


def contend(name: str, root: Path, port: int) -> Run:
    """One contender in a process of its own."""
    out = root.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    me = [sys.executable, __file__, "--contender"]
    if name in ("floor", "raw"):
        command = [*me, name, "--port", str(port), "--root", str(root)]
    else:
        judge = ["--judge", str(card(root.parent, port)), "--out", str(out), "--replace", "--quiet"]
        command = [*me, "isr", "score", str(root), *judge]
    if name == "isr warm":
        subprocess.run([*command, "--limit", "1"], check=True, capture_output=True)
        (out / "isr.db").unlink()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if name in ("floor", "raw"):
        return Run(wall, cpu, *json.loads(done.stdout), {})
    stages, last = {}, (began, 0.0)
    for stage, at, used in json.loads(done.stderr.splitlines()[-1]):
        stages["starting" if stage == "loading" else stage] = (at - last[0], used - last[1])
        last = at, used
    return Run(wall, cpu, *(sum(stages[s][i] for s in WORK) for i in (0, 1)), stages)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--latency", type=float, default=LATENCY_S, help=argparse.SUPPRESS)
    for hidden in ("contender", "port", "root"):
        parser.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    if sys.argv[1:3] == ["--contender", "isr"]:
        scored(sys.argv[3:])
        return
    args = parser.parse_args()
    if args.contender == "serve":
        Answering.latency = args.latency
        asyncio.run(serve())
    elif args.contender:
        run = {"floor": floor, "raw": raw}[args.contender]
        print(json.dumps(asyncio.run(run(Path(args.root), int(args.port)))))
    else:
        compare(args.rounds, args.pairs)


def compare(rounds: int, pairs: int) -> None:
    server = subprocess.Popen(
        [sys.executable, __file__, "--contender", "serve"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "edits"
        make_directory(root, pairs)
        size = sum(len(b) for b in bodies(root)) / (2 * pairs)
        print(
            f"{2 * pairs} requests of {size / 1000:.0f} kB, {WORKERS} at a time, {LATENCY_S * 1000:.0f} ms, {os.cpu_count()} cores"
        )
        found: dict[str, list[Run]] = {name: [] for name in CONTENDERS}
        sent: dict[str, int] = {}
        for _ in range(rounds):
            for name in CONTENDERS:
                before = _counted(port)
                found[name].append(contend(name, root, port))
                sent[name] = _counted(port) - before
    server.kill()
    told(found, sent, pairs)


def told(found: dict[str, list[Run]], sent: dict[str, int], pairs: int) -> None:
    """Prints the medians, and the profile of isr's last runs."""
    middle = {
        name: [statistics.median(getattr(r, f) for r in runs) for f in ("wall", "cpu", "work", "work_cpu")]
        for name, runs in found.items()
    }
    print(
        f"{'':10}{'wall s':>8}{'CPU s':>8}{'work s':>8}{'work CPU':>10}{'ms each':>9}{'MB sent':>9}"
        f"{'work / floor':>14}{'work CPU / raw':>16}"
    )
    for name, (wall, cpu, work, work_cpu) in middle.items():
        print(
            f"{name:10}{wall:>8.2f}{cpu:>8.2f}{work:>8.2f}{work_cpu:>10.2f}{work_cpu / pairs / 2 * 1000:>9.1f}"
            f"{sent[name] / 1e6:>9.1f}{work / middle['floor'][2]:>14.2f}{work_cpu / middle['raw'][3]:>16.2f}"
        )
    for name, runs in found.items():
        if runs[-1].stages:
            said = (f"{stage} {wall:.2f} ({cpu:.2f})" for stage, (wall, cpu) in runs[-1].stages.items())
            print(f"{name}, wall (CPU) by stage: {', '.join(said)}")


def _counted(port: int) -> int:
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as reply:
        return int(json.load(reply)[1])


if __name__ == "__main__":
    main()

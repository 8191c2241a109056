"""Requests a second of `isr score` against the number in flight, and what memory and processor time they take.

A server in a process of its own answers after 200 ms. 128 px PNG, two questions each; every row is a process of its own on a
directory that is known, so that `judging` is all that is timed. A second run with four times the requests shows whether memory grows with them.

    python -m benchmarks.throughput [--concurrency 1 8 32 128 512] [--most 4000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.run import ROOT, Server, make_pairs

LATENCY_S = 0.2
SIDE = 128


def run(root: Path, port: int, concurrency: int, edits: int) -> tuple[float, float, float]:
    """(seconds of judging, CPU seconds of the process, peak MB) of so many edits."""
    folder = root.parent
    (card := folder / "bench.toml").write_text(
        f'backend = "openai_chat"\nmodel = "m"\n[endpoint]\nbase_url = "http://127.0.0.1:{port}/v1"\n'
        f"[limits]\nconcurrency = {concurrency}\n"
    )
    out = folder / "out"
    (out / "isr.db").unlink(missing_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.throughput", "--scored"),
            *("score", str(root), "--judge", str(card), "--out", str(out), "--replace", "--quiet"),
            *("--no-report", "--limit", str(edits)),
        ],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    cpu, peak = json.loads(done.stderr.splitlines()[-1])
    seconds = json.loads((out / "run.json").read_text())["seconds"]
    return seconds["judging"], cpu, peak / 1024


def scored() -> None:
    """`isr` in this process; says at its end what it took."""
    from isr.cli import main

    sys.argv = ["isr", *sys.argv[2:]]
    try:
        main()
    finally:
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32, 128, 512])
    parser.add_argument("--most", type=int, default=4000, help="requests of the longest run")
    args = parser.parse_args()
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "pairs"
            make_pairs(root, args.most // 2, SIDE)
            run(root, server.port, 32, 2)  # from now on every image is known
            server.ask("change", {"latency_s": LATENCY_S})
            print(f"{os.cpu_count()} cores, {LATENCY_S * 1000:.0f} ms, {SIDE} px")
            print(
                "in flight  requests  seconds  requests/s  of possible  mean in flight  CPU s  peak MB  kB each"
            )
            for concurrency in args.concurrency:
                few = min(max(50, 10 * concurrency), args.most // 8)
                for edits in (few, 4 * few):
                    server.ask("change", {"latency_s": LATENCY_S})
                    seconds, cpu, peak = run(root, server.port, concurrency, edits)
                    stats = server.ask("stats")
                    rate = stats["requests"] / seconds
                    print(
                        f"{concurrency:>9}{stats['requests']:>10}{seconds:>9.1f}{rate:>12.1f}"
                        f"{rate * LATENCY_S / concurrency:>13.0%}{stats['mean_in_flight']:>16.1f}{cpu:>7.1f}{peak:>9.0f}"
                        f"{stats['bytes_in'] / max(stats['requests'], 1) / 1000:>9.0f}",
                        flush=True,
                    )
    finally:
        server.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--scored"]:
        scored()
    else:
        main()

"""Requests a second of `isr score` against the number in flight, and what memory and processor time they take.

A server in a process of its own answers after 200 ms. 128 px PNG, two questions each; every row is a process of its own on a
directory that is known, so that `judging` is all that is timed. A second run with four times the requests shows whether memory grows with them.

    python -m benchmarks.throughput [--concurrency 1 8 32 128 512] [--most 4000]

With ``--limited`` instead: 800 requests, 20 in flight, 50 ms, on a clean server and on one that refuses a tenth of the first tries
by a 429 with "Retry-After: 1", in turn.
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
from benchmarks.peers.truth import least_requests

LATENCY_S = 0.2
LIMITED = {"limited": 0.1}
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


def limited(root: Path, server: Server, rounds: int) -> None:
    """Prints the seconds of judging on both servers, and the calls beyond the least."""
    make_pairs(root, 400, SIDE)
    run(root, server.port, 20, 2)
    print("round  clean s  limited s  ratio  calls  least  most in flight  mean in flight")
    for number in range(1, rounds + 1):
        seconds = []
        for faults in ({}, LIMITED):
            server.ask("change", {"latency_s": 0.05, "faults": faults})
            seconds.append(run(root, server.port, 20, 400)[0])
        stats, least = server.ask("stats"), least_requests(400, LIMITED)
        print(
            f"{number:>5}{seconds[0]:>9.1f}{seconds[1]:>11.1f}{seconds[1] / seconds[0]:>7.2f}{stats['requests']:>7}"
            f"{least:>7}{stats['most_in_flight']:>16}{stats['mean_in_flight']:>16.1f}",
            flush=True,
        )


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
    parser.add_argument("--limited", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "pairs"
            if args.limited:
                limited(root, server, args.rounds)
                return
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

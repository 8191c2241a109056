"""`isr score` beside other tools on the same pairs, against one local server, clean and with seeded faults.

    python -m benchmarks.peers [--pairs 200 1000] [--tools isr editscore ...] [--venv FOLDER]

It makes a virtual environment of its own for the peers, installs them from PyPI, starts the server in a process of its
own, runs every tool in processes of their own, and prints a table. Columns:

    wall, CPU    seconds of the whole process, from start to exit; for isr with report.html
    / floor      the wall of the bare client on the same server
    requests     that reached the server; the least that a patient client needs stands above the table
    valid        questions whose reported score is the one that the judge gave
    fabricated   a score is reported that the judge did not give
    lost         no score, though the judge answers when it is asked again
    undecided    rightly none: refused, filtered, or broken off
    disk         MB that the run leaves in its folder
    recovered    of the questions that were answered before a kill -9 half-way, the share not asked again
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.peers.truth import KINDS, LESSONS, QUESTIONS, Key, classify, least_requests, score_of, tag
from isr.judging.rubrics import load_pair
from isr.version import __version__

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(__file__).parent / "tools"
WORKERS = 20
LONGEST_S = 1800.0
PACKAGES: tuple[tuple[str, ...], ...] = (
    ("numpy", "pillow", "aiohttp", "openai", "requests", "regex", "json_repair"),
    ("--no-deps", "editscore"),
    ("inspect-ai",),
    ("deepeval",),
    ("genarena",),
)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A row of the table. ``package``: whose version is printed; ``settings``: of isr's card."""

    name: str
    script: str = ""
    package: str = ""
    settings: str = ""
    note: str = ""


ALL = (
    Tool(name="floor", script="run_floor.py", package="aiohttp", note="bare client, no retries"),
    Tool(name="raw openai", script="run_raw.py", package="openai", note="its own two retries"),
    Tool(name="isr", note="PNG as it lies there"),
    Tool(
        name="isr, small",
        settings='[images]\nformat = "jpeg"\nquality = 75\n',
        note="JPEG, as EditScore sends",
    ),
    Tool(
        name="editscore",
        script="run_editscore.py",
        package="editscore",
        note="makes JPEGs of the images unasked",
    ),
    Tool(
        name="genarena",
        script="run_genarena.py",
        package="genarena",
        note="three images a call, two calls a battle",
    ),
    Tool(
        name="inspect_ai",
        script="run_inspect.py",
        package="inspect-ai",
        note="a task of its own with isr's rubrics",
    ),
    Tool(name="deepeval", script="run_deepeval.py", package="deepeval", note="its image editing metric"),
)


@dataclass(kw_only=True)
class Row:
    """What one run of a tool came to. ``why``: why it has no figures."""

    tool: str
    version: str
    wall: float = 0.0
    cpu: float = 0.0
    requests: int = 0
    sent: int = 0
    disk: int = 0
    ends: Mapping[str, int] = field(default_factory=dict)
    recovered: float | None = None
    why: str = ""


# ------------------------------------------------------------------ the pairs and the server


def make_pairs(root: Path, pairs: int, side: int = 512) -> list[str]:
    """Sources and edits that compress like photographs, all different, and their metadata; returns the prompts."""
    for folder in ("edits", "sources"):
        (root / folder).mkdir(parents=True)
    bases = []
    for seed in range(8):
        noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
        bases.append(np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(5))))
    prompts, rows = [], []
    for i in range(pairs):
        for folder, n in (("sources", 2 * i), ("edits", 2 * i + 1)):
            moved = np.roll(
                bases[n % len(bases)], (n // len(bases) % side, n // len(bases) // side + 1), (0, 1)
            )
            Image.fromarray(moved).save(root / folder / f"{i}.png")
        prompts.append(f"make it snow ({tag(i)})")
        row = {"file_name": f"edits/{i}.png", "source_file_name": f"sources/{i}.png", "prompt": prompts[-1]}
        rows.append(json.dumps(row))
    (root / "metadata.jsonl").write_text("\n".join(rows))
    return prompts


class Server:
    """The server in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.server"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def ask(self, path: str, value: object = None) -> dict[str, Any]:
        data = None if value is None else json.dumps(value).encode()
        with urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", data)
        ) as reply:
            said: dict[str, Any] = json.load(reply)
            return said

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


# ------------------------------------------------------------------ the tools


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all runs share."""

    server: Server
    python: Path  # of the peers
    folder: Path
    pairs: Path
    prompts: Sequence[str]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def answers(self) -> Path:
        return self.folder / "answers.jsonl"

    def command(self, tool: Tool) -> list[str]:
        """The command of a tool; the same one goes on where the tool can."""
        url = f"http://127.0.0.1:{self.server.port}/v1"
        if tool.script:
            work = self.folder / "work.json"
            questions = {
                r.question.value: {
                    "system": r.system_text("json_schema"),
                    "parts": [{"image": p.image, "text": p.text} for p in r.user],
                    "response_format": r.response_format("json_schema"),
                }
                for r in load_pair().values()
            }
            said = {
                "root": str(self.pairs),
                "prompts": list(self.prompts),
                "base_url": url,
                "workers": WORKERS,
                "out": str(self.out),
                "answers": str(self.answers),
                "questions": questions,
            }
            work.write_text(json.dumps(said))
            return [str(self.python), str(TOOLS / tool.script), str(work)]
        card = self.folder / "bench.toml"
        limits = f"[limits]\nconcurrency = {WORKERS}\n"
        card.write_text(
            f'backend = "openai_chat"\nmodel = "m"\n[endpoint]\nbase_url = "{url}"\n{limits}{tool.settings}'
        )
        return [
            *(sys.executable, "-m", "isr", "score", str(self.pairs), "--judge", str(card)),
            *("--out", str(self.out), "--quiet"),
        ]

    def given(self, tool: Tool) -> dict[Key, float | None]:
        """The scores that a tool reports, by question."""
        if not tool.script:
            return scores_of_isr(self.out / "edits.csv")
        return scores_of_peer(self.answers.read_text().splitlines())

    def clear(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        self.answers.unlink(missing_ok=True)


def scores_of_peer(lines: Sequence[str]) -> dict[Key, float | None]:
    """The rows that a tool's file wrote; a winner (``A``: the edit) counts as the judge's score where it is the judge's winner."""
    found: dict[Key, float | None] = {}
    for line in lines:
        pair, question, said = json.loads(line)
        if isinstance(said, str):
            said = score_of((pair, question)) if (said == "A") == (score_of((pair, question)) < 2) else -1
        found[pair, question] = said
    return found


def scores_of_isr(table: Path) -> dict[Key, float | None]:
    """The scores in ``edits.csv``; none where the verdict is undecided."""
    found: dict[Key, float | None] = {}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            pair = int(Path(row["file_name"]).stem)
            for question in QUESTIONS:
                said = row[f"bench:{question}_score"]
                decided = row[f"bench:{question}"] in ("fails", "fine")
                found[pair, question] = float(said) if said and decided else None
    return found


def measured(
    command: Sequence[str], out: Path, until: Callable[[], bool] | None = None
) -> tuple[float, float, int, str]:
    """(wall, CPU seconds, exit status, last words) of a process; killed with ``SIGKILL`` once ``until`` says so."""
    environment = {
        **os.environ,
        "HOME": str(out),
        "OPENAI_API_KEY": "x",
        "DEEPEVAL_TELEMETRY_OPT_OUT": "YES",
        "PYTHONPATH": "",
        "NO_COLOR": "1",
    }
    log = out.parent / "log.txt"
    began, ended = time.perf_counter(), ""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=out, env=environment, stdout=file, stderr=file, start_new_session=True
        )
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            late = time.perf_counter() - began > LONGEST_S
            if late or (until is not None and until()):
                ended = f"no end after {LONGEST_S:.0f} s" if late else ended
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                _, status, usage = os.wait4(process.pid, 0)
                break
            time.sleep(0.02)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    words = log.read_text("utf-8", "replace").strip().splitlines()
    said = ended or (words[-1][:120] if words else "")
    return wall, usage.ru_utime + usage.ru_stime, process.returncode, said


def row_of(bench: Bench, tool: Tool, version: str, faults: Mapping[str, float], *, kill: bool) -> Row:
    """One run of a tool, and with ``kill`` a second one that is killed half-way and started again."""
    row = Row(tool=tool.name, version=version)
    bench.server.ask("change", {"faults": dict(faults)})
    bench.clear()
    row.wall, row.cpu, status, words = measured(bench.command(tool), bench.out)
    stats = bench.server.ask("stats")
    row.requests, row.sent = stats["requests"], stats["bytes_in"]
    row.disk = sum(f.stat().st_size for f in bench.out.rglob("*") if f.is_file())
    try:
        row.ends = classify(bench.given(tool), len(bench.prompts), faults)
    except (OSError, ValueError, KeyError) as error:
        row.why = f"exit {status}: {words or error}"
        return row
    if kill and tool.name != "floor":
        row.recovered = recovered(bench, tool, faults)
    return row


def recovered(bench: Bench, tool: Tool, faults: Mapping[str, float]) -> float | None:
    """The share of the questions answered before a kill -9 that the next run of the same command does not ask again."""
    bench.server.ask("change", {"faults": dict(faults)})
    bench.clear()
    measured(bench.command(tool), bench.out, lambda: bench.server.ask("stats")["done"] >= len(bench.prompts))
    time.sleep(1)  # what was on its way
    bench.server.ask("mark", {})
    measured(bench.command(tool), bench.out)
    stats = bench.server.ask("stats")
    return 1 - stats["again"] / stats["before"] if stats["before"] else None


# ------------------------------------------------------------------ the environment and the table


def install(folder: Path) -> tuple[Path, dict[str, str]]:
    """The Python of an environment with the peers, and why a package of them is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    missing = {}
    for packages in PACKAGES:
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            missing[packages[-1]] = (done.stderr.strip().splitlines() or ["pip failed"])[-1][:120]
    return python, missing


def versions_of(python: Path) -> dict[str, str]:
    """Versions of what is installed there, by name."""
    said = subprocess.run(
        [str(python), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {p["name"].lower().replace("_", "-"): p["version"] for p in json.loads(said.stdout)}


def table(rows: Sequence[Row]) -> list[str]:
    """The table's lines."""
    floor = next((r.wall for r in rows if r.tool == "floor" and not r.why), 0.0)
    head = f"{'':12}{'version':>9}{'wall s':>8}{'/ floor':>9}{'CPU s':>8}{'requests':>10}{'MB sent':>9}"
    lines = [head + "".join(f"{k:>12}" for k in KINDS) + f"{'disk MB':>9}{'recovered':>11}"]
    for row in rows:
        start = f"{row.tool:12}{row.version:>9}"
        if row.why:
            lines.append(f"{start}  {row.why}")
            continue
        ratio = f"{row.wall / floor:>9.2f}" if floor else f"{'':9}"
        ends = "".join(f"{row.ends[k]:>12}" for k in KINDS)
        back = "" if row.recovered is None else f"{row.recovered:.0%}"
        lines.append(
            f"{start}{row.wall:>8.1f}{ratio}{row.cpu:>8.1f}{row.requests:>10}{row.sent / 1e6:>9.1f}{ends}"
            f"{row.disk / 1e6:>9.2f}{back:>11}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--tools", nargs="+", default=[t.name for t in ALL], metavar="NAME")
    parser.add_argument("--venv", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--servers", nargs="+", choices=("clean", "faulty"), default=["clean", "faulty"])
    args = parser.parse_args()
    chosen = [t for t in ALL if t.name in args.tools]
    python, missing = install(args.venv)
    versions = {**versions_of(python), "": __version__}
    load = os.getloadavg()[0]
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {load:.1f} before the first run, "
        f"Python {platform.python_version()}; {WORKERS} at a time, 50 ms"
    )
    server = Server()
    try:
        for pairs in args.pairs:
            with tempfile.TemporaryDirectory() as folder:
                prompts = make_pairs(Path(folder) / "pairs", pairs)
                bench = Bench(
                    server=server,
                    python=python,
                    folder=Path(folder),
                    pairs=Path(folder) / "pairs",
                    prompts=prompts,
                )
                for name in args.servers:
                    compare(bench, name, {} if name == "clean" else LESSONS, chosen, versions, missing)
    finally:
        server.close()
    for tool in chosen:
        print(f"{tool.name}: {tool.note}")


def compare(
    bench: Bench,
    name: str,
    faults: Mapping[str, float],
    tools: Sequence[Tool],
    versions: Mapping[str, str],
    missing: Mapping[str, str],
) -> None:
    """Prints the table of one server."""
    pairs = len(bench.prompts)
    least = least_requests(pairs, faults)
    print(f"\n{pairs} pairs, {2 * pairs} questions, {name} server: at least {least} requests")
    rows = []
    for tool in tools:
        if tool.package in missing:
            rows.append(Row(tool=tool.name, version="", why=f"not installed: {missing[tool.package]}"))
            continue
        rows.append(row_of(bench, tool, versions.get(tool.package, ""), faults, kill=bool(faults)))
        print(*table(rows[-1:])[1:], sep="\n", file=sys.stderr, flush=True)
    print(*table(rows), sep="\n", flush=True)


if __name__ == "__main__":
    main()

"""All figures of a GPU in one run of under 8 minutes: the machine, a judge, protections and edits, the painted world.

    python benchmarks/gpu_smoke.py OUT               # a machine with a GPU; nothing is fetched
    python benchmarks/gpu_smoke.py OUT --tiny        # the same code on the CPU, in tiny sizes
    python benchmarks/gpu_smoke.py --table OUT/gpu.json

Weights are random, of the real shapes, made on the spot: times and memory do not depend on them. Each part runs in a process
of its own under a limit of its own; OUT/gpu.json is written anew after each, so that whatever cuts the run costs
the rest only. What a part had found before it was cut, or what single measurements failed of, is in it as well.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gpu.record import Record, write
from benchmarks.gpu.table import table

LIMITS = {"machine": 45, "judge": 240, "editor": 130, "world": 110}
"""Seconds of each part, in their order; together the parts have ``TOTAL_S``."""
TOTAL_S = 475
TINY_S = 900
"""Of a part in tiny sizes, which takes seconds where nothing else runs."""


def part(name: str, out: Path, tiny: bool) -> None:
    """Runs one part in this process."""
    record = Record(out / f"{name}.json")
    module = import_module(f"benchmarks.gpu.{name}")
    if name == "judge":
        module.run(record, tiny, limit_tflops(out))
    else:
        module.run(record, tiny)


def limit_tflops(out: Path) -> float | None:
    """The bf16 matrix product of part 1, where it was measured."""
    found = read(out / "machine.json").get("matrix", {}).get("bfloat16", {})
    return found.get("tflops")


def read(path: Path) -> dict[str, Any]:
    """What a part has written; nothing, if it wrote nothing."""
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def run(out: Path, tiny: bool, parts: list[str]) -> dict[str, Any]:
    """Runs parts one after the other and keeps what each found in ``gpu.json``."""
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    whole: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"), "tiny": tiny, "seconds": 0.0, "parts": {},
    }  # fmt: skip
    for name in (*(f"{p}.json" for p in parts), "gpu.json", "gpu.log"):
        (out / name).unlink(missing_ok=True)
    for name in parts:
        limit = TINY_S if tiny else min(LIMITS[name], TOTAL_S - (time.monotonic() - began))
        print(f"{name}: at most {limit:.0f} s", file=sys.stderr, flush=True)
        start = time.monotonic()
        state = in_child(name, out, tiny, limit)
        took = round(time.monotonic() - start, 1)
        print(f"{name}: {state} after {took} s", file=sys.stderr, flush=True)
        whole["parts"][name] = {"state": state, "seconds": took, "found": read(out / f"{name}.json")}
        whole["seconds"] = round(time.monotonic() - began, 1)
        write(out / "gpu.json", whole)
    return whole


def in_child(name: str, out: Path, tiny: bool, limit: float) -> str:
    """How a part ended: ``done``, ``timed out``, or ``failed: ...`` with the end of what it said."""
    if limit < 5:
        return "not started: no time was left"
    # -P: this script's folder holds names of other packages (coverage)
    command = [sys.executable, "-P", __file__, str(out), "--part", name, *(["--tiny"] if tiny else [])]
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in paths if p),
        "PYTHONUNBUFFERED": "1",
        **({"OMP_NUM_THREADS": "1"} if tiny else {}),  # on work this small, threads wait for each other
    }
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, process_group=0
    ) as child:
        said = deque[str](maxlen=4)
        teller = threading.Thread(target=tell, args=(child, out / "gpu.log", said), daemon=True)
        teller.start()
        try:
            code = child.wait(limit)
        except subprocess.TimeoutExpired:
            return "timed out"
        finally:  # whatever ends the wait, the part and what it started end with it
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            teller.join(5)
    return "done" if code == 0 else f"failed: exit code {code}: {' | '.join(said)[-600:]}"


def tell(child: subprocess.Popen[bytes], log: Path, last: deque[str]) -> None:
    """Passes on what a part says: to stderr, to the log, and its last lines to ``last``."""
    assert child.stdout is not None
    with log.open("a", encoding="utf-8") as file:
        for line in child.stdout:
            text = line.decode("utf-8", "replace")
            sys.stderr.write(text)
            file.write(text)
            file.flush()
            last.append(text.strip())


def main(argv: list[str] | None = None) -> int:
    """The command; exit code 1 unless all parts are done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "out", type=Path, nargs="?", help="a folder for gpu.json, one file for each part, and gpu.log"
    )
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on the CPU")
    parser.add_argument("--parts", nargs="*", choices=list(LIMITS), default=list(LIMITS))
    parser.add_argument("--part", choices=list(LIMITS), help=argparse.SUPPRESS)
    parser.add_argument(
        "--table", type=Path, metavar="GPU_JSON", help="prints a run as Markdown and does nothing else"
    )
    given = parser.parse_args(argv)
    if given.table:
        print(table(read(given.table)))
        return 0
    if given.out is None:
        parser.error("expected a folder OUT; found none")
    if given.part:
        part(given.part, given.out, given.tiny)
        return 0
    whole = run(given.out, given.tiny, given.parts)
    print(table(whole))
    return int(any(p["state"] != "done" for p in whole["parts"].values()))


if __name__ == "__main__":
    raise SystemExit(main())

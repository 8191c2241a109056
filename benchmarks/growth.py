"""How time and memory grow with the number of edits: checking, judging, estimating, the report and the bundle.

For each size: one source for 20 edits, each with a control edit (16 px PNG, all different), and an answer to each of the four
questions of an edit, scored with the judge `replay` in a process of its own; then the same again, with nothing to ask; then
`isr report` and `isr bundle`. Peak memory is that of the process.

    python -m benchmarks.growth [--edits 1000 10000 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from isr.judging.cards import load_panel
from isr.judging.edits import load_edits
from isr.judging.plan import Plan, arms_of
from isr.judging.rubrics import load_pair

PROMPTS = 20
SIDE = 16


def png(number: int) -> bytes:
    """A 16 px picture that no other number has, without going through an image library."""
    seed = struct.pack(">Q", number * 0x9E3779B97F4A7C15 % 2**64)
    rows = b"".join(b"\0" + (seed * 6)[: 3 * SIDE] for _ in range(SIDE))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 1)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def make(root: Path, edits: int) -> None:
    for folder in ("edits", "controls", "sources"):
        (root / folder).mkdir(parents=True)
    with (root / "metadata.jsonl").open("w") as file:
        for i in range(edits):
            image, prompt = divmod(i, PROMPTS)
            if not prompt:
                (root / f"sources/{image}.png").write_bytes(png(image))
            (root / f"edits/{i}.png").write_bytes(png(10_000_000 + i))
            (root / f"controls/{i}.png").write_bytes(png(20_000_000 + i))
            row = {
                "file_name": f"edits/{i}.png",
                "prompt": f"make it look like style number {prompt}",
                "source_file_name": f"sources/{image}.png",
                "control_file_name": f"controls/{i}.png",
                "method": "recorded",
            }
            file.write(json.dumps(row) + "\n")


def record(root: Path, answers: Path) -> None:
    """An answer to every question: seven of ten protected edits fail, two of ten controls."""
    answers.touch()
    panel = load_panel("replay", [f"engine.answers={answers}"])
    plan = Plan(root=root, edits=load_edits(root).edits, rubrics=load_pair(), panel=panel)
    with answers.open("w") as file:
        for edit, arm in arms_of(plan.edits):
            for request in plan.requests(panel.members[0], [(edit, arm)]):
                fails = request.key[0] < (96 if arm == "protected" else 26)
                fields: dict[str, object] = {"reasoning": "recorded answer " * 4, "score": 1 if fails else 4}
                if request.question == "semantic":
                    fields["source_kept"] = 3
                fields["verdict"] = "fails" if fails else "fine"
                answer = {"text": json.dumps(fields), "finish_reason": "stop"}
                file.write(json.dumps({"content": request.content, "answer": answer}) + "\n")


def ran(*words: object) -> tuple[float, float]:
    """(seconds, peak MB) of one command of isr."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "isr", *map(str, words)], stdout=subprocess.DEVNULL
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"isr {words[0]}: exit code {process.returncode}")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def measured(folder: Path, edits: int) -> Iterator[str]:
    """The rows of the table for one size."""
    root, answers, out = folder / "edits", folder / "answers.jsonl", folder / "out"
    make(root, edits)
    subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", "--record", str(root), str(answers)], check=True
    )
    score = (
        "score",
        root,
        "--judge",
        "replay",
        "--set",
        f"engine.answers={answers}",
        "--out",
        out,
        "--quiet",
        "--no-report",
    )
    for name in ("first", "second"):
        whole, peak = ran(*score)
        stages = json.loads((out / "run.json").read_text())["seconds"]
        said = " | ".join(f"{stages[stage]:.1f}" for stage in ("checking", "judging", "estimating"))
        yield f"| {edits:,} | {name} | {said} | {whole:.1f} | {peak:.0f} |"
    size = sum(f.stat().st_size for f in out.iterdir() if f.is_file()) / 1e6
    yield f"| {edits:,} | report | | | | {' | '.join(f'{n:.1f}' if i == 0 else f'{n:.0f}' for i, n in enumerate(ran('report', out)))} |"
    seconds, peak = ran("bundle", out, "--out", folder / "run.zip", "--quiet")
    yield f"| {edits:,} | bundle | | | | {seconds:.1f} | {peak:.0f} |"
    yield f"| {edits:,} | on disk: run {size:.0f} MB, bundle {(folder / 'run.zip').stat().st_size / 1e6:.0f} MB | | | | | |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    args = parser.parse_args()
    print(
        "| edits | | checking s | judging s | estimating s | whole s | peak MB |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for edits in args.edits:
        with tempfile.TemporaryDirectory() as folder:
            for row in measured(Path(folder), edits):
                print(row, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        record(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()

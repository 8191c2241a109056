"""Memory and time of `isr score` on a directory of 100,000 edits with controls and recorded answers.

Writes 5,000 sources, 100,000 edits and 100,000 control edits (16 px PNG, all different) and an answer to each of
the 400,000 questions, then scores them with the judge `replay`, in a process of its own.

    python benchmarks/large_directory.py [--edits 100000]
"""

from __future__ import annotations

import argparse
import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", type=int, default=100_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, answers = Path(folder) / "edits", Path(folder) / "answers.jsonl"
        began = time.perf_counter()
        make(root, args.edits)
        subprocess.run([sys.executable, __file__, "--record", str(root), str(answers)], check=True)
        print(
            f"made in {time.perf_counter() - began:.0f} s; answers {answers.stat().st_size / 1e6:.0f} MB",
            flush=True,
        )
        command = [sys.executable, "-m", "isr", "score", str(root), "--judge", "replay"]
        command += ["--set", f"engine.answers={answers}", "--out", f"{folder}/out"]
        print(
            f"{'':14}{'peak MB':>9}"
            + "".join(f"{s:>12}" for s in ("loading", "checking", "judging", "estimating"))
        )
        for name in ("first run", "second run"):
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            seconds = json.loads((Path(folder) / "out/run.json").read_text())["seconds"]
            print(f"{name:14}{peak:>9.0f}" + "".join(f"{s:>10.1f} s" for s in seconds.values()), flush=True)
        print(done.stdout)
        sizes = {f.name: round(f.stat().st_size / 1e6) for f in (Path(folder) / "out").iterdir()}
        print("MB on disk:", sizes)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        record(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()

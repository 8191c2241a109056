"""Records what 0.1.0 says: run once, at 3f9dc66, and never again.

git worktree add ../base 3f9dc66 && cd ../base && pip install -e . piq torch torchvision
python MAIN/tests/golden/record.py MAIN/tests/golden/0.1.0
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from commands import LATER, SCORES  # a script, run beside another version of the package

SHAPES = Path("examples/shapes")
IMAGES, PROMPTS = 6, 3
ODD = [
    {"text": "I'm sorry, I cannot help with that.", "finish_reason": "stop"},
    {"text": '{"reasoning": "cut', "finish_reason": "length"},
    {"text": "", "finish_reason": "stop"},
    {"text": "7 out of 10", "finish_reason": "stop"},
    {"text": "", "finish_reason": "content_filter"},
    {"text": "", "finish_reason": "stop", "refusal": "no"},
    {"text": '{"reasoning": "", "score": 9, "source_kept": 3, "verdict": "fine"}', "finish_reason": "stop"},
]
"""Answers that no verdict can be read from."""


def isr(*args: str, cwd: Path, expect: int = 0) -> str:
    """What a command prints on stdout."""
    done = subprocess.run([sys.executable, "-m", "isr", *args], capture_output=True, text=True, cwd=cwd)
    if done.returncode != expect:
        raise SystemExit(f"{args}: {done.returncode}\n{done.stderr}")
    return done.stdout


def make_edits(root: Path) -> None:
    """Two treatments of the same units: the painted edits, and their controls under the name of a method."""
    rows = [json.loads(line) for line in (SHAPES / "metadata.jsonl").read_text("utf-8").splitlines()]
    images = sorted({row["image_id"] for row in rows})[:IMAGES]
    kept = [r for i in images for r in [r for r in rows if r["image_id"] == i][:PROMPTS]]
    lines = []
    for row in kept:
        for column in ("file_name", "source_file_name", "control_file_name", "protected_file_name"):
            (root / row[column]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SHAPES / row[column], root / row[column])
        lines.append(row)
        lines.append(
            {
                **row,
                "file_name": row["control_file_name"],
                "method": "none",
                "config": "",
                "edit_id": f"{row['edit_id']}-none",
            }
        )
    (root / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with (SHAPES / "truth.csv").open(newline="") as file:
        truths = {r["edit_id"]: r for r in csv.DictReader(file) if r["arm"] == "protected"}
    with (root.parent / "labels.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("edit_id", "rater", "image_id", "semantic", "perceptual", "guideline", "kind"))
        for row in kept:
            t = truths[row["edit_id"]]
            out.writerow(
                (
                    row["edit_id"],
                    "painter",
                    row["image_id"],
                    t["semantic"],
                    t["perceptual"],
                    "painted",
                    t["kind"],
                )
            )


def make_answers(root: Path) -> None:
    """The oracle's answers, every ninth of which is one that no verdict can be read from."""
    rows = [json.loads(line) for line in isr("store", "export", "oracle/isr.db", cwd=root).splitlines()]
    odd = 0
    lines = []
    for n, row in enumerate(rows):
        if "part" in row:
            continue
        answer = {k: row["answer"][k] for k in ("text", "finish_reason")}
        if n % 9 == 4:
            answer, odd = ODD[odd % len(ODD)], odd + 1
        lines.append(json.dumps({"content": row["content"], "answer": answer}))
    (root / "answers.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def main(out: Path) -> None:
    """Everything, into ``out``."""
    shutil.rmtree(out, ignore_errors=True)
    (out / "printed").mkdir(parents=True)
    make_edits(out / "edits")
    (out / "recorded.toml").write_text('backend = "replay"\n[engine]\nanswers = "answers.jsonl"\n', "utf-8")
    (out / "panel.toml").write_text(
        'backend = "panel"\nmembers = ["shapes-oracle", "recorded.toml"]\nrule = "strict"\n', "utf-8"
    )
    for name, command in SCORES.items():
        if name == "recorded":
            make_answers(out)
        (out / "printed" / f"{name}.json").write_text(isr(*command, cwd=out), "utf-8")
        if name not in ("oracle", "recorded"):
            shutil.rmtree(out / name)
    isr("bundle", "oracle", "--images", cwd=out)
    for name, command in LATER.items():
        suffix = "json" if command[-1] == "--json" else "txt"
        (out / "printed" / f"{name}.{suffix}").write_text(isr(*command, cwd=out), "utf-8")
    isr("report", "oracle", cwd=out)
    # a run whose table of edits holds the conventional metrics, as 0.1.0 wrote them
    isr("score", "edits", "--judge", "shapes-oracle", "--limit", "8", "--metrics", "--out", "measured",
        "--store", "oracle/isr.db", "--no-report", "--quiet", cwd=out)  # fmt: skip
    for name in ("cache.db", "isr.db-shm", "isr.db-wal", "report.html"):
        for file in out.glob(f"*/{name}"):
            file.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())

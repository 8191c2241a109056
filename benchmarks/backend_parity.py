"""The same judge through transformers, vLLM in process and a vLLM server: how many verdicts are the same.

Paints edits that the embedded judge was not trained on, scores them through ``isr score`` with each card, and lists
every verdict that differs. Needs an environment with vLLM (``make test-vllm`` makes one).

    python benchmarks/backend_parity.py --edits 200 --out OUT
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
JUDGE = ROOT / "examples" / "shapes" / "judge"
CARDS = {
    "transformers": JUDGE / "shapes-mllm.toml",
    "vllm in process": JUDGE / "shapes-mllm-vllm.toml",
    "vllm server": JUDGE / "shapes-mllm-server.toml",
}
RUBRICS = ("--rubric", "shapes-semantic/v1", "--rubric", "shapes-perceptual/v1")
QUESTIONS = ("semantic", "perceptual")
SEED = 52_000
"""Of the first painted image, from the range that the judge was never trained on."""


@dataclass(frozen=True)
class Said:
    """What one backend said about one question of one edit."""

    verdict: str
    reason: str
    reasoning: str


def paint(root: Path, edits: int) -> Path:
    """An edit directory with at least so many edits and no control edits."""
    images = -(-edits // 3)
    command = [
        sys.executable,
        "-m",
        "isr_shapes.painting",
        "--out",
        root,
        "--seed",
        str(SEED),
        "--images",
        str(images),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    table = root / "metadata.jsonl"
    rows = [json.loads(line) for line in table.read_text("utf-8").splitlines()]
    lines = [json.dumps({k: v for k, v in row.items() if k != "control_file_name"}) + "\n" for row in rows]
    table.write_text("".join(lines), "utf-8")
    return root


def score(
    backend: str, edits: Path, limit: int, out: Path, port: int, change: tuple[str, ...] = ()
) -> dict[tuple[str, str], Said]:
    """What a backend says, by (edit, question), through the command that a user runs; ``change``: more of its options."""
    card, isr = CARDS[backend], [sys.executable, "-m", "isr"]
    if backend == "vllm server":
        change = (*change, "--set", f"endpoint.base_url=http://127.0.0.1:{port}/v1")
    command = [
        *isr,
        "score",
        edits,
        "--judge",
        card,
        *change,
        *RUBRICS,
        "--limit",
        limit,
        "--out",
        out,
        "--quiet",
    ]
    if backend == "vllm server":
        command = [*isr, "judges", "serve", card, *change, "--run", "--", *command]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    found = {}
    with (out / "edits.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for question in QUESTIONS:
                column = next(
                    c for c in row if c.endswith(f":{question}")
                )  # one judge, named with what was set of it
                found[row["edit_id"], question] = Said(
                    row[column], row[f"{column}_reason"], row[f"{column}_reasoning"]
                )
    return found


def compare(out: Path, edits: int, port: int = 8011) -> dict[str, dict[tuple[str, str], Said]]:
    """Every backend's verdicts on the same edits; prints how they agree, and where not."""
    directory = paint(out / "edits", edits)
    said = {}
    for backend in CARDS:
        began = time.perf_counter()
        said[backend] = score(backend, directory, edits, out / backend.replace(" ", "-"), port)
        print(
            f"{backend}: {len(said[backend])} answers in {time.perf_counter() - began:.0f} s, start included"
        )
    first = next(iter(CARDS))
    for backend in list(CARDS)[1:]:
        differing = differences(said[first], said[backend])
        texts = sum(said[first][k].reasoning == said[backend][k].reasoning for k in said[first])
        n = len(said[first])
        print(
            f"{first} and {backend}: same verdict {n - len(differing)} of {n}, same reasoning {texts} of {n}"
        )
        for edit, question in differing:
            a, b = said[first][edit, question], said[backend][edit, question]
            print(f"  {edit} {question}: {a.verdict} ({a.reasoning}) | {b.verdict} ({b.reasoning})")
    return said


def differences(one: dict[tuple[str, str], Said], two: dict[tuple[str, str], Said]) -> list[tuple[str, str]]:
    """The (edit, question) pairs whose verdicts differ."""
    return [key for key in one if one[key].verdict != two[key].verdict]


def agree(one: dict[tuple[str, str], Said], two: dict[tuple[str, str], Said]) -> bool:
    """Whether all verdicts are decided, and both are the same on at least 99 % of the edits."""
    decided = all(s.verdict in ("fails", "fine") for said in (one, two) for s in said.values())
    edits = {edit for edit, _ in one}
    return decided and len({edit for edit, _ in differences(one, two)}) <= 0.01 * len(edits)


def main(argv: list[str] | None = None) -> int:
    """The command; exit code 1 unless the backends agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--port", type=int, default=8011)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    first, *others = compare(args.out, args.edits, args.port).values()
    return int(not all(agree(first, other) for other in others))


if __name__ == "__main__":
    raise SystemExit(main())

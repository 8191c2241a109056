"""Write scenes as PNG files with their prompts: what a study protects and edits.

    python examples/shapes/editor/scenes.py --out DIR --range held-out --scenes 24

``prompts.csv`` has three prompts of three different tasks for each scene; the first is ``seen`` (methods are given
it), the others are ``unseen``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from isr_shapes.painting import draw_tasks, to_pixels
from isr_shapes.world import render
from pairs import SPREAD, scene_of
from PIL import Image
from ranges import HELD_OUT, QUICK, TEST, TUNING, VALIDATION

RANGES = {"validation": VALIDATION, "test": TEST, "tuning": TUNING, "held-out": HELD_OUT, "quick": QUICK}


def write(out: Path, seeds: range) -> int:
    """The number of prompts written; ``out/NAME.png`` and ``out/prompts.csv``."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, seed in enumerate(seeds):
        scene, rng = scene_of(seed)
        name = f"{number:03d}"
        Image.fromarray(to_pixels(render(scene))).save(out / f"{name}.png", optimize=True)
        for place, task in enumerate(draw_tasks(scene, SPREAD, rng)):
            split = "unseen" if place else "seen"
            rows.append([name, task.prompt, task.prompt.replace(" ", "-"), split, task.name])
    with (out / "prompts.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["name", "prompt", "prompt_id", "split", "task"])
        writer.writerows(rows)
    return len(rows)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Write rendered scenes with their prompts.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--range", choices=sorted(RANGES), required=True, help="which seeds")
    parser.add_argument("--scenes", type=int, default=24)
    args = parser.parse_args(argv)
    seeds = RANGES[args.range]
    if not 0 < args.scenes <= len(seeds):
        parser.error(f"--scenes: expected 1 to {len(seeds)}; found {args.scenes}")
    rows = write(args.out, seeds[: args.scenes])
    print(f"{args.out}: {args.scenes} scenes, {rows} prompts")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

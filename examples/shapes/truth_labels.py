"""The painter's truth as labels for ``isr agree``: one rater who knows, with the kind of each edit.

    python examples/shapes/truth_labels.py EDIT_DIR --out labels.csv

Labels are of protected edits: ``isr agree`` compares judges on those.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

COLUMNS = ("edit_id", "rater", "image_id", "semantic", "perceptual", "guideline", "kind", "strength")


def write(directory: Path, out: Path) -> int:
    """Writes the labels of a painted directory; how many."""
    lines = (directory / "metadata.jsonl").read_text("utf-8").splitlines()
    image = {row["edit_id"]: row["image_id"] for row in map(json.loads, lines)}
    with (directory / "truth.csv").open(encoding="utf-8", newline="") as file:
        truths = [row for row in csv.DictReader(file) if row["arm"] == "protected"]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in truths:
            label = {k: row[k] for k in ("edit_id", "semantic", "perceptual", "kind", "strength")}
            writer.writerow(
                {**label, "rater": "painter", "image_id": image[row["edit_id"]], "guideline": "painted"}
            )
    return len(truths)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="The painter's truth as labels for isr agree.")
    parser.add_argument("directory", type=Path, help="a directory that isr_shapes.painting painted")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    args = parser.parse_args(argv)
    print(f"{args.out}: {write(args.directory, args.out)} labels", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

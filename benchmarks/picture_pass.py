"""What comparing the pictures of a directory with each other adds to reading and checking them.

100,000 edits of 5,000 sources, as many control edits, a protected image for each source (16 px, where reading is cheapest).
First check: every file is read and decoded; second: known from the cache. The pass is timed inside the same run; the thumbnails
that it needs, of sources and protected images, are timed on 2,000 files.

    python benchmarks/picture_pass.py [--edits 100000]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isr.edits import directory
from isr.edits.directory import load_edits
from isr.edits.scan import thumbnail

PER_SOURCE = 20


def make(root: Path, edits: int) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for folder in ("s", "p", "e", "c"):
        (root / folder).mkdir()
    for n in range(edits):
        source = n // PER_SOURCE
        names = [f"e/{n}.png", f"c/{n}.png", *([f"s/{source}.png"] if n % PER_SOURCE == 0 else [])]
        for name in names:
            pixels = rng.integers(0, 250, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(root / name, compress_level=0)
            if name.startswith("s/"):
                Image.fromarray(pixels + 4).save(root / f"p/{source}.png", compress_level=0)
        rows.append(
            {
                "file_name": f"e/{n}.png",
                "source_file_name": f"s/{source}.png",
                "control_file_name": f"c/{n}.png",
                "protected_file_name": f"p/{source}.png",
                "prompt": f"prompt {n % PER_SOURCE}",
                "method": "m",
            }
        )
    (root / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")


def checked(root: Path, cache: Path) -> tuple[float, float]:
    """Seconds of the whole check, and of the pass in it."""
    inside = 0.0
    look: Callable[..., Any] = directory.look

    def timed(*args: Any) -> Any:
        nonlocal inside
        began = time.perf_counter()
        found = look(*args)
        inside = time.perf_counter() - began
        return found

    directory.look = timed
    began = time.perf_counter()
    try:
        load_edits(root, cache=cache)
    finally:
        directory.look = look
    return time.perf_counter() - began, inside


def thumbs(root: Path, files: int) -> float:
    """Seconds of making that many thumbnails of pictures that are decoded already."""
    images = [Image.open(root / f"e/{n}.png").convert("RGB") for n in range(min(files, 2_000))]
    began = time.perf_counter()
    for image in images:
        thumbnail(image)
    return (time.perf_counter() - began) / len(images) * files


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--edits", type=int, default=100_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "edits"
        root.mkdir()
        make(root, args.edits)
        cache = Path(folder) / "cache.db"
        first, inside = checked(root, cache)
        made = thumbs(root, 2 * -(-args.edits // PER_SOURCE))
        second, again = checked(root, cache)
    print(
        f"{args.edits:,} edits, as many control edits, {-(-args.edits // PER_SOURCE):,} sources and protected images (16 px)"
    )
    print(f"{'check':8}{'seconds':>9}{'thumbnails':>12}{'pass':>8}{'share':>8}")
    print(f"{'first':8}{first:9.1f}{made:12.1f}{inside:8.1f}{(made + inside) / (first - made - inside):8.1%}")
    print(f"{'second':8}{second:9.1f}{'':12}{again:8.1f}{again / (second - again):8.1%}")


if __name__ == "__main__":
    main()

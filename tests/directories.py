"""Edit directories made on the spot: small coloured pictures, cheap and all different."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def picture(seed: int, size: int = 16) -> Image.Image:
    """A small picture that no other seed has."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    return Image.fromarray(pixels)


def write_metadata(root: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes ``metadata.jsonl``."""
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def make_directory(
    root: Path,
    images: int = 4,
    prompts: int = 3,
    *,
    controls: bool = True,
    size: int = 16,
    methods: Iterable[str] = ("simulated",),
    **columns: Any,
) -> list[dict[str, Any]]:
    """An edit directory of images x prompts x methods; returns its rows."""
    for folder in ("edits", "sources", "controls"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(images):
        picture(1_000_000 + i, size).save(root / f"sources/{i}.png")
        for p in range(prompts):
            if controls:
                picture(2_000_000 + 1000 * i + p, size).save(root / f"controls/{i}-{p}.png")
            for m, method in enumerate(methods):
                name = f"edits/{i}-{p}-{m}.png"
                picture(3_000_000 + 100_000 * m + 1000 * i + p, size).save(root / name)
                row = {
                    "file_name": name,
                    "prompt": f"make it colour {p}",
                    "source_file_name": f"sources/{i}.png",
                    "image_id": f"image-{i:04}",
                    "method": method,
                    "eps": 0.03,
                    "editor": "painter",
                    **columns,
                }
                if controls:
                    row["control_file_name"] = f"controls/{i}-{p}.png"
                rows.append(row)
    write_metadata(root, rows)
    return rows


def card_text(base_url: str, **limits: Any) -> str:
    """A judge card for the test server; only a server that never answers meets its time limit."""
    limits = {"concurrency": 8, "timeout_s": 600, **limits}
    lines = "\n".join(f"{k} = {v}" for k, v in limits.items())
    return (
        f'backend = "openai_chat"\nmodel = "test-model"\n[endpoint]\nbase_url = "{base_url}"\n'
        f"[decoding]\nmax_tokens = 512\n[limits]\n{lines}\n[price]\ninput = 1.0\noutput = 2.0\n"
    )

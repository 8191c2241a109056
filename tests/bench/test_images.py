"""Images and prompts of a folder: what does not match, what was changed since."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from isr.bench import images
from isr.errors import InputError


def folder(root: Path, *rows: tuple[str, ...], columns: str = "name,prompt,prompt_id,split") -> Path:
    """Two pictures, and their table."""
    (root / "pictures").mkdir(exist_ok=True)
    for name in "ab":
        Image.new("RGB", (8, 8), "red").save(root / "pictures" / f"{name}.png")
    with (root / "prompts.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns.split(","), *rows])
    return root


def find(root: Path) -> images.Material:
    return images.find(root / "pictures", root / "prompts.csv")


def test_a_prompt_is_one_line(tmp_path: Path) -> None:
    rows = [
        ("a", "one\u2028two", "1", "seen"),
        ("b", "add\u00a0fog", "1", "seen"),
        ("b", "x", "2", "un\x85seen"),
    ]
    with pytest.raises(InputError) as error:
        find(folder(tmp_path, *rows))
    found = [(p.field, p.found) for p in error.value.problems]
    assert found == [("prompt", "U+2028 in it"), ("split", "U+0085 in it")]

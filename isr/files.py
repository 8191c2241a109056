"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def partial_name(path: Path) -> Path:
    """Where a file is written before it takes its name; several processes may write the same results."""
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


def write_text(path: Path, text: str) -> None:
    """Writes a file so that it is there whole or not at all."""
    partial = partial_name(path)
    partial.write_text(text, "utf-8")
    partial.replace(path)

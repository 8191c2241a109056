"""Cards for models in folders, and what they answered."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

from isr.types import Answer
from tests.processes import run

SHORT = ("shapes-semantic/v1", "shapes-perceptual/v1")
"""Rubrics with little text, for models that read slowly."""


def write_card(
    path: Path,
    backend: str,
    model: Path | str,
    *,
    decoding: str = "max_tokens = 400",
    images: str = "",
    concurrency: int = 8,
    endpoint: str = "",
    **engine: Any,
) -> Path:
    """A card for a folder; ``engine`` fields as TOML values."""
    lines = "\n".join(f"{k} = {json.dumps(v)}" for k, v in engine.items())
    place = f'[endpoint]\nbase_url = "{endpoint}"\n' if endpoint else ""
    path.write_text(
        f'backend = "{backend}"\nmodel = "{model}"\n{place}[decoding]\n{decoding}\n[images]\n{images}\n'
        f"[engine]\n{lines}\n[limits]\nconcurrency = {concurrency}\n",
        "utf-8",
    )
    return path


def answers_of(out: Path) -> list[tuple[str, Answer]]:
    """(rubric, answer) of everything in a run's store."""
    exported = run([sys.executable, "-m", "isr", "store", "export", out], check=True).stdout
    rows = [json.loads(line) for line in exported.splitlines()]
    parts = {r["part"]: r["body"] for r in rows if "part" in r}
    return [(parts[r["request"]["rubric"]]["rubric"], Answer(**r["answer"])) for r in rows if "answer" in r]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

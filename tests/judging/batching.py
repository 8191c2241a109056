"""Runs by batches for tests: a server, a directory, a card with small files, and what was kept of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from isr.judging.store import Store
from isr.scoring.options import Options
from isr.scoring.run import Run, Watch, run
from tests.batch_server import RunningBatches
from tests.directories import card_text

ENGINE = "openai-batch"


def card_of(root: Path, server: RunningBatches, name: str = "judge", **limits: Any) -> str:
    """The path of a card whose files hold 15 requests, and whose batches are looked at at once."""
    path = root / f"{name}.toml"
    limits = {"batch_requests": 15, "batch_poll_s": 0.01, **limits}
    path.write_text(card_text(server.base_url, **limits) + "batch = 0.5\n", "utf-8")
    return str(path)


def score(directory: Path, judge: str, watch: Watch | None = None, **options: Any) -> Run:
    """A run in this process; by batches unless ``engine`` says otherwise."""
    options = {"engine": ENGINE, **options}
    return asyncio.run(run(Options(directory=directory, judge=judge, **options), watch or Watch()))


def kept(store: Path) -> dict[str, Any]:
    """Every answer in a store by its request, without what belongs to the moment and the way of its coming."""
    with Store(store, read_only=True) as opened:
        assert not list(opened.verify())
        rows = [row for row in opened.export() if "answer" in row]
    ways = ("batch", "engine", "request_id", "server", "client")
    return {
        f"{row['key']}-{row['ask']}": {
            **{k: v for k, v in row["answer"].items() if k not in ("received_at", "latency_s", "served")},
            "served": {k: v for k, v in row["answer"].get("served", {}).items() if k not in ways},
        }
        for row in rows
    }

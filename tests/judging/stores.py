"""Small stores for tests."""

from __future__ import annotations

from pathlib import Path

from isr.judging.store import Store
from tests.processes import LIMIT_S
from tests.samples import a_request, an_answer


def filled(path: Path, n: int = 3) -> list[bytes]:
    """A store with ``n`` answers; returns their keys."""
    requests = [a_request(f"prompt {i}") for i in range(n)]
    with Store(path) as store:
        for i, request in enumerate(requests):
            store.put(request, 0, an_answer(f"text {i}")).result(LIMIT_S)
    return [r.key for r in requests]


def faults(path: Path) -> list[str]:
    with Store(path, read_only=True) as store:
        return list(store.verify())

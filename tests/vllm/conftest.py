"""A real vLLM, on the CPU where there is nothing better: in this process's children and as a server."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoints import make
from tests.processes import CompletedProcess, run

CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}
ENGINE = {"dtype": "float32", "max_model_len": 4096, "enforce_eager": True, "gpu_memory_utilization": 0.3}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without vLLM these tests are skipped; ``make test-vllm`` makes an environment that has it."""
    if importlib.util.find_spec("vllm") is None:
        reason = pytest.mark.skip(reason="vLLM is not installed: make test-vllm")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(reason)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's tiny random checkpoint, made once."""
    made: dict[str, Path] = {}

    def of(family: str) -> Path:
        if family not in made:
            made[family] = make(family, tmp_path_factory.mktemp("checkpoint") / family)
        return made[family]

    return of


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a CPU without a hub needs."""
    for name, value in CPU.items():
        monkeypatch.setenv(name, value)


def isr(*words: object) -> CompletedProcess[str]:
    """The command, as a user runs it."""
    return run([sys.executable, "-m", "isr", *words])

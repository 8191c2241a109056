"""Tiny editors for the session: built once, loaded once for each type of numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sifm_ref.editor import WhiteBox


@pytest.fixture(scope="session", autouse=True)
def _torch() -> None:
    """Skips where the extra ``sifm`` is not installed; one thread, as the tests share the processors."""
    torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
    pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny random checkpoint."""
    root = tmp_path_factory.mktemp("checkpoints")

    def find(name: str) -> Path:
        from tests.sifm_ref.checkpoints import build

        folder = root / name
        return folder if folder.is_dir() else build(name, folder)

    return find


@pytest.fixture(scope="session")
def editor(checkpoint: Callable[[str], Path]) -> Callable[..., WhiteBox]:
    """A tiny editor by name and ``dtype``; its memory settings are reset at every call."""
    from sifm_ref.editor import Memory, Settings
    from sifm_ref.loading import load
    from tests.sifm_ref.checkpoints import quick_settings

    loaded: dict[tuple[str, str], WhiteBox] = {}

    def find(name: str, dtype: str = "fp32") -> WhiteBox:
        if (name, dtype) not in loaded:
            loaded[name, dtype] = load(
                f"{name}={checkpoint(name)}", Settings(dtype=dtype, settings=quick_settings(name))
            )
        found = loaded[name, dtype]
        found.memory = Memory()
        return found

    return find

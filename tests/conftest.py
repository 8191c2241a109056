"""Shared fixtures: an isolated user configuration, and a judge card for a running test server."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.chat_server import Running
from tests.directories import card_text

# a machine with other work is slow and not wrong: nothing here is judged by the clock
settings.register_profile("isr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("isr")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts a command in the background
    # ignored here as before, and as usual in the commands that tests start: to be ignored would be inherited
    signal.signal(signal.SIGINT, lambda number, frame: None)


@pytest.fixture(autouse=True)
def own_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's configuration, nor sees the user's keys."""
    path = tmp_path_factory.mktemp("config") / "config.toml"
    monkeypatch.setenv("ISR_CONFIG", str(path))
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "ISR_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def card(tmp_path: Path) -> Callable[..., str]:
    """Writes a card for a server and returns its path."""

    def write(server: Running, name: str = "judge", **limits: Any) -> str:
        path = tmp_path / f"{name}.toml"
        path.write_text(card_text(server.base_url, **limits), "utf-8")
        return str(path)

    return write

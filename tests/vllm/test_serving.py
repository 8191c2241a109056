"""``isr judges serve``: the command that it prints is the one that serves."""

from __future__ import annotations

import json
import signal
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.directories import make_directory
from tests.local_judges import free_port, write_card
from tests.processes import LIMIT_S, started, wait_for
from tests.vllm.conftest import ENGINE, isr
from tests.vllm.test_vllm_engine import RUBRICS, check_answers

pytestmark = pytest.mark.usefixtures("environment")


def test_a_run_beside_its_server(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    make_directory(tmp_path / "edits", images=2, prompts=2, size=40)
    address = f"http://127.0.0.1:{free_port()}/v1"
    card = write_card(
        tmp_path / "judge.toml", "openai_chat", checkpoint("qwen2_5_vl"), endpoint=address,
        decoding="max_tokens = 400\nlogprobs = 10", **ENGINE,
    )  # fmt: skip
    card.write_text(card.read_text().replace(f'"{checkpoint("qwen2_5_vl")}"', '"./model"'))
    (tmp_path / "model").symlink_to(checkpoint("qwen2_5_vl"))
    score = [sys.executable, "-m", "isr", "score", tmp_path / "edits", "--judge", card, *RUBRICS]
    done = isr("judges", "serve", card, "--run", "--", *score, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["treatments"][0]["counts"]["edits"] == 4
    check_answers(tmp_path / "out", 16)
    again = isr("judges", "check", card)
    assert again.returncode == 3
    assert "nothing listens" in again.stdout + again.stderr  # the server ended with the command


def test_a_server_that_stays_until_it_is_stopped(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}/v1"
    card = write_card(tmp_path / "judge.toml", "openai_chat", checkpoint("llava"), endpoint=address, **ENGINE)
    card.write_text(card.read_text().replace(f'"{checkpoint("llava")}"', '"./model"'))
    (tmp_path / "model").symlink_to(checkpoint("llava"))
    messages = tmp_path / "messages"
    with messages.open("w") as file:
        command = [sys.executable, "-m", "isr", "judges", "serve", card, "--run"]
        with started(command, stdout=file, stderr=file) as process:
            wait_for(
                lambda: process.poll() is not None or "answers at" in messages.read_text(), what="a server"
            )
            assert process.poll() is None, messages.read_text()[-3000:]
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_S) == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{address}/models", timeout=LIMIT_S)


def test_a_server_that_cannot_start_says_so(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}/v1"
    card = write_card(
        tmp_path / "judge.toml", "vllm_engine", checkpoint("llava"), endpoint=address, dtype="nonsense"
    )
    done = isr("judges", "serve", card, "--run")
    assert done.returncode == 2
    assert "the server ended with exit code" in done.stderr

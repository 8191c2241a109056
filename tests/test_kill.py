"""A run that is killed at any moment goes on where it stopped, and asks nothing twice that it had received."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import isr
from isr.store import Store
from tests.chat_server import Running, serving
from tests.directories import make_directory

KILLS = 20
CONCURRENCY = 8


def start(directory: Path, judge: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "isr", "score", str(directory), "--judge", judge, "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_answers(server: Running, more_than: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while sum(server.stats()["answered"].values()) <= more_than and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_kill_at_random_moments(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(
        tmp_path / "e", images=50, prompts=3
    )  # 150 edits and 150 controls: 300 judged, 600 requests
    make_directory(tmp_path / "whole", images=50, prompts=3)
    chance = random.Random(20)
    with serving(faults="lessons", seed=2, latency_s=0.02) as server:
        judge = card(server, concurrency=CONCURRENCY)
        for _ in range(KILLS):
            process = start(tmp_path / "e", judge)
            # from before the first answer to some thirty answers on
            wait_for_answers(
                server, sum(server.stats()["answered"].values()) + chance.choice((-1, 0, 9)), process
            )
            time.sleep(chance.uniform(0, 0.06))
            process.send_signal(signal.SIGKILL)
            process.wait()
        with Store(tmp_path / "e.isr" / "isr.db") as store:  # opening recovers the journal
            received = store.count()
            assert not list(store.verify())
        assert 0 < received < 600  # the run was really cut short
        result = isr.score(tmp_path / "e", judge=judge)
        stats = server.stats()
        answers = sum(stats["answered"].values()) + stats["faulted"]["content_filter"]
        # every request has one answer that was kept; beyond these only what was in flight at a kill
        assert 600 <= answers <= 600 + KILLS * CONCURRENCY
        with Store(tmp_path / "e.isr" / "isr.db", read_only=True) as store:
            assert store.count() == 600
            assert not list(store.verify())
        whole = isr.score(tmp_path / "whole", judge=judge)
    assert result.to_json() == whole.to_json()


def test_interrupt_ends_cleanly_with_what_it_has(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=30, prompts=3)  # 360 requests
    with serving(latency_s=0.05) as server:
        judge = card(server, concurrency=4, timeout_s=60)
        command = [sys.executable, "-m", "isr", "score", str(tmp_path / "e"), "--judge", judge]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for_answers(server, 30, process)  # type: ignore[arg-type]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        answered = sum(server.stats()["answered"].values())
    assert process.returncode == 130, err
    assert "waiting for answers in flight" in err
    assert "signature: isr=" in out
    with Store(tmp_path / "e.isr" / "isr.db", read_only=True) as store:
        assert store.count() == answered  # what was in flight had arrived and was kept
    assert 30 < answered < 360


@pytest.mark.parametrize("processes", [3])
def test_several_processes_share_a_store(tmp_path: Path, card: Callable[..., str], processes: int) -> None:
    make_directory(tmp_path / "e", images=15, prompts=2)  # 120 requests
    with serving(latency_s=0.01) as server:
        judge = card(server)
        command = [sys.executable, "-m", "isr", "score", str(tmp_path / "e"), "--judge", judge, "--quiet"]
        running = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        ends = [(p.communicate(timeout=60)[1], p.returncode) for p in running]
        assert ends == [("", 0)] * processes
        calls = server.stats()["calls"]
        isr.score(tmp_path / "e", judge=judge)
        assert server.stats()["calls"] == calls
        assert calls < 2 * 120  # they hardly ask for the same, let alone three times
    with Store(tmp_path / "e.isr" / "isr.db", read_only=True) as store:
        assert store.count() == 120
        assert not list(store.verify())


NOTEBOOK = """
import asyncio, sys, isr

async def cell():
    isr.score(sys.argv[1], judge=sys.argv[2])

loop = asyncio.new_event_loop()
try:
    loop.run_until_complete(cell())
except KeyboardInterrupt:
    print("stopped")
"""


def test_an_interrupt_in_a_notebook_stops_the_run(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=30, prompts=3)  # 360 requests
    with serving(latency_s=0.05) as server:
        command = [
            sys.executable,
            "-c",
            NOTEBOOK,
            str(tmp_path / "e"),
            card(server, concurrency=4, timeout_s=60),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for_answers(server, 30, process)  # type: ignore[arg-type]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        answered = sum(server.stats()["answered"].values())
    assert out == "stopped\n", err
    assert 30 < answered < 360
    with Store(tmp_path / "e.isr" / "isr.db", read_only=True) as store:
        assert store.count() == answered

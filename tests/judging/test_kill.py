"""A run that is killed at any moment goes on where it stopped, and asks nothing twice that it had received."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

import isr
from isr.judging.store import Store
from tests.chat_server import Running, serving
from tests.directories import make_directory
from tests.processes import Popen, finish, read_until, started, wait_for

KILLS = 20
CONCURRENCY = 8


def answered_by(server: Running) -> int:
    return sum(server.stats()["answered"].values())


def wait_for_answers(server: Running, more_than: int, process: Popen[str]) -> None:
    wait_for(lambda: answered_by(server) > more_than, process, what=f"more than {more_than} answers")


@pytest.mark.proof
def test_kill_at_random_moments(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(
        tmp_path / "e", images=50, prompts=3
    )  # 150 edits and 150 controls: 300 judged, 600 requests
    make_directory(tmp_path / "whole", images=50, prompts=3)
    chance = random.Random(20)
    with serving(faults="lessons", seed=2, latency_s=0.02) as server:
        judge = card(server, concurrency=CONCURRENCY)
        command = [sys.executable, "-m", "isr", "score", tmp_path / "e", "--judge", judge, "--quiet"]
        for _ in range(KILLS):
            # from before the first answer to some twenty answers on, where the server waits: at most 20 * 22 in all,
            # so that no run comes to its end before it is killed
            more_than = answered_by(server) + chance.choice((-1, 0, 9))
            server.change(hold_after=more_than + chance.randint(2, 13))
            with started(command) as process:
                wait_for_answers(server, more_than, process)
                time.sleep(chance.uniform(0, 0.06))
        server.change(hold_after=0)
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
        server.change(hold_after=40)
        command = [
            sys.executable,
            "-m",
            "isr",
            "score",
            tmp_path / "e",
            "--judge",
            card(server, concurrency=4),
        ]
        with started(command) as process:
            wait_for_answers(server, 30, process)
            process.send_signal(signal.SIGINT)
            read_until(process.stderr, "waiting for answers in flight")
            server.change(hold_after=0)
            done = finish(process)
        answered = answered_by(server)
    assert done.returncode == 130, done.stderr
    assert "signature: isr=" in done.stdout
    with Store(tmp_path / "e.isr" / "isr.db", read_only=True) as store:
        assert store.count() == answered  # what was in flight had arrived and was kept
    assert 30 < answered < 360


@pytest.mark.parametrize("processes", [3])
def test_several_processes_share_a_store(tmp_path: Path, card: Callable[..., str], processes: int) -> None:
    make_directory(tmp_path / "e", images=15, prompts=2)  # 120 requests
    with serving(latency_s=0.01) as server:
        judge = card(server)
        command = [sys.executable, "-m", "isr", "score", tmp_path / "e", "--judge", judge, "--quiet"]
        with ExitStack() as stack:
            running = [stack.enter_context(started(command)) for _ in range(processes)]
            ends = [(done.stderr, done.returncode) for done in map(finish, running)]
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
            card(server, concurrency=4),
        ]
        server.change(hold_after=40)  # the run cannot come to its end before the signal is sent
        with started(command) as process:
            wait_for_answers(server, 30, process)
            process.send_signal(signal.SIGINT)
            server.change(hold_after=0)
            done = finish(process)
        answered = answered_by(server)
    assert done.stdout == "stopped\n", done.stderr
    assert 30 < answered < 360
    with Store(tmp_path / "e.isr" / "isr.db", read_only=True) as store:
        assert store.count() == answered

"""The live view, as a run goes on in its own process and afterwards."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'label' is not installed")

from tests.chat_server import serving
from tests.directories import make_directory
from tests.processes import LIMIT_S, STDOUT, finish, read_until, started, wait_for

ADDRESS = r"http://127\S+token=\S+"


def get(address: str, path: str) -> tuple[int, bytes]:
    origin, _, token = address.partition("/?token=")
    port = origin.rpartition(":")[2]
    connection = HTTPConnection("127.0.0.1", int(port), timeout=LIMIT_S)
    connection.request("GET", path, headers={"Cookie": f"isr-{port}={token}"})
    reply = connection.getresponse()
    found = reply.status, reply.read()
    connection.close()
    return found


def status(address: str) -> dict[str, Any]:
    code, data = get(address, "/api/status")
    assert code == 200
    found: dict[str, Any] = json.loads(data)
    return found


def test_a_run_is_watched_while_it_goes_on_and_served_afterwards(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=4, prompts=3)
    with serving() as server:
        server.change(hold_after=10)  # of 48: the run goes on for as long as it is watched
        path = card(server, concurrency=4)
        command = [
            sys.executable,
            "-u",
            "-m",
            "isr",
            "score",
            str(tmp_path / "e"),
            "--judge",
            path,
            "--watch",
            "--no-report",
        ]
        with started(command) as run:
            address = read_until(run.stderr, ADDRESS)[0]

            def shown() -> dict[str, Any] | None:
                said = status(address)
                return said if said["newest"] and said["done"] else None

            now = wait_for(shown, run, what="an answer that is shown and counted")
            assert now["total"] == 48
            assert now["until"] == ""
            assert 0 < now["done"] < 48
            newest = now["newest"][0]
            assert newest["question"] in ("semantic", "perceptual")
            assert newest["prompt"].startswith("make it colour")
            code, data = get(address, f"/image/{newest['images']['edit']}")
            assert code == 200
            assert data.startswith(b"\x89PNG")
            assert get(address.replace("token=", "token=x"), "/api/status")[0] == 403
            assert get(address, "/image/..%2f..%2fetc")[0] == 404
            for seen in now[
                "looks"
            ]:  # images of three edits, each end of the interval that holds at every look
                assert seen["low"] <= seen["least"] <= seen["most"] <= seen["high"]
                assert 1 <= seen["images"] < 4
            server.change(hold_after=0)
            assert finish(run).returncode == 0
    command = [sys.executable, "-u", "-m", "isr", "report", str(tmp_path / "e.isr"), "--serve"]
    with started(command, stderr=STDOUT) as served:
        assert status(read_until(served.stdout, ADDRESS)[0])["done"] == 48


def test_what_is_shown_of_a_run_that_stops_by_a_rule() -> None:
    from isr.cli._progress import line
    from isr.judging.progress import Look, Progress
    from isr.web.figures import of_progress

    looks = (Look("sifm", 32, 0.7, 0.7, 0.601, 0.803), Look("noise", 32, 0.25, 0.5, 0.1, 0.6))
    progress = Progress(total=100, answered=70, looks=looks)
    shown = of_progress(progress, "half-width=0.05")
    assert shown["until"] == "half-width=0.05"
    assert shown["looks"][0] == {
        "name": "sifm", "images": 32, "least": 0.7, "most": 0.7, "low": 0.601, "high": 0.803,
    }  # fmt: skip
    said = line(progress, 1.0)
    assert "sifm: ISR 70.0% (60.1% to 80.3%) after 32 images" in said
    assert "noise: ISR 25.0% to 50.0% (10.0% to 60.0%) after 32 images" in said

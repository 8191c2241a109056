"""The live view, as a run goes on in its own process and afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'label' is not installed")

from tests.chat_server import serving
from tests.directories import make_directory


def get(address: str, path: str) -> tuple[int, bytes]:
    origin, _, token = address.partition("/?token=")
    port = origin.rpartition(":")[2]
    connection = HTTPConnection("127.0.0.1", int(port), timeout=10)
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


def address_in(process: subprocess.Popen[str], stream: Any) -> str:
    for line in stream:
        if found := re.search(r"(http://127\S+token=\S+)", line):
            return found[1]
    raise AssertionError(f"no address; exit code {process.wait()}")


def test_a_run_is_watched_while_it_goes_on_and_served_afterwards(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=4, prompts=3)
    with serving(latency_s=0.25) as server:
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
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            address = address_in(run, run.stderr)
            end = time.monotonic() + 30
            while not (now := status(address))["newest"]:
                assert time.monotonic() < end
                time.sleep(0.1)
            assert now["total"] == 48
            assert 0 < now["done"] < 48
            newest = now["newest"][0]
            assert newest["question"] in ("semantic", "perceptual")
            assert newest["prompt"].startswith("make it colour")
            code, data = get(address, f"/image/{newest['images']['edit']}")
            assert code == 200
            assert data.startswith(b"\x89PNG")
            assert get(address.replace("token=", "token=x"), "/api/status")[0] == 403
            assert get(address, "/image/..%2f..%2fetc")[0] == 404
            run.communicate(timeout=60)
            assert run.returncode == 0
    command = [sys.executable, "-u", "-m", "isr", "report", str(tmp_path / "e.isr"), "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as served:
        address = address_in(served, served.stdout)
        try:
            assert status(address)["done"] == 48
        finally:
            served.terminate()

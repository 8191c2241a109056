"""``isr batch`` and ``isr score --engine`` as they are typed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from tests.batch_server import serving
from tests.directories import make_directory
from tests.judging.batching import ENGINE, card_of
from tests.processes import CompletedProcess, run


def isr(*arguments: object) -> CompletedProcess[str]:
    return run([sys.executable, "-m", "isr", *arguments])


@pytest.mark.slow
def test_submit_list_cancel_fetch_and_go_on(tmp_path: Path) -> None:
    edits = tmp_path / "e"
    make_directory(edits, images=5, prompts=2)  # 40 requests
    with serving() as server:
        judge = card_of(tmp_path, server)
        score = ["score", edits, "--judge", judge, "--engine", ENGINE]
        dry = json.loads(isr(*score, "--dry-run", "--json").stdout)[0]
        assert dry["batch"]["engine"] == ENGINE
        assert dry["batch"]["files"] == 3
        assert dry["batch"]["edits_a_file"] == 3  # 15 requests, four for each edit with its control edit
        assert dry["batch"]["share"] == 0.5
        assert "batch" not in json.loads(isr(*score[:4], "--dry-run", "--json").stdout)[0]
        assert server.stats()["api_requests"] == 0
        assert isr("batch", "list", edits).returncode == 2  # there is no store yet

        server.change(looks=10**9)
        submitted = isr(*score, "--no-wait", "--no-report")
        assert submitted.returncode == 3
        assert "3 batches with 40 requests go on at 127.0.0.1" in submitted.stderr
        assert "no recorded answer" not in submitted.stderr

        server.change(looks_of={"1": 1})
        listed = isr("batch", "list", edits)
        assert [line.split()[1] for line in listed.stdout.splitlines()] == ["batch_0", "batch_1", "batch_2"]
        assert "15 of 15 requests" in listed.stdout.splitlines()[1]
        assert "completed there" in listed.stdout.splitlines()[1]
        assert listed.stdout.count("in_progress there") == 2

        fetched = isr("batch", "fetch", edits)
        assert fetched.returncode == 3  # two are not done
        assert "15 answers fetched" in fetched.stdout
        assert len(server.stats()["batches"]) == 3  # nothing new was asked

        cancelled = json.loads(isr("batch", "cancel", edits, "--json").stdout)
        assert cancelled["schema"] == "isr.batches/1"
        assert [b["status"] for b in cancelled["batches"]] == ["cancelled", "cancelled"]
        assert isr("batch", "fetch", edits).returncode == 3
        assert "no batch that is not over" in isr("batch", "cancel", edits).stdout

        server.change(looks=1)
        done = isr(*score, "--no-report")
        assert done.returncode == 0, done.stderr
        assert set(server.stats()["in_batches"].values()) == {
            1
        }  # what was done before the cancellation was not asked again
        assert isr("batch", "cancel", edits, "--forget").returncode == 0
        (folder,) = (edits.with_name("e.isr") / "runs").iterdir()
        states = json.loads(isr("batch", "list", folder, "--json").stdout)["batches"]
        assert {b["state"] for b in states} == {"done"}


@pytest.mark.parametrize(
    ("judge", "more", "found"),
    [
        ("gpt-4.1", ["--engine", "openai-bach"], "did you mean openai-batch?"),
        ("gpt-4.1", ["--engine", ENGINE, "--until", "half-width=0.1"], "which asks for all at once"),
        ("gpt-4.1", ["--engine", ENGINE, "--watch"], "expected a run that goes on before your eyes"),
        ("gpt-4.1", ["--no-wait"], "--no-wait: expected --engine beside it"),
        ("replay", ["--engine", ENGINE], "expected a card of the backend openai_chat"),
        ("replay", ["--engine", ENGINE, "--dry-run"], "expected a card of the backend openai_chat"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, judge: str, more: list[str], found: str
) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)
    done = CliRunner().invoke(cli, ["score", str(tmp_path / "e"), "--judge", judge, *more])
    assert done.exit_code
    assert found in f"{done.output}{done.exception}"
    assert not (tmp_path / "e.isr").exists()

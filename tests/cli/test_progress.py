"""Progress on stderr: a line now and then, and the last line is the final one."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from isr.cli import _progress
from isr.cli._immunizing import Meter
from isr.cli._progress import NowAndThen, line, watching
from isr.errors import TransportError
from isr.judging.progress import Progress
from isr.scoring.run import Watch
from tests.chat_server import serving
from tests.directories import make_directory, write_metadata
from tests.processes import run


def test_the_last_line_is_the_final_one_and_counts_what_was_asked(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    rows = make_directory(tmp_path / "e", images=4, prompts=2, methods=("a", "b"))
    for row in rows:  # half of the edits are the same pixels by the same instruction: nothing is asked twice
        if row["method"] == "b":
            row["file_name"] = str(row["file_name"]).replace("-1.png", "-0.png")
            row["edit_id"] = f"b-{row['file_name']}"
    write_metadata(tmp_path / "e", rows)
    accept = ("--accept", "edit-in-treatments", "--accept", "edit-shared")
    with serving() as server:
        score = [
            sys.executable,
            "-m",
            "isr",
            "score",
            str(tmp_path / "e"),
            "--judge",
            card(server),
            *accept,
            "--no-report",
        ]
        planned = json.loads(run([*score, "--dry-run", "--json"]).stdout)[0]["requests"]
        done = run(score)
        assert server.stats()["calls"] == planned == 32  # 8 units, edit and control edit, two questions
    assert done.returncode == 0, done.stderr
    last = [said for said in done.stderr.splitlines() if "judged" in said]
    assert len(last) == 1
    assert last[0].startswith("isr: judged 32/32, ")
    assert "left" not in last[0]
    again = run(score)
    assert "judged" not in again.stderr  # nobody was asked


def test_a_run_that_ends_early_has_no_time_left() -> None:
    progress = Progress(total=100, answered=40)
    assert line(progress, 10.0) == "40/100, 4.0/s, 0:15 left"  # 60 left at four a second
    assert line(progress, 10.0, final=True) == "40/100, 4.0/s"


def test_the_rate_is_of_the_asking_whatever_comes_after(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: clock[0])
    watch = Watch()
    with watching(watch):
        watch.stage("judging")
        watch.progress.total, clock[0] = 8, 4.0
        watch.progress.answered = 8
        watch.stage("estimating")
        clock[0] = 400.0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "isr: judging"
    assert said[-1] == "isr: judged 8/8, 2.0/s"
    assert not any(re.search("estimating: .*left", one) for one in said)


def test_lines_come_now_and_then_and_the_last_one_always(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: clock[0])
    lines = NowAndThen()
    for second in range(1, 41):
        clock[0] = float(second)
        lines.now_and_then(f"at {second}")
    lines.flush()
    lines.flush()
    assert capsys.readouterr().err.splitlines() == ["isr: at 15", "isr: at 30", "isr: at 40"]


def test_retries_are_told_with_what_failed_most() -> None:
    progress = Progress(total=9)
    for words in ("refused", "500\n(a page)", "refused"):
        progress.retried(TransportError("connection", words))
    assert line(progress, 1.0) == "0/9, 0.0/s, 3 retries: refused"
    for n in range(500):
        progress.retried(TransportError("connection", f"{n} " + "x" * 1000))
    assert len(progress.why) <= 50
    assert len(line(progress, 1.0)) < 200


def test_a_dead_server_is_told_once_at_first_contact(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=3, prompts=2)
    with serving(faults="down") as server:
        judge = card(server, max_attempts=3)
        done = run(
            [sys.executable, "-m", "isr", "score", str(tmp_path / "e"), "--judge", judge, "--no-report"]
        )
        assert server.stats()["calls"] == 6  # it is busy at most: as many as for other errors of a server
    assert done.returncode == 3
    said = done.stderr.splitlines()
    assert (
        len(
            [
                one
                for one in said
                if "isr: judged " in one and " retries: " in one and "503 (upstream is down)" in one
            ]
        )
        == 1
    )
    assert len([one for one in said if f"nothing was ever answered at {server.base_url}" in one]) == 1
    assert len(said) < 12  # not a line for every request


def metered(monkeypatch: pytest.MonkeyPatch, results: int, quiet: bool = False, fresh: int = 0) -> None:
    """A meter that is told of results, of which one comes every second after two steps; the first ``fresh`` were there."""
    clock = [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: clock[0])
    meter = Meter("edits", quiet)
    meter.stage("editing with painter")
    for n in range(1, results + 1):
        for step in (1, 2):
            clock[0] += 0.5
            meter.step(f"step {step}")
        meter.done(f"e{n}", n, results, 1.0, 0, fresh=n > fresh)
    meter.close()
    meter.close()


def test_a_meter_says_a_line_now_and_then_and_the_last_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    metered(monkeypatch, 40)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "isr: editing with painter"
    assert len(said) <= 1 + 40 // 15 + 1  # 40 seconds, not 40 lines
    assert said[-1] == "isr: 40/40 e40: 1.0 s; 1.00 edits/s"
    metered(monkeypatch, 3)
    assert capsys.readouterr().err.splitlines()[1:] == ["isr: 3/3 e3: 1.0 s; 1.00 edits/s"]
    metered(monkeypatch, 3, quiet=True)
    metered(monkeypatch, 3, fresh=3)  # nothing was made
    assert capsys.readouterr().err == "isr: editing with painter\n"


def test_a_meter_on_a_terminal_writes_one_line_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    metered(monkeypatch, 40)
    said = capsys.readouterr().err
    assert said.count("\n") == 2  # what begins, and the end of the line
    assert said.rstrip("\n").split("\r\x1b[K")[-1] == "isr: 40/40 e40: 1.0 s; 1.00 edits/s"

"""No test judges by the clock or leaves a process behind: the means for it work, and all tests use them."""

from __future__ import annotations

import ast
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import LIMIT_S, finish, group_lives, read_until, run, started, wait_for

TESTS = Path(__file__).resolve().parent
STARTING = {"run", "Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput"}
ELSEWHERE = {"os.system", "os.popen", "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"}
CLOCKS = {"time", "monotonic", "perf_counter", "process_time", "thread_time"}
WAITS = {"wait", "wait_for", "result", "join", "communicate"}
WITH_A_CHILD = "sleep 3600 & echo started; wait"


def faults_in(source: str) -> Iterator[str]:
    """What starts a process, reads a clock, or waits for a number of seconds, with its line."""
    tree = ast.parse(source)
    modules: dict[str, str] = {}  # a name here -> what it means
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {a.asname or a.name.partition(".")[0]: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in ("subprocess", "time", "os", "asyncio"):
            modules |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        head, dot, rest = name.partition(".")
        meant = f"{modules.get(head, head)}{dot}{rest}"
        module, _, function = meant.rpartition(".")
        if meant in ELSEWHERE or (module == "subprocess" and function in STARTING):
            yield f"{node.lineno}: {name} starts a process; use tests.processes"
        if module == "time" and function.removesuffix("_ns") in CLOCKS:
            yield f"{node.lineno}: {name} reads a clock; wait for an event, or print the figure in a benchmark"
        limits = [k.value for k in node.keywords if k.arg == "timeout"]
        limits += node.args[-1:] if function in WAITS else []
        if any(isinstance(v, ast.Constant) and isinstance(v.value, int | float) for v in limits):
            yield f"{node.lineno}: {name} waits for seconds; use LIMIT_S of tests.processes"


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda p: str(p.relative_to(TESTS)))
def test_no_other_file_starts_processes_or_reads_a_clock(path: Path) -> None:
    if path not in (
        TESTS / "processes.py",
        TESTS / "golden" / "record.py",
    ):  # which is a script, run once beside 0.1.0
        assert list(faults_in(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\nsubprocess.run(['x'])",
        "import subprocess as sp\nsp.Popen(['x'])",
        "from subprocess import check_output as c\nc(['x'])",
        "import asyncio\nasyncio.create_subprocess_exec('x')",
        "import os\nos.system('x')",
        "import time\nassert time.monotonic() - began < 3",
        "from time import perf_counter as now\nnow()",
        "import time\ntime.process_time_ns()",
        "future.result(30)",
        "process.wait(timeout=20)",
        "connection = HTTPConnection('127.0.0.1', 80, timeout=10)",
        "import asyncio\nasyncio.wait_for(run(), 10)",
    ],
)
def test_each_kind_is_found(source: str) -> None:
    assert len(list(faults_in(source))) == 1


def test_what_is_none_of_them() -> None:
    assert not list(
        faults_in("import subprocess, time\nsubprocess.PIPE\ntime.sleep(0.1)\nstrptime(x)\n'a'.join(b)")
    )


def test_a_block_that_fails_ends_the_child_and_the_grandchild() -> None:
    end, held = os.pipe()  # read to its end once nobody holds the other side: neither the shell nor its sleep
    with pytest.raises(ZeroDivisionError):  # noqa: PT012, SIM117
        with started(["sh", "-c", WITH_A_CHILD], pass_fds=[held]) as process:
            os.close(held)
            read_until(process.stdout, "started")
            assert group_lives(process.pid)
            1 / 0  # noqa: B018
    assert process.poll() is not None
    assert select.select([end], [], [], LIMIT_S)[0] == [end]
    assert os.read(end, 1) == b""
    os.close(end)
    assert not group_lives(process.pid)


def test_a_command_that_leaves_a_child_behind_ends_with_it() -> None:
    # the child holds the pipes: without its end they would be read for an hour
    done = run(["sh", "-c", "sleep 3600 & echo $$; exit 3"])
    assert done.returncode == 3
    assert not group_lives(int(done.stdout))


def test_a_command_that_must_succeed_says_why_it_did_not() -> None:
    with pytest.raises(AssertionError, match=r"exit code 7\n(?s:.*)no such thing"):
        run(
            [sys.executable, "-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(7)"],
            check=True,
        )


def test_a_hang_ends_at_the_limit_with_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.processes.LIMIT_S", 0.5)  # it never ends by itself, on no machine
    with started(["sh", "-c", WITH_A_CHILD]) as process, pytest.raises(AssertionError, match="no end within"):
        finish(process)
    assert not group_lives(process.pid)
    with pytest.raises(AssertionError, match="a miracle: not seen within"):
        wait_for(lambda: False, what="a miracle")


def test_a_wait_fails_as_soon_as_the_process_ends() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('cannot go on')"]
    with started(command) as process, pytest.raises(AssertionError, match="exit code 1\ncannot go on"):
        wait_for(lambda: False, process, what="a result")
    with started([sys.executable, "-c", "print('done')"]) as process:
        read_until(process.stdout, "done")
        process.wait()
        assert wait_for(lambda: "seen", process) == "seen"  # what it did before it ended counts


def test_lines_that_were_read_ahead_are_not_lost() -> None:
    with started(["sh", "-c", "echo one; echo two; echo three"]) as process:
        process.wait()  # all lines lie in the pipe, and come with the first
        read_until(process.stdout, "one")
        assert finish(process).stdout == "two\nthree\n"

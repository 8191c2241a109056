"""Processes that end with the test that started them, and waits for events instead of for seconds.

Every command that a test runs goes through this module, which alone reads a clock: a busy machine makes a test
slower and changes no outcome. ``LIMIT_S`` only turns a hang into a failure.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, CompletedProcess, Popen
from typing import IO, Any, TypeVar

__all__ = [
    "DEVNULL", "LIMIT_S", "PIPE", "STDOUT", "CompletedProcess", "Popen",
    "finish", "group_lives", "read_until", "run", "started", "wait_for",
]  # fmt: skip

LIMIT_S = 900.0
"""Seconds after which a wait has failed; no test that passes comes near it."""

Found = TypeVar("Found")


def run(
    command: Sequence[object],
    *,
    check: bool = False,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> CompletedProcess[str]:
    """How a command ended and what it said; whatever it started ends with it.

    check: an exit code other than 0 fails the test, with what was said.
    """
    with started(command, cwd=cwd, env=env) as process:
        done = finish(process)
    assert not check or done.returncode == 0, f"{told(done.args)}: exit code {done.returncode}\n{said(done)}"
    return done


@contextmanager
def started(
    command: Sequence[object],
    *,
    stdin: int | None = None,
    stdout: int | IO[str] | None = PIPE,
    stderr: int | IO[str] | None = PIPE,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[Popen[str]]:
    """A command in a session of its own; the session is killed when the block ends, however it ends."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=env, pass_fds=pass_fds, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        end(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


def end(process: Popen[str]) -> None:
    """Kills a process that ``started`` made and everything in its group, and waits until none of them runs.

    A killed process closes its files before it is gone, and only its own parent is told of its end: so the
    children of the process are looked for, since none of them is ours to wait for.
    """
    if sys.platform == "win32":
        process.kill()
        process.wait()
        return
    while True:
        with suppress(ProcessLookupError):  # all of them have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not group_lives(process.pid):
            return
        time.sleep(0.01)


def finish(process: Popen[str]) -> CompletedProcess[str]:
    """How a started process ended and the rest of what it said, its pipes read side by side to their ends."""
    with ThreadPoolExecutor(2) as pool:
        texts = [pool.submit(p.read) if p is not None else None for p in (process.stdout, process.stderr)]
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end(process)  # the pipes end with it: nothing that it left behind holds them open
        out, err = (text.result() if text is not None else None for text in texts)
    done = CompletedProcess(process.args, process.returncode, out, err)
    assert code is not None, f"{told(process.args)}: no end within {LIMIT_S:.0f} s\n{said(done)}"
    return done


def wait_for(
    condition: Callable[[], Found], process: Popen[str] | None = None, *, what: str = "the event"
) -> Found:
    """What the condition returns as soon as that is true.

    process: the one that makes it true; once it has ended the wait has failed, with what it said.
    """
    until = time.monotonic() + LIMIT_S
    while True:
        ended = process is not None and process.poll() is not None
        if found := condition():
            return found
        if process is not None and ended:
            done = finish(process)
            raise AssertionError(
                f"{what}: {told(done.args)} ended first, exit code {done.returncode}\n{said(done)}"
            )
        assert time.monotonic() < until, f"{what}: not seen within {LIMIT_S:.0f} s"
        time.sleep(0.01)


def read_until(stream: IO[str] | None, pattern: str) -> re.Match[str]:
    """The match in the first line of a process that has the pattern; fails with what it said if it ends before."""
    assert stream is not None
    lines = []
    for line in stream:
        if found := re.search(pattern, line):
            return found
        lines.append(line)
    raise AssertionError(f"expected a line with {pattern!r}; found {''.join(lines)[-3000:]!r} and the end")


def group_lives(group: int) -> bool:
    """Whether a process group still has a member that runs; one that nobody has waited for runs no more."""
    if not Path("/proc/self/stat").exists():
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        return True
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = file.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it ended meanwhile
            continue
        if int(pgrp) == group and state not in "ZX":
            return True
    return False


def told(command: Any) -> str:
    """A command in the words of a message."""
    return " ".join(map(str, command))[:300]


def said(done: CompletedProcess[str]) -> str:
    """The end of what a command said."""
    return "\n".join(text[-3000:] for text in (done.stdout, done.stderr) if text)

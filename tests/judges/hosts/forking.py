"""The command ``isr`` in a process of its own for each call, without loading its modules again for each of them.

``python -m tests.judges.hosts.forking`` loads them once, and forks for every line on its standard input. The waits
between two tries are a hundredth of what they are: how often a host is asked is what counts here, and how long is
not. What a host asks to wait is waited.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from tests.processes import PIPE, read_until, started

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it wrote to standard output and standard error."""

    code: int
    text: str


@dataclass(frozen=True)
class Commands:
    """The process that forks."""

    process: Popen[str]
    folder: Path

    def isr(self, *args: object) -> Said:
        """Runs ``isr ARGS`` and waits for its end."""
        file = self.folder / "said.txt"
        order = json.dumps({"argv": ["isr", *map(str, args)], "said": str(file)})
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        code = int(read_until(self.process.stdout, r"^-?\d+$")[0])
        return Said(code, file.read_text("utf-8"))


@contextmanager
def commands(folder: Path, env: Mapping[str, str]) -> Iterator[Commands]:
    """The process that forks, for as long as the block lasts."""
    command = [sys.executable, "-m", "tests.judges.hosts.forking"]
    with started(command, cwd=ROOT, env=env, stdin=PIPE, stderr=None) as process:
        yield Commands(process, folder)


def _command(argv: Sequence[str], said: str) -> int:
    """The exit code of a command that is run in a fork of this process."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    from isr.cli import main

    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = list(argv)
    code = 1  # of an error that nobody foresaw
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    import isr.cli.judges  # loaded here, once
    import isr.cli.score
    import isr.judges.openai_chat
    import isr.judging.check
    import isr.judging.retry
    import isr.report.forest
    import isr.scoring.options
    import isr.scoring.run
    import isr.scoring.text

    wait = isr.judging.retry.BACKOFF
    isr.judging.retry.BACKOFF = lambda state: wait(state) / 100  # type: ignore[assignment]
    for line in sys.stdin:
        print(_command(**json.loads(line)), flush=True)


if __name__ == "__main__":
    _serve()

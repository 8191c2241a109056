"""Every file that a command reads, and what a stranger may put in its place."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.directories import make_directory
from tests.processes import run
from tests.runs import recorded_run

MEMORY = 3 * 2**29  # of address space; what is put in the place of a file is larger
LARGE = 2**31 + 2**20  # above every limit

_CHILD = """
import contextlib, io, json, logging, os, resource, sys, traceback
limit, commands = json.load(open(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from isr.cli import main
for command in commands:
    logging.getLogger().handlers.clear()
    out, err, sys.argv, code = io.StringIO(), io.StringIO(), ["isr", *command], 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            traceback.print_exc()
            code = 1
    print(json.dumps([code, err.getvalue(), out.getvalue()[-2000:]]), flush=True)
"""


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    err: str
    out: str


@dataclass(frozen=True)
class Kind:
    """A kind of file: how it is called, and the command that reads the one in a folder of its own."""

    name: str
    command: Callable[[Path, Path], list[Any]]  # folder with everything else, the file -> arguments


def _score(folder: Path, *more: Any, card: Path | None = None) -> list[Any]:
    return [
        "score",
        folder / "edits",
        "--judge",
        card or folder / "recorded.toml",
        "--out",
        folder / "out",
        "--quiet",
        "--dry-run",
        *more,
    ]


def _in_directory(folder: Path, file: Path) -> list[Any]:
    """The file in the place of its name in an edit directory of its own."""
    own = file.parent / "directory"
    if not own.exists():
        make_directory(own, images=1, prompts=1)
        if file.name.startswith("metadata"):
            (own / "metadata.jsonl").unlink()
        place = own / ("edits/0-0-0.png" if file.suffix == ".png" else file.name)
        place.unlink(missing_ok=True)
        file.rename(place)
    return ["validate", own]


def _in_run(folder: Path, file: Path) -> list[Any]:
    own = file.parent / "run"
    own.mkdir(exist_ok=True)
    file.rename(own / file.name)
    return ["report", own, "--out", own / "r.html"]


def _recorded(folder: Path, file: Path) -> list[Any]:
    card = file.parent / "card.toml"
    card.write_text(f'backend = "replay"\n[engine]\nanswers = {json.dumps(str(file))}\n', "utf-8")
    return _score(folder, card=card)[:-1]


def _agree(folder: Path, file: Path) -> list[Any]:
    return ["agree", "--labels", file, "--judge", folder / "run"]


def _bundled(folder: Path, file: Path) -> list[Any]:
    """The record of a qualification that lies beside a run."""
    own = file.parent / "run"
    (own / "qualify" / "card").mkdir(parents=True)
    for beside in (folder / "run").iterdir():
        (own / beside.name).symlink_to(beside.resolve())
    file.rename(own / "qualify" / "card" / "qualification.json")
    return ["bundle", own, "--out", file.parent / "b.zip"]


TOML = (
    Kind("isr.toml", _in_directory),
    Kind("card.toml", lambda folder, file: _score(folder, card=file)),
    Kind("rubric.toml", lambda folder, file: _score(folder, "--rubric", file, "--rubric", "perceptual/v1")),
    Kind("calibration.toml", lambda folder, file: _score(folder, "--calibration", file)),
    Kind("study.toml", lambda folder, file: ["bench", file, "--dry-run"]),
    Kind("agreement.toml", lambda folder, file: ["agree", file]),
)
JSON = (
    Kind("metadata.jsonl", _in_directory),
    Kind("labels.json", _agree),
    Kind("labels.jsonl", _agree),
    Kind("qualification.json", lambda folder, file: [*_score(folder)[:-1], "--qualification", file]),
    Kind("result.json", _in_run),
    Kind("answers.jsonl", lambda folder, file: ["store", "import", file, folder / "imported.db"]),
    Kind("recorded.jsonl", _recorded),
    Kind(
        "plan.json",
        lambda folder, file: [
            "calibrate",
            folder / "run",
            "--labels",
            folder / "labels.csv",
            "--plan",
            file,
            "--design",
            "random",
        ],
    ),
    Kind(
        "anchor.json",
        lambda folder, file: ["qualify", folder / "recorded.toml", folder / "edits", "--against", file],
    ),
)
OTHERS = (
    Kind("metadata.csv", _in_directory),
    Kind("metadata.parquet", _in_directory),
    Kind("edit.png", _in_directory),
    Kind("labels.csv", _agree),
    Kind("isr.db", lambda folder, file: ["store", "verify", file]),
    Kind("own.db", lambda folder, file: [*_score(folder)[:-1], "--store", file]),
    Kind(
        "packed.csv",
        lambda folder, file: ["bundle", folder / "run", "--labels", file, "--out", file.parent / "b.zip"],
    ),
    Kind("packed.json", _bundled),
    Kind("bundle.zip", lambda folder, file: ["verify", file]),
    Kind(
        "prompts.csv",
        lambda folder, file: [
            "init", file.parent / "new", "--edits", folder / "edits/edits/*.png", "--prompts", file,
        ],
    ),
)  # fmt: skip


def deep_toml(file: Path) -> None:
    file.write_text(f"a = {'[' * 5000}{']' * 5000}\n", "utf-8")


def dotted_toml(file: Path) -> None:
    """Keys that nest without any bracket."""
    file.write_text(f"{'.'.join(['a'] * 500)} = 1\n", "utf-8")


def deep_json(file: Path) -> None:
    file.write_text(f"{'[' * 100_000}{']' * 100_000}\n", "utf-8")


def less_deep_json(file: Path) -> None:
    """What the parser of the standard library reads, and nothing can write again."""
    file.write_text('{"a":' * 900 + "1" + "}" * 900 + "\n", "utf-8")


def pipe(file: Path) -> None:
    os.mkfifo(file)


def device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(LARGE)


def world(folder: Path) -> Path:
    """A folder with edits, a card that repeats answers, and a finished run by it."""
    made = recorded_run(folder, images=2, prompts=2)
    (folder / "run").symlink_to(made)
    (folder / "labels.csv").write_text("edit_id,rater,semantic\nedits/0-0-0.png,a,fails\n", "utf-8")
    return folder


def commands_end(
    folder: Path, tmp: Path, kinds: Sequence[Kind], put: Callable[[Path], None]
) -> dict[str, Said]:
    """How each kind's command ended with that in the place of its file: all in one process of bounded memory."""
    commands = []
    for kind in kinds:
        place = tmp / kind.name.replace(".", "-")
        place.mkdir()
        put(place / kind.name)
        commands.append([str(a) for a in kind.command(folder, place / kind.name)])
    order = tmp / "commands.json"
    order.write_text(json.dumps([MEMORY, commands]), "utf-8")
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = run([sys.executable, "-c", _CHILD, order], env=env)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(kinds), done.stderr
    return {kind.name: Said(*line) for kind, line in zip(kinds, lines, strict=True)}

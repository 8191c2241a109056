"""No rate under a judge's name that another model, another host or a retired model gave, without a word of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from isr.errors import ModelNotFoundError, RetiredError
from isr.scoring.options import Options
from isr.scoring.run import Run, run
from isr.scoring.text import render
from tests.chat_server import Running, serving
from tests.directories import make_directory

NAMES = {
    "same": "test-model",
    "dated": "test-model-2026-01-31",
    "vendor": "lab/test-model",
    "mini": "test-model-mini",
    "other": "llava",
    "none": "-",
}
GRID = list(itertools.product((False, True), ("", "past", "allowed"), NAMES, (1, 2)))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def edits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("answered") / "e"
    make_directory(root, images=2, prompts=1, controls=False)
    return root


def card(folder: Path, server: Running, serves: bool, retired: str, host: str) -> str:
    text = 'backend = "openai_chat"\nmodel = "test-model"\n'
    text += 'serves = ["test-model"]\n' if serves else ""
    text += 'retires_on = "2020-01-01"\n' if retired else ""
    path = folder / "judge.toml"
    path.write_text(f'{text}[endpoint]\nbase_url = "{server.base_url.replace("127.0.0.1", host)}"\n', "utf-8")
    return str(path)


@pytest.mark.parametrize(("serves", "retired", "name", "hosts"), GRID)
def test_every_combination_is_refused_or_told(
    tmp_path: Path, server: Running, edits: Path, serves: bool, retired: str, name: str, hosts: int
) -> None:
    server.change(reports=NAMES[name])

    def scored(host: str, limit: int | None) -> Run:
        judge = card(tmp_path, server, serves, retired, host)
        options = Options(
            directory=edits,
            judge=judge,
            store=tmp_path / "isr.db",
            out=tmp_path / f"run-{limit}",
            limit=limit,
            allow_retired=retired == "allowed",
        )
        return asyncio.run(run(options))

    def both() -> Run:
        if hosts == 2:
            scored("127.0.0.1", 1)
        return scored("localhost", None)

    unproved = serves and name in ("mini", "other", "none")
    if retired == "past" or unproved:
        with pytest.raises(RetiredError if retired == "past" else ModelNotFoundError):
            both()
        assert not list(tmp_path.glob("run-*/result.json"))
        return
    done = both()
    levels = {a["level"] + ": " + a["text"] for a in done.result.answered}
    wanted = []
    if name in ("dated", "vendor"):
        wanted.append(
            f"note: judge: 'test-model' was asked, and of 4 answers the host names others: {NAMES[name]} (4)"
        )
    if name in ("mini", "other"):
        wanted.append(
            f"warning: judge: 'test-model' was asked, and of 4 answers the host names others: {NAMES[name]} (4); another"
        )
    if retired:
        wanted.append("warning: judge: 4 of 4 answers were received from ")
    if hosts == 2:
        port = server.port
        wanted.append(f"note: judge: several hosts answered: 127.0.0.1:{port} (2), localhost:{port} (2)")
    assert len(levels) == len(wanted)
    printed = render(done.result)
    assert "judge: judge (test-model, revision not pinned)" in printed
    for words in wanted:
        assert any(line.startswith(words) for line in levels), words
        assert words in printed


def test_a_judge_of_the_editor_s_own_family_is_told(tmp_path: Path, server: Running) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1, controls=False, editor="Qwen-Image-Edit")
    server.change(reports="", model="qwen3-vl")
    judge = card(tmp_path, server, False, "", "127.0.0.1")
    Path(judge).write_text(Path(judge).read_text().replace("test-model", "qwen3-vl"))
    try:
        done = asyncio.run(run(Options(directory=tmp_path / "e", judge=judge)))
    finally:
        server.change(model="test-model")
    (said,) = done.result.answered
    assert said["level"] == "warning"
    assert "one family, Alibaba (Qwen): it judged Qwen-Image-Edit (2) edits" in said["text"]
    assert "one family" in render(done.result)

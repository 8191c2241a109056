"""One checkpoint whose template opens thoughts, three ways of running it: thoughts, then the answer in the schema."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from isr.judging.parsing import parse
from isr.judging.rubrics import load_rubric
from isr.types import Answer
from tests.directories import make_directory
from tests.local_judges import SHORT, answers_of, free_port, write_card
from tests.processes import run
from tests.vllm.conftest import ENGINE, isr

pytestmark = pytest.mark.usefixtures("environment")

BUDGET = 12  # of thoughts; the line's end that the template puts behind <think> counts, as vLLM counts it
LENGTH = 8  # of the answer's text: a random model writes <think> there as well, and vLLM would count again
BACKENDS = ("hf_transformers", "vllm_engine", "openai_chat")


def rubrics(folder: Path) -> list[str]:
    """The short rubrics with less text in their answers, as options of the command."""
    words = []
    for name in SHORT:
        file = folder / f"{name.partition('/')[0]}-shorter.toml"
        text = load_rubric(name).text
        assert "max_length = 200" in text
        file.write_text(text.replace("max_length = 200", f"max_length = {LENGTH}"), "utf-8")
        words += ["--rubric", str(file)]
    return words


def answers(folder: Path, backend: str, model: Path, thinking: str) -> dict[tuple[str, str], Answer]:
    """What a backend answers, by rubric and by what it was shown."""
    edits, out = folder / "edits", folder / f"{backend}-{thinking}"
    address = f"http://127.0.0.1:{free_port()}/v1" if backend == "openai_chat" else ""
    engine = {"dtype": "float32", "batch_size": 4} if backend == "hf_transformers" else ENGINE
    link = folder / "model"
    if not link.exists():
        link.symlink_to(model)
    card = write_card(
        folder / f"{backend}-{thinking}.toml", backend, "./model", endpoint=address, concurrency=4,
        decoding=f"max_tokens = 400\nthinking = {thinking}", **engine,
    )  # fmt: skip
    score = ["score", edits, "--judge", card, *rubrics(folder), "--out", out, "--json"]
    if backend == "openai_chat":
        done = isr("judges", "serve", card, "--run", "--", sys.executable, "-m", "isr", *score)
        assert ("--reasoning-parser qwen3" in done.stderr) == (thinking != "false")
    else:
        done = isr(*score)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = run([sys.executable, "-m", "isr", "store", "export", out], check=True).stdout.splitlines()
    asked = [json.loads(line)["request"] for line in rows if '"answer"' in line]
    said = answers_of(out)
    return {
        (rubric, json.dumps([r["prompt"], r["images"]])): answer
        for r, (rubric, answer) in zip(asked, said, strict=True)
    }


def test_three_ways_of_thinking(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    make_directory(tmp_path / "edits", images=2, prompts=2, size=40)
    model = checkpoint("qwen3_vl_thinking")
    off = {b: answers(tmp_path, b, model, "false") for b in BACKENDS}
    on = {b: answers(tmp_path, b, model, str(BUDGET)) for b in BACKENDS}
    for backend in BACKENDS:
        assert len(off[backend]) == len(on[backend]) == 16  # images, prompts, arms, questions
        for answer in off[backend].values():
            assert list(json.loads(answer.text, strict=False)) == ["reasoning", "verdict"]
            assert not answer.reasoning
        for answer in on[backend].values():
            assert list(json.loads(answer.text, strict=False)) == ["reasoning", "verdict"]
            assert answer.reasoning
            assert 0 < answer.usage["reasoning_tokens"] <= BUDGET
            assert answer.usage["completion_tokens"] > answer.usage["reasoning_tokens"] + 10
    assert off["hf_transformers"].keys() == off["vllm_engine"].keys() == off["openai_chat"].keys()
    for said in (off, on):
        first, *others = ({k: verdict(k, a) for k, a in said[b].items()} for b in BACKENDS)
        assert others == [first, first]


def verdict(key: tuple[str, str], answer: Answer) -> tuple[str, str]:
    """The verdict in an answer, and why it is none: random text holds control characters, which are no JSON."""
    read = parse(answer, load_rubric(f"{key[0].partition('-shorter')[0]}/v1"))
    return read.value, read.reason


def test_a_server_without_a_reasoning_parser_is_noticed(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """It holds the model to the JSON from its first token on, though the request asks it to think."""
    make_directory(tmp_path / "edits", images=3, prompts=2, size=40)  # with controls: 24 requests
    (tmp_path / "model").symlink_to(checkpoint("qwen3_vl_thinking"))
    address = f"http://127.0.0.1:{free_port()}/v1"
    cards = {}  # under one name, as a served folder has its card's
    for kind, decoding in (("plain", "max_tokens = 300"), ("thinks", "max_tokens = 300\nthinking = true")):
        (tmp_path / kind).mkdir()
        cards[kind] = write_card(
            tmp_path / kind / "judge.toml", "openai_chat", "../model", endpoint=address, concurrency=2,
            decoding=decoding, **ENGINE,
        )  # fmt: skip
    score = [
        "score",
        tmp_path / "edits",
        "--judge",
        cards["thinks"],
        *rubrics(tmp_path),
        "--out",
        tmp_path / "out",
    ]
    done = isr("judges", "serve", cards["plain"], "--run", "--", sys.executable, "-m", "isr", *score)
    assert done.returncode == 3, done.stderr[-3000:]
    assert "decoding.thinking is on, and none of the first 20 answers shows a thought" in done.stderr
    assert 20 <= len(answers_of(tmp_path / "out")) < 20 + 2

"""Recorded answers as a judge."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from isr.canonical import sha256_bytes
from isr.edits.images import ImagePolicy
from isr.errors import CardError, TransportError
from isr.judging.backends import Judge, open_judge
from isr.judging.cards import load_card
from isr.judging.sending import Encoder, Prepared
from isr.types import Answer
from tests.samples import a_card, a_request, an_answer

NOBODY = Prepared(Encoder(Path("/nowhere"), ImagePolicy()), {})


def line(content: str, **answer: Any) -> str:
    return json.dumps({"content": content, "answer": {"text": "t", "finish_reason": "stop", **answer}})


def replay(path: Path) -> Judge:
    return open_judge(load_card("replay", [f"engine.answers={path}"]))


def asked(path: Path, *requests: Any) -> list[Answer | TransportError]:
    async def run() -> list[Answer | TransportError]:
        judge, out = replay(path), []
        try:
            for request in requests:
                try:
                    out.append(await judge.ask(request, NOBODY))
                except TransportError as error:
                    out.append(error)
        finally:
            await judge.close()
        return out

    return asyncio.run(run())


def test_answers_are_found_by_what_was_asked(tmp_path: Path) -> None:
    first, second = a_request("one"), a_request("two", card=a_card(model="another"))
    recorded = an_answer(
        "zwei — ü", refusal="r", served={"model": "m"}, usage={"prompt_tokens": 3, "completion_tokens": 0}, sent={"edit": "sha256:x"},
        received_at="2026-11-01T00:00:00+00:00", latency_s=0.5,
    )  # fmt: skip
    fields = {name: getattr(recorded, name) for name in Answer.__slots__}
    path = tmp_path / "answers.jsonl"
    path.write_text(f"{line(first.content, text='eins')}\n\n{line(second.content, **fields)}\n", "utf-8")
    # asked in another order, by another judge, and twice
    got = asked(path, a_request("two"), a_request("one"), a_request("two"))
    assert got == [recorded, Answer(text="eins", finish_reason="stop"), recorded]


def test_the_first_answer_stands(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(line(a_request().content, text=t) for t in ("first", "second")))
    (answer,) = asked(path, a_request())
    assert isinstance(answer, Answer)
    assert answer.text == "first"


def test_what_was_not_recorded_stays_unasked(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(line(a_request().content) + "\n")
    others = [a_request("else"), a_request(repeat=1), a_request(rubric="perceptual/v1")]
    for error in asked(path, *others):
        assert isinstance(error, TransportError)
        assert (error.reason, error.retryable) == ("not_asked", False)


def test_unknown_fields_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(line(a_request().content, logprobs=[1]))
    assert asked(path, a_request()) == [Answer(text="t", finish_reason="stop")]


def test_an_empty_file_has_no_answers(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("")
    (error,) = asked(tmp_path / "answers.jsonl", a_request())
    assert isinstance(error, TransportError)


CONTENT = sha256_bytes(b"x")
BAD = [
    "{",
    "[]",
    "3",
    "null",
    "{}",
    json.dumps({"content": CONTENT}),
    json.dumps({"content": CONTENT, "answer": {"text": "t"}}),
    json.dumps({"content": CONTENT, "answer": None}),
    json.dumps({"content": None, "answer": {"text": "t", "finish_reason": "stop"}}),
    line("sha256:abc"),
    line("sha256:zz"),
    line(CONTENT[:-2]),
    line(CONTENT, text=None),
    line(CONTENT, finish_reason=None),
    line(CONTENT, refusal=7),
    line(CONTENT, usage=None),
    line(CONTENT, usage={"prompt_tokens": "3"}),
    line(CONTENT, usage={"prompt_tokens": -3}),
    line(CONTENT, served=["m"]),
    line(CONTENT, served={"model": 3}),
    line(CONTENT, latency_s=float("nan")),
    "[" * 50_000,
]


def test_bad_lines_are_all_listed(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join([line(CONTENT), *BAD, "", line(CONTENT)]))
    with pytest.raises(CardError) as caught:
        replay(path)
    assert [p.where for p in caught.value.problems] == [f"{path}:{n}" for n in range(2, len(BAD) + 2)]
    assert f"{len(BAD)} line(s)" in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b"\xff\xfe\n" + line(CONTENT).encode())
    with pytest.raises(CardError) as caught:
        replay(path)
    assert [p.where for p in caught.value.problems] == [f"{path}:1"]


def test_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"--set engine\.answers=FILE"):
        open_judge(load_card("replay"))
    with pytest.raises(CardError, match=r"found a folder"):
        open_judge(a_card(name="replay", backend="replay", engine={"answers": str(tmp_path)}))
    with pytest.raises(CardError, match="found No such file"):
        open_judge(a_card(name="replay", backend="replay", engine={"answers": str(tmp_path / "no")}))

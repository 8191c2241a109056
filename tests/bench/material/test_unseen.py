"""Unseen prompts: a CSV with all its problems at once; a writer that is asked once, whatever it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from isr.bench.material.unseen import (
    UnseenPart,
    _append,
    _recorded,
    extend,
    find,
    instructions,
    question,
    read,
    writer,
)
from isr.edits.prompt_tables import read_prompts
from isr.errors import CardError, InputError, SecretError, TransportError
from isr.types import Answer
from tests.chat_server import serving

SEEN = {"a": "make it red", "b": "make it blue"}


def csv_file(path: Path, *rows: str) -> str:
    path.write_text("\n".join(["name,prompt,prompt_id", *rows]) + "\n", "utf-8")
    return path.name


def test_a_file_gives_its_prompts(tmp_path: Path) -> None:
    file = csv_file(tmp_path / "u.csv", "a,make it green,x", "a,add snow,", "b,remove the sky,", "b,add fog,")
    found = find(UnseenPart(file=file, count=2), SEEN, {}, tmp_path, tmp_path)
    assert [(u.name, u.prompt, u.prompt_id) for u in found.prompts] == [
        ("a", "make it green", "x"), ("a", "add snow", "unseen-2"),
        ("b", "remove the sky", "unseen-1"), ("b", "add fog", "unseen-2"),
    ]  # fmt: skip


def test_everything_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    file = csv_file(
        tmp_path / "u.csv", "a,Make it  RED.,x", "a,add snow,x", "a,Add snow!,y", "ghost,add fog,", "b,add fog,seen",
    )  # fmt: skip
    with pytest.raises(InputError) as error:
        find(UnseenPart(file=file, count=2), SEEN, {}, tmp_path, tmp_path)
    said = str(error.value)
    for part in (
        "another prompt than the seen one", "each prompt once", "a prompt_id of its own", "ghost",
        "expected 2 unseen prompts; found 3", "expected 2 unseen prompts; found 1",
    ):  # fmt: skip
        assert part in said
    assert len(error.value.problems) == 7


def test_either_a_file_or_a_writer() -> None:
    for wrong in ({}, {"file": "a", "writer": "b"}):
        with pytest.raises(ValidationError, match="file or writer, and not both"):
            UnseenPart(**wrong)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"prompts": ["add snow", "add fog"]}', ""),
        ('{"prompts": ["add snow"]}', "1 prompts where 2 were asked"),
        ('{"prompts": ["add snow", " Add  SNOW."]}', "a prompt twice"),
        ('{"prompts": ["add snow", "Make it red."]}', "the seen prompt again"),
        ('{"prompts": ["add snow", ""]}', "a prompt that is empty"),
        ('{"prompts": ["add snow", "\\u202e"]}', "a prompt that is empty"),
        ('{"prompts": "add snow"}', "without a list"),
        ("[1, 2]", "without a list"),
        ("Here you are", "no JSON"),
        ("  ", "an empty reply"),
    ],
)
def test_a_reply_is_read_as_it_is(text: str, why: str) -> None:
    said = read(Answer(text=text, finish_reason="stop"), 2, "make it red")
    assert said == ["add snow", "add fog"] if not why else why in str(said)


def test_a_refusal_and_a_truncated_reply_are_named() -> None:
    good = '{"prompts": ["x"]}'
    assert read(Answer(text=good, finish_reason="stop", refusal="no"), 1, "y") == "a refusal"
    assert read(Answer(text="", finish_reason="content_filter"), 1, "y") == "a refusal"
    assert read(Answer(text=good, finish_reason="length"), 1, "y") == "a truncated reply"


def study(folder: Path, captions: dict[str, str]) -> Path:
    folder.mkdir()
    rows = [f"{n},{SEEN.get(n, 'make it odd')},seen,seen,painting" for n in captions]
    (folder / "prompts.csv").write_text("name,prompt,prompt_id,split,stratum\n" + "\n".join(rows) + "\n")
    images = {n: {"caption": c} for n, c in captions.items()}
    (folder / "selection.json").write_text(json.dumps({"images": images}))
    return folder


def test_a_writer_is_asked_once(tmp_path: Path, card: Callable[..., str]) -> None:
    out = study(tmp_path / "s", {"a": "a cow", "b": "a <|im_end|> boat"})
    with serving(faults="lessons") as server:
        spec = UnseenPart(writer=card(server), count=3)
        server.change(faults={"limited": 0.5, "double_500": 0.5})
        heard: list[int] = []
        extend(spec, out, on_reply=heard.append)
        calls = server.stats()["calls"]
        before = (out / "prompts.csv").read_bytes()
        with (out / "unseen.jsonl").open("ab") as record:
            record.write(b'\n{"half a li')  # killed while writing
        extend(spec, out)
        assert server.stats()["calls"] == calls
    assert heard == [1, 2]
    assert (out / "prompts.csv").read_bytes() == before
    rows = read_prompts(out / "prompts.csv")
    assert [(r.name, r.columns["split"], r.columns["prompt_id"]) for r in rows[:4]] == [
        ("a", "seen", "seen"), ("a", "unseen", "unseen-1"), ("a", "unseen", "unseen-2"), ("a", "unseen", "unseen-3"),
    ]  # fmt: skip
    assert {r.columns["stratum"] for r in rows} == {"painting"}
    line = json.loads((out / "unseen.jsonl").read_text().splitlines()[0])
    assert line["served"]["model"] == line["model"] == "test-model"
    assert line["instructions"] == instructions()["digest"]
    assert line["received_at"]
    assert line["request"].startswith("sha256:")
    assert "<|im_end|>" not in (out / "unseen.jsonl").read_text()


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x1e", "\r", "\n"])
def test_a_reply_is_found_again_whatever_is_in_it(
    tmp_path: Path, card: Callable[..., str], mark: str
) -> None:
    with serving() as server:
        asked = question("a", "make it red", "a cow", writer(card(server)), 1)
    answer = Answer(text=f'{{"prompts": ["add{mark}snow"]}}', finish_reason="stop")
    for _ in range(2):
        _append(tmp_path / "unseen.jsonl", asked, answer)
    assert _recorded(tmp_path / "unseen.jsonl")[asked.digest].text == answer.text


def test_a_prompt_of_a_file_is_one_line(tmp_path: Path) -> None:
    file = csv_file(tmp_path / "u.csv", "a,add\u2028snow,", "b,add\u00a0fog\u200d,")
    with pytest.raises(InputError, match=r"U\+2028") as error:
        find(UnseenPart(file=file, count=1), SEEN, {}, tmp_path, tmp_path)
    assert len(error.value.problems) == 1


def test_unusable_replies_are_named_and_never_replaced(tmp_path: Path, card: Callable[..., str]) -> None:
    captions = {n: f"a {n} cow" for n in ("SHORT", "TWICE", "SAME", "PROSE", "EMPTY", "LIST")} | {
        "a": "a cow"
    }
    out = study(tmp_path / "s", captions)
    with serving() as server:
        name = card(server)
        for _ in range(2):
            with pytest.raises(InputError, match="6 of 7 images got no usable unseen prompts") as error:
                extend(UnseenPart(writer=name, count=2), out)
        assert "the seen prompt again" in str(error.value)
        found = extend(UnseenPart(writer=name, count=2, unusable="leave"), out)
        assert server.stats()["calls"] == 7
    assert found.without["SHORT"] == "1 prompts where 2 were asked"
    assert len(found.without) == 6
    assert sum(r.columns["split"] == "unseen" for r in read_prompts(out / "prompts.csv")) == 2


def test_a_writer_that_is_down_leaves_what_was_received(tmp_path: Path, card: Callable[..., str]) -> None:
    out = study(tmp_path / "s", {"a": "a cow"})
    with serving(faults="down") as server:
        spec = UnseenPart(writer=card(server, max_attempts=1), count=2)
        with pytest.raises(TransportError, match="1 of 1 images got no reply"):
            extend(spec, out)
        server.change(faults="none")
        assert len(extend(spec, out).prompts) == 2


def test_a_writer_is_a_chat_card_whose_key_may_go_there(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="openai_chat"):
        find(UnseenPart(writer="shapes-oracle"), SEEN, {}, tmp_path)
    (tmp_path / "thief.toml").write_text(
        'backend = "openai_chat"\nmodel = "m"\n[endpoint]\nbase_url = "https://thief.example/v1"\n'
        'api_key_env = "OPENAI_API_KEY"\n'
    )
    with pytest.raises(SecretError, match="not been allowed"):
        find(UnseenPart(writer="thief.toml"), SEEN, {}, tmp_path, tmp_path)

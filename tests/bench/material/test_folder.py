"""Images and prompts of a folder: what does not match, what was changed since."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from isr.bench.material.folder import RECORD, Material, prepare
from isr.bench.material.folder import find as folder_find
from isr.bench.material.gather import gather as gather_gather
from isr.bench.material.unseen import UnseenPart
from isr.bench.study import ImagesPart
from isr.errors import InputError
from tests.chat_server import serving


def folder(root: Path, *rows: tuple[str, ...], columns: str = "name,prompt,prompt_id,split") -> Path:
    """Two pictures, and their table."""
    (root / "pictures").mkdir(exist_ok=True)
    for name in "ab":
        Image.new("RGB", (8, 8), "red").save(root / "pictures" / f"{name}.png")
    with (root / "prompts.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns.split(","), *rows])
    return root


def find(root: Path) -> Material:
    return folder_find(root / "pictures", root / "prompts.csv")


def test_a_prompt_is_one_line(tmp_path: Path) -> None:
    rows = [
        ("a", "one\u2028two", "1", "seen"),
        ("b", "add\u00a0fog", "1", "seen"),
        ("b", "x", "2", "un\x85seen"),
    ]
    with pytest.raises(InputError) as error:
        find(folder(tmp_path, *rows))
    found = [(p.field, p.found) for p in error.value.problems]
    assert found == [("prompt", "U+2028 in it"), ("split", "U+0085 in it")]


def gathered(root: Path, unseen: UnseenPart, said: list[str]) -> Material:
    part = ImagesPart(folder="pictures", prompts="prompts.csv", unseen=unseen)
    return gather_gather(part, root, root / "s.bench", said.append)


def test_unseen_prompts_join_those_of_the_table(tmp_path: Path) -> None:
    rows = [("a", "make it red", "s", "seen"), ("a", "add rain", "r", "unseen"), ("a", "add hail", "h", "hard"), ("b", "make it blue", "s", "seen")]  # fmt: skip
    folder(tmp_path, *rows)
    (tmp_path / "u.csv").write_text("name,prompt\na,add snow\nb,add fog\n")
    for _ in range(2):
        found = gathered(tmp_path, UnseenPart(file="u.csv", count=1), [])
        assert {(p.image_id, p.prompt, p.prompt_id, p.columns["split"]) for p in found.prompts} == {
            *rows, ("a", "add snow", "unseen-1", "unseen"), ("b", "add fog", "unseen-1", "unseen"),
        }  # fmt: skip
    (tmp_path / "u.csv").write_text(
        "name,prompt,prompt_id\na,Add rain.,x\nb,add fog,y\na,add mist,h\nb,add dust,z\n"
    )
    with pytest.raises(InputError) as error:
        gathered(tmp_path, UnseenPart(file="u.csv", count=2), [])
    assert [p.expected for p in error.value.problems] == ["each prompt once", "a prompt_id of its own"]


def test_images_that_a_writer_left_without_prompts_are_noted(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    folder(tmp_path, ("a", "make it red", "s", "seen"), ("b", "make it SHORT", "s", "seen"))
    said: list[str] = []
    with serving() as server:
        found = gathered(tmp_path, UnseenPart(writer=card(server), count=2, unusable="leave"), said)
    assert found.notes == ("b has no unseen prompts: 1 prompts where 2 were asked",)
    assert said == [f"images: {found.notes[0]}"]


def test_an_image_has_one_seen_prompt(tmp_path: Path) -> None:
    rows = [
        ("a", "x", "1", "seen"),
        ("a", "y", "2", "seen"),
        ("*", "z", "3", "seen"),
        ("a", "w", "4", "other"),
    ]
    with pytest.raises(InputError) as error:
        find(folder(tmp_path, *rows))
    assert [(p.where, p.found) for p in error.value.problems] == [("prompts.csv: a", "3")]
    assert find(folder(tmp_path, rows[2], rows[3])).seen == {"a": "z", "b": "z"}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"size": {}, "images": {"a": 1}, "prompts": {}}'])
def test_a_record_that_cannot_be_read_is_said(tmp_path: Path, text: str) -> None:
    found = find(folder(tmp_path, ("*", "x", "1", "seen")))
    part, out = ImagesPart(folder="x", resolution=8), tmp_path / "out"
    prepare(found, part, out, lambda name: None)
    assert prepare(found, part, out, lambda name: None) == []
    (out / RECORD).write_text(text)
    with pytest.raises(InputError, match="expected the record of a bench's images"):
        prepare(found, part, out, lambda name: None)

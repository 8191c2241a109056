"""What a run has done: gone on with, grown, shared out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isr.errors import UsageError
from sifm_ref.records import Records, read_rows

WHAT = {"editor": "x", "seeds": [0]}


def test_a_run_grows_only_where_it_may(tmp_path: Path) -> None:
    def again(what: dict[str, object], keys: list[str]) -> Records:
        return Records(tmp_path / "r", "edit", what, keys, resume=True, growing=("seeds",))

    first = again(WHAT, ["a"])
    first.add("a", {"v": 1})
    more = again({**WHAT, "seeds": [0, 1]}, ["a", "b"])
    assert more.look("a").done
    more.add("b", {"v": 2})
    assert more.finish(whole=True) == 2
    fewer = again(WHAT, ["b"])
    assert fewer.finish(whole=True) == 1  # what is no longer asked for stays, and is not in the metadata
    assert (tmp_path / "r" / ".records" / "a.json").is_file()
    with pytest.raises(UsageError, match="editor: now"):
        again({**WHAT, "editor": "y"}, ["a"])
    with pytest.raises(UsageError, match="seeds: now"):
        Records(tmp_path / "r", "edit", {**WHAT, "seeds": [2]}, ["a"], resume=True)


def test_another_shard_that_is_just_beginning_is_no_foreign_file(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".edit.json.17.partial").write_text("{")  # as another process writes its first file
    Records(tmp_path / "r", "edit", WHAT, ["a"], resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(UsageError, match="found files"):
        Records(tmp_path / "other", "edit", WHAT, ["a"], resume=True)


def test_a_row_ends_at_a_newline_and_at_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    row = {"image_id": "a", "file_name": "a.png", "source_file_name": "a.png", "prompt": "x\u2028y\x85z"}
    (tmp_path / "metadata.jsonl").write_text(f"{json.dumps(row, ensure_ascii=False)}\n", "utf-8")
    assert read_rows(tmp_path, made_by="immunize") == [row]


def test_a_run_that_made_nothing_does_not_block_its_folder(tmp_path: Path) -> None:
    """It ended before its first picture: other settings begin anew, and are those that are on record."""
    root = tmp_path / "r"

    def begin(sole: bool = True, **what: object) -> Records:
        return Records(root, "edit", {**WHAT, **what}, ["a"], resume=False, sole=sole)

    begin()
    (root / "sources").mkdir()
    (root / "sources" / "a.png").write_bytes(b"x")  # a copy, made before the picture
    with pytest.raises(UsageError, match="begun with other settings"):
        begin(sole=False, editor="y")  # another shard may be at its first picture
    begin(editor="y")
    assert json.loads((root / "edit.json").read_text())["editor"] == "y"
    for file in ("controls/a.png", "edits/a.png", ".records/a.json"):
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text("{}")
        with pytest.raises(UsageError, match="begun with other settings"):
            begin(editor="z")
        (root / file).unlink()
    begin(editor="z")


def test_another_diffusers_goes_on_with_a_run_and_another_class_does_not(tmp_path: Path) -> None:
    """Who made what is in the record; a version that differs is told (``versions``), and is no other setting."""

    def begin(**editor: str) -> Records:
        what = {**WHAT, "editor": {"adapter": "x", "pipeline": "P", "diffusers": "1", **editor}}
        return Records(tmp_path / "r", "edit", what, ["a"], resume=True)

    begin()
    begin(diffusers="2")
    assert json.loads((tmp_path / "r" / "edit.json").read_text())["editor"]["diffusers"] == "2"
    with pytest.raises(UsageError, match="begun with other settings"):
        begin(pipeline="Q")

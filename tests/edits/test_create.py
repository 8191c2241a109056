"""``isr init``: an edit directory is written whole or not at all, and nothing is overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isr.edits.create import expand, parse_columns, write_directory
from isr.edits.matching import Match, match
from isr.edits.prompt_tables import PromptRow, read_prompts
from isr.errors import EditDirectoryError, UsageError
from isr.judging.edits import load_edits
from tests.directories import picture
from tests.edits.test_prompt_tables import prompts_file

# Patterns and columns


def test_patterns(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "deep/c.png", "deep.png/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [f.name for f in expand(f"{tmp_path}/*.png", "--edits")] == [
        "a.png",
        "b.png",
    ]  # a folder is no file
    assert [f.name for f in expand(f"{tmp_path}/**/*.png", "--edits")] == ["a.png", "b.png", "c.png"]
    with pytest.raises(UsageError, match=r"--edits .*\*\.jpg: expected files; found none"):
        expand(f"{tmp_path}/*.jpg", "--edits")


def test_two_files_of_one_name_cannot_be_told_apart(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="expected names that differ"):
        expand(f"{tmp_path}/a.*", "--source")


def test_columns() -> None:
    assert parse_columns(["method=sifm", "config=a=b", "mine="]) == {
        "method": "sifm",
        "config": "a=b",
        "mine": "",
    }
    for text in ("method", "=x", "prompt=p", "file_name=x", "source_file_name=x"):
        with pytest.raises(UsageError, match="--column"):
            parse_columns([text])


# Writing


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Match]:
    """Folders as a method leaves them, and what matches in them."""
    seed = 0
    for folder, names in {
        "out/sifm": ("cat_1-sifm", "cat_2-sifm", "dog_1-sifm"),
        "images": ("cat", "dog"),
        "out/clean": ("cat_1", "cat_2", "dog_1"),
        "out/protected": ("cat-sifm", "dog-sifm"),
    }.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            picture(seed := seed + 1).save(tmp_path / folder / f"{name}.png")
    table = "name,prompt,prompt_id\ncat,make it red,1\ncat,make it blue,2\ndog,make it red,1\n"
    edits = expand(f"{tmp_path}/out/sifm/*.png", "--edits")
    others = {
        "source_file_name": expand(f"{tmp_path}/images/*.png", "--source"),
        "control_file_name": expand(f"{tmp_path}/out/clean/*.png", "--control"),
    }
    return tmp_path, match(edits, read_prompts(prompts_file(tmp_path, table)), others)


def test_what_is_written_loads(made: tuple[Path, Match]) -> None:
    root, found = made
    assert not any(found.unmatched.values())
    file = write_directory(root / "new", found, {"method": "sifm", "eps": "0.03"})
    assert file == root / "new" / "metadata.jsonl"
    loaded = load_edits(root / "new")
    assert len(loaded.edits) == 3
    by_name = {e.edited.path: e for e in loaded.edits}
    cat = by_name["edits/cat_2-sifm.png"]
    assert (cat.prompt, cat.unit.prompt_id) == ("make it blue", "2")
    assert (cat.treatment.method, cat.treatment.eps) == ("sifm", "0.03")
    assert cat.source is not None
    assert cat.control is not None
    assert (cat.source.path, cat.control.path) == ("sources/cat.png", "controls/cat_2.png")
    assert cat.unit.image_id == by_name["edits/cat_1-sifm.png"].unit.image_id
    for name in ("out/sifm/cat_2-sifm", "images/cat", "out/clean/cat_2"):  # copied, byte for byte
        copies = {"out/sifm": "edits", "images": "sources", "out/clean": "controls"}
        folder, _, stem = name.rpartition("/")
        assert (root / f"{name}.png").read_bytes() == (
            root / "new" / copies[folder] / f"{stem}.png"
        ).read_bytes()


def test_constant_columns_win(made: tuple[Path, Match]) -> None:
    root, found = made
    write_directory(root / "new", found, {"prompt_id": "mine"})
    rows = [json.loads(line) for line in (root / "new/metadata.jsonl").read_text().splitlines()]
    assert {r["prompt_id"] for r in rows} == {"mine"}


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv", "metadata.parquet"])
def test_an_edit_directory_is_not_overwritten(name: str, made: tuple[Path, Match]) -> None:
    root, found = made
    (root / "new").mkdir()
    (root / "new" / name).write_text("mine")
    with pytest.raises(EditDirectoryError, match=f"found {name}; choose another"):
        write_directory(root / "new", found, {})
    assert (root / "new" / name).read_text() == "mine"
    assert [p.name for p in (root / "new").iterdir()] == [name]


def test_no_file_is_overwritten(made: tuple[Path, Match]) -> None:
    root, found = made
    for name in ("edits/cat_1-sifm.png", "sources/cat.png"):
        (root / "new" / name).parent.mkdir(parents=True)
        (root / "new" / name).write_bytes(b"mine")
    with pytest.raises(EditDirectoryError, match="nothing was written") as caught:
        write_directory(root / "new", found, {})
    assert sorted(p.field for p in caught.value.problems) == [
        "file_name",
        "source_file_name",
    ]  # the source once
    assert sorted(p.name for p in (root / "new").rglob("*.*")) == ["cat.png", "cat_1-sifm.png"]
    assert (root / "new/sources/cat.png").read_bytes() == b"mine"


def test_what_a_killed_run_left_is_no_other_file(made: tuple[Path, Match]) -> None:
    """Equal bytes are the file; half a file is under no name of its own."""
    root, found = made
    (root / "new/sources").mkdir(parents=True)
    (root / "new/sources/cat.png").write_bytes((root / "images/cat.png").read_bytes())
    write_directory(root / "new", found, {})
    assert len(load_edits(root / "new").edits) == 3


def test_files_that_are_in_place_already_stay(tmp_path: Path) -> None:
    (tmp_path / "edits").mkdir()
    (tmp_path / "sources").mkdir()
    picture(1).save(tmp_path / "edits" / "cat.png")
    picture(2).save(tmp_path / "sources" / "cat.png")
    before = (tmp_path / "edits" / "cat.png").read_bytes()
    edits = expand(f"{tmp_path}/edits/*.png", "--edits")
    sources = {"source_file_name": expand(f"{tmp_path}/sources/*.png", "--source")}
    write_directory(tmp_path, match(edits, [PromptRow("cat", "p")], sources), {})
    assert len(load_edits(tmp_path).edits) == 1
    assert (tmp_path / "edits" / "cat.png").read_bytes() == before


def test_one_name_in_two_folders_of_one_kind(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        picture(ord(folder)).save(tmp_path / folder / "cat.png")
    with pytest.raises(UsageError, match="expected names that differ"):
        expand(f"{tmp_path}/*/cat.png", "--edits")

"""``isr init``: what belongs together by name, what does not, and nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isr.edits.create import Match, PromptRow, expand, match, parse_columns, read_prompts, write_directory
from isr.errors import EditDirectoryError, InputError, UsageError
from isr.judging.edits import load_edits
from tests.directories import picture


def paths(*names: str) -> list[Path]:
    return [Path(f"{n}.png") for n in names]


def prompted(found: Match) -> dict[str, str]:
    return {Path(r["file_name"]).stem: str(r["prompt"]) for r in found.rows}


def prompts_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "prompts.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# Matching


def test_by_the_same_name_or_the_longest_beginning() -> None:
    prompts = [PromptRow("cat", "a"), PromptRow("cat_3", "b"), PromptRow("dog", "c")]
    found = match(paths("cat", "cat_3", "cat_3-sifm", "cat-x", "cat.y", "cat z", "dog_1_2"), prompts, {})
    assert prompted(found) == {
        "cat": "a", "cat_3": "b", "cat_3-sifm": "b", "cat-x": "a", "cat.y": "a", "cat z": "a", "dog_1_2": "c",
    }  # fmt: skip
    assert not any(found.unmatched.values())


def test_only_whole_words_match() -> None:
    found = match(paths("cats", "ca", "cat3", "_cat"), [PromptRow("cat", "a")], {})
    assert found.rows == ()
    assert len(found.unmatched["edits without a prompt"]) == 4
    assert found.unmatched["prompts without an edit"] == ("cat: a",)


def test_prompts_with_ids() -> None:
    prompts = [PromptRow("cat", "red", {"prompt_id": "1"}), PromptRow("cat", "blue", {"prompt_id": "2"})]
    found = match(paths("cat_1", "cat-2", "cat_2-sifm", "cat", "cat_12"), prompts, {})
    assert prompted(found) == {"cat_1": "red", "cat-2": "blue", "cat_2-sifm": "blue"}
    assert found.rows[0]["prompt_id"] == "1"
    assert found.unmatched["edits without a prompt"] == ("cat.png", "cat_12.png")


def test_several_prompts_without_ids_are_not_guessed_at() -> None:
    found = match(paths("cat"), [PromptRow("cat", "red"), PromptRow("cat", "blue")], {})
    assert found.rows == ()
    assert found.unmatched["edits with several prompts"] == ("cat.png",)


def test_other_files() -> None:
    others = {
        "source_file_name": [Path("s/cat.png"), Path("s/bird.png")],
        "control_file_name": [Path("c/cat_1.webp")],
    }
    found = match(paths("cat_1-sifm", "cat_2"), [PromptRow("cat", "p")], others)
    first, second = found.rows
    assert (first["source_file_name"], first["control_file_name"]) == (
        Path("s/cat.png"),
        Path("c/cat_1.webp"),
    )
    assert second["source_file_name"] == Path("s/cat.png")
    assert "control_file_name" not in second
    assert {k: v for k, v in found.unmatched.items() if v} == {
        "edits without a file for control_file_name": ("cat_2.png",),
        "files for source_file_name without an edit": ("s/bird.png",),
    }
    report = found.report()
    assert report.startswith("2 edits matched\n")
    assert "  s/bird.png" in report
    assert "several prompts" not in report  # what has nothing to tell is left out


# The prompts' table


def test_the_prompts_table(tmp_path: Path) -> None:
    path = prompts_file(
        tmp_path, '\ufeffname,prompt,prompt_id,split\n cat ,"red, please",1,\ndog,p,,unseen\n'
    )
    assert read_prompts(path) == [
        PromptRow("cat", "red, please", {"prompt_id": "1"}),
        PromptRow("dog", "p", {"split": "unseen"}),
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("name,prompt\ncat,\n,p\ndog,p\n", [("2", "prompt"), ("3", "name")]),
        ("name,text\ncat,p\n", [("2", "prompt")]),
        ("name,prompt\ncat,make it red, please\n", [("2", "")]),  # else the prompt would be cut short unseen
        (
            "name,prompt,file_name\ncat,p,other.png\n",
            [("1", "file_name")],
        ),  # else it would replace the edit's file
        ("name,prompt,source_file_name\ncat,p,../x\n", [("1", "source_file_name")]),
    ],
)
def test_rows_with_problems(text: str, where: list[tuple[str, str]], tmp_path: Path) -> None:
    path = prompts_file(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_prompts(path)
    assert [(p.where, p.field) for p in caught.value.problems] == [(f"{path}:{n}", f) for n, f in where]


@pytest.mark.parametrize("text", ["", "name,prompt\n", b"name,prompt\ncat,\xff\n", 'name,prompt\ncat,"p\n'])
def test_tables_that_are_none(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"prompts\.csv"):
        read_prompts(prompts_file(tmp_path, text))


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a CSV with the columns name and prompt"):
        read_prompts(tmp_path / "no.csv")


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


def test_a_report_names_the_first_and_counts_the_rest() -> None:
    names = tuple(f"{i}.png" for i in range(1000))
    told = Match((), {"edits without a prompt": names, "prompts without an edit": ()}).report().splitlines()
    assert told[1] == "edits without a prompt: 1000"
    assert told[2:] == [*(f"  {n}" for n in names[:50]), "  and 950 more"]

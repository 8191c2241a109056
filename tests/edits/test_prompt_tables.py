"""The tables of ``isr init``: what is read of each format, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from isr.edits.prompt_tables import Embedded, PromptRow, read_prompts, read_table
from isr.errors import InputError
from tests.directories import picture


def prompts_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "prompts.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


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


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("image,prompt_id,prompt\ncat,1,p\n", ["cat"]),  # as the templates of isr init call it
        ("name,image,prompt\ncat,other,p\n", ["cat"]),
    ],
)
def test_a_table_without_a_name_has_images(text: str, names: list[str], tmp_path: Path) -> None:
    (row,) = read_prompts(prompts_file(tmp_path, text))
    assert [row.name] == names
    assert ("image" in row.columns) == text.startswith("name")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_id,prompt\na,p\nb,q\n", ["expected a column name or image; found image_id, prompt;"]),
        ("name,text\na,p\nb,q\n", ["expected a column prompt; found name, text;"]),
        ("a,b\nx,y\n", ["expected a column name or image; found a, b;", "expected a column prompt;"]),
    ],
)
def test_a_missing_column_is_one_problem(text: str, said: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_prompts(prompts_file(tmp_path, text))
    assert len(caught.value.problems) == len(said)
    assert all(a in str(b) for a, b in zip(said, caught.value.problems, strict=True))


@pytest.mark.parametrize("text", ["", "name,prompt\n", b"name,prompt\ncat,\xff\n", 'name,prompt\ncat,"p\n'])
def test_tables_that_are_none(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"prompts\.csv"):
        read_prompts(prompts_file(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.tsv", "name\tprompt\tprompt_id\ncat\tred, please\t1\n"),
        ("p.json", '[{"name": "cat", "prompt": "red, please", "prompt_id": 1, "mask": [0, 5]}]'),
        ("p.jsonl", '{"name": "cat", "prompt": "red, please", "prompt_id": 1.0}\n'),
    ],
)
def test_tables_of_other_formats(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert read_prompts(tmp_path / name) == [PromptRow("cat", "red, please", {"prompt_id": "1"})]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"name": "cat", "prompt": ["red"]}]', "'prompt': expected a text; found none"),
        ('"cat"', "found str"),
        ("[[1]]", "found list in it"),
        ("{", "expected a CSV with the columns name and prompt"),
    ],
)
def test_json_that_holds_no_prompts(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_prompts(tmp_path / "p.json")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.csv", "name;prompt\ncat;p\n", "semicolons"),
        ("p.tsv", "name,prompt\ncat,p\n", "commas"),
        ("p.csv", "name\tprompt\ncat\tp\n", "tabs"),
    ],
)
def test_other_separators_are_named(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"found columns parted by {said}: save it with commas"):
        read_prompts(tmp_path / name)


def test_pictures_in_a_table_are_known_by_their_content(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    data = io.BytesIO()
    picture(1).save(data, "JPEG")
    rows = [
        {"image": {"bytes": data.getvalue(), "path": None}, "raw": data.getvalue(), "prompt": "p", "n": [1]}
    ] * 2
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a-0.parquet")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a-1.parquet")
    found = read_table(f"{tmp_path}/a-*.parquet", ["image=file_name"])
    assert len(found) == 4
    (one,) = {row.values["file_name"] for row in found} | {row.values["raw"] for row in found}
    assert isinstance(one, Embedded)
    assert (one.data, one.name[-4:]) == (data.getvalue(), ".jpg")
    assert all(set(row.values) == {"file_name", "raw", "prompt"} for row in found)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a CSV with the columns name and prompt"):
        read_prompts(tmp_path / "no.csv")

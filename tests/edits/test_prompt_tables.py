"""The tables of ``isr init``: what is read of each format, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from isr.edits.prompt_tables import PromptRow, read_prompts
from isr.errors import InputError


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

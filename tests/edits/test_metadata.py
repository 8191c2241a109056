"""Metadata files: three formats, one reading; every fault at its file and row."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isr.edits.metadata import Row, metadata_file, read_rows
from isr.errors import EditDirectoryError, MissingExtraError

ROWS: list[dict[str, Any]] = [
    {
        "file_name": "a.png",
        "prompt": 'say "hi",\nplease',
        "eps": 0.03,
        "seed": 7,
        "kept": True,
        "note": "ü 🚗",
    },
    {"file_name": "b.png", "prompt": " spaced ", "eps": 8.0, "seed": 0, "kept": False, "note": ""},
    {"file_name": "c.png", "prompt": "p", "eps": None, "seed": None, "kept": None, "note": None},
]


def write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"metadata.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    elif kind == "csv":
        buffer = io.StringIO()
        table = csv.DictWriter(buffer, list(rows[0]))
        table.writeheader()
        words = {True: "true", False: "false", None: ""}
        table.writerows(
            {k: words.get(v, v) if isinstance(v, bool | None) else v for k, v in r.items()} for r in rows
        )
        path.write_text(buffer.getvalue(), "utf-8", newline="")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def jsonl(folder: Path, *lines: str | bytes) -> list[Row]:
    data = b"\n".join(line.encode() if isinstance(line, str) else line for line in lines)
    (folder / "metadata.jsonl").write_bytes(data)
    return list(read_rows(folder / "metadata.jsonl"))


def table(folder: Path, data: str | bytes) -> list[Row]:
    (folder / "metadata.csv").write_bytes(data.encode() if isinstance(data, str) else data)
    return list(read_rows(folder / "metadata.csv"))


def found(rows: list[Row]) -> list[tuple[str, str]]:
    return [(p.where, p.field) for row in rows for p in row.problems]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_values_as_text(kind: str, tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path, kind, ROWS)))
    eps = (
        "8.0" if kind == "csv" else "8"
    )  # a CSV has texts only; the numbers among them are read where they are used
    assert [r.values for r in rows] == [
        {
            "file_name": "a.png",
            "prompt": 'say "hi",\nplease',
            "eps": "0.03",
            "seed": "7",
            "kept": "true",
            "note": "ü 🚗",
        },
        {"file_name": "b.png", "prompt": " spaced ", "eps": eps, "seed": "0", "kept": "false"},
        {"file_name": "c.png", "prompt": "p"},
    ]
    assert found(rows) == []
    # the second row's line in a CSV: the first one's prompt takes two lines, and the header one
    assert (
        rows[1].where
        == {"jsonl": "metadata.jsonl:2", "csv": "metadata.csv:4", "parquet": "metadata.parquet:2"}[kind]
    )


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, kind, ROWS)
    plain = list(read_rows(path))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert list(read_rows(path)) == plain


def test_windows_line_ends_and_blank_lines(tmp_path: Path) -> None:
    rows = jsonl(
        tmp_path, '{"file_name": "a", "prompt": "p"}\r', "", "  \r", '{"file_name": "b", "prompt": "p"}'
    )
    assert [(r.where, r.values["file_name"]) for r in rows] == [
        ("metadata.jsonl:1", "a"),
        ("metadata.jsonl:4", "b"),
    ]
    rows = table(tmp_path, "file_name,prompt\r\na,p\r\n\r\nb,p\r\n")
    assert [(r.where, r.values["file_name"]) for r in rows] == [
        ("metadata.csv:2", "a"),
        ("metadata.csv:4", "b"),
    ]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("{", [""]),
        ("[]", [""]),
        ("3", [""]),
        ("[" * 50_000, [""]),
        (b'{"prompt": "\xff"}', [""]),
        ('{"file_name": "a"}', ["prompt"]),
        ('{"prompt": "p"}', ["file_name"]),
        ("{}", ["file_name", "prompt"]),
        ('{"file_name": "a", "prompt": ""}', ["prompt"]),
        ('{"file_name": "a", "prompt": " \\n"}', ["prompt"]),
        ('{"file_name": "a", "prompt": null}', ["prompt"]),
        ('{"file_name": "a", "prompt": 3}', ["prompt"]),
        ('{"file_name": "a", "prompt": true}', ["prompt"]),
        ('{"file_name": "a", "prompt": ["p"]}', ["prompt"]),
        ('{"file_name": {"x": 1}, "prompt": "p"}', ["file_name"]),
        ('{"file_name": "a", "prompt": "p", "seed": [1]}', ["seed"]),
        ('{"file_name": "a", "prompt": "p", "note": {"x": 1}}', ["note"]),
        ('{"file_name": "a", "prompt": "\\ud800"}', ["prompt"]),
        ('{"file_name": "a\\u0000b", "prompt": "p"}', ["file_name"]),
        ('{"file_name": "a", "prompt": "p", "\\ud800": "x"}', ["'\\ud800'"]),
        ('{"file_name": 1, "prompt": {}, "seed": []}', ["prompt", "seed"]),
    ],
)
def test_rows_with_problems(line: str | bytes, fields: list[str], tmp_path: Path) -> None:
    good = '{"file_name": "a", "prompt": "p"}'
    rows = jsonl(tmp_path, good, line, good)
    assert found(rows) == [("metadata.jsonl:2", f) for f in fields]
    for problem in rows[1].problems:
        str(problem).encode()  # a message can be written anywhere
        assert len(str(problem)) < 400


def test_nan_is_a_missing_value(tmp_path: Path) -> None:
    (row,) = jsonl(tmp_path, '{"file_name": "a", "prompt": "p", "eps": NaN, "x": null}')
    assert row.values == {"file_name": "a", "prompt": "p"}


def test_csv_rows_with_problems(tmp_path: Path) -> None:
    rows = table(tmp_path, "file_name,prompt\na,p\nb,make it red, please\nc\nd,\0\n")
    assert found(rows) == [("metadata.csv:3", ""), ("metadata.csv:4", ""), ("metadata.csv:5", "prompt")]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"file_name,prompt\na,\xff\n", "expected CSV in UTF-8"),
        (b'file_name,prompt\na,"p\n', "expected CSV in UTF-8"),
        (b"file_name,prompt,file_name\na,p,b\n", "found twice: file_name"),
        (b"", "expected at least one row"),
        (b"file_name,prompt\n", "expected at least one row"),
    ],
)
def test_csv_files_that_cannot_be_read(data: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(EditDirectoryError, match=told):
        table(tmp_path, data)


def test_an_index_column_without_a_name_is_kept(tmp_path: Path) -> None:
    (row,) = table(tmp_path, ",file_name,prompt\n0,a,p\n")
    assert row.values == {"": "0", "file_name": "a", "prompt": "p"}


def test_parquet_of_every_type(tmp_path: Path) -> None:
    columns = {
        "file_name": ["a.png"],
        "prompt": pa.array(["p"], pa.large_string()),
        "big": pa.array([2**62], pa.int64()),
        "half": pa.array([0.5], pa.float32()),
        "word": pa.array(["x"]).dictionary_encode(),
        "blob": pa.array([b"x"], pa.binary()),
        "list": pa.array([[1]]),
        "day": pa.array([0], pa.date32()),
    }
    pq.write_table(pa.table(columns), tmp_path / "metadata.parquet")
    (row,) = read_rows(tmp_path / "metadata.parquet")
    assert row.values == {"file_name": "a.png", "prompt": "p", "big": str(2**62), "half": "0.5", "word": "x"}
    assert [(p.where, p.field) for p in row.problems] == [
        ("metadata.parquet:1", c) for c in ("blob", "list", "day")
    ]


def test_parquet_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "metadata.parquet"
    path.write_bytes(b"PAR1 no parquet")
    with pytest.raises(EditDirectoryError, match="expected a parquet file"):
        list(read_rows(path))
    data, offsets = pa.py_buffer(b"\xff\xfe"), pa.py_buffer(b"\0\0\0\0\2\0\0\0")
    broken = pa.Array.from_buffers(pa.string(), 1, [None, offsets, data])  # a text that is no UTF-8
    pq.write_table(pa.table({"file_name": broken, "prompt": ["p"]}), path)
    with pytest.raises(EditDirectoryError, match="expected a parquet file"):
        list(read_rows(path))


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "parquet", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"isr-eval\[parquet\]"):
        list(read_rows(path))


def test_which_file_it_is(tmp_path: Path) -> None:
    with pytest.raises(EditDirectoryError, match="found no folder"):
        metadata_file(tmp_path / "no")
    with pytest.raises(EditDirectoryError, match="found none of them; make one with: isr init"):
        metadata_file(tmp_path)
    (tmp_path / "metadata.csv").touch()
    assert metadata_file(tmp_path) == tmp_path / "metadata.csv"
    (tmp_path / "metadata.jsonl").touch()
    with pytest.raises(EditDirectoryError, match=r"metadata\.jsonl and metadata\.csv; remove all but one"):
        metadata_file(tmp_path)


def test_rows_are_read_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a", "prompt": "p"}\n' * 3)
    rows = read_rows(tmp_path / "metadata.jsonl")
    assert next(rows).where == "metadata.jsonl:1"
    (tmp_path / "metadata.jsonl").unlink()  # open already: nothing else is looked for
    assert len(list(rows)) == 2


def test_a_prompt_that_no_request_could_hold_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "metadata.jsonl"
    rows = [{"file_name": "a.png", "prompt": "x" * n} for n in (20_000, 20_001)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    first, second = read_rows(file)
    assert not first.problems
    assert [(p.field, p.found) for p in second.problems] == [("prompt", "20,001 characters")]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("metadata.csv", b"file_name;prompt\r\na.png;p\r\n", "found them separated by ';'; save it as CSV with commas"),
        ("metadata.csv", b"file_name\tprompt\na.png\tp\n", "found them separated by tabs"),
        ("metadata.csv", "file_name,prompt\na.png,p\n".encode("utf-16"), "a text in UTF-16"),
        ("metadata.csv", b"PK\x03\x04 an Excel workbook", "a zip file, such as an Excel workbook"),
        ("metadata.jsonl", json.dumps(ROWS).encode(), "found a JSON list; write each of its objects in a line"),
        ("metadata.jsonl", b"\xef\xbb\xbf" + json.dumps(ROWS, indent=1).encode(), "found a JSON list"),
        ("metadata.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        ("metadata.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("metadata.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_named_once(name: str, data: bytes, told: str, tmp_path: Path) -> None:
    """One sentence that says what the file is and what to do, in place of a problem for each of its rows."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(EditDirectoryError) as caught:
        list(read_rows(tmp_path / name))
    assert told in str(caught.value)
    assert caught.value.problems == ()

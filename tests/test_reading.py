"""Files of users and strangers: opened in one place, parsed in one place, and bounded."""

from __future__ import annotations

import ast
import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from isr import reading
from isr.bench.making import known_of
from isr.bench.material.dataset import _complete
from isr.bench.material.folder import _before
from isr.bench.opening import check_folder
from isr.bench.published import Published
from isr.errors import InputError, UsageError
from isr.judging.cards import load_card
from isr.judging.rubrics import load_rubric
from isr.reading import (
    MAX_DEPTH,
    TooDeep,
    TooLarge,
    Unreadable,
    byte_lines,
    csv_file,
    json_lines,
    json_of,
    read_bytes,
    read_json,
    read_text,
    read_toml,
    require_regular,
    toml_of,
)
from isr.scoring.places import read_record
from sifm_ref.loading import parse
from sifm_ref.records import missing, read_rows
from tests import hostile_files as hostile

ROOT = Path(__file__).resolve().parent.parent
PARSERS = {"tomllib.load", "tomllib.loads", "json.load", "json.loads", "json.JSONDecoder"}
OPENERS = {"open", "read_text", "read_bytes"}
PARSES_ITSELF = {
    "isr/reading.py": "the readers",
    "isr/judging/parsing.py": "replies of judges: never an error, but a reason",
}
OPENS_ITSELF = {
    "isr/judging/cards.py": {"file.read_text('utf-8')": "cards of the package"},
    "isr/judging/keys.py": {"file.read_text('utf-8')": "cards of the package"},
    "isr/judging/rubrics.py": {"file.read_text('utf-8')": "rubrics of the package"},
    "isr/bench/material/unseen.py": {"record.open('ab')": "a record that is appended to"},
    "isr/bench/material/writing.py": {
        "resources.files('isr.bench').joinpath(name).read_bytes()": "instructions of the package"
    },
    "isr/report/pieces.py": {
        "resources.files('isr.report').joinpath(*path).read_text('utf-8')": "scripts, styles and templates of the package"
    },
    "isr/web/pages.py": {
        "resources.files('isr.web').joinpath('templates', template).read_text('utf-8')": "templates of the package",
        "file.read_bytes()": "styles of the package",
    },
    "isr/bundle/archive.py": {"partial.open('rb')": "the archive that was just written"},
    "isr/scoring/bundle_file.py": {
        "self._archive.open(self._infos[name])": "files in an archive of stated sizes",
        "self.open(name)": "files in an archive of stated sizes",
    },
    "isr/bundle/verify.py": {"table.read_text('utf-8')": "a table that was just written"},
    "isr/files.py": {"partial.open('wb')": "writes", "path.open('rb+')": "waits for what was just written"},
    "isr/scoring/edits_csv.py": {"path.open('w', encoding='utf-8', newline='')": "writes"},
    "isr/scoring/metrics_cache.py": {"path.open('a', encoding='utf-8')": "a cache that is appended to"},
    "isr/digests.py": {"path.open('rb')": "weights, of any size, looked at before"},
}
"""Every call that opens a file by itself, with the reason; ``isr.reading`` is where all others are opened."""


@cache
def sources() -> Sequence[tuple[str, ast.Module]]:
    """Every module of ours by its path."""
    folders = (ROOT / name for name in ("isr", "judges", "calibration", "sifm_ref", "examples/isr_shapes"))
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    return [(file.relative_to(ROOT).as_posix(), ast.parse(file.read_text("utf-8"))) for file in files]


def called(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """The names of what is called, as it was imported, with the calls."""
    meant: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            meant |= {a.asname or a.name: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            meant |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            head, dot, rest = ast.unparse(node.func).partition(".")
            yield f"{meant.get(head, head)}{dot}{rest}", node


def calls(tree: ast.AST) -> Iterator[str]:
    for name, _ in called(tree):
        yield name


def opens(tree: ast.AST) -> set[str]:
    """The calls of a method or function that opens a file, but for those of ``isr.reading``, ``os`` and what opens no file."""
    found = set()
    for name, call in called(tree):
        before, _, last = name.rpartition(".")
        if last in OPENERS and before not in (
            "isr.reading",
            "os",
            "Image",
            "PIL.Image",
            "webbrowser",
            "editors",
        ):
            found.add(ast.unparse(call))
    return found


def test_toml_and_json_are_parsed_in_one_place() -> None:
    found = {path for path, tree in sources() if PARSERS & set(calls(tree))}
    assert found == set(PARSES_ITSELF)


def test_files_are_opened_in_one_place() -> None:
    """A new call that opens a file by itself belongs to the list with its reason, or uses ``isr.reading``."""
    found = {path: calls for path, tree in sources() if (calls := opens(tree))}
    found.pop("isr/reading.py", None)
    assert found == {path: set(said) for path, said in OPENS_ITSELF.items()}


def test_what_a_library_opens_by_its_name_is_looked_at_before() -> None:
    """SQLite and zip files: a pipe in their place would be waited for."""
    for path, tree in sources():
        names = set(calls(tree))
        if names & {"sqlite3.connect"} or (
            "zipfile.ZipFile" in names and "ClassDef(name='Bundle'" in ast.dump(tree)
        ):
            assert "isr.reading.require_regular" in names, path


@pytest.mark.parametrize(
    "source",
    [
        "import json\njson.loads(x)",
        "import json as j\nj.load(x)",
        "from json import loads\nloads(x)",
        "from tomllib import load as read\nread(x)",
    ],
)
def test_each_parser_is_found(source: str) -> None:
    assert PARSERS & set(calls(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["open(x)", "path.open('rb')", "Path(x).read_text('utf-8')", "p.read_bytes()"]
)
def test_each_way_to_open_is_found(source: str) -> None:
    assert opens(ast.parse(source))
    assert not opens(ast.parse("from isr.reading import read_bytes\nread_bytes(x)"))


# ------------------------------------------------------------------------------------------ by command


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.world(tmp_path_factory.mktemp("world"))


def require_one_error(said: dict[str, hostile.Said]) -> None:
    """Each command ended with 2 and a message of a line or two that names no line of our code."""
    wrong = {
        name: one
        for name, one in said.items()
        if one.code != 2
        or "Traceback" in one.err
        or one.err.count("\n") > 3
        or len(one.err) > 2000
        or not one.err
    }
    assert not wrong


@pytest.mark.parametrize("put", [hostile.deep_toml, hostile.dotted_toml])
def test_deep_toml_is_one_message(world: Path, tmp_path: Path, put: Callable[[Path], None]) -> None:
    said = hostile.commands_end(world, tmp_path, hostile.TOML, put)
    require_one_error(said)
    assert all("levels of nesting" in one.err for one in said.values())


@pytest.mark.parametrize("put", [hostile.deep_json, hostile.less_deep_json])
def test_deep_json_is_one_message(world: Path, tmp_path: Path, put: Callable[[Path], None]) -> None:
    said = hostile.commands_end(world, tmp_path, hostile.JSON, put)
    require_one_error(said)
    assert all("levels of nesting" in one.err for name, one in said.items() if name != "recorded.jsonl")


@pytest.mark.skipif(sys.platform == "win32", reason="no such files")
@pytest.mark.parametrize("put", [hostile.pipe, hostile.device, hostile.sparse])
def test_what_is_no_plain_file_is_refused_by_every_command(
    world: Path, tmp_path: Path, put: Callable[[Path], None]
) -> None:
    """The child has to end by itself, and has less memory than the sparse file has bytes."""
    kinds = [*hostile.TOML, *hostile.JSON, *hostile.OTHERS]
    if (
        put is hostile.sparse
    ):  # a judge's identity is the digest of all its answers: seconds, in bounded memory
        kinds = [k for k in kinds if k.name != "recorded.jsonl"]
    require_one_error(hostile.commands_end(world, tmp_path, kinds, put))


# -------------------------------------------------------------------------------------------- by reader

READERS: dict[str, Callable[[Path], Any]] = {
    "bytes": read_bytes,
    "text": read_text,
    "toml": read_toml,
    "json": read_json,
    "lines": lambda path: list(byte_lines(path)),
    "csv": lambda path: rows(path),
    "by name": require_regular,
}


def rows(path: Path) -> list[list[str]]:
    with csv_file(path) as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("name", READERS)
def test_no_reader_waits_for_a_pipe_or_reads_a_device(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, what in (
        (tmp_path / "pipe", "a pipe"),
        (Path("/dev/zero"), "a device"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(Unreadable, match=rf"found {what}, which is no regular file"):
            READERS[name](path)


@pytest.mark.parametrize("name", [n for n in READERS if n != "by name"])
def test_what_is_not_there_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        InputError, match=r"nowhere: expected .*; found No such file or directory; "
    ) as caught:
        READERS[name](tmp_path / "nowhere")
    assert isinstance(caught.value, Unreadable)
    assert caught.value.missing
    with pytest.raises(Unreadable, match="null"):
        READERS[name](Path("a\0b"))


def test_a_limit_holds_also_where_the_size_is_not_known_before(tmp_path: Path) -> None:
    """A file of /proc says that it has no bytes, as one that grows says fewer than there will be."""
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert read_bytes(tmp_path / "a", 10) == b"x" * 10
    with pytest.raises(TooLarge, match="at most 9 bytes; found 10 bytes"):
        read_bytes(tmp_path / "a", 9)
    if sys.platform == "linux":
        assert b"Name:" in read_bytes("/proc/self/status")
        with pytest.raises(TooLarge, match="at most 9 bytes"):
            read_bytes("/proc/self/status", 9)
        with pytest.raises(TooLarge, match="at most 9 bytes"):
            list(byte_lines(Path("/proc/self/status"), 9))


def test_a_line_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_LINE", 5)
    (tmp_path / "a").write_bytes(b"1234\n12345\n")  # with its end the second has six bytes
    found = byte_lines(tmp_path / "a")
    assert next(found) == b"1234\n"
    with pytest.raises(Unreadable, match="lines of at most 5 bytes; found a longer one"):
        next(found)
    with pytest.raises(Unreadable, match="lines of at most 5 bytes"):
        rows(tmp_path / "a")


@pytest.mark.parametrize("parse", [json_of, toml_of])
def test_depth(parse: Callable[[str], Any]) -> None:
    start = "" if parse is json_of else "a = "
    levels = MAX_DEPTH if parse is json_of else MAX_DEPTH - 1  # the table is a level
    parse(f"{start}{'[' * levels}{']' * levels}")
    for n in (levels + 1, 900, 50_000):
        with pytest.raises(TooDeep, match="more than 100 levels of nesting"):
            parse(f"{start}{'[' * n}{']' * n}")


def test_json_by_line_says_where_each_lies_and_what_is_wrong() -> None:
    data = [b'\xef\xbb\xbf{"a": 1}\n', b"\n", b"{\n", b'"\xff"\n', b'{"a": 1, "a": 2}\n', b"3"]
    found = list(json_lines(data, "x", once=True))
    assert [(line.number, line.offset) for line in found] == [(1, 0), (3, 13), (4, 15), (5, 19), (6, 36)]
    assert [line.value for line in found if not isinstance(line.value, Unreadable)] == [{"a": 1}, 3]
    assert [str(line.value)[:4] for line in found if isinstance(line.value, Unreadable)] == [
        "x:3:",
        "x:4:",
        "x:5:",
    ]
    assert json_of('{"a": 1, "a": 2}') == {"a": 2}


def test_a_text_is_the_same_whatever_ends_its_lines(tmp_path: Path) -> None:
    """So is the digest of a rubric that went through an editor of Windows."""
    lines = load_rubric("semantic/v1").text.split("\n")
    texts = set()
    for end in ("\n", "\r\n"):
        (tmp_path / "mine.toml").write_bytes(end.join(lines).encode())
        texts.add((read_text(tmp_path / "mine.toml"), load_rubric(str(tmp_path / "mine.toml")).digest))
    assert [text for text, _ in texts] == ["\n".join(lines)]


def test_csv_is_read_with_its_mark_and_told_where_it_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfa,b\r\n"1\n2",3\r\n')
    assert rows(tmp_path / "a.csv") == [["a", "b"], ["1\n2", "3"]]
    (tmp_path / "b.csv").write_bytes(b"a\n\xff\n")
    with pytest.raises(Unreadable, match=r"b\.csv: expected CSV in UTF-8; found .*0xff"):
        rows(tmp_path / "b.csv")


DEEP = '{"a":' * 900 + "1" + "}" * 900 + "\n"
PLACES: dict[str, Callable[[Path], Any]] = {
    "published.toml": lambda folder: Published.load(folder / "published.toml"),
    "bench.json": lambda folder: check_folder(SimpleNamespace(out=folder)),  # type: ignore[arg-type]
    "metadata.jsonl": lambda folder: read_rows(folder, made_by="immunize"),
    "images.json": lambda folder: _before(folder / "images.json"),
    "selection.json": lambda folder: _complete(SimpleNamespace(), folder),  # type: ignore[arg-type]
    "model_index.json": lambda folder: parse(str(folder)),
}


@pytest.mark.parametrize("name", PLACES)
def test_what_no_command_reaches_quickly_is_read_by_the_same_reader(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"a = {'[' * 900}{']' * 900}" if name.endswith(".toml") else DEEP, "utf-8")
    with pytest.raises(InputError, match="more than 100 levels of nesting") as caught:
        PLACES[name](tmp_path)
    assert "Unreadable(" not in str(caught.value)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    if name != "bench.json" and name != "selection.json":  # which are looked for by is_file
        with pytest.raises(InputError, match="a pipe, which is no regular file"):
            PLACES[name](tmp_path)


def test_what_may_be_missing_or_damaged_is_taken_as_absent(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(DEEP)
    (tmp_path / "result.json").write_text("{}")
    assert read_record(tmp_path) == {}
    assert known_of(tmp_path) == {}
    os.mkfifo(tmp_path / "immunize.json")
    (problem,) = missing(tmp_path, [], made_by="immunize")
    assert "a pipe" in problem.found


def test_settings_of_a_card_on_the_command_line_are_bounded_too() -> None:
    for text in (f"engine.x={'[' * 5000}{']' * 5000}", f"{'.'.join(['a'] * 5000)}=1", f"{'a.' * 9}b=1"):
        with pytest.raises(UsageError, match=r"--set .* correct it$") as caught:
            load_card("gpt-4o", [text])
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("edit_id\n".encode("utf-16"), "a text in UTF-16"),
        ("ä\n".encode("latin-1"), "another encoding (Latin-1?); save it as UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer, not the file itself; fetch"),
        (b"PK\x03\x04\xff", "a zip file, such as an Excel workbook"),
        (b"PAR1\xff", "a parquet file"),
        (b"\x1f\x8b\xff", "a gzip file; unpack it"),
    ],
)  # fmt: skip
def test_a_text_that_is_none_is_named(data: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(Unreadable, match="expected a text in UTF-8") as caught:
        reading.read_text(tmp_path / "x")
    assert told in str(caught.value)


def test_a_text_that_begins_as_another_kind_does_is_a_text(tmp_path: Path) -> None:
    """`PAR1,GIF8` are letters: only what is no UTF-8, and a pointer, is told by its first bytes."""
    (tmp_path / "x").write_text("PAR1,GIF8\n")
    assert reading.read_text(tmp_path / "x") == "PAR1,GIF8\n"
    assert [reading.separated_by(h) for h in ("a;b", "a\tb", "a|b", "a")] == ["';'", "tabs", "'|'", ""]

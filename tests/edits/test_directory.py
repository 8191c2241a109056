"""Edit directories: one meaning in three formats, every problem at once, and nothing that data must not choose."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isr import files, image_file
from isr.edits import scan
from isr.edits.directory import EditDirectory, Settings, columns, read_settings
from isr.edits.directory import load_edits as load_directory
from isr.edits.images import pixel_digest
from isr.edits.metadata import DIGESTS, number_text
from isr.errors import EditDirectoryError, RubricError
from isr.image_file import decode
from isr.judging.edits import load_edits
from isr.types import Edit, Treatment, Unit
from tests.directories import make_directory, picture, write_metadata


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A sound directory: 2 images x 2 prompts."""
    make_directory(tmp_path / "e", images=2, prompts=2)
    return tmp_path / "e"


def rows_of(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "metadata.jsonl").read_text("utf-8").splitlines()]


def changed(root: Path, number: int, **values: Any) -> None:
    """Rewrites one row; ``None`` takes a column out."""
    rows = rows_of(root)
    rows[number].update(values)
    rows[number] = {k: v for k, v in rows[number].items() if v is not None}
    write_metadata(root, rows)


def problems(root: Path, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(EditDirectoryError) as caught:
        load_edits(root, **options)
    for problem in caught.value.problems:
        assert all((problem.where, problem.expected, problem.found, problem.fix))
        assert str(problem) in str(caught.value)
    return [(p.where, p.field) for p in caught.value.problems]


def bomb(side: int = 60_000) -> bytes:
    """A PNG header that claims side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


# What is read


def test_every_column(root: Path) -> None:
    changed(
        root, 1, prompt_id="p", editor="ip2p", seed=7, purifier="jpeg", method="sifm", config="ab12", eps=0.03,
        surrogate="sd15", edit_id="mine", split="unseen", protected_file_name="sources/1.png", colour="blue",
    )  # fmt: skip
    edit = next(e for e in load_edits(root).edits if e.edit_id == "mine")

    def ref(path: str) -> tuple[str, str]:
        return path, "sha256:" + hashlib.sha256((root / path).read_bytes()).hexdigest()

    refs = [(r.path, r.sha256) for r in (edit.edited, edit.source, edit.control, edit.protected) if r]
    assert refs == [ref(p) for p in ("edits/0-1-0.png", "sources/0.png", "controls/0-1.png", "sources/1.png")]
    assert edit.prompt == "make it colour 1"
    assert edit.unit == Unit("image-0000", "p", "ip2p", "7", "jpeg")
    assert edit.treatment == Treatment("sifm", "ab12", "0.03", "sd15")
    assert (edit.split, edit.extra, edit.cluster) == ("unseen", {"colour": "blue"}, "image-0000")
    assert {edit.column(c) for c in ("colour", "split", "editor", "eps", "nothing")} == {
        "blue",
        "unseen",
        "ip2p",
        "0.03",
        "",
    }
    assert columns([edit]) == {"split", "edit_id", "colour", *Unit._fields, *Treatment._fields}


def test_defaults(root: Path) -> None:
    (root / "metadata.csv").write_text(
        "file_name,prompt,source_file_name\nedits/0-0-0.png,make it red,sources/0.png\n"
    )
    (root / "metadata.jsonl").unlink()
    (edit,) = load_edits(root).edits
    pixels = pixel_digest(decode((root / "sources/0.png").read_bytes()))
    prompt = hashlib.sha256(b"make it red").hexdigest()
    assert edit.unit == Unit(f"px-{pixels[7:23]}", f"tx-{prompt[:16]}", "", "", "")
    assert edit.treatment == Treatment("", "", "", "")
    assert (edit.edit_id, edit.split, dict(edit.extra)) == ("edits/0-0-0.png", "", {})
    assert edit.control is edit.protected is None


def test_the_same_picture_in_two_formats_is_one_image(root: Path) -> None:
    Image.open(root / "sources/0.png").save(root / "sources/0.bmp")
    for number, source in ((0, "sources/0.png"), (1, "sources/0.bmp"), (2, "sources/1.png")):
        changed(root, number, source_file_name=source, image_id=None)
    edits = {e.edited.path: e for e in load_edits(root).edits}
    same = [edits["edits/0-0-0.png"], edits["edits/0-1-0.png"]]
    assert same[0].source is not None
    assert same[1].source is not None
    assert same[0].source.sha256 != same[1].source.sha256
    assert same[0].cluster == same[1].cluster != edits["edits/1-0-0.png"].cluster


def test_without_a_source_every_edit_is_its_own_image(
    root: Path,
) -> None:
    write_metadata(root, [{"file_name": r["file_name"], "prompt": r["prompt"]} for r in rows_of(root)])
    edits = load_directory(root, needs_source=False).edits
    assert len({e.cluster for e in edits}) == 4
    assert {e.cluster for e in edits} == {f"edit-{e.edit_id}" for e in edits}


def test_edits_stand_by_unit_and_treatment(tmp_path: Path) -> None:
    make_directory(tmp_path, images=3, prompts=2, methods=("b", "a"))
    edits = load_edits(tmp_path).edits
    keys = [(e.unit, e.treatment) for e in edits]
    assert keys == sorted(keys)
    assert len(edits) == 12


def write(root: Path, kind: str, rows: list[dict[str, Any]]) -> None:
    """The rows in one of the three formats, each value as the format's own writers give it."""
    for file in root.glob("metadata.*"):
        file.unlink()
    names = list(dict.fromkeys(name for row in rows for name in row))
    if kind == "jsonl":
        write_metadata(root, rows)
    elif kind == "csv":
        buffer = io.StringIO()
        table = csv.DictWriter(buffer, names)
        table.writeheader()
        table.writerows(rows)
        (root / "metadata.csv").write_text(buffer.getvalue(), "utf-8")
    else:
        pq.write_table(pa.table({n: [row.get(n) for row in rows] for n in names}), root / "metadata.parquet")


def test_three_formats_give_equal_edits(root: Path) -> None:
    rows = rows_of(root)
    for i, row in enumerate(rows):
        row |= {
            "prompt": f'say "{i}",\nplease — ü',
            "seed": float(i),
            "eps": (0.03, 8.0, 0.0625, 16.0)[i],
            "mine": f"x{i}",
        }
        row |= {"config": "12e34567"}
    rows[2].pop("mine")
    loaded = {}
    for kind in ("jsonl", "csv", "parquet"):
        write(root, kind, rows)
        loaded[kind] = load_edits(root)
    assert loaded["jsonl"].edits == loaded["csv"].edits == loaded["parquet"].edits
    assert len({d.digest for d in loaded.values()}) == 1
    assert {e.treatment.eps for e in loaded["csv"].edits} == {"0.03", "8", "0.0625", "16"}
    assert {e.unit.seed for e in loaded["csv"].edits} == {"0", "1", "2", "3"}
    assert {e.treatment.config for e in loaded["csv"].edits} == {"12e34567"}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.030", "0.03"), ("3e-2", "0.03"), ("3E-2", "0.03"), (".5", "0.5"), ("8.0", "8"), ("8.", "8"), ("8", "8"),
        ("08", "08"), ("1e3", "1000"), ("-0.50", "-0.5"), ("", ""), ("8/255", "8/255"), ("inf", "inf"), ("nan", "nan"),
        ("12e34567", "12e34567"), ("1_0.5", "1_0.5"), (" 0.50", " 0.50"), ("0x1.8", "0x1.8"), ("\u0663.0", "\u0663.0"),
    ],
)  # fmt: skip
def test_numbers(text: str, number: str) -> None:
    assert number_text(text) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_same_however_it_is_written(value: float) -> None:
    written = {
        number_text(text)
        for text in (repr(value), f"{value:.17e}", f"{value:+.17e}" if value >= 0 else repr(value))
    }
    assert len(written) == 1
    assert float(written.pop()) == value
    assert number_text(number_text(repr(value))) == number_text(repr(value))


def test_digests_of_a_configuration_are_not_numbers(root: Path) -> None:
    # two short digests that a float would read as one infinity: they are two treatments
    rows = rows_of(root)
    for number, config in enumerate(("12e34567", "98e76543", "00e1", "0.10")):
        changed(
            root, number, config=config, **{k: rows[0][k] for k in ("prompt", "image_id", "source_file_name")}
        )
        changed(root, number, control_file_name=None)
    assert {e.treatment.config for e in load_edits(root).edits} == {"12e34567", "98e76543", "00e1", "0.10"}


# Independence


def same(a: EditDirectory, b: EditDirectory) -> bool:
    return a.edits == b.edits and a.digest == b.digest


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    rows = make_directory(tmp_path, images=3, prompts=3, methods=("a", "b"))
    first = load_edits(tmp_path)
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        write_metadata(tmp_path, [dict(reversed(list(r.items()))) for r in rows])
        assert same(load_edits(tmp_path), first)


def test_the_place_of_the_directory_does_not_matter(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_edits(root)
    shutil.copytree(root, tmp_path / "ü copy" / "e2")
    assert same(load_edits(tmp_path / "ü copy" / "e2"), first)
    (tmp_path / "link").symlink_to(root)
    assert same(load_edits(tmp_path / "link"), first)
    monkeypatch.chdir(root)
    assert same(load_edits("."), first)
    assert same(load_edits(str(root) + "/"), first)


def test_the_digest_knows_what_is_evaluated(root: Path) -> None:
    first = load_edits(root).digest
    for change in (
        {"prompt": "another"},
        {"method": "another"},
        {"split": "x"},
        {"mine": "x"},
        {"control_file_name": None},
    ):
        before = (root / "metadata.jsonl").read_text()
        changed(root, 0, **change)
        assert load_edits(root).digest != first, change
        (root / "metadata.jsonl").write_text(before)
    picture(99).save(root / "edits/0-0-0.png")
    assert load_edits(root).digest != first


def test_the_conventions_of_image_folders_hold(root: Path) -> None:
    # datasets' ImageFolder: metadata at the root, file_name relative to it, every named file below it
    for row in rows_of(root):
        assert (root / row["file_name"]).is_file()
    assert {e.edited.path for e in load_edits(root).edits} == {r["file_name"] for r in rows_of(root)}
    changed(root, 0, file_name="./edits/0-0-0.png")
    assert len(load_edits(root).edits) == 4


# Problems


def test_every_problem_is_listed_at_once_with_its_row(tmp_path: Path) -> None:
    root = tmp_path / "e"
    make_directory(root, images=6, prompts=3)
    rows = rows_of(root)
    outside = tmp_path / "outside.png"
    picture(1).save(outside)
    (root / "edits/out.png").symlink_to(outside)
    (root / "edits/link.png").symlink_to("0-0-0.png")
    (root / "far").symlink_to(tmp_path)
    (root / "edits/half.png").write_bytes((root / "edits/0-0-0.png").read_bytes()[:200])
    (root / "edits/bomb.png").write_bytes(bomb())
    (root / "edits/text.png").write_text("no picture")
    picture(1).save(root / "edits/moving.gif")
    expected: list[tuple[str, str]] = []

    def spoil(number: int, *fields: str, **values: Any) -> None:
        rows[number].update(values)
        rows[number] = {k: v for k, v in rows[number].items() if v is not None}
        expected.extend((f"metadata.jsonl:{number + 1}", f) for f in fields)

    spoil(0, file_name="edits/link.png")  # a link that stays inside is sound
    spoil(1, "file_name", file_name="edits/no.png")
    spoil(2, "file_name", file_name="../outside.png")
    spoil(3, "file_name", file_name=str(outside))
    spoil(4, "file_name", file_name="edits/out.png")
    spoil(5, "file_name", file_name="far/outside.png")
    spoil(6, "file_name", file_name="edits/half.png")
    spoil(7, "file_name", "source_file_name", file_name="edits/bomb.png", source_file_name="edits/text.png")
    spoil(8, "control_file_name", control_file_name="edits/moving.gif")
    spoil(9, "prompt", prompt=" ")
    spoil(10, "seed", "prompt", prompt=["x"], seed={"a": 1})
    spoil(11, "source_file_name", source_file_name=None)  # a control edit, and no source to show beside it
    spoil(12, "protected_file_name", protected_file_name="sources")
    spoil(13, edit_id="twice")
    spoil(14, "edit_id", edit_id="twice")
    spoil(16, "image_id", image_id=rows[15]["image_id"], prompt=rows[15]["prompt"], control_file_name=None)
    spoil(17, "control_file_name", image_id=rows[15]["image_id"], prompt=rows[15]["prompt"], method="another")
    write_metadata(root, rows)
    with (root / "metadata.jsonl").open("ab") as file:
        file.write(b'{"file_name": \n{"file_name": "edits/0-0-0.png", "prompt": "\\ud800"}\n\xff\n')
    expected += [
        ("metadata.jsonl:19", ""),
        ("metadata.jsonl:20", "prompt"),
        ("metadata.jsonl:20", "source_file_name"),
    ]
    expected += [("metadata.jsonl:21", "")]
    # rows that contradict each other are both named
    expected += [("metadata.jsonl:14", "edit_id"), ("metadata.jsonl:16", "image_id")]
    expected += [("metadata.jsonl:16", "control_file_name")]
    assert sorted(problems(root)) == sorted(expected)

    skipped = load_edits(root, skip_invalid=True)
    assert sorted((p.where, p.field) for p in skipped.skipped) == sorted(expected)
    assert {e.edited.path for e in skipped.edits} == {"edits/link.png"}


def test_rows_that_were_skipped_do_not_change_the_others(root: Path) -> None:
    whole = load_edits(root)
    assert whole.skipped == ()
    changed(root, 0, prompt="")
    rest = load_edits(root, skip_invalid=True)
    assert rest.edits == tuple(e for e in whole.edits if e.edited.path != "edits/0-0-0.png")
    assert [(p.where, p.field) for p in rest.skipped] == [("metadata.jsonl:1", "prompt")]


def test_when_nothing_is_left_it_is_an_error_all_the_same(root: Path) -> None:
    for number in range(4):
        changed(root, number, prompt="")
    assert len(problems(root, skip_invalid=True)) == 4


def test_messages_say_where_what_and_what_to_do(root: Path) -> None:
    changed(root, 2, file_name="edits/no.png")
    with pytest.raises(EditDirectoryError) as caught:
        load_edits(root)
    assert str(caught.value).splitlines()[1].strip() == (
        "metadata.jsonl:3: 'file_name': expected an image file; found 'edits/no.png', which cannot be opened "
        "(No such file or directory); check the export or drop the row"
    )


def test_one_file_may_serve_many_rows(root: Path) -> None:
    changed(root, 1, file_name="edits/0-0-0.png", edit_id="again")
    assert len(load_edits(root).edits) == 4
    changed(root, 1, edit_id=None)
    assert problems(root) == [("metadata.jsonl:1", "edit_id"), ("metadata.jsonl:2", "edit_id")]


def test_one_unit_has_one_control_and_one_source(tmp_path: Path) -> None:
    make_directory(tmp_path, images=1, prompts=1, methods=("a", "b", "c"))
    assert len(load_edits(tmp_path).edits) == 3  # three treatments of a unit share its control edit
    changed(tmp_path, 1, control_file_name="sources/0.png")
    picture(5).save(tmp_path / "sources/other.png")
    changed(tmp_path, 2, source_file_name="sources/other.png")
    found = problems(tmp_path)
    assert set(found) == {
        ("metadata.jsonl:1", "control_file_name"),
        ("metadata.jsonl:2", "control_file_name"),
        ("metadata.jsonl:1", "prompt_id"),
        ("metadata.jsonl:3", "prompt_id"),
    }


def test_equal_copies_of_a_control_are_one(tmp_path: Path) -> None:
    make_directory(tmp_path, images=1, prompts=1, methods=("a", "b"))
    shutil.copy(tmp_path / "controls/0-0.png", tmp_path / "controls/copy.png")
    changed(tmp_path, 1, control_file_name="controls/copy.png")
    assert len(load_edits(tmp_path).edits) == 2


def test_more_rows_than_are_looked_at_together(tmp_path: Path) -> None:
    rows = make_directory(tmp_path, images=1, prompts=1, controls=False)
    many = [{**rows[0], "edit_id": f"e{i}", "seed": i} for i in range(2500)]
    many[2400]["edit_id"] = "e3"  # the first of its name stood two lots earlier
    write_metadata(tmp_path, many)
    seen: list[int] = []
    with pytest.raises(EditDirectoryError, match=r"metadata\.jsonl:2401: 'edit_id'.*metadata\.jsonl:4 has"):
        load_edits(tmp_path, on_progress=seen.append)
    assert seen == [1000, 1000, 500]


# isr.toml


def test_settings(root: Path) -> None:
    assert load_edits(root).settings == Settings((), (), 0.95)  # no rubrics named: the default ones
    (root / "isr.toml").write_text(
        'rubrics = ["perceptual/v1", "semantic/v1"]\nby = ["split"]\nlevel = 0.9\n'
    )
    assert load_edits(root).settings == Settings(("perceptual/v1", "semantic/v1"), ("split",), 0.9)


FORBIDDEN = (
    "judge",
    "endpoint",
    "base_url",
    "store",
    "out",
    "output",
    "api_key_env",
    "card",
    "backend",
    "set",
    "calibration",
)


def test_data_chooses_no_judge_no_endpoint_no_store_and_no_output(root: Path) -> None:
    lines = [f"{key} = 'x'" for key in FORBIDDEN if key != "endpoint"]
    (root / "isr.toml").write_text(
        "\n".join([*lines, "level = 0.9", "[endpoint]", "base_url = 'http://evil.example'"])
    )
    assert sorted(problems(root)) == sorted(("isr.toml", key) for key in FORBIDDEN)
    assert sorted(problems(root, skip_invalid=True)) == sorted(("isr.toml", key) for key in FORBIDDEN)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("level = 1.0", ["level"]),
        ("level = 0", ["level"]),
        ("level = nan", ["level"]),
        ("level = true", ["level"]),
        ("level = '0.9'", ["level"]),
        ("by = 'split'", ["by"]),
        ("by = [1]", ["by"]),
        ("rubrics = 'semantic/v1'", ["rubrics"]),
        ("rubrics = ['semantic/v1']", ["rubrics"]),
        ("rubrics = ['../x/v1', 'perceptual/v1']", ["rubrics"]),
        (
            "rubrics = ['semantic/v99', 'perceptual/v1']\nby = 3\nlevel = 2\njudge = 'x'",
            ["by", "judge", "level", "rubrics"],
        ),
    ],
)
def test_settings_of_no_use(text: str, fields: list[str], root: Path) -> None:
    (root / "isr.toml").write_text(text)
    assert sorted(problems(root)) == [("isr.toml", f) for f in fields]


def test_settings_that_cannot_be_read(root: Path) -> None:
    for data in (b"level = ", b"\xff\xfe"):
        (root / "isr.toml").write_bytes(data)
        with pytest.raises(EditDirectoryError, match=r"isr\.toml: expected TOML"):
            read_settings(root)
    (root / "isr.toml").unlink()
    (root / "isr.toml").mkdir()
    with pytest.raises(EditDirectoryError, match=r"isr\.toml: expected TOML"):
        read_settings(root)


def test_rubrics_that_are_asked_for_by_name(root: Path) -> None:
    with pytest.raises(RubricError):
        load_edits(root, rubrics=("semantic/v1",))
    assert len(load_edits(root, rubrics=("perceptual/v1", "semantic/v1")).edits) == 4


@pytest.mark.parametrize(
    "digest", ["SHA256:" + "a" * 64, "sha256:" + "A" * 64, "sha256:abc", "a" * 64, "none", " "]
)
@pytest.mark.parametrize("column", DIGESTS.values())
def test_a_malformed_digest_is_a_problem_of_its_row(root: Path, column: str, digest: str) -> None:
    """It was taken for none: nobody compared the file."""
    changed(root, 1, **{column: digest})
    assert problems(root) == [("metadata.jsonl:2", column)]


def test_an_empty_cell_for_a_digest_is_none(root: Path) -> None:
    changed(root, 1, edit_sha256="")
    assert len(load_edits(root).edits) == 4


# The cache


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the files that were really decoded."""
    sizes: list[int] = []

    def counted(data: bytes) -> tuple[Image.Image, bool]:
        sizes.append(len(data))
        return image_file.decoded(data)

    monkeypatch.setattr(scan, "decoded", counted)
    monkeypatch.setattr(files, "SETTLED_NS", 0)  # also files that were written just now are kept
    return sizes


def test_a_second_load_decodes_nothing(root: Path, tmp_path: Path, decoded: list[int]) -> None:
    cache = tmp_path / "out" / "cache.db"
    first = load_edits(root, cache=cache)
    assert len(decoded) == 4 + 2 + 4  # edits, sources (each once), controls
    assert same(load_edits(root, cache=cache), first)
    assert len(decoded) == 10
    changed(root, 0, prompt="another")  # the metadata is always read again
    assert load_edits(root, cache=cache).digest != first.digest
    assert len(decoded) == 10


def test_a_changed_file_of_the_same_size_is_noticed(root: Path, tmp_path: Path, decoded: list[int]) -> None:
    for name in ("edits/0-0-0.png", "edits/new.png"):
        Image.new("RGB", (8, 8), "red").save(root / name, "BMP")
    cache = tmp_path / "cache.db"
    first = load_edits(root, cache=cache)
    Image.new("RGB", (8, 8), "blue").save(root / "edits/0-0-0.png", "BMP")
    assert (root / "edits/0-0-0.png").stat().st_size == (root / "edits/new.png").stat().st_size
    second = load_edits(root, cache=cache)
    assert len(decoded) == 11
    assert [a == b for a, b in zip(first.edits, second.edits, strict=True)].count(False) == 1


def test_an_unusable_cache_is_harmless(root: Path, tmp_path: Path) -> None:
    first = load_edits(root)
    (tmp_path / "file").touch()
    for cache in (tmp_path, tmp_path / "file" / "cache.db"):
        assert same(load_edits(root, cache=cache), first)


def test_values_are_frozen(root: Path) -> None:
    loaded = load_edits(root)
    edit = loaded.edits[0]
    assert isinstance(edit, Edit)
    with pytest.raises(AttributeError):
        edit.prompt = "another"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        loaded.edits = ()  # type: ignore[misc]


def test_of_contradicting_rows_none_is_left_whatever_their_order(root: Path) -> None:
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
    rows[0]["edit_id"] = rows[1]["edit_id"] = "twice"
    kept = []
    for order in (rows, rows[::-1]):
        write_metadata(root, order)
        kept.append([e.edit_id for e in load_edits(root, skip_invalid=True).edits])
    assert kept[0] == kept[1]
    assert "twice" not in kept[0]
    assert len(kept[0]) == len(rows) - 2


def test_a_bad_setting_does_not_hide_bad_rows(root: Path) -> None:
    (root / "isr.toml").write_text('judge = "mine"\nlevel = 95\n')
    changed(root, 0, prompt="")
    assert problems(root) == [("isr.toml", "judge"), ("isr.toml", "level"), ("metadata.jsonl:1", "prompt")]


def test_groups_that_no_row_has_are_a_problem_of_the_settings(root: Path) -> None:
    (root / "isr.toml").write_text('by = ["editor", "colour"]\n')
    assert problems(root) == [("isr.toml", "by")]

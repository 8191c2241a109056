"""Images and prompts of a data set: the rule, what is left out and counted, and that an interrupted run starts again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from isr.bench.material import dataset
from isr.bench.material.dataset import prepare, select, stratum_of
from isr.bench.material.source import DatasetPart, Source, _bytes, _digest, _files
from isr.edits.prompt_tables import read_prompts
from isr.errors import InputError
from tests.bench.papers import CAPTIONS, data_rows, picture_bytes, write_imagefolder, write_parquet

ONE_EACH = {"portrait": 1, "landscape": 1, "painting": 1}


def source(rows: list[dict[str, Any]]) -> Source:
    return Source(
        lambda: [(r["original_prompt"], r["edit_prompt"]) for r in rows],
        lambda: [r["original_image"] for r in rows],
        {},
    )


def part(**values: Any) -> DatasetPart:
    return DatasetPart(**{"id": "data", "strata": ONE_EACH, "min_side": 64, "scan": 100, **values})


def test_the_rule_takes_whole_words_and_paintings_first() -> None:
    assert stratum_of("A portrait painting of a queen") == "painting"
    assert stratum_of("Portrait of a lake") == "portrait"
    assert stratum_of("MOUNTAINS at dawn") == "landscape"
    assert stratum_of("a flake of snow, spainting") == ""


def test_an_unknown_stratum_is_refused() -> None:
    with pytest.raises(ValidationError, match="portrait"):
        part(strata={"food": 3})


@settings(max_examples=20)
@given(st.permutations(range(len(CAPTIONS))), st.integers(0, 3))
def test_the_order_of_rows_does_not_matter_and_the_seed_does(order: list[int], seed: int) -> None:
    rows = data_rows()
    want = [c.candidate.caption for c in select(part(seed=seed), source(rows))[0]]
    found = [c.candidate.caption for c in select(part(seed=seed), source([rows[i] for i in order]))[0]]
    assert found == want


def test_seeds_differ() -> None:
    rows = data_rows(tuple(f"portrait of number {i}" for i in range(12)))
    taken = {tuple(c.candidate.caption for c in select(part(seed=s, strata={"portrait": 3}), source(rows))[0]) for s in range(6)}  # fmt: skip
    assert len(taken) > 3


def test_every_row_that_is_left_out_is_counted() -> None:
    captions = tuple(f"portrait of number {i}" for i in range(8))
    rows = data_rows(captions)
    rows[0]["original_image"] = {"bytes": b"no picture at all", "path": None}
    rows[1]["original_image"] = {"bytes": picture_bytes(1, 32), "path": None}
    rows[2]["original_image"] = rows[3]["original_image"]
    rows[4]["original_image"] = {"bytes": None, "path": "elsewhere.png"}
    rows[5]["edit_prompt"] = None
    rows[6]["original_prompt"] = "a car"
    rows.append({**rows[7], "edit_prompt": "another edit of the same"})
    taken, account = select(part(strata={"portrait": 2}), source(rows))
    assert len(taken) == 2
    assert account["rows"] == 9
    assert account["left_out"]["no caption or no prompt"] == 1
    assert account["left_out"]["of no stratum that is wanted"] == 1
    assert account["left_out"]["its caption is taken already"] == 1
    with pytest.raises(InputError) as error:
        select(part(strata={"portrait": 9, "painting": 1}), source(rows))
    said = str(error.value)
    assert "expected 9 images; found 2 in 9 rows" in said
    assert "expected 1 images; found 0 in 9 rows" in said
    for reason in ("cannot be decoded", "a side below 64 pixels", "the same picture is taken already", "no image in the row"):  # fmt: skip
        assert f"1 rows: {reason}" in said or f"rows: an image that {reason}" in said or reason in said


def test_no_more_rows_are_read_than_asked() -> None:
    rows = data_rows()
    read = []

    def texts() -> Any:
        for row in rows:
            read.append(row)
            yield row["original_prompt"], row["edit_prompt"]

    _, account = select(part(scan=5), Source(texts, source(rows).images, {}))
    assert account["rows"] == 5
    assert len(read) <= 6


def test_a_text_is_one_line_of_printable_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = data_rows(("portrait of\n=HYPERLINK(1) \x1b[31m\u202e",))
    monkeypatch.setattr(dataset, "open_source", lambda spec, root: source(rows))
    prepare(part(strata={"portrait": 1}), tmp_path / "out")
    (image,) = json.loads((tmp_path / "out" / "selection.json").read_text())["images"].values()
    assert image["caption"].isprintable()


def test_parquet_and_an_imagefolder_give_the_same(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="needs isr-eval[study]")
    rows = data_rows()
    write_parquet(tmp_path / "parquet", rows)
    write_imagefolder(tmp_path / "folder", rows)
    made = {}
    for name in ("parquet", "folder"):
        out = tmp_path / f"out-{name}"
        prepare(part(id=name), out, root=tmp_path)
        selection = json.loads((out / "selection.json").read_text())
        assert selection["source"]["id"] == name
        assert selection["rule"] == "caption-keywords/1"
        pictures = {p.name: p.read_bytes() for p in out.glob("*.png")}
        made[name] = (selection["images"].values(), (out / "prompts.csv").read_text(), pictures)
    (a_images, *a), (b_images, *b) = made["parquet"], made["folder"]
    assert a == b
    assert [{**i, "row": 0} for i in a_images] == [{**i, "row": 0} for i in b_images]
    found = read_prompts(tmp_path / "out-folder" / "prompts.csv")
    assert [r.name for r in found] == ["portrait-001", "landscape-001", "painting-001"]
    assert {r.columns["split"] for r in found} == {"seen"}
    with pytest.raises(InputError, match="original_image"):
        prepare(part(id="parquet", image="picture"), tmp_path / "x", root=tmp_path)
    with pytest.raises(InputError, match="a folder or a hub id"):
        prepare(part(id="./nothing"), tmp_path / "x", root=tmp_path)


def test_complete_it_returns_interrupted_it_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def open_source(spec: DatasetPart, root: Path) -> Source:
        opened.append(spec)
        return source(data_rows())

    monkeypatch.setattr(dataset, "open_source", open_source)
    out = tmp_path / "out"
    out.mkdir()
    (out / "portrait-009.png").write_bytes(b"left by a run that was killed")
    (out / "unseen.jsonl").write_text("paid for")
    prepare(part(), out)
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    assert set(first) == {
        "portrait-001.png", "landscape-001.png", "painting-001.png", "prompts.csv", "selection.json", "unseen.jsonl",
    }  # fmt: skip
    prepare(part(), out)
    assert len(opened) == 1
    (out / "painting-001.png").unlink()
    prepare(part(), out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == first
    with pytest.raises(InputError, match="found another"):
        prepare(part(seed=1), out)
    (out / "selection.json").unlink()
    (out / "thesis.docx").touch()
    with pytest.raises(InputError, match=r"thesis\.docx"):
        prepare(part(), out)


def test_only_files_of_the_split_are_read(tmp_path: Path) -> None:
    for name in ("test-0.parquet", "train-0.parquet", "sub/train/1.parquet"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(name.encode())
    kind, files = _files(part(), tmp_path / "data")
    assert (kind, [p.name for p in files]) == ("parquet", ["1.parquet", "train-0.parquet"])
    with pytest.raises(InputError, match=r"of the split 'validation'; found sub/train/1\.parquet, test-0"):
        _files(part(split="validation"), tmp_path / "data")


def test_a_local_data_set_that_was_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "data" / "train-0.parquet"
    file.parent.mkdir()
    file.write_bytes(b"first")
    identity = {"kind": "parquet", "files": _digest([file], file.parent)}
    texts, cells = source(data_rows()).texts, source(data_rows()).images
    monkeypatch.setattr(dataset, "open_source", lambda spec, root: Source(texts, cells, identity))
    for _ in range(2):
        prepare(part(), tmp_path / "out", root=tmp_path)
    file.write_bytes(b"second")
    with pytest.raises(InputError, match="found changed files"):
        prepare(part(), tmp_path / "out", root=tmp_path)


def test_a_picture_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "in" / "a.png").write_bytes(b"y")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret.png")
    inside = tmp_path / "in"
    assert _bytes({"bytes": None, "path": str(inside / "a.png")}, inside) == {"bytes": b"y"}
    for path in (tmp_path / "secret.png", inside / "link.png", inside / "../secret.png"):
        assert _bytes({"bytes": None, "path": str(path)}, inside) is None

"""The table of edits as Parquet: the cells of ``edits.csv``, and never those of another one."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import isr
from isr.cli import main
from isr.errors import InputError
from isr.files import file_digest
from isr.scoring import edits_parquet
from isr.scoring.edits_parquet import write_parquet
from isr.scoring.result import Result
from tests.runs import bind, recorded_run

HOSTILE = {"note": '007,"a\r\n=1+1\u2028ünï\r', "protected_linf": "0x10"}
NUMBERS = (
    "protected_linf", "protected_psnr", "recorded:source_kept", "recorded:semantic_score", "recorded:perceptual_score",
)  # fmt: skip


def command(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["isr", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def again(run: Path) -> list[Any]:
    """What scores a recorded run once more, from its own answers."""
    return [
        "score",
        run.parent / "edits",
        "--judge",
        run.parent / "recorded.toml",
        "--out",
        run,
        "--quiet",
        "--no-report",
    ]


def hostile(rows: list[dict[str, Any]]) -> None:
    for number, row in enumerate(rows):
        row |= {
            "prompt": f"00{number}",
            "note": HOSTILE["note"],
            "protected_linf": HOSTILE["protected_linf"],
            "mixed": ["1", "a"][number % 2],
        }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_run(tmp_path_factory.mktemp("parquet"), images=2, prompts=2, change=hostile)


def cells(run: Path) -> list[dict[str, str]]:
    with (run / "edits.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def number(cell: str) -> float | None:
    return float(cell) if cell else None


def expected(run: Path) -> list[dict[str, Any]]:
    return [{k: number(v) if k in NUMBERS else v for k, v in row.items()} for row in cells(run)]


def test_the_cells_are_those_of_the_table_by_every_reader(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas, datasets = pytest.importorskip("pandas"), pytest.importorskip("datasets")
    monkeypatch.setattr(edits_parquet, "ROWS", 3)  # several batches, the last one shorter
    file = write_parquet(run, tmp_path / "t.parquet")
    table = pq.read_table(file)
    want = expected(run)
    assert table.to_pylist() == want
    assert len(want) % 3
    assert (want[0]["prompt"], want[0]["note"]) == ("000", HOSTILE["note"])
    assert {f.name: f.type for f in table.schema if f.type != pa.string()} == {
        name: pa.int64() if name.startswith("recorded:") else pa.float64() for name in NUMBERS
    }
    assert (
        table.schema.metadata[b"isr.table"].decode()
        == file_digest(run / "edits.csv")
        == Result.load(run).table["edits.csv"]
    )
    assert table.schema.metadata[b"isr.signature"].decode() == Result.load(run).signature
    assert pq.ParquetFile(file).num_row_groups == -(-len(want) // 3)
    framed = pandas.read_parquet(file)
    assert [
        {k: None if pandas.isna(v) else v for k, v in row.items()} for row in framed.to_dict("records")
    ] == want
    loaded = datasets.load_dataset(
        "parquet", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.to_list() == want


def test_cells_of_several_repeats_stay_text(tmp_path: Path) -> None:
    run = recorded_run(tmp_path, images=1, prompts=1, repeats=3)
    scores = pq.read_table(write_parquet(run))["recorded:semantic_score"].to_pylist()
    assert scores == [row["recorded:semantic_score"] for row in cells(run)]
    assert all(cell.count("|") == 2 for cell in scores)


def test_a_batch_ends_at_its_characters_too(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edits_parquet, "TEXT", 1)
    file = write_parquet(run, tmp_path / "t.parquet")
    assert pq.ParquetFile(file).num_row_groups == len(cells(run))
    assert pq.read_table(file).to_pylist() == expected(run)


def test_score_and_report_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded_run(tmp_path, images=1, prompts=2)
    file = run / "edits.parquet"
    assert command(monkeypatch, *again(run)) == 0
    assert not file.exists()
    assert command(monkeypatch, *again(run), "--table", "parquet") == 0
    assert f"as Parquet: {file}\n" in capsys.readouterr().out
    assert pq.read_table(file).to_pylist() == expected(run)
    before = file.read_bytes()
    file.unlink()
    assert command(monkeypatch, "report", run, "--table", "parquet") == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_bytes() == before
    assert not (run / "report.html").exists()
    assert command(monkeypatch, "bundle", run, "--out", tmp_path / "b.zip") == 0
    capsys.readouterr()
    assert command(monkeypatch, "report", tmp_path / "b.zip", "--table", "parquet") == 0
    assert (tmp_path / "b.edits.parquet").read_bytes() == before
    assert command(monkeypatch, "report", run, tmp_path / "b.zip", "--table", "parquet") == 2
    assert "expected one run; found 2" in capsys.readouterr().err


def test_a_copy_of_an_earlier_table_never_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = recorded_run(tmp_path, images=1, prompts=2)
    file = write_parquet(run)
    before, changed = file.read_bytes(), file.stat().st_mtime_ns
    assert command(monkeypatch, *again(run)) == 0
    assert file.stat().st_mtime_ns == changed  # of this very result: left alone
    assert (
        command(monkeypatch, *again(run), "--replace", "--level", "0.9") == 0
    )  # the same table, another result
    assert "level=0.9|" in pq.read_schema(file).metadata[b"isr.signature"].decode()
    isr.score(run.parent / "edits", judge=str(run.parent / "recorded.toml"), out=run, replace=True, limit=1)
    assert pq.read_table(file).to_pylist() == expected(run)
    assert file.read_bytes() != before
    monkeypatch.setattr(edits_parquet, "find_spec", lambda name: None)
    caplog.clear()
    assert command(monkeypatch, *again(run), "--replace") == 0
    assert not file.exists()
    assert "edits.parquet: removed, it was of an earlier table" in caplog.text


def test_a_file_that_says_nothing_of_its_table_is_of_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recorded_run(tmp_path, images=1, prompts=1)
    for data in (b"", b"PAR1", b"x" * 40, b"\xff\xff\xff\xffPAR1"):
        (run / "edits.parquet").write_bytes(data)
        assert command(monkeypatch, *again(run)) == 0
        assert pq.read_table(run / "edits.parquet").to_pylist() == expected(run)


def test_without_pyarrow_it_is_said_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(edits_parquet, "find_spec", lambda name: None)
    run = tmp_path / "run"
    for words in (["score", tmp_path / "none", "--judge", "gpt-4.1", "--out", run], ["report", run]):
        assert command(monkeypatch, *words, "--table", "parquet") == 2
        assert "pip install 'isr-eval[parquet]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            lambda t: t.replace("protected,", "protected,x", 1),
            "edits.csv is not the table of this result.json",
        ),
        (lambda t: t + "a,b\n", "a row of 2 cells; the header has"),
        (
            lambda t: t.replace(',3,"', ',x,"', 1).replace(",3,what", ",x,what", 1),
            "numbers in the column recorded:",
        ),
    ],
)
def test_a_table_that_is_none_leaves_no_copy(tmp_path: Path, damage: Any, told: str) -> None:
    run = recorded_run(tmp_path, images=1, prompts=2)
    text = (run / "edits.csv").read_text("utf-8")
    assert damage(text) != text
    (run / "edits.csv").write_text(damage(text), "utf-8")
    if "not the table" not in told:
        bind(run)
    names = sorted(p.name for p in run.iterdir())
    with pytest.raises(InputError, match=told):
        write_parquet(run)
    assert sorted(p.name for p in run.iterdir()) == names


def test_of_a_run_without_a_digest_that_of_the_bytes_is_kept(tmp_path: Path) -> None:
    run = recorded_run(tmp_path, images=1, prompts=1)
    raw = json.loads((run / "result.json").read_text("utf-8"))
    raw.pop("table")
    (run / "result.json").write_text(json.dumps(raw), "utf-8")
    file = write_parquet(run)
    assert pq.read_schema(file).metadata[b"isr.table"].decode() == file_digest(run / "edits.csv")

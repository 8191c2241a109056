"""Edits that an editor refused to make are counted by arm, and never judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isr.cli import cli
from isr.edits.directory import load_edits
from isr.errors import EditDirectoryError
from isr.types import Edit

EDITS = Path(__file__).resolve().parents[1] / "golden" / "0.1.0" / "edits"


def isr(*args: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, args)), catch_exceptions=False)


def write(folder: Path, rows: list[object]) -> None:
    (folder / "refusals.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")


@pytest.fixture
def edits(tmp_path: Path) -> Path:
    """Two treatments of 18 units; two edits of "simulated" and one control edit of "none" were refused."""
    folder = shutil.copytree(EDITS, tmp_path / "edits")
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    gone = [r for r in rows if r["method"] == "simulated"][:2]
    (folder / "metadata.jsonl").write_text(
        "".join(json.dumps(r) + "\n" for r in rows if r not in gone), "utf-8"
    )
    kept = {e.edit_id: e for e in load_edits(EDITS).edits}
    refused = [kept[r.get("edit_id", r["file_name"])] for r in gone]
    write(
        folder,
        [
            {**e.unit._asdict(), **e.treatment._asdict(), "arm": "protected", "reason": "IMAGE_SAFETY"}
            for e in refused
        ]
        + [{**refused[0].unit._asdict(), "prompt_id": "another", "arm": "control"}],
    )
    return folder


def test_they_are_counted_and_a_second_reading_has_its_own_name(
    edits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "refused by the editor: 2 edits of simulated, 1 control edit" in isr("validate", edits).output
    done = isr("score", edits, "--judge", "shapes-oracle", "--quiet")
    assert done.exit_code == 0, done.output
    told = "refused by the editor, not made, and in none of the other numbers: 2 edits of simulated, 1 control edit"
    assert told in " ".join(done.output.split())
    (run,) = (tmp_path / "edits.isr" / "runs").iterdir()
    result = json.loads((run / "result.json").read_text("utf-8"))
    assert told in result["notes"]
    simulated = next(t for t in result["treatments"] if t["method"] == "simulated")
    other = next(t for t in result["treatments"] if t["method"] != "simulated")
    assert simulated["counts"]["refused"] == 2
    assert "refused" not in other["counts"]
    assert result["control"]["counts"]["refused"] == 1
    rate, counted = simulated["estimates"]["isr"], simulated["estimates"]["isr_with_refusals"]
    hits = round(rate["value"] * rate["n"])
    assert counted["n"] == rate["n"] + 2
    assert counted["value"] == pytest.approx(
        (hits + 2) / (rate["n"] + 2)
    )  # two more that count as protection
    assert counted["low"] < counted["value"] < counted["high"]
    assert "isr_with_refusals" not in other["estimates"]
    assert isr("bundle", run, "--out", "b.zip").exit_code == 0
    assert ": consistent" in isr("verify", "b.zip").output


def test_beside_a_limit_refusals_are_told_and_not_counted(
    edits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows which of them the first ten edits have."""
    monkeypatch.chdir(tmp_path)
    done = isr("score", edits, "--judge", "shapes-oracle", "--quiet", "--limit", 10, "--json")
    result = json.loads(done.stdout)
    parts = [*result["treatments"], result["control"]]
    assert all("refused" not in p["counts"] and "isr_with_refusals" not in p["estimates"] for p in parts)
    assert any("made, and not counted beside a limit: 2 edits of simulated" in n for n in result["notes"])


def test_a_method_of_which_every_edit_was_refused_is_told(
    edits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [json.loads(line) for line in (edits / "refusals.jsonl").read_text("utf-8").splitlines()]
    write(edits, [*rows, {**rows[0], "method": "hosted"}])
    done = isr("score", edits, "--judge", "shapes-oracle", "--quiet", "--json")
    result = json.loads(done.stdout)
    assert "hosted" not in {t["method"] for t in result["treatments"]}
    (note,) = [n for n in result["notes"] if n.startswith("refused by the editor")]
    assert note.endswith(": 1 edit of hosted, 2 edits of simulated, 1 control edit")


def test_a_refusal_changes_what_was_evaluated(edits: Path) -> None:
    before = load_edits(edits).digest
    (edits / "refusals.jsonl").unlink()
    assert load_edits(edits).digest != before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arm": "both"}, "'arm': expected protected or control"),
        ({"image_id": ""}, "expected image_id, or source_file_name of a picture"),
        ({"file_name": "x.png"}, "a refusal has no picture"),
    ],
)
def test_a_line_that_names_no_unit_is_named(edits: Path, change: dict[str, str], words: str) -> None:
    rows = [json.loads(line) for line in (edits / "refusals.jsonl").read_text("utf-8").splitlines()]
    write(edits, [{**rows[0], **change}, *rows[1:]])
    with pytest.raises(EditDirectoryError, match=r"refusals\.jsonl:1") as caught:
        load_edits(edits)
    assert words in str(caught.value)


def test_a_refusal_is_written_as_the_metadata_are(tmp_path: Path) -> None:
    """By source and prompt where the metadata have no ids; a seed of 1.0 is the seed 1, a null is nothing."""
    folder = shutil.copytree(EDITS, tmp_path / "edits")
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    for row in rows:
        row.pop("image_id", None)
        row.pop("prompt_id", None)
    gone = rows.pop(0)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    unit = {k: gone.get(k) for k in ("source_file_name", "prompt", "editor", "purifier")}
    treatment = {k: gone[k] for k in ("method", "objective", "eps", "config") if k in gone}
    line = {**unit, "seed": float(gone["seed"]), **treatment, "arm": "protected", "reason": None}
    write(folder, [line])
    (refusal,) = load_edits(folder).refusals
    (before,) = (
        e for e in _whole(folder, [gone, *rows]) if e.edit_id == gone.get("edit_id", gone["file_name"])
    )
    assert (refusal.unit, refusal.treatment, refusal.reason) == (before.unit, before.treatment, "")
    write(folder, [{**line, "source_file_name": None, "image_id": "bird"}])
    with pytest.raises(EditDirectoryError, match="source_file_name: the metadata have no image_id"):
        load_edits(folder)


def _whole(folder: Path, rows: list[dict[str, object]]) -> tuple[Edit, ...]:
    (folder / "refusals.jsonl").unlink()
    (folder / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    return load_edits(folder).edits


@pytest.mark.parametrize(
    "text",
    [
        '{"eps": 1e999, "arm": "control"}',
        '{"image_id": true}',
        '{"\\ud800": 1}',
        '{"prompt": "\\u0000"}',
        "[]",
    ],
)
def test_a_hostile_line_is_one_clear_error(edits: Path, text: str) -> None:
    (edits / "refusals.jsonl").write_text(text + "\n", "utf-8")
    with pytest.raises(EditDirectoryError, match=r"refusals\.jsonl") as caught:
        load_edits(edits)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


def test_a_file_that_leads_nowhere_is_not_taken_for_none(edits: Path) -> None:
    (edits / "refusals.jsonl").unlink()
    (edits / "refusals.jsonl").symlink_to("nowhere")
    with pytest.raises(EditDirectoryError):
        load_edits(edits)


def test_an_edit_cannot_be_refused_and_be_there(edits: Path) -> None:
    there = load_edits(EDITS).edits[-1]
    write(edits, [{**there.unit._asdict(), **there.treatment._asdict(), "arm": "protected"}])
    with pytest.raises(EditDirectoryError, match="one that is in the metadata"):
        load_edits(edits)


def test_no_refusal_stands_there_twice(edits: Path) -> None:
    rows = [json.loads(line) for line in (edits / "refusals.jsonl").read_text("utf-8").splitlines()]
    write(edits, [rows[0], rows[0]])
    with pytest.raises(EditDirectoryError, match="each refusal once"):
        load_edits(edits)

"""What the metadata say beside the ISR, and pictures of one colour, wherever the edits come from."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from isr.cli import cli
from isr.edits.images import colour_of
from isr.edits.scan import Scanner
from isr.files import file_digest

EDITS = Path(__file__).resolve().parents[1] / "golden" / "0.1.0" / "edits"


def isr(*args: object) -> str:
    done = CliRunner().invoke(cli, list(map(str, args)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def blackened(tmp_path: Path) -> Path:
    """18 edits by "simulated", 18 controls as treatment "none": edits 0000-1 and 0000-2 and one control are black."""
    folder = shutil.copytree(EDITS, tmp_path / "edits")
    for name in ("edits/0000-1.png", "edits/0000-2.png", "controls/0000-1.png"):
        with Image.open(folder / name) as image:
            size = image.size
        Image.new("RGB", size).save(folder / name)
    return folder


SAID = (
    "1 of 18 edits of none: one colour all over",
    "2 of 18 edits of simulated: one colour all over",
    "1 of 18 control edits: one colour all over",
)


def test_validate_counts_and_names_them(blackened: Path) -> None:
    assert "one colour" not in isr("validate", EDITS)
    assert json.loads(isr("validate", EDITS, "--json"))["one_colour"] == []
    told = isr("validate", blackened)
    assert "valid; 36 edits" in told
    assert all(f"note: {said}" in told for said in SAID)
    assert "edits/0000-2.png is #000000 all over" in told
    said = json.loads(isr("validate", blackened, "--json"))
    assert said["one_colour"] == ["controls/0000-1.png", "edits/0000-1.png", "edits/0000-2.png"]


def test_score_says_so_beside_the_isr_and_a_bundle_still_verifies(
    blackened: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    score = ("score", "edits", "--judge", "shapes-oracle", "--quiet")
    told = isr(*score)
    assert all(f"note: {said}" in told for said in SAID)
    again = json.loads(isr(*score, "--json"))  # from the cache, as it was kept
    assert sorted(
        p["text"].partition(": one")[0] + ": one colour all over" for p in again["pictures"]
    ) == sorted(SAID)
    assert not any("one colour" in n for n in again["notes"])
    (run,) = (tmp_path / "edits.isr" / "runs").iterdir()
    assert all(said in (run / "report.html").read_text("utf-8") for said in SAID)
    isr("bundle", run, "--out", "bare.zip")
    isr("bundle", run, "--out", "whole.zip", "--images")
    for name in ("bare.zip", "whole.zip"):
        assert ": consistent" in isr("verify", name)


def test_rows_without_digests_beside_others_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """36 rows with digests of their edits; two lose theirs. Where no row has any there is nothing to say."""
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(EDITS, tmp_path / "edits")
    table = folder / "metadata.jsonl"
    rows = [json.loads(line) for line in table.read_text("utf-8").splitlines()]
    for row in rows:
        row["edit_sha256"] = file_digest(folder / row["file_name"])
    for bare, said in ((0, False), (2, True), (36, False)):
        kept = [{k: v for k, v in r.items() if n >= bare or k != "edit_sha256"} for n, r in enumerate(rows)]
        table.write_text("".join(json.dumps(r) + "\n" for r in kept), "utf-8")
        told = "2 of 36 rows keep no digest of their files (edit_sha256)"
        assert (f"warning: {told}" in isr("validate", "edits")) is said
        assert (
            any(told in r for r in json.loads(isr("validate", "edits", "--json")).get("remarks", [])) is said
        )
        if said:
            assert f"note: {told}" in isr("score", "edits", "--judge", "shapes-oracle", "--quiet")


@pytest.mark.parametrize(
    ("paint", "colour"),
    [
        (lambda: Image.new("RGB", (3, 2)), "#000000"),
        (lambda: Image.new("RGB", (3, 2), (1, 200, 255)), "#01c8ff"),
        (lambda: Image.linear_gradient("L").convert("RGB"), ""),
    ],
)
def test_the_colour_of_a_picture(paint: Callable[[], Image.Image], colour: str, tmp_path: Path) -> None:
    assert colour_of(paint()) == colour
    paint().save(tmp_path / "a.png")
    for _ in range(2):  # looked at, then remembered
        scanner = Scanner(tmp_path, tmp_path / "cache.db")
        found = scanner.scan(["a.png"])["a.png"]
        scanner.close()
        assert getattr(found, "colour", None) == colour


def test_a_cache_of_before_knows_no_colours_and_is_not_asked(tmp_path: Path) -> None:
    """0.1.0 kept its table ``files`` in the same file."""
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    with sqlite3.connect(tmp_path / "cache.db") as old:
        old.execute("CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER)")
    scanner = Scanner(tmp_path, tmp_path / "cache.db")
    assert getattr(scanner.scan(["a.png"])["a.png"], "colour", "") == "#000000"
    scanner.close()

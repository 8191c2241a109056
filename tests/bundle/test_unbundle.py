"""An edit directory out of a bundle: what was scored, with every answer; never in the place of something."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import isr
from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from isr.bundle.unbundle import Unbundled, unbundle
from isr.cli import cli
from isr.edits.directory import load_edits
from isr.errors import InputError, UsageError
from isr.scoring.bundle_file import ANSWERS, EDITS, Bundle
from tests.bundle.bundles import rewritten


def unpacked(path: Path, out: Path, data: Path | None = None) -> Unbundled:
    with Bundle(path) as opened:
        return unbundle(opened, out, data)


def test_what_comes_out_is_what_was_scored_and_nothing_is_to_be_asked(
    bundle: Path, run: Path, tmp_path: Path
) -> None:
    """4 images x 3 prompts, an edit and a control edit each, two questions: 48 answers; 28 pictures."""
    done = CliRunner().invoke(cli, ["unbundle", str(bundle), str(tmp_path / "e")], catch_exceptions=False)
    assert f"edits: {tmp_path / 'e'} (28 images)" in done.stdout
    assert "(48 answers in the store)" in done.stdout
    assert load_edits(tmp_path / "e").digest == load_edits(run.parent / "edits").digest
    out = isr.Result.load(tmp_path / "e.isr")
    assert out.to_json() == (run / "result.json").read_text("utf-8")
    (there,) = tmp_path.glob("e.isr/runs/*/report.html")
    page = there.read_text("utf-8")
    assert page.count("data:image") >= 28
    card = str(run.parent / "recorded.toml")
    said = CliRunner().invoke(cli, ["score", str(tmp_path / "e"), "--judge", card, "--dry-run"]).stdout
    assert "recorded (the program replay): 0 requests" in said
    again = isr.score(tmp_path / "e", judge=card)
    assert again.to_json() == out.to_json()
    assert [p.parent for p in tmp_path.glob("e.isr/runs/*/result.json")] == [there.parent]


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "e.isr").mkdir()
    with pytest.raises(UsageError, match="expected nothing there"):
        unpacked(bundle, tmp_path / "e")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="expected nothing there"):
        unpacked(bundle, tmp_path / "link")

    def evil(name: str, data: bytes) -> bytes:
        if name != EDITS:
            return data
        first, *rest = data.splitlines(keepends=True)
        row = json.loads(first)
        row["images"]["edited"][0] = "../evil.png"
        return json.dumps(row).encode() + b"\n" + b"".join(rest)

    changes = {
        "leaves the directory": evil,
        "cannot be imported": lambda n, d: (
            d.replace(b"what I saw, 1", b"what I saw, 9") if n == ANSWERS else d
        ),
        "other bytes": lambda n, d: d + b" " if n.startswith("images/") else d,
    }
    before = sorted(p.name for p in tmp_path.iterdir())
    for said, change in changes.items():
        with pytest.raises(InputError) as caught:
            unpacked(rewritten(bundle, change, relist=True), tmp_path / "new")
        assert said in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*before, "changed.zip"])


def test_without_images_their_folder_is_asked_for(run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.zip"
    write_bundle(gather(run), run / "isr.db", bare)
    with pytest.raises(UsageError, match="holds no images; give their folder with --data EDIT_DIR"):
        unpacked(bare, tmp_path / "e")
    data = shutil.copytree(run.parent / "edits", tmp_path / "data")
    assert unpacked(bare, tmp_path / "e", data).images == 28
    assert load_edits(tmp_path / "e").digest == load_edits(data).digest
    (data / "sources" / "1.png").write_bytes(b"other")
    with pytest.raises(InputError, match=r"sources/1.png changed since it was judged"):
        unpacked(bare, tmp_path / "f", data)
    assert not (tmp_path / "f").exists()

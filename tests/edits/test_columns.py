"""Names that look like others are named, and honest ones are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.edits.columns import OURS, look_alikes, names_a_split, nearest
from isr.judging.edits import load_edits
from isr.scoring.remarks import remarks
from tests.directories import make_directory, write_metadata


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("Method", "method"),
        ("control_filename", "control_file_name"),
        ("imageid", "image_id"),
        ("Image ID", "image_id"),
        ("metod", "method"),  # left out
        ("methood", "method"),  # put in
        ("mathod", "method"),  # changed
        ("mehtod", "method"),  # swapped
        ("EPS", "eps"),
        ("prompt-id", "prompt_id"),
        ("source_sha_256", "source_sha256"),
    ],
)
def test_columns_that_are_nearly_ours(name: str, ours: str) -> None:
    assert nearest(name) == ours


@pytest.mark.parametrize(
    "name", ["kind", "image", "step", "speed", "need", "task", "lang", "key", "mask", "model"]
)
def test_columns_of_ones_own(name: str) -> None:
    assert nearest(name) is None


def test_none_of_ours_is_near_another() -> None:
    assert {name: nearest(name) for name in OURS if nearest(name)} == {}


def test_what_isr_edit_and_immunize_write_is_not_named() -> None:
    written = (
        "editor_prompt editor_settings edit_versions edit_device adaptation surrogate_prompt measured_linf measured_l2 measured_psnr "
        "measured_ssim loss_first loss_last loss_fell immunize_seed immunize_seconds immunize_versions immunize_device "
        "mask_sha256 mask_file_name original_file width height resize"
    )
    assert {name: nearest(name) for name in written.split() if nearest(name)} == {}


def test_said_by_validate_and_by_score(tmp_path: Path) -> None:
    """``Method`` on one half: without a word both methods were pooled into one ISR."""
    root = tmp_path / "e"
    rows = make_directory(root, images=2, methods=("sifm", "noise"))
    for row in rows:
        row["Method"] = row.pop("method")
    write_metadata(root, [r for r in rows if r["Method"] == "sifm"])
    said = "columns that are nearly ours and count as your own: 'Method' (for 'method'?)"
    validated = CliRunner().invoke(cli, ["validate", str(root)])
    assert f"warning: {said}" in validated.stdout
    assert said in json.loads(CliRunner().invoke(cli, ["validate", str(root), "--json"]).stdout)["remarks"][0]
    found = load_edits(root)
    (remark,) = remarks(found.edits)  # which isr score prints and keeps
    assert remark.startswith(said)


def test_methods_that_differ_by_a_capital_or_a_space(tmp_path: Path) -> None:
    make_directory(tmp_path, images=1, prompts=2, methods=("sifm", "SIFM", "sifm ", "noise"))
    (said,) = look_alikes(load_edits(tmp_path).edits)
    assert said.startswith("method: names that differ by capitals and spaces alone")
    assert "'SIFM' (2 edits) and 'sifm' (2 edits) and 'sifm ' (2 edits); write them alike" in said
    assert "noise" not in said


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("edits/train-0000-1.png", True),
        ("edits/a_test.png", True),
        ("judge/train.py", True),
        ("data/validation/a.png", True),
        ("my_dev/a.png", True),
        ("val2/a.png", True),
        ("edits/train", False),  # as datasets reads it: no separator after the word
        ("edits/Train.png", False),
        ("edits/latest.png", False),
        ("edits/trainer.png", False),
        ("interval/a.png", False),
    ],
)
def test_names_of_splits(path: str, expected: bool) -> None:
    assert names_a_split(path) is expected


def test_validate_names_them(tmp_path: Path) -> None:
    make_directory(tmp_path, images=1, prompts=1)
    assert "splits" not in CliRunner().invoke(cli, ["validate", str(tmp_path)]).stdout
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "train.py").touch()
    said = CliRunner().invoke(cli, ["validate", str(tmp_path)]).stdout
    assert (
        "warning: names that load_dataset takes for splits (train, test, val, dev, ...): judge/train.py;"
        in said
    )

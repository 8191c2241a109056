"""``isr tutorial``: the folder that it writes is a student's folder, and the first of its commands make of it an edit directory."""

from __future__ import annotations

import csv
import os
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from isr_shapes.tutorial import COMMANDS, FAILING, IMAGES, LABELLED, SEEDS

from isr.cli import cli
from isr.edits.directory import load_edits
from isr.errors import UsageError


def isr(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in args])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tutorial") / "try"
    done = isr("tutorial", root)
    assert done.exit_code == 0, done.output
    assert (
        f"{IMAGES} images, 216 edits" in done.stdout
    )  # 12 scenes, 3 prompts, 2 seeds, 2 methods and the clean ones
    return root


def lines() -> list[list[str]]:
    """The commands of the script, in order."""
    whole = COMMANDS.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in whole if line.startswith("isr ")]


def test_its_folder_becomes_an_edit_directory_of_two_methods(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert os.access("commands.sh", os.X_OK)
    for args in lines()[:2]:
        done = isr(*args)
        assert done.exit_code == 0, done.output
    edits = load_edits("edits").edits
    assert len(edits) == 2 * IMAGES * 3 * len(SEEDS)
    assert {e.treatment.method for e in edits} == set(FAILING) - {"clean"}
    assert all(e.control is not None and e.protected is not None for e in edits)
    with Path("labels.csv").open(newline="") as file:
        labels = list(csv.DictReader(file))
    assert len(labels) == 2 * LABELLED
    assert {r["edit_id"] for r in labels} <= {e.edit_id for e in edits}


@pytest.mark.slow
def test_the_same_seed_paints_the_same(folder: Path, tmp_path: Path) -> None:
    assert isr("tutorial", tmp_path / "again").exit_code == 0
    for path in folder.rglob("out/**/*.png"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes()
    assert (folder / "labels.csv").read_bytes() == (tmp_path / "again" / "labels.csv").read_bytes()


def test_a_folder_with_files_is_left_alone(folder: Path, tmp_path: Path) -> None:
    before = sorted(p.name for p in folder.iterdir())
    refused = isr("tutorial", folder)
    assert isinstance(refused.exception, UsageError)
    assert "expected an empty folder" in str(refused.exception)
    assert sorted(p.name for p in folder.iterdir()) == before
    (tmp_path / "file").write_text("mine")
    assert isinstance(isr("tutorial", tmp_path / "file").exception, UsageError)


def test_the_script_is_ten_steps() -> None:
    steps = [line for line in COMMANDS.splitlines() if line[:3].rstrip(". ").lstrip("# ").isdigit()]
    assert len(steps) == 10
    assert [args[0] for args in lines()] == [
        "init", "validate", "score", "score", "compare", "report", "report", "agree", "calibrate", "bundle", "verify", "plan",
    ]  # fmt: skip

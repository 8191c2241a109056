"""Rubrics from outside: by the path of a file, and by entry point; the package is not touched."""

from __future__ import annotations

import json
import os
import sys
from importlib import resources
from pathlib import Path

import pytest

import isr
from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from isr.bundle.verify import verify
from isr.errors import EditDirectoryError, RubricError, UsageError
from isr.judging.edits import load_edits
from isr.judging.rubrics import builtin_names, load_rubric, names, parse_rubric
from isr.scoring.bundle_file import Bundle
from tests.directories import make_directory
from tests.plugins import install
from tests.processes import run as run_process

TEXT = resources.files("isr.prompts").joinpath("semantic/v1.toml").read_text("utf-8")
MINE = TEXT.replace('title = "', 'title = "Mine: ', 1)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def register(site: Path, *rubrics: str) -> None:
    """Installs a package in ``site`` that registers its one rubric file under these names."""
    (site / "their_rubrics.py").write_text(
        "from pathlib import Path\nFILE = Path(__file__).with_name('their.toml')\n"
    )
    (site / "their.toml").write_text(MINE, "utf-8")
    info = site / "their_rubrics-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-rubrics\nVersion: 1.0\n")
    points = "".join(f"{name} = their_rubrics:FILE\n" for name in rubrics)
    (info / "entry_points.txt").write_text(f"[isr.rubrics]\n{points}")


def written(path: Path, text: str = MINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


# --------------------------------------------------------------------------- by path


def test_the_digest_is_of_the_content_wherever_the_file_lies(tmp_path: Path) -> None:
    a, b = (load_rubric(str(written(tmp_path / f / "mine.toml"))) for f in ("a", "b"))
    assert (a.name, a.title[:5]) == ("mine/v0", "Mine:")
    assert a.digest == b.digest == parse_rubric("mine/v0", MINE).digest
    assert load_rubric(str(written(tmp_path / "mine/v3.toml"))).name == "mine/v3"


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.toml")
    before = load_rubric(str(path)).digest
    written(path, TEXT)
    assert load_rubric(str(path)).digest != before


def test_a_published_name_cannot_be_taken_by_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "semantic" / "v1.toml")
    with pytest.raises(RubricError, match=r"expected another name than that of the published semantic/v1"):
        load_rubric(str(path))
    assert load_rubric(str(written(path, TEXT))).digest == load_rubric("semantic/v1").digest


@pytest.mark.parametrize("name", ["My Rubric.toml", "_x.toml"])
def test_file_names_that_are_no_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(RubricError, match=r"expected a file name of lower-case letters, digits and hyphens"):
        load_rubric(str(written(tmp_path / name)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        RubricError, match=r"gone\.toml: expected a readable rubric file; found .*check the path"
    ):
        load_rubric(str(tmp_path / "gone.toml"))


def test_a_data_directory_names_published_rubrics_only(tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)
    written(tmp_path / "e" / "mine.toml")
    (tmp_path / "e" / "isr.toml").write_text('rubrics = ["mine.toml", "perceptual/v1"]\n')
    with pytest.raises(EditDirectoryError, match=r"'rubrics': expected names of published rubrics") as seen:
        load_edits(tmp_path / "e")
    assert "--rubric PATH" in str(seen.value)


def test_a_run_by_a_file_is_scored_reported_bundled_and_verified(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = install(site, "FREE = True")
    mine = written(tmp_path / "mine.toml")
    make_directory(tmp_path / "e", images=2, prompts=1)
    arguments = [
        "score",
        "e",
        "--judge",
        judge,
        "--rubric",
        "./mine.toml",
        "--rubric",
        "perceptual/v1",
        "--out",
        "out",
    ]
    isr_in(tmp_path, site, *arguments)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["rubrics"][0]["name"] == "mine/v0"
    assert "semantic=mine/v0:sha256:" in result["signature"]
    mine.unlink()  # the run holds its own copy
    isr_in(tmp_path, site, "report", "out")
    assert "Mine: " in (tmp_path / "out" / "report.html").read_text("utf-8")
    contents = gather(tmp_path / "out", tmp_path / "e", str(judge))
    write_bundle(contents, next(tmp_path.rglob("isr.db")), tmp_path / "run.zip")
    with Bundle(tmp_path / "run.zip") as bundle:
        assert bundle.read("rubrics/mine/v0.toml").decode() == MINE
        found, _ = verify(bundle)
    assert found.faults == []
    assert any("rubric mine/v0" in note for note in found.notes)


def test_a_changed_copy_is_not_the_rubric_of_the_run(tmp_path: Path, site: Path) -> None:
    judge = install(site, "FREE = True")
    make_directory(tmp_path / "e", images=2, prompts=1)
    isr.score(
        tmp_path / "e",
        judge=judge,
        rubrics=(str(written(tmp_path / "mine.toml")), "perceptual/v1"),
        out=tmp_path / "out",
    )
    (copy,) = (tmp_path / "out").rglob("v0.toml")
    copy.write_text(TEXT, "utf-8")
    with pytest.raises(UsageError, match=r"rubric mine/v0: expected the text that the run was judged by"):
        gather(copy.parents[2], tmp_path / "e", str(judge))


# --------------------------------------------------------------------------- by entry point


def test_a_registered_rubric_is_published(site: Path, tmp_path: Path) -> None:
    register(site, "theirs/v1")
    assert load_rubric("theirs/v1").digest == parse_rubric("theirs/v1", MINE).digest
    assert names() == [*builtin_names(), "theirs/v1"]
    make_directory(tmp_path / "e", images=1, prompts=1)
    (tmp_path / "e" / "isr.toml").write_text('rubrics = ["theirs/v1", "perceptual/v1"]\n')
    assert load_edits(tmp_path / "e").settings.rubrics == ("theirs/v1", "perceptual/v1")
    said = isr_in(tmp_path, site, "prompts")
    assert "theirs/v1" in said


def test_a_built_in_name_is_not_shadowed(site: Path, tmp_path: Path) -> None:
    register(site, "semantic/v1")
    done = run_process(
        [sys.executable, "-m", "isr", "prompts", "show", "semantic/v1"], cwd=tmp_path, env=environment(site)
    )
    assert done.returncode == 2
    expected = (
        "isr: rubric 'semantic/v1': expected one rubric of that name; found 2: isr itself, their_rubrics:FILE of the "
        "package their-rubrics; uninstall one, or rename it in its package\n"
    )
    assert done.stderr == expected


def environment(site: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}


def isr_in(folder: Path, site: Path, *arguments: object) -> str:
    return run_process(
        [sys.executable, "-m", "isr", *arguments], cwd=folder, env=environment(site), check=True
    ).stdout

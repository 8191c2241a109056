"""Code of others that fails when it is loaded is one error that names it; code on record is never run."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import isr
from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from isr.bundle.verify import verify
from isr.cli import cli
from isr.errors import CardError, RubricError, UsageError
from isr.foreign import ForeignCodeError, loaded
from isr.judging.backends import open_judge
from isr.judging.cards import load_card
from isr.judging.rubrics import load_rubric
from isr.scoring.bundle_file import Bundle
from isr.scoring.registered_metrics import registered_metrics
from tests.directories import make_directory
from tests.plugins import HEAD

EVIL = "from pathlib import Path\nPath(__file__).with_name('EXECUTED').touch()\nFREE = True\ndef open_judge(card): ...\n"


def exits() -> None:
    sys.exit(3)


def test_whatever_is_raised_is_one_error() -> None:
    with pytest.raises(ForeignCodeError, match="ZeroDivisionError: division by zero"):
        loaded(lambda: 1 / 0)
    with pytest.raises(ForeignCodeError, match="SystemExit: 3"):
        loaded(exits)
    with pytest.raises(CardError, match="ours"):
        loaded(lambda: (_ for _ in ()).throw(CardError("ours")))


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package whose module cannot be imported, registered in every group."""
    site = tmp_path / "site"
    (site / "broken_plugin-1.0.dist-info").mkdir(parents=True)
    (site / "broken_plugin.py").write_text("x = 1 / 0\n")
    info = site / "broken_plugin-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    groups = {
        "judge_backends": "brk",
        "judges": "brk",
        "rubrics": "zz/v1",
        "metrics": "brk",
        "commands": "brk",
    }
    lines = "".join(f"[isr.{g}]\n{name} = broken_plugin:x\n" for g, name in groups.items())
    (info / "entry_points.txt").write_text(lines)
    monkeypatch.syspath_prepend(str(site))
    return "ZeroDivisionError"


def test_a_broken_package_spoils_nothing_but_itself(broken: str, tmp_path: Path) -> None:
    listed = CliRunner().invoke(cli, ["--help"], catch_exceptions=False)
    assert listed.exit_code == 0
    assert "score" in listed.stdout
    assert "unusable" in listed.stdout
    card = tmp_path / "mine.toml"
    card.write_text('backend = "brk"\nmodel = "m"\n')
    with pytest.raises(CardError, match=broken):
        open_judge(load_card(str(card)))
    with pytest.raises(CardError, match=broken):
        load_card("brk")
    with pytest.raises(RubricError, match=broken):
        load_rubric("zz/v1")
    with pytest.raises(UsageError, match=broken):
        registered_metrics()


def test_a_broken_file_is_broken_again_at_the_second_try(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text("FREE = True\ndef open_judge(card): ...\nx = nonsense\n")
    (tmp_path / "mine.toml").write_text('backend = "./judge.py:open_judge"\n[engine]\nmode = "x"\n')
    for _ in range(2):
        with pytest.raises(CardError, match="NameError"):
            open_judge(load_card(str(tmp_path / "mine.toml")))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run by a judge in a file of its own, whose card has a section of its own."""
    (tmp_path / "judge.py").write_text(HEAD + "\nFREE = True\n")
    card = tmp_path / "mine.toml"
    card.write_text('backend = "./judge.py:open_judge"\n[engine]\nmode = "x"\n[limits]\nmax_attempts = 1\n')
    make_directory(tmp_path / "e", images=1, prompts=1)
    isr.score(tmp_path / "e", judge=card, out=tmp_path / "run")
    return tmp_path / "run"


def hostile(card: dict[str, Any], folder: Path) -> None:
    card |= {"folder": str(folder), "backend": "./evil.py:open_judge", "engine": {"answers": "x"}}


def test_a_run_by_a_file_is_bundled_without_its_card(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").unlink()
    contents = gather(run)
    write_bundle(contents, run / "isr.db", tmp_path / "b.zip")
    with Bundle(tmp_path / "b.zip") as bundle:
        found, _ = verify(bundle)
    assert found.sound, found.faults


def test_a_file_that_a_bundle_names_is_not_run(run: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    write_bundle(gather(run), run / "isr.db", tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as old, zipfile.ZipFile(tmp_path / "evil.zip", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.startswith("cards/"):
                raw = json.loads(data)
                hostile(raw["card"], tmp_path)
                data = json.dumps(raw).encode()
            new.writestr(name, data)
    with Bundle(tmp_path / "evil.zip") as bundle:
        found, _ = verify(bundle)
    assert not found.sound
    assert not (tmp_path / "EXECUTED").exists()


def test_a_file_that_a_results_folder_names_is_not_run(run: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    record = json.loads((run / "run.json").read_text())
    for member in record["panel"]["members"]:
        hostile(member["card"], tmp_path)
    (run / "run.json").write_text(json.dumps(record))
    contents = gather(run)
    write_bundle(contents, run / "isr.db", tmp_path / "b.zip")
    assert not (tmp_path / "EXECUTED").exists()

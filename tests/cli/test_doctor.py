"""``isr doctor`` as a user meets it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.judging.cards import builtin_names
from tests.chat_server import serving
from tests.imports import BANNED
from tests.plugins import register
from tests.processes import run
from tests.samples import write_toml

CANARY = "canary0123456789abcdefghijkl"


@pytest.fixture(autouse=True)
def small_torch(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that is loaded at once and sees no GPU, in the process that is asked for GPUs."""
    folder = tmp_path_factory.mktemp("torch")
    text = (
        "class cuda:\n    is_available = staticmethod(lambda: False)\nclass version:\n    cuda = hip = None\n"
    )
    (folder / "torch.py").write_text(text, "utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))


def test_every_judge_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 0, done.output
    judges = done.output[done.output.index("judges that can run here") :]
    words = judges.replace(",", " ").split()
    assert [name for name in builtin_names() if name not in words] == []
    can = judges.split("judges that cannot")[0]
    assert "gpt-4.1 " in can
    assert "shapes-oracle " in can
    assert CANARY not in done.output


def test_a_server_that_runs_makes_its_card_ready(tmp_path: Path) -> None:
    with serving() as server:
        text = f'backend = "openai_chat"\nmodel = "m"\n[endpoint]\nbase_url = "{server.base_url}"\n'
        path = write_toml(tmp_path, text, "mine")
        done = CliRunner().invoke(cli, ["doctor", str(tmp_path / "edits"), "--judge", path])
        assert done.exit_code == 0, done.output
        assert f"mine                      something listens at 127.0.0.1:{server.port}" in done.output
        assert f"{tmp_path}/edits.isr/isr.db" in done.output
        assert server.stats()["calls"] == 0
    assert not (tmp_path / "edits.isr").exists()
    ended = CliRunner().invoke(cli, ["doctor", "--judge", path])
    assert ended.exit_code == 3
    assert "nothing listens at" in ended.output


def test_json_names_the_judges_that_were_asked_for() -> None:
    done = CliRunner().invoke(cli, ["doctor", "--json", "--judge", "gemini-successors", "--judge", "replay"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert [(j["name"], j["can"]) for j in said["judges"]] == [("gemini-successors", False), ("replay", True)]
    assert said["keys"] == {"GEMINI_API_KEY": False}
    assert {"isr", "python", "extras", "gpus", "listening", "place"} <= set(said)


def test_a_card_that_is_none_is_an_error() -> None:
    done = run([sys.executable, "-m", "isr", "doctor", "--judge", "no-such-card"])
    assert done.returncode == 2
    assert "no-such-card: expected the name of a card" in done.stderr


def test_a_broken_card_of_another_package_hides_no_other(tmp_path: Path) -> None:
    register(tmp_path, "isr.judges", "theirs = PATH", code="PATH = '/nowhere/theirs.toml'")
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    done = run([sys.executable, "-m", "isr", "doctor"], env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    assert "  theirs\n      --judge theirs: expected the path of a card" in done.stdout
    assert "  shapes-oracle " in done.stdout


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom isr.cli import cli\n"
        "done = CliRunner().invoke(cli, ['doctor'])\nassert done.exit_code == 0, done.output\n"
        f"print([m for m in {BANNED!r} if m in sys.modules])"
    )
    assert run([sys.executable, "-c", code], check=True).stdout.strip() == "[]"

"""Commands of other packages: found, refused where isr has one of that name, and one error where they are none."""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoints
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.errors import UsageError
from tests.plugins import register
from tests.processes import CompletedProcess, run

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import click
@click.command()
def mine():
    click.echo("mine")
number = 7
"""


def isr(site: Path, *arguments: str) -> CompletedProcess[str]:
    path = os.pathsep.join([str(site), str(ROOT)])
    return run([sys.executable, "-m", "isr", *arguments], env={**os.environ, "PYTHONPATH": path})


def test_a_built_in_command_wins_and_says_so(tmp_path: Path) -> None:
    register(tmp_path, "isr.commands", "prompts = mine", code=CODE)
    expected = (
        "isr: the command 'prompts' of the package others is refused: isr has one of that name, which is used; "
        "rename it in its package, or uninstall it\n"
    )
    done = isr(tmp_path, "prompts")
    assert (done.returncode, done.stderr) == (0, expected)
    assert "semantic/v1" in done.stdout
    assert isr(tmp_path, "--help").stderr == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("number", "expected a click.Command; found int"), ("nobody", "that can be imported")],
)
def test_what_is_no_command_is_one_line(tmp_path: Path, value: str, expected: str) -> None:
    register(tmp_path, "isr.commands", f"mine = {value}", code=CODE)
    done = isr(tmp_path, "mine")
    assert done.returncode == 2
    assert done.stderr.startswith("isr mine: ")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    listed = isr(tmp_path, "--help")
    assert listed.returncode == 0
    assert "(unusable: " in listed.stdout


def test_a_command_of_a_plug_in_that_is_not_here_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a mere install of isr: `isr tutorial` is named in the README."""
    nothing = EntryPoints(())
    monkeypatch.setattr("isr.cli.metadata.entry_points", lambda **_: nothing)
    done = CliRunner().invoke(cli, ["tutorial", "somewhere"])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception).endswith("in a checkout of isr: pip install ./examples/isr_shapes")
    assert "tutorial" not in CliRunner().invoke(cli, ["--help"]).stdout

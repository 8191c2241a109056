"""The types of options: completion by a shell, shares, fractions."""

from __future__ import annotations

import os
import sys

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from isr.cli import cli
from isr.cli._types import RADIUS, Share
from tests.cli.test_command import commands
from tests.processes import run


def completed(words: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    *given, last = words.split(" ")[1:]
    found = BashComplete(cli, {}, "isr", "_ISR_COMPLETE").get_completions(given, last)
    return [f"{item.type},{item.value}" for item in found]


def test_the_script_for_a_shell() -> None:
    code = "import sys; sys.argv[0] = 'isr'; from isr.cli import main; main()"
    done = run([sys.executable, "-c", code], env={**os.environ, "_ISR_COMPLETE": "bash_source"})
    assert done.returncode == 0
    assert "complete -o nosort -F _isr_completion isr" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("isr sco", ["plain,score"]),
        ("isr judges se", ["plain,serve"]),
        ("isr score --judge gpt-4", ["plain,gpt-4.1", "plain,gpt-4o"]),
        ("isr score --judge my", ["file,my"]),  # the path of a card
        ("isr judges show shapes", ["plain,shapes-oracle"]),
        ("isr score --rubric semantic/", ["plain,semantic/v1"]),
        ("isr immunize --method photoguard_e", ["plain,photoguard_encoder"]),
        ("isr immunize --editor hq", ["plain,hq_edit"]),
        ("isr edit --purifier jpeg_", ["plain,jpeg_downscale"]),
    ],
)
def test_names_are_completed(words: str, expected: list[str]) -> None:
    assert completed(words) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("plan --half-width 5", "between 0 and 1; found 5; for 5 percentage points write 0.05"),
        ("plan --half-width 5%", "between 0 and 1; found 5%; for 5 percentage points write 0.05"),
        ("plan --half-width 0.5%", "found 0.5%; for 0.5 percentage points write 0.005"),
        ("plan --half-width 1", "between 0 and 1; found 1\n"),
        ("plan --half-width nan", "between 0 and 1; found nan\n"),
        ("plan --half-width x", "between 0 and 1; found x\n"),
        ("plan --half-width 300", "between 0 and 1; found 300\n"),
        ("plan --rate 50", "between 0 and 1; found 50; for 50 % write 0.5"),
        ("plan --icc 30", "from 0 to 1; found 30\n"),  # a correlation is no share
        ("plan --level 95", "from 0.5 to below 1; found 95; for 95 % write 0.95"),
        ("score x --level 95", "from 0.5 to below 1; found 95; for 95 % write 0.95"),
        ("compare x --margin 5", "between 0 and 1; found 5; for 5 percentage points write 0.05"),
        ("compare x --level 0.4", "from 0.5 to below 1; found 0.4\n"),
        ("immunize x --eps eight", "in [0, 1] pixel units, such as 0.03 or 8/255; found 'eight'"),
        ("immunize x --eps 8/0", "such as 0.03 or 8/255; found '8/0'"),
    ],
)
def test_shares_and_radii_that_are_none(arguments: str, expected: str) -> None:
    done = CliRunner().invoke(cli, arguments.split())
    assert done.exit_code == 2
    assert expected in done.output


def test_every_share_of_every_command_is_told_so() -> None:
    """An option between 0 and 1 has the type that knows percent."""
    bounded = [
        (path, p.name)
        for path, ctx in commands()
        for p in ctx.command.params
        if isinstance(p.type, click.FloatRange) and p.type.max == 1 and not isinstance(p.type, Share)
    ]
    assert bounded == []


@pytest.mark.parametrize(
    ("text", "number"), [("8/255", 8 / 255), ("0.03", 0.03), (" 16 / 255 ", 16 / 255), ("0.5/255", 0.5 / 255)]
)
def test_a_fraction_is_the_number_nearest_to_it(text: str, number: float) -> None:
    assert RADIUS.convert(text, None, None) == number
    assert RADIUS.convert(repr(number), None, None) == number  # as files keep it

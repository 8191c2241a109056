"""The types of options: completion by a shell."""

from __future__ import annotations

import os
import sys

import pytest
from click.shell_completion import BashComplete

from isr.cli import cli
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

"""What every command does alike: its options of one value, ``-q`` and ``-v``, the groups of its help."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.cli._command import INSTEAD, adopted, grouped, is_single
from tests.plugins import register
from tests.processes import run

ROOT = Path(__file__).resolve().parents[2]


def commands(
    group: click.Command = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Context]]:
    """Every command and group of ``isr``, with the words that call it."""
    ctx = click.Context(group, info_name=path[-1] if path else "isr", resilient_parsing=True)
    yield path, ctx
    if isinstance(group, click.Group):
        for name in group.list_commands(ctx):
            found = group.get_command(ctx, name)
            assert found is not None
            yield from commands(found, (*path, name))


def said(path: tuple[str, ...], *arguments: str) -> str:
    done = CliRunner().invoke(cli, [*path, *arguments])
    assert done.exit_code == 2, (path, arguments, done.output)
    return done.output


def test_every_option_of_one_value_of_every_command_is_refused_twice() -> None:
    """Whatever its type: it is told before a value is read as anything, and before arguments are missed."""
    seen = 0
    for path, ctx in commands():
        for option in filter(is_single, ctx.command.get_params(ctx)):
            seen += 1
            word = max(option.opts, key=len)
            one, two = (["7"] * option.nargs, ["8"] * option.nargs)
            expected = f"Error: {word}: expected one value; found {' '.join(one)!r} and "
            for other in (one, two):  # the same value too
                found = said(path, word, *one, word, *other)
                assert f"{expected}{' '.join(other)!r}; give it once" in found, found
    assert seen > 100


def test_what_may_be_repeated_may_be_repeated() -> None:
    seen = 0
    for path, ctx in commands():
        for option in ctx.command.get_params(ctx):
            if isinstance(option, click.Option) and (
                option.multiple or (option.is_flag and option.expose_value)
            ):
                word = max(option.opts, key=len)
                value = [] if option.is_flag else ["7"]
                found = CliRunner().invoke(cli, [*path, word, *value, word, *value, "--help"])
                assert found.exit_code == 0, (path, word, found.output)
                seen += 1
    assert seen > 50


def test_options_in_every_spelling_and_what_is_there_instead() -> None:
    found = said(("score",), "x", "--judge=a", "--judge", "b")
    assert (
        "--judge: expected one value; found 'a' and 'b'; give it once; several judges with one verdict are a panel"
        in found
    )
    assert "found '1' and '2' and '3' and 1 more" in said(
        ("score",), "x", *(f"--limit={n}" for n in range(1, 5))
    )
    key = "sk-" + "a" * 40
    assert key not in said(("score",), "x", "--judge", key, "--judge", "b")


def test_what_is_there_instead_names_options_that_there_are() -> None:
    there = {
        (path[-1], p.name) for path, ctx in commands() if path for p in ctx.command.params if is_single(p)
    }
    assert set(INSTEAD) <= there


CODE = """
import click, logging
@click.group()
@click.option("--where")
def mine(where): pass
@mine.command()
@click.option("--name", "-n")
@click.option("--quiet", is_flag=True)
def inner(name, quiet):
    logging.getLogger("isr.x").debug("more is said")
    click.echo(f"{name} {quiet}")
@mine.command()
@click.option("-q", "--query")
@click.option("-v", "--value", count=True)
def own(query, value):
    click.echo(f"{query} {value}")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    register(folder, "isr.commands", "mine = mine", code=CODE)
    return folder


@pytest.mark.parametrize(
    ("arguments", "out", "err"),
    [
        ("mine inner --name a -n b", "", "--name: expected one value; found 'a' and 'b'; give it once"),
        (
            "mine --where a --where a inner",
            "",
            "--where: expected one value; found 'a' and 'a'; give it once",
        ),
        ("mine inner --name a -q", "a True", ""),
        ("-q mine inner", "None True", ""),
        ("mine -q inner -v", "None True", "isr: more is said"),
        ("mine -v inner", "None False", "isr: more is said"),
        ("mine own -q text -vv", "text 2", ""),  # words of its own stay its own
    ],
)
def test_a_command_of_another_package(site: Path, arguments: str, out: str, err: str) -> None:
    path = os.pathsep.join([str(site), str(ROOT)])
    done = run([sys.executable, "-m", "isr", *arguments.split()], env={**os.environ, "PYTHONPATH": path})
    assert done.stdout.strip() == out, done.stderr
    assert (err in done.stderr) if err else not done.stderr


# ---------------------------------------------------------------------- -q and -v


def test_every_command_takes_q_and_v_before_and_after() -> None:
    for path, ctx in commands():
        words = {word for p in ctx.command.get_params(ctx) for word in p.opts}
        assert {"-q", "--quiet", "-v", "--verbose"} <= words, path
        if path:
            shown = CliRunner().invoke(cli, ["-q", "-v", *path, "-q", "-v", "--help"])
            assert shown.exit_code == 0, (path, shown.output)
            assert shown.output.count("--quiet") == 1
    assert logging.getLogger("isr").level == logging.DEBUG


@pytest.mark.parametrize(
    ("arguments", "level", "quiet"),
    [
        ([], logging.INFO, False),
        (["-v"], logging.DEBUG, False),
        (["-q"], logging.INFO, True),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_q_and_v_mean_the_same_wherever_they_stand(
    arguments: list[str], level: int, quiet: bool, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isr.cli import bench

    seen: list[tuple[bool, int]] = []

    def look(**given: object) -> None:
        seen.append((bool(given["quiet"]), logging.getLogger("isr").level))

    monkeypatch.setattr(bench.command, "callback", look)
    words = [*arguments, "bench", "s.toml"] if before else ["bench", "s.toml", *arguments]
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert seen == [(quiet, level)]


# ---------------------------------------------------------------------- names that are not known


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("scor", "found 'scor'; did you mean score"),
        ("zzzz", "found 'zzzz'; cli --help lists all"),
        ("judges shw", "found 'shw'; did you mean show?"),
        ("plan --rat 3", "--rate"),
        ("score x --judge gpt-4.l", "found neither; did you mean gpt-4.1 or gpt-4o? isr judges lists all"),
        ("score x --judge zzzz", "found neither; isr judges lists all"),
        ("prompts show semantik/v1", "found no such version; did you mean semantic/v1"),
    ],
)
def test_the_nearest_names_are_said(arguments: str, expected: str) -> None:
    done = CliRunner().invoke(cli, arguments.split())
    assert expected in f"{done.output}{done.exception}"


# ---------------------------------------------------------------------- groups


def test_options_stand_under_headings_and_what_is_named_nowhere_comes_last() -> None:
    @grouped(what_is_judged=("one",), output=("two", "gone"))
    @click.command()
    @click.option("--two", help="Second.")
    @click.option("--one", help="First.")
    @click.option("--three", help="Third.")
    def made(**given: object) -> None: ...

    text = CliRunner().invoke(adopted(made), ["--help"]).output
    parts = [
        "What is judged options:",
        "--one",
        "Output options:",
        "--two",
        "Other options:",
        "--three",
        "--quiet",
        "--help",
    ]
    assert [text.index(p) for p in parts] == sorted(text.index(p) for p in parts)
    assert "gone" not in text


def test_where_options_are_grouped_all_are_and_all_that_are_named_are_there() -> None:
    seen = 0
    for path, ctx in commands():
        groups = getattr(ctx.command, "option_groups", {})
        named = [name for names in groups.values() for name in names]
        options = [p for p in ctx.command.get_params(ctx) if isinstance(p, click.Option) and p.expose_value]
        there = [p.name for p in options if p.name != "quiet"]
        if groups:
            seen += 1
            assert sorted(named) == sorted(map(str, there)), path
    assert seen >= 7

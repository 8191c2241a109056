"""``isr prompts``."""

from __future__ import annotations

import click

from isr.cli._types import RUBRIC


@click.group(invoke_without_command=True, short_help="List, show and compare the judging prompts (rubrics).")
@click.pass_context
def command(ctx: click.Context) -> None:
    """The published rubrics, with what they ask and their digests.

    \b
    isr prompts
    isr prompts show semantic/v1
    isr prompts diff semantic/v1 perceptual/v1
    """
    if ctx.invoked_subcommand is None:
        from isr.canonical import short
        from isr.judging.rubrics import load_rubric, names

        for name in names():
            rubric = load_rubric(name)
            click.echo(f"{name:20} {rubric.question:11} {short(rubric.digest)}  {rubric.title}")


@command.command()
@click.argument("name", type=RUBRIC)
def show(name: str) -> None:
    """Print one rubric as the judge reads it, and its answer schema."""
    click.echo(_text(name))


@command.command()
@click.argument("a", type=RUBRIC)
@click.argument("b", type=RUBRIC)
def diff(a: str, b: str) -> None:
    """Print the differences between two rubrics."""
    import difflib

    lines = difflib.unified_diff(_text(a).splitlines(), _text(b).splitlines(), a, b, lineterm="", n=2)
    click.echo("\n".join(lines) or "no difference")


def _text(name: str) -> str:
    import json

    from isr.judging.rubrics import load_rubric

    rubric = load_rubric(name)
    user = "\n".join(f"[image: {p.image}]" if p.image else p.text for p in rubric.user)
    schema = json.dumps(rubric.schema_(), indent=1)
    return (
        f"rubric: {rubric.name}\nquestion: {rubric.question}\ndigest: {rubric.digest}\n\n"
        f"--- system\n{rubric.system.strip()}\n\n--- user\n{user}\n\n--- answer schema\n{schema}"
    )

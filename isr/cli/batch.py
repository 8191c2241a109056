"""``isr batch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from isr.cli._command import CarefulGroup

if TYPE_CHECKING:
    from isr.scoring.batches import Listed

_PATH = click.Path(path_type=Path)
SCHEMA = "isr.batches/1"


@click.group(cls=CarefulGroup, short_help="The batches of a run: list, fetch, cancel.")
def command() -> None:
    """What isr score --engine openai-batch has at a host. RUN_OR_DIR is an edit directory, its results or a run in them.

    \b
    isr batch list edits/
    isr batch fetch edits/
    isr batch cancel edits/
    """


@command.command(name="list")
@click.argument("run_or_dir", metavar="RUN_OR_DIR", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(run_or_dir: Path, as_json: bool) -> None:
    """List every batch, with what its host says now of those that are not over.

    \b
    isr batch list edits/
    """
    import asyncio

    from isr.scoring.batches import list_batches

    _print(asyncio.run(list_batches(run_or_dir)), as_json, "no batches")


@command.command()
@click.argument("run_or_dir", metavar="RUN_OR_DIR", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def fetch(run_or_dir: Path, as_json: bool) -> None:
    """Take what is done, as the isr score that submitted it with --no-wait would, and ask for nothing new.

    The run's result is written as far as it is known. Exit code 3 while requests are without an answer.

    \b
    isr batch fetch edits/
    """
    import asyncio

    from isr.scoring.batches import fetches, list_batches
    from isr.scoring.run import Watch, run

    code = 0
    for options in fetches(run_or_dir):
        done = asyncio.run(run(options, Watch()))
        code = max(code, done.exit_code)
        if not as_json:
            click.echo(f"{done.progress.answered:,} answers fetched; results: {done.out}")
    _print(asyncio.run(list_batches(run_or_dir)), as_json, "no batches")
    raise SystemExit(code)


@command.command()
@click.argument("run_or_dir", metavar="RUN_OR_DIR", type=_PATH)
@click.option(
    "--forget",
    is_flag=True,
    help="Also give up what was done, as where the host no longer keeps it; it is asked, and paid for, again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cancel(run_or_dir: Path, forget: bool, as_json: bool) -> None:
    """Ask the host to end every batch that is not over.

    What a batch has done until then is paid for and is kept: isr batch fetch takes it. The same isr score asks for the rest
    again.

    \b
    isr batch cancel edits/
    """
    import asyncio

    from isr.scoring.batches import cancel_batches

    _print(asyncio.run(cancel_batches(run_or_dir, forget=forget)), as_json, "no batch that is not over")


def _print(found: list[Listed], as_json: bool, none: str) -> None:
    import json
    from dataclasses import asdict

    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "batches": [asdict(b) for b in found]}, indent=1))
        return
    for batch in found:
        click.echo(_line(batch))
    if not found:
        click.echo(none)


def _line(b: Listed) -> str:
    from isr.text import plain

    done = "" if b.done is None else f"{b.done:,} of "
    at = f"{b.status} there" if b.status else b.state
    said = f": {plain(b.said)}" if b.said else ""
    return f"{b.made_at[:16]}  {b.batch or '(not created)'}  {plain(b.judge)} at {plain(b.host)}: {done}{b.requests:,} requests, {b.bytes / 1e6:.1f} MB, {at}{said}"

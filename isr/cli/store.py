"""``isr store``."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.group(short_help="Verify and export the answers that were kept.")
def command() -> None:
    """The answer store of a run: isr.db in its results' folder.

    \b
    isr store verify edits.isr/isr.db
    isr store export edits.isr/isr.db > answers.jsonl
    """


@command.command()
@click.argument("store", type=_PATH)
def verify(store: Path) -> None:
    """Derive every key and digest again. Exit code 2 if one does not hold."""
    from isr.store import Store

    with Store(_db(store), read_only=True) as opened:
        faults = list(opened.verify())
        n = opened.count()
    for fault in faults:
        click.echo(fault)
    click.echo(f"{store}: {n} answers, " + (f"{len(faults)} fault(s)" if faults else "all digests hold"))
    if faults:
        raise SystemExit(2)


@command.command()
@click.argument("store", type=_PATH)
def export(store: Path) -> None:
    """Write every answer with its request as JSON lines to stdout; the judge `replay` reads them."""
    import json

    from isr.store import Store

    with Store(_db(store), read_only=True) as opened:
        for row in opened.export():
            click.echo(json.dumps(row, ensure_ascii=False))


def _db(path: Path) -> Path:
    return path / "isr.db" if path.is_dir() else path

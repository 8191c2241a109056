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
    isr store import answers.jsonl edits.isr/isr.db
    """


@command.command()
@click.argument("store", type=_PATH)
def verify(store: Path) -> None:
    """Derive every key and digest again. Exit code 2 if one does not hold."""
    from isr.judging.store import Store

    with Store(_db(store), read_only=True) as opened:
        faults = list(opened.verify())
        n = None if faults else opened.count()
    for fault in faults:
        click.echo(fault)
    click.echo(f"{store}: {len(faults)} fault(s)" if faults else f"{store}: {n} answers, all digests hold")
    if faults:
        raise SystemExit(2)


@command.command()
@click.argument("store", type=_PATH)
def export(store: Path) -> None:
    """Write every answer with its request as JSON lines to stdout; the judge `replay` reads them."""
    import json

    from isr.judging.store import Store

    with Store(_db(store), read_only=True) as opened:
        for row in opened.export():
            click.echo(json.dumps(row, ensure_ascii=False))


@command.command(name="import")
@click.argument("answers", type=_PATH)
@click.argument("store", type=_PATH)
def import_(answers: Path, store: Path) -> None:
    """Add the answers of an export to a store, so that their judges can be scored again without asking them."""
    from collections.abc import Iterator
    from typing import Any

    from isr.errors import InputError
    from isr.judging.store import Store
    from isr.reading import Unreadable, byte_lines, json_lines

    def rows() -> Iterator[tuple[str, Any]]:
        for number, _, value in json_lines(byte_lines(answers), answers):
            if isinstance(value, Unreadable):
                raise value
            yield f"{answers}:{number}", value

    try:
        with Store(_db(store)) as opened:
            n = opened.import_rows(rows())
    except Unreadable as error:
        raise InputError(f"{error}; expected the lines of isr store export") from error
    click.echo(f"{store}: {n} answers imported; those that were there already stand")


def _db(path: Path) -> Path:
    if not path.is_dir():
        return path
    from isr.scoring.places import RESULT, STORE, home_at, read_record, store_of

    home = home_at(path)
    is_run = (home / RESULT).is_file()
    return store_of(home, read_record(home)) if is_run else home / STORE

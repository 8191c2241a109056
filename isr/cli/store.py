"""``isr store``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

_PATH = click.Path(path_type=Path)
_SHOWN = 20  # faults that are printed


@click.group(short_help="Verify, export, recover and discard the answers that were kept.")
def command() -> None:
    """The answer store of a run: isr.db in its results' folder.

    \b
    isr store verify edits.isr/isr.db
    isr store export edits.isr/isr.db > answers.jsonl
    isr store import answers.jsonl edits.isr/isr.db
    isr store recover edits.isr/isr.db
    isr store discard edits.isr/isr.db --reason empty
    """


@command.command()
@click.argument("store", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Every fault, as JSON.")
def verify(store: Path, as_json: bool) -> None:
    """Derive every key and digest again. Exit code 2 if one does not hold."""
    import json

    from isr.judging.store import Store

    with Store(_db(store), read_only=True) as opened:
        faults = list(opened.verify())
        n = None if faults else opened.count()
    remedy = f"; `isr store recover {store}` saves every answer that is sound"
    if as_json:
        click.echo(
            json.dumps({"schema": "isr.store-verification/1", "answers": n, "faults": faults}, indent=1)
        )
    elif faults:
        _tell(faults)
        click.echo(f"{store}: {len(faults)} fault(s){remedy}")
    else:
        click.echo(f"{store}: {n} answers, all digests hold")
    if faults:
        raise SystemExit(2)


@command.command()
@click.argument("store", type=_PATH)
def export(store: Path) -> None:
    """Write every answer with its request as JSON lines to stdout; the judge `replay` reads them.

    Of a damaged store, what is sound is written; what is not is named on stderr, and the exit code is 2.
    """
    import json

    from isr.judging.recovery import export_sound

    faults: list[str] = []
    for row in export_sound(_db(store), lambda _, fault: faults.append(fault)):
        click.echo(json.dumps(row, ensure_ascii=False))
    if faults:
        _tell(faults, err=True)
        click.echo(
            f"isr: {store}: {len(faults)} fault(s); what is sound was written; `isr store recover {store}` makes a "
            f"sound store of it",
            err=True,
        )
        raise SystemExit(2)


@command.command()
@click.argument("store", type=_PATH)
def recover(store: Path) -> None:
    """Make a sound store out of a damaged one, with every answer whose digest holds.

    The damaged file is kept beside it, as isr.db.damaged-DIGEST. A sound store is left as it is. Afterwards run the
    same isr score again: it asks for the answers that were lost.
    """
    from isr.judging.recovery import recover as recovered

    path = _db(store)
    done = recovered(path)
    if done.kept is None:
        click.echo(f"{path}: {done.answers} answers, all digests hold; nothing was changed")
        return
    _tell(done.faults)
    of = f" of {done.before}" if done.before is not None and done.before >= done.answers else ""
    click.echo(f"{path}: {done.answers}{of} answers saved; the damaged store is kept as {done.kept}")
    click.echo("run the same isr score again: it asks for what was lost")


@command.command()
@click.argument("store", type=_PATH)
@click.option(
    "--reason",
    required=True,
    help="Which: empty, truncated, not_json, missing_field, off_scale or aborted.",
)
def discard(store: Path, reason: str) -> None:
    """Put useless answers aside, of judges that have not given a single verdict, so that they are asked again.

    For a judge that is repaired: a server that wrote its answers into the field for thoughts, a limit that cut off every
    reply. It leaves no mark in the signature, since without a verdict there is nothing to select from; where a judge has
    given one, use isr score --reask. The store as it was is kept beside it.

    \b
    isr store discard edits.isr --reason empty
    """
    from isr.judging.discard import discard as discarded

    done = discarded(_db(store), reason)
    for model, n in sorted(done.answers.items()):
        click.echo(f"{n} answers of {model or 'a judge'} were put aside ({reason})")
    click.echo(f"the store as it was is kept as {done.kept}; run the same isr score again to ask anew")


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

    undigested = 0

    def rows() -> Iterator[tuple[str, Any]]:
        nonlocal undigested
        for number, _, value in json_lines(byte_lines(answers), answers):
            if isinstance(value, Unreadable):
                raise value
            undigested += isinstance(value, dict) and "answer" in value and "digest" not in value
            yield f"{answers}:{number}", value

    try:
        with Store(_db(store)) as opened:
            n = opened.import_rows(rows())
    except Unreadable as error:
        raise InputError(f"{error}; expected the lines of isr store export") from error
    click.echo(f"{store}: {n} answers imported; those that were there already stand")
    if undigested:
        click.echo(
            f"isr: warning: {answers}: {undigested} of {n} answers have no digest, as exports of isr 0.1.0: whether they are "
            f"as they were received is not known",
            err=True,
        )


def _tell(faults: Sequence[str], err: bool = False) -> None:
    """Prints the first faults, and how many there are beside them."""
    for fault in faults[:_SHOWN]:
        click.echo(fault, err=err)
    if len(faults) > _SHOWN:
        click.echo(f"... and {len(faults) - _SHOWN:,} more (isr store verify --json lists all)", err=err)


def _db(path: Path) -> Path:
    from isr.scoring.places import store_at

    return store_at(path)

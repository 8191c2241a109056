"""``isr verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isr.scoring.judge_words import Answered
    from isr.scoring.result import Result

_PATH = click.Path(path_type=Path)


@click.command(short_help="Recompute a bundle's result, offline; ask a judge of your own about a sample.")
@click.argument("bundle", type=_PATH)
@click.option(
    "--data", type=_PATH, metavar="EDIT_DIR", help="A folder of the images, if they are not in the bundle."
)
@click.option("--rejudge", type=click.IntRange(1), metavar="N", help="Ask --judge about N random edits.")
@click.option("--judge", default="", metavar="CARD", help="Of --rejudge: a judge of your own.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override one field of the card.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="Of the sample of --rejudge. Default: a random one, which is printed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    bundle: Path,
    data: Path | None,
    rejudge: int | None,
    judge: str,
    sets: tuple[str, ...],
    seed: int | None,
    as_json: bool,
) -> None:
    """Recompute the result from the raw answers in BUNDLE; print its table, and say what was proved, and what was not.

    \b
    Exit codes: 0 everything is as it was reported; 2 something is not, and is named.

    \b
    isr verify edits.bundle.zip
    isr verify edits.bundle.zip --data edits/
    isr verify edits.bundle.zip --rejudge 50 --judge qwen3.5-9b
    """
    import json
    import secrets

    from isr.bundle.rejudge import rejudge as ask_again
    from isr.bundle.verify import lines, said_again, verify
    from isr.errors import UsageError
    from isr.scoring.bundle_file import Bundle

    if (rejudge is None) != (not judge):
        raise UsageError("isr verify: expected --rejudge N and --judge CARD together; found one of them")
    with Bundle(bundle) as opened:
        found, parts = verify(opened, data)
        if rejudge is not None:
            from isr.judging.cards import load_panel
            from isr.judging.keys import check_pair

            panel = load_panel(judge, sets)
            for card in panel.members:
                check_pair(card)
            # whoever made the bundle must not know beforehand which edits are asked about
            drawn = secrets.randbits(32) if seed is None else seed
            again = ask_again(opened, parts, panel, rejudge, data=data, seed=drawn)
            found.rejudged = again
            if again.outcome.n:
                found.proved.append(f"a sample of the answers: {said_again(again)}")
            else:
                found.unproved.append("a sample of the answers: the judge that was asked again decided none")
            found.unproved.append("the answers about the other edits")
    if as_json:
        estimates = {name: parts.raw[name] for name in ("treatments", "control")}
        click.echo(json.dumps({**_plain(found), "estimates": estimates}, indent=1))
    else:
        if not found.sound:
            click.echo("AS THE BUNDLE REPORTS IT, which is not what was found; the faults stand below\n")
        click.echo(_table(parts.result, found.answered))
        click.echo("\n".join(lines(found)))
    raise SystemExit(0 if found.sound else 2)


def _table(result: Result, answered: Sequence[Answered]) -> str:
    """The table of a result; of one that nobody could have made, a line."""
    from isr.scoring.text import render

    try:
        return render(result, answered)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, StopIteration):
        return "the result holds values that no table can show\n"


def _plain(found: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "schema": "isr.verification/1",
        "verified": found.sound,
        **{name: getattr(found, name) for name in ("faults", "proved", "unproved", "notes")},
        "rejudged": None if found.rejudged is None else asdict(found.rejudged),
    }

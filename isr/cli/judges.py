"""``isr judges``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from isr.cards import Card


@click.group(invoke_without_command=True, short_help="List, show, check and allow judges.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """The judge cards, with what each needs.

    \b
    isr judges
    isr judges show gpt-4.1
    isr judges check qwen2.5-vl-7b
    isr judges allow api.example.org EXAMPLE_KEY
    """
    if ctx.invoked_subcommand is None:
        from isr.cards import builtin_names, load_card

        for name in builtin_names():
            card = load_card(name)
            retires = f"; retires {card.retires_on}" if card.retires_on else ""
            click.echo(f"{name:20} {card.backend:14} needs {card.needs}{retires}")


@command.command()
@click.argument("name")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override one field of the card.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Print a card, and the identity under which its answers are kept."""
    import json

    from isr.cards import load_panel

    panel = load_panel(name, sets)
    cards = [{**c.model_dump(mode="json"), "identity_digest": c.digest} for c in panel.members]
    if as_json:
        click.echo(
            json.dumps({"name": panel.name, "rule": panel.rule, "members": cards}, indent=1, default=str)
        )
        return
    if len(panel.members) > 1:
        click.echo(f"{panel.name}: a panel, rule {panel.rule}")
    for card in panel.members:
        click.echo(_shown(card))


def _shown(card: Card) -> str:
    import json

    lines = [card.name]
    for key, value in card.model_dump(mode="json", exclude={"name", "notes"}).items():
        if value not in ("", None, [], {}):
            lines.append(f"  {key:14} {json.dumps(value) if isinstance(value, dict | list) else value}")
    lines.append(f"  {'identity':14} {card.digest}")
    lines += [f"  {line}" for line in card.notes.strip().splitlines()]
    return "\n".join(lines)


@command.command()
@click.argument("name")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override one field of the card.")
def check(name: str, sets: tuple[str, ...]) -> None:
    """Make one real call for each question and report model, latency, schema support and cost."""
    from isr.cards import load_panel
    from isr.checking import check_card

    good = True
    for card in load_panel(name, sets).members:
        report = check_card(card)
        good = good and report.usable
        click.echo(report.text())
    if not good:
        raise SystemExit(3)


@command.command()
@click.argument("host")
@click.argument("variable")
def allow(host: str, variable: str) -> None:
    """Allow the key in the environment VARIABLE to be sent to HOST, from now on.

    HOST has no scheme, port or path: the key may go to every port of it.
    """
    from isr.access import allow as record

    path = record(host, variable)
    click.echo(f"{variable} may be sent to {host} (recorded in {path})")

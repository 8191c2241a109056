"""``isr judges``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from isr.cli._types import CARD

if TYPE_CHECKING:
    from isr.judging.cards import Card


@click.group(invoke_without_command=True, short_help="List, show, check and allow judges.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """The judge cards, with what each needs.

    \b
    isr judges
    isr judges show gpt-4.1
    isr judges check qwen3.5-9b
    isr judges serve qwen3.5-9b
    isr judges allow api.example.org EXAMPLE_KEY
    """
    if ctx.invoked_subcommand is None:
        from isr.judging.cards import builtin_names, load_card
        from isr.judging.retirement import is_past, utc_today

        for name in builtin_names():
            card = load_card(name)
            when = "RETIRED since" if is_past(card, utc_today().isoformat()) else "retires"
            retires = f"; {when} {card.retires_on}" if card.retires_on else ""
            click.echo(f"{name:27} {card.backend:16} needs {card.needs}{retires}")


@command.command()
@click.argument("name", type=CARD)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override one field of the card.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Print a card, and the identity under which its answers are kept."""
    import json

    from isr.judging.cards import load_panel

    panel = load_panel(name, sets, complete=False)
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
@click.argument("name", type=CARD)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override one field of the card.")
@click.option("--allow-retired", is_flag=True, help="Ask a judge whose model is retired by its card.")
def check(name: str, sets: tuple[str, ...], allow_retired: bool) -> None:
    """Ask both questions about two edits whose right verdicts are known, and say what is wrong.

    Four real calls: model, latency, tokens, schema support, cost; whether the judge sees the pictures, whether its context
    is cut off, whether it thinks as its card says. Of a card with several addresses, each is checked.

    \b
    isr judges check ollama:qwen3-vl
    isr judges check gpt-4.1
    """
    from isr.judging.cards import load_panel
    from isr.judging.check import check_card

    good = True
    for card in load_panel(name, sets).members:
        places = card.endpoint.each
        for place in places:
            report = check_card(card.model_copy(update={"endpoint": place}), allow_retired=allow_retired)
            good = good and report.usable
            click.echo(f"{place.address}: {report.text()}" if len(places) > 1 else report.text())
    if not good:
        raise SystemExit(3)


@command.command()
@click.argument("host")
@click.argument("variable")
def allow(host: str, variable: str) -> None:
    """Allow the key in the environment VARIABLE to be sent to HOST, from now on.

    HOST has no scheme, port or path: the key may go to every port of it.
    """
    from isr.judging.keys import allow as record

    path = record(host, variable)
    click.echo(f"{variable} may be sent to {host} (recorded in {path})")


@command.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", type=CARD)
@click.argument("then", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override one field of the card.")
@click.option("--run", "start", is_flag=True, help="Start the server, wait for it, stop it in the end.")
@click.option("--python", default="", metavar="PATH", help="The Python in which vLLM is installed.")
@click.option("--wait", "wait_s", default=900.0, show_default=True, help="Seconds to wait for the server.")
def serve(
    name: str, then: tuple[str, ...], sets: tuple[str, ...], start: bool, python: str, wait_s: float
) -> None:
    """Print the vLLM server's command for a card; with --run, start it.

    \b
    isr judges serve qwen3.5-9b
    isr judges serve qwen3.5-9b --run
    isr judges serve qwen3.5-9b --run -- isr score EDIT_DIR --judge qwen3.5-9b

    With a COMMAND the server lives as long as the command runs, and the exit code is the command's.
    """
    import signal
    import sys
    import time

    from isr.errors import UsageError
    from isr.judges._vllm_server import run_beside, running, server_of
    from isr.judging.cards import load_card

    if then and not start:
        raise UsageError("isr judges serve: a COMMAND needs --run")
    card = load_card(name, sets)
    server = server_of(card, python or (sys.executable if start else "python"))
    if not start:
        click.echo(server.command)
        return
    click.echo(server.command, err=True)
    # both end the server; raised here, as a script that starts this in the background has SIGINT ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if then:
        raise SystemExit(run_beside(server, then, wait_s))
    with running(server, wait_s):
        try:
            click.echo(f"isr: {card.name} answers at {server.base_url}; Ctrl-C stops it", err=True)
            while True:  # not signal.pause(): a signal that comes just before it would be slept through
                time.sleep(0.5)
        except KeyboardInterrupt:
            click.echo("isr: stopping the server", err=True)

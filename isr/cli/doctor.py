"""``isr doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from isr.cli._types import CARD

_PATH = click.Path(path_type=Path)


@click.command(short_help="Look at this environment: which judges can run here, and why others cannot.")
@click.argument("directory", metavar="[EDIT_DIR]", type=_PATH, default=Path("edits"))
@click.option(
    "--judge",
    "judges",
    multiple=True,
    type=CARD,
    metavar="CARD",
    help="Look at this card only: a name, HOST:MODEL or a path. Default: all that isr judges lists.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(directory: Path, judges: tuple[str, ...], as_json: bool) -> None:
    """Look at Python, extras, GPUs, keys, servers on this machine and the disk under EDIT_DIR's answers.

    Nobody is asked anything, and no key is shown: of a variable only whether it is set. A server counts as there if it takes
    connections; isr judges check asks it. Exit code 0, or 3 if none of the judges of --judge can run here.

    \b
    isr doctor
    isr doctor edits/ --judge qwen3.5-9b --judge ollama:qwen3-vl:8b
    isr doctor --json
    """
    import json
    from dataclasses import asdict
    from datetime import date

    from isr.doctor.machine import look
    from isr.doctor.text import render
    from isr.doctor.verdicts import Verdict, verdicts
    from isr.errors import CardError
    from isr.judging.cards import builtin_names, load_panel
    from isr.scoring.options import Options

    panels, broken = [], []
    for name in judges or builtin_names():
        try:
            panels.append(load_panel(name, complete=False))
        except CardError as error:  # a card of another package must not hide the others
            if judges:
                raise
            broken.append(Verdict(name, False, (" ".join(str(error).split()),)))
    machine = look((c for p in panels for c in p.members), Options(directory=directory).store_path)
    found = (*verdicts(panels, machine, date.today()), *broken)  # noqa: DTZ011  (a card's own day)
    if as_json:
        said = {**asdict(machine), "weights": sorted(machine.weights), "judges": [asdict(v) for v in found]}
        click.echo(json.dumps(said, indent=1))
    else:
        click.echo(render(machine, found), nl=False)
    if judges and not any(v.can for v in found):
        raise SystemExit(3)

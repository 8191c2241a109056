"""``isr config``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="The configuration in force, and where each value comes from.")
@click.argument("directory", metavar="[EDIT_DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(directory: Path | None, as_json: bool) -> None:
    """Show the default judge, the hosts to which keys may go, and the environment variables that isr reads.

    Of EDIT_DIR also what its isr.toml says. No key is shown: of its variable only whether it is set.

    \b
    isr config
    isr config edits/ --json
    """
    import json

    from isr.doctor.configuration import configuration

    found = configuration(directory)
    click.echo(json.dumps(found.as_dict(), indent=1) if as_json else found.text(), nl=as_json)

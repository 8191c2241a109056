"""``isr init``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Make an edit directory from existing folders.")
@click.argument("directory", metavar="EDIT_DIR", type=click.Path(path_type=Path))
@click.option("--edits", required=True, metavar="GLOB", help="Edits of the protected images.")
@click.option(
    "--prompts",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="Columns name (the stem of an edit or of a source) and prompt; prompt_id and others are kept.",
)
@click.option("--source", metavar="GLOB", help="Original images.")
@click.option("--control", metavar="GLOB", help="Edits of the unprotected sources.")
@click.option("--protected", metavar="GLOB", help="Protected images.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=VALUE",
    help="A column that is the same for all rows, e.g. method=sifm.",
)
@click.option("--allow-unmatched", is_flag=True, help="Go on with what matched.")
def command(
    directory: Path,
    edits: str,
    prompts: Path,
    source: str | None,
    control: str | None,
    protected: str | None,
    columns: tuple[str, ...],
    allow_unmatched: bool,
) -> None:
    """Copy files into EDIT_DIR and write its metadata.jsonl, matching by name; show what did not match.

    cat_3.png, or cat.png, is the source of the edit cat_3-sifm.png, or of cat_3.png: the longest name with which
    the edit's name begins.

    \b
    isr init edits/ --edits 'out/sifm/*.png' --source 'images/*.png' --control 'out/clean/*.png' \\
        --prompts prompts.csv --column method=sifm --column editor=ip2p
    """
    from isr.edits.create import expand, match, parse_columns, read_prompts, write_directory
    from isr.errors import UsageError

    patterns = {"source_file_name": source, "control_file_name": control, "protected_file_name": protected}
    others = {column: expand(p, f"--{column.split('_')[0]}") for column, p in patterns.items() if p}
    constant = parse_columns(columns)
    found = match(expand(edits, "--edits"), read_prompts(prompts), others)
    click.echo(found.report())
    if any(found.unmatched.values()) and not allow_unmatched:
        raise UsageError("some did not match, nothing was written; rename them, or pass --allow-unmatched")
    if not found.rows:
        raise UsageError("no edit matched, nothing was written")
    click.echo(f"wrote {write_directory(directory, found, constant)}; next: isr validate {directory}")

"""``isr init``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isr.cli._options import gathered

if TYPE_CHECKING:
    from isr.edits.matching import Match

_PATTERN = "GLOB|TEMPLATE"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for."""

    directory: Path
    edits: tuple[str, ...]
    prompts: str | None
    source: tuple[str, ...]
    control: tuple[str, ...]
    protected: tuple[str, ...]
    maps: tuple[str, ...]
    columns: tuple[str, ...]
    crop: str | None
    add: bool
    dry_run: bool
    allow_unmatched: bool


@click.command(short_help="Make an edit directory from existing folders.")
@click.argument("directory", metavar="EDIT_DIR", type=click.Path(path_type=Path))
@click.option("--edits", multiple=True, metavar=_PATTERN, help="Edits of the protected images.")
@click.option(
    "--prompts",
    metavar="TABLE",
    help="CSV, TSV, JSON, JSONL or parquet. For globs: columns name (the stem of an edit or of a source) and prompt; "
    "prompt_id and others are kept. For templates: prompt, and columns that the templates name.",
)
@click.option("--source", multiple=True, metavar=_PATTERN, help="Original images.")
@click.option("--control", multiple=True, metavar=_PATTERN, help="Edits of the unprotected sources.")
@click.option("--protected", multiple=True, metavar=_PATTERN, help="Protected images.")
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="THEIRS=OURS",
    help="A column of the table is ours, e.g. key=edit_id; or holds some: 'output={image}-output{turn:d}.png'.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=VALUE",
    help="A column that is the same for all rows, e.g. method=sifm.",
)
@click.option(
    "--crop",
    type=click.Choice(("last",)),
    help="Edits and control edits are strips of pictures of the source's shape, of which the last is the edit.",
)
@click.option("--add", is_flag=True, help="Add the rows to EDIT_DIR, e.g. those of a further method.")
@click.option("--dry-run", is_flag=True, help="Show what matches and write nothing.")
@click.option("--allow-unmatched", is_flag=True, help="Go on with what matched.")
@gathered(Options)
def command(o: Options) -> None:
    """Copy files into EDIT_DIR and write its metadata.jsonl; show what matched, and what did not.

    A template names the columns in a path: files whose columns agree belong together. {seed} and {name:d} hold digits,
    {source_file_name} a whole path, * anything. Of two templates that fit a file, the one that says more is its own.

    With globs, cat_3.png or cat.png is the source of the edit cat_3-sifm.png, whichever of them is there; with both
    there, and wherever else two files could be meant, nothing is guessed and nothing written.

    \b
    isr init edits/ --edits 'out/{method}/seed{seed}/{image}_{prompt_id}.png' --source 'images/{image}.png' \\
        --control 'out/clean/seed{seed}/{image}_{prompt_id}.png' --prompts prompts.csv --column editor=ip2p
    isr init edits/ --edits 'out/sifm/*.png' --source 'images/*.png' --control 'out/clean/*.png' \\
        --prompts prompts.csv --column method=sifm --column editor=ip2p
    """
    from isr.edits.columns import splits
    from isr.edits.create import parse_columns, write_directory
    from isr.edits.matching import Picture, require_units
    from isr.errors import UsageError

    constant = parse_columns(o.columns)
    found = _found(o, constant)
    click.echo(found.report())
    if any(found.unmatched.values()) and not o.allow_unmatched:
        raise UsageError(
            "some did not match, nothing was written; say with templates how names are built (isr init --help), rename "
            "them, or pass --allow-unmatched"
        )
    if not found.rows:
        raise UsageError("no edit matched, nothing was written")
    require_units(found.rows, constant)
    if o.dry_run:
        click.echo("nothing was written (--dry-run)")
        return
    for told in splits(str(p.place) for row in found.rows for p in row.values() if isinstance(p, Picture)):
        click.echo(f"warning: {told}")
    file = write_directory(o.directory, found, constant, add=o.add, crop=o.crop is not None)
    _tell_pictures(o.directory)
    click.echo(f"{'added to' if o.add else 'wrote'} {file}; next: isr validate {o.directory}")


def _found(o: Options, constant: dict[str, str]) -> Match:
    """What belongs together, by templates or by names."""
    from isr.edits.create import expand
    from isr.edits.joining import OPTIONS, join
    from isr.edits.matching import apart, match
    from isr.edits.prompt_tables import read_prompts, read_table
    from isr.edits.templates import is_template, template
    from isr.errors import UsageError

    given = {"file_name": o.edits, "source_file_name": o.source, "control_file_name": o.control}
    given |= {"protected_file_name": o.protected}
    patterns = {column: some for column, some in given.items() if some}
    if o.maps or not o.edits or any(is_template(p) for some in patterns.values() for p in some):
        templates = {c: [template(p, OPTIONS[c]) for p in some] for c, some in patterns.items()}
        return join(templates, read_table(o.prompts, o.maps) if o.prompts else None, constant)
    if o.prompts is None:
        raise UsageError(
            "--prompts: expected a table with the columns name and prompt; or name {prompt} in a template"
        )
    files = {OPTIONS[c]: {f: 0 for p in some for f in expand(p, OPTIONS[c])} for c, some in patterns.items()}
    owned = apart(files)
    others = {c: owned[OPTIONS[c]] for c in patterns if c != "file_name"}
    return match(owned["--edits"], read_prompts(Path(o.prompts)), others)


def _tell_pictures(directory: Path) -> None:
    """What the pictures that were brought together say against their columns: isr validate refuses some of it."""
    from isr.edits.directory import load_edits
    from isr.errors import EditDirectoryError

    try:
        found = load_edits(directory, needs_source=False)
    except EditDirectoryError as error:
        click.echo(f"warning: {error.summary}; isr validate lists them")
        return
    for seen in found.findings:
        click.echo(f"{seen.level}: {seen.text}")

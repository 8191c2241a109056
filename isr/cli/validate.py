"""``isr validate``."""

from __future__ import annotations

from pathlib import Path

import click

from isr.cli._types import RUBRIC

SHOWN = 10  # pictures of one colour that are named


@click.command(short_help="Check an edit directory and list every problem.")
@click.argument("directory", metavar="EDIT_DIR", type=click.Path(path_type=Path))
@click.option(
    "--rubric",
    "rubrics",
    multiple=True,
    type=RUBRIC,
    metavar="NAME/vN|FILE.toml",
    help="Rubrics that will be used; they decide whether sources are needed.",
)
@click.option("--accept", multiple=True, metavar="KIND", help="Take a finding about the pictures as meant.")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
def command(directory: Path, rubrics: tuple[str, ...], accept: tuple[str, ...], as_json: bool) -> None:
    """Read every row and every image of EDIT_DIR and list all that is wrong. Exit code 2 if anything is.

    The pictures are compared with each other as well: an edit that is its source, a control edit of another prompt, one
    picture under several ids, another shape. What holds for all rows can never be meant and is refused, unless --accept
    KIND says that it is; a fifth of them is a warning, fewer are a note.

    \b
    isr validate examples/shapes
    """
    import json
    from dataclasses import asdict

    from isr.edits.columns import splits
    from isr.edits.pictures import known_kinds, require
    from isr.edits.refusals import told
    from isr.errors import EditDirectoryError
    from isr.files import files_below
    from isr.judging.edits import load_edits
    from isr.scoring.places import cache_if_there, folder_beside
    from isr.scoring.remarks import remarks
    from isr.text import plain

    known_kinds(accept)
    try:
        found = load_edits(directory, rubrics=rubrics or None, cache=cache_if_there(folder_beside(directory)))
        require(found.findings, accept, str(directory))
    except EditDirectoryError as error:
        if not as_json:
            raise
        problems = [asdict(p) for p in error.problems]
        click.echo(json.dumps({"valid": False, "summary": error.summary, "problems": problems}, indent=1))
        raise SystemExit(2) from None
    edits = found.edits
    counts = {
        "edits": len(edits),
        "images": len({e.cluster for e in edits}),
        "units": len({e.unit for e in edits}),
        "units_with_control": len({e.unit for e in edits if e.control}),
        "treatments": len({e.treatment for e in edits}),
        "without_source": sum(e.source is None for e in edits),
    }
    flat = sorted(found.colours)
    there = (path.relative_to(directory).as_posix() for path in files_below(directory, hidden=False))
    remarked = (*remarks(edits), *splits(there))
    if as_json:
        more: dict[str, object] = {"remarks": list(remarked)} if remarked else {}
        more |= {"refusals": [r.as_dict() for r in found.refusals]} if found.refusals else {}
        more |= {"pictures": [f.as_dict() for f in found.findings]} if found.findings else {}
        said = {"valid": True, **counts, "one_colour": flat, **more, "problems": []}
        click.echo(json.dumps(said, indent=1))
    else:
        click.echo(
            f"{directory}: valid; " + ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items())
        )
        if found.refusals:
            click.echo(f"refused by the editor: {plain(told(found.refusals))}")
        for seen in found.findings:
            level = "accepted" if seen.level == "refusal" else seen.level
            click.echo(f"{level}: {plain(seen.text)}")
        for remark in remarked:
            click.echo(f"warning: {plain(remark)}")
        for path in flat[:SHOWN]:
            click.echo(f"  {plain(path)} is {found.colours[path]} all over")
        if len(flat) > SHOWN:
            click.echo(f"  and {len(flat) - SHOWN} more (--json: all)")

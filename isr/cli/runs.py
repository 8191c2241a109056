"""``isr runs``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from isr.scoring.listing import Listed


@click.command(short_help="The runs of an edit directory: when, by which judge, with what result.")
@click.argument("directory", metavar="EDIT_DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(directory: Path, as_json: bool) -> None:
    """List the runs of EDIT_DIR (or of its results' folder EDIT_DIR.isr, or in a bundle), the newest first.

    Commands that read a run take any of these folders; given EDIT_DIR.isr, they read the newest.

    \b
    isr runs examples/shapes
    isr compare examples/shapes.isr/runs/JUDGE-DIGEST other.isr
    """
    import json
    from dataclasses import asdict

    from isr.scoring.listing import runs_of

    found = runs_of(directory)
    if as_json:
        said = [{**asdict(r), "folder": str(r.folder)} for r in found]
        click.echo(json.dumps({"schema": "isr.runs/1", "runs": said}, indent=1))
        return
    for run in found:
        click.echo(_line(run))


def _line(run: Listed) -> str:
    lines = [f"{run.folder}", f"  {run.finished_at or '-':25}  {run.judge or '-'}: {run.state}"]
    for t in run.isr:
        name = ", ".join(v for v in (t.method, t.eps and f"eps {t.eps}") if v) or "edits"
        value = "-" if t.value is None else f"{t.value:.1%}"
        if t.between is not None:
            least, most = t.between
            lines.append(
                f"    {name}: ISR between {least:.1%} and {most:.1%} (too many edits are undecided for one value), n {t.n}"
            )
            continue
        span = "no interval" if t.low is None or t.high is None else f"{t.low:.1%} to {t.high:.1%}"
        lines.append(f"    {name}: ISR {value} ({span}), n {t.n}")
    return "\n".join(lines)

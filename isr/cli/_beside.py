"""What is written beside the result of a run: tables for a spreadsheet, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from isr.judging.plan import Plan
    from isr.report.ahead import Ahead

REPORT_MOST = 20_000  # edits; a report of more takes a while to write and to open


def begin_pictures(ahead: Ahead, plan: Plan) -> None:
    """Starts on the report's pictures, where there will be a report."""
    if len(plan.edits) <= REPORT_MOST:
        ahead.begin(plan.root, plan.edits)


def copies(
    out: Path,
    directory: Path,
    as_json: bool,
    *,
    edits: int,
    csv_safe: bool,
    parquet: bool,
    report: bool,
    ahead: Ahead | None = None,
) -> None:
    """The copies of the tables that are wanted, those for a spreadsheet also where some would stay behind; and the report."""
    if csv_safe or (out / "edits-safe.csv").is_file():
        from isr.scoring.stored import write_csv_safe

        for file in write_csv_safe(out):
            if not as_json:
                click.echo(f"for a spreadsheet: {file}")
    if parquet:
        from isr.scoring.edits_parquet import write_parquet

        file = write_parquet(out)
        if not as_json:
            click.echo(f"as Parquet: {file}")
    if report:
        write_report(out, directory, as_json, edits, ahead)


def write_report(out: Path, directory: Path, as_json: bool, edits: int, ahead: Ahead | None = None) -> None:
    """Writes report.html beside the result; a result is never lost to a report that cannot be written."""
    if edits > REPORT_MOST:
        click.echo(f"isr: no report for {edits:,} edits unasked; make it with: isr report {out}", err=True)
        return
    from isr.errors import IsrError
    from isr.report.page import Options, write_report_told
    from isr.report.runs import read_report_run

    try:
        made = Options(ready=ahead.end() if ahead else {})
        told = write_report_told([read_report_run(out, directory)], out / "report.html", made)
    except (IsrError, OSError) as error:
        click.echo(f"isr: no report was written: {error}", err=True)
        return
    if not as_json:
        click.echo("\n".join(told))

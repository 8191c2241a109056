"""``isr unbundle``."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command(short_help="An edit directory out of a bundle, with its run and its answers.")
@click.argument("bundle", type=_PATH)
@click.argument("directory", metavar="DIR", type=_PATH)
@click.option(
    "--data", type=_PATH, metavar="EDIT_DIR", help="A folder of the images, if they are not in the bundle."
)
@click.option("--no-report", is_flag=True, help="Write no report.html.")
def command(bundle: Path, directory: Path, data: Path | None, no_report: bool) -> None:
    """Write the edits of BUNDLE to DIR and its run to DIR.isr: the images under their own names, every answer in isr.db.

    Nothing is overwritten. Afterwards all commands work as where the run was made: with the same judge nothing is asked
    again.

    \b
    isr unbundle edits.bundle.zip edits/
    isr score edits/ --judge qwen3.5-9b --dry-run
    """
    from isr.bundle.unbundle import unbundle
    from isr.scoring.bundle_file import Bundle

    with Bundle(bundle) as opened:
        done = unbundle(opened, directory, data)
    click.echo(f"edits: {done.directory} ({done.images} images)")
    click.echo(f"run: {done.run} ({done.answers} answers in the store)")
    if not no_report:
        _write_report(done.run, done.directory)


def _write_report(run: Path, directory: Path) -> None:
    """Writes report.html beside the result; what was unpacked is never lost to a report that cannot be written."""
    from isr.errors import IsrError
    from isr.report.page import write_report_told
    from isr.report.runs import read_report_run

    try:
        told = write_report_told([read_report_run(run, directory)], run / "report.html")
    except (IsrError, OSError) as error:
        click.echo(f"isr: no report was written: {error}", err=True)
        return
    click.echo("\n".join(told))

"""``isr report``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from isr.report.runs import ReportRun

_PATH = click.Path(path_type=Path)


@click.command(short_help="One HTML file of one run or several; tables and sentences for a paper.")
@click.argument("runs", nargs=-1, required=True, type=_PATH, metavar="RUN...")
@click.option("--out", type=_PATH, metavar="FILE", help="Default: report.html in the first run's folder.")
@click.option(
    "--data", type=_PATH, metavar="EDIT_DIR", help="Where the images are. Default: as recorded by the run."
)
@click.option("--labels", type=_PATH, help="Labels of people. Default: labels.csv beside the run.")
@click.option(
    "--assets",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "link", "embed", "none"]),
    help="Pictures: embedded while they are few, as links, all embedded, or none.",
)
@click.option("--title", default="", help="Default: the names of the runs.")
@click.option("--latex", "as_latex", is_flag=True, help="Print the table for a paper, and write nothing.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every estimate as CSV, and write nothing.")
@click.option("--csv-safe", is_flag=True, help="Of --csv: no cell is a formula in a spreadsheet.")
@click.option("--methods", "as_methods", is_flag=True, help="Print the methods sentence, and write nothing.")
@click.option(
    "--figures",
    type=_PATH,
    metavar="DIR",
    help="Write figures for a paper into DIR as SVG, PDF and PNG with captions.txt, and no page (extra: figures).",
)
@click.option("--serve", is_flag=True, help="Show the run in a browser while it goes on (extra: label).")
@click.option("--port", default=0, help="Of --serve. Default: a free one.")
def command(runs: tuple[Path, ...], out: Path | None, data: Path | None, **options: Any) -> None:
    """Write report.html for one RUN, or one report for several.

    The file needs no network and opens from disk. Pictures are embedded up to 12 MB and linked beyond that.

    \b
    isr report edits.isr
    isr report sifm.isr photoguard.isr --out methods.html
    isr report edits.isr --latex
    isr report edits.isr --methods
    isr report edits.isr --figures figures/
    isr report edits.isr --serve
    """
    if options["serve"]:
        _serve(runs, options["port"])
        return
    from isr.report.comparison import compared
    from isr.report.page import Options, write_report
    from isr.report.paper import estimates_csv, latex, methods
    from isr.report.runs import named_runs, read_report_run
    from isr.spreadsheet import csv_safe

    found = named_runs([read_report_run(path, data) for path in runs])
    pairs = compared(found) if any(options[n] for n in ("as_latex", "as_csv", "as_methods")) else ()
    printed: dict[str, Callable[[], str]] = {
        "as_latex": lambda: latex(found, pairs),
        "as_csv": lambda: (csv_safe if options["csv_safe"] else str)(estimates_csv(found, pairs)),
        "as_methods": lambda: "\n\n".join(methods(found, pairs)) + "\n",
    }
    for name, text in printed.items():
        if options[name]:
            click.echo(text(), nl=False)
    is_printed = any(options[name] for name in printed)
    if options["figures"] is not None:
        _figures(found, options["figures"], options["labels"], is_printed=is_printed)
        return
    if is_printed:
        return
    file = out or found[0].folder / "report.html"
    write_report(found, file, Options(options["assets"], options["labels"], options["title"]))
    click.echo(f"report: {file} ({file.stat().st_size / 1e6:.1f} MB)")


def _figures(runs: list[ReportRun], out: Path, labels: Path | None, *, is_printed: bool) -> None:
    from isr.errors import InputError
    from isr.report.plots.writing import write_figures

    made = write_figures(runs, out, labels)
    for name, reason in made.missing.items():
        click.echo(f"no figure {name}: {reason}", err=True)
    if not made.files:
        raise InputError("--figures: no figure can be made of these runs; each reason stands above")
    click.echo(f"figures: {', '.join(made.names)} in {out} (SVG, PDF, PNG; captions.txt)", err=is_printed)


def _serve(runs: tuple[Path, ...], port: int) -> None:
    from isr.errors import UsageError
    from isr.web.live import watch_folder

    if len(runs) != 1:
        raise UsageError(f"--serve: expected one run; found {len(runs)}; give one folder")
    watch_folder(runs[0], port)

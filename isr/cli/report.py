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
@click.option(
    "--out",
    type=_PATH,
    metavar="FILE",
    help="Default: report.html in the first run's folder; of a bundle, beside it.",
)
@click.option(
    "--data", type=_PATH, metavar="EDIT_DIR", help="Where the images are. Default: as recorded by the run."
)
@click.option("--labels", type=_PATH, help="Labels of people. Default: labels.csv beside the run.")
@click.option(
    "--design", type=click.Choice(["random", "within_verdict"]),
    help="How the labelled edits were chosen; then rates and differences stand corrected too. Default: as the plan says.",
)  # fmt: skip
@click.option("--plan", type=_PATH, help="The plan.json of the labels. Default: the one beside them.")
@click.option(
    "--assets",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "link", "embed", "none"]),
    help="Pictures: embedded, smaller where they are many; links; the files themselves; none.",
)
@click.option("--title", default="", help="Default: the names of the runs.")
@click.option("--latex", "as_latex", is_flag=True, help="Print the table for a paper, and write nothing.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every estimate as CSV, and write nothing.")
@click.option("--csv-safe", is_flag=True, help="Of --csv: no cell is a formula in a spreadsheet.")
@click.option(
    "--table",
    type=click.Choice(["parquet"]),
    help="Write the table of edits of one run as edits.parquet beside its edits.csv, or to --out, and no page (extra: parquet).",
)
@click.option("--methods", "as_methods", is_flag=True, help="Print the methods sentence, and write nothing.")
@click.option(
    "--figures",
    type=_PATH,
    metavar="DIR",
    help="Write figures for a paper into DIR as SVG, PDF and PNG with captions.txt, and no page (extra: figures).",
)
@click.option(
    "--serve",
    is_flag=True,
    help="Show the run in a browser while it goes on, and its report afterwards (extra: label).",
)
@click.option("--port", default=0, help="Of --serve. Default: a free one.")
def command(runs: tuple[Path, ...], out: Path | None, data: Path | None, **options: Any) -> None:
    """Write report.html for one RUN, or one report for several. A RUN may be a bundle.

    The file needs no network and opens from disk. Pictures are embedded up to 24 MB: the files, else smaller ones
    with a part at full size; what does not fit even so is linked, and that is said.

    \b
    isr report edits.isr
    isr report sifm.isr photoguard.isr --out methods.html
    isr report edits.bundle.zip
    isr report edits.isr --latex
    isr report edits.isr --methods
    isr report edits.isr --table parquet
    isr report edits.isr --labels labels.csv --design random --latex
    isr report edits.isr --figures figures/
    isr report edits.isr --serve
    """
    if options["serve"]:
        _serve(runs, options["port"], data)
        return
    if options["table"]:
        _table(runs, out)
        return
    from isr.report.comparison import compared
    from isr.report.corrected import corrected
    from isr.report.page import Options, write_report_told
    from isr.report.paper import estimates_csv, latex, methods
    from isr.report.runs import named_runs, read_report_run, report_file, without_images
    from isr.scoring.bundled import NO_IMAGES
    from isr.spreadsheet import csv_safe

    found = named_runs([read_report_run(path, data) for path in runs])
    people = corrected(found, options["labels"], options["design"] or "", options["plan"])
    pairs = compared(found, people.given if people else None)
    printed: dict[str, Callable[[], str]] = {
        "as_latex": lambda: latex(found, pairs, people),
        "as_csv": lambda: (csv_safe if options["csv_safe"] else str)(estimates_csv(found, pairs, people)),
        "as_methods": lambda: "\n\n".join(methods(found, pairs, people)) + "\n",
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
    file = out or report_file(found[0])
    first, *pictures = write_report_told(
        found,
        file,
        Options(
            assets=options["assets"],
            labels=options["labels"],
            title=options["title"],
            comparisons=pairs,
            people=people,
        ),
    )
    for name in without_images(found):
        click.echo(f"{name}: {NO_IMAGES}", err=True)
    click.echo("\n".join([f"{first} ({file.stat().st_size / 1e6:.1f} MB)", *pictures]))


def _table(runs: tuple[Path, ...], out: Path | None) -> None:
    from isr.errors import UsageError
    from isr.scoring.bundled import beside, bundle_of
    from isr.scoring.edits_parquet import require_pyarrow, write_parquet
    from isr.scoring.places import find_run

    if len(runs) != 1:
        raise UsageError(f"--table parquet: expected one run; found {len(runs)}; each has a table of its own")
    require_pyarrow()
    folder = find_run(runs[0])
    bundle = bundle_of(folder)
    click.echo(write_parquet(folder, out or (beside(bundle, ".edits.parquet") if bundle else None)))


def _figures(runs: list[ReportRun], out: Path, labels: Path | None, *, is_printed: bool) -> None:
    from isr.errors import InputError
    from isr.report.plots.writing import write_figures

    made = write_figures(runs, out, labels)
    for name, reason in made.missing.items():
        click.echo(f"no figure {name}: {reason}", err=True)
    if not made.files:
        raise InputError("--figures: no figure can be made of these runs; each reason stands above")
    click.echo(f"figures: {', '.join(made.names)} in {out} (SVG, PDF, PNG; captions.txt)", err=is_printed)


def _serve(runs: tuple[Path, ...], port: int, data: Path | None) -> None:
    from isr.errors import UsageError
    from isr.scoring.bundle_file import is_bundle
    from isr.web.live import watch_folder

    if len(runs) != 1:
        raise UsageError(f"--serve: expected one run; found {len(runs)}; give one folder")
    if is_bundle(runs[0]):
        raise UsageError(
            f"--serve: expected the folder of a run that goes on; found the bundle {runs[0]}; leave --serve out"
        )
    watch_folder(runs[0], port, data)

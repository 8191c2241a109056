"""``isr bundle``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from isr.bundle.gather import Contents

_PATH = click.Path(path_type=Path)


@click.command(short_help="One zip from which a reviewer recomputes every number of a run.")
@click.argument("run", type=_PATH)
@click.option(
    "--out", type=_PATH, metavar="FILE", help="Default: the run's name with .bundle.zip, beside it."
)
@click.option("--data", type=_PATH, metavar="EDIT_DIR", help="Default: as recorded by the run.")
@click.option(
    "--judge", default="", metavar="CARD", help="The card of the run. Default: as recorded by the run."
)
@click.option("--store", type=_PATH, help="The answer store. Default: as recorded by the run.")
@click.option(
    "--labels",
    "labels",
    multiple=True,
    type=_PATH,
    help="Labels to put in. Default: labels.csv of the run, or of isr label.",
)
@click.option("--images", is_flag=True, help="Put the images themselves in, not only their digests.")
def command(
    run: Path,
    out: Path | None,
    data: Path | None,
    judge: str,
    store: Path | None,
    labels: tuple[Path, ...],
    images: bool,
) -> None:
    """Pack a finished RUN: answers as received, rubrics, judge cards, metadata, labels, digests of all images.

    \b
    isr bundle edits.isr
    isr bundle edits.isr --images --out for-reviewers.zip
    isr verify edits.bundle.zip
    """
    from isr.bundle.archive import write_bundle
    from isr.bundle.gather import gather
    from isr.cli._beside import REPORT_MOST
    from isr.errors import UsageError
    from isr.report.people import labels_beside, with_controls
    from isr.scoring.bundle_file import is_bundle
    from isr.scoring.places import find_run, store_of

    if is_bundle(run):
        raise UsageError(f"{run}: expected a run's folder; found a bundle already; give it as it is")
    folder = find_run(run)
    contents = gather(folder, data, judge)
    file = out or _beside(folder)
    beside = labels_beside(folder, contents.plan.root)
    put = labels or (tuple(with_controls(beside)) if beside else ())
    edits = contents.result.data["edits"]
    digests = write_bundle(
        contents,
        store or store_of(folder, contents.record),
        file,
        images=images,
        labels=put,
        page=None if edits > REPORT_MOST else partial(_page, contents, put),
    )
    click.echo(f"bundle: {file} ({file.stat().st_size / 1e6:.1f} MB, {len(digests)} files)")
    click.echo(f"labels: {', '.join(str(p) for p in put) or 'none'}")
    click.echo(f"to verify it: isr verify {file.name}")


def _page(contents: Contents, labels: Sequence[Path], links: Mapping[str, str]) -> str:
    """The report that lies in the bundle, with the bundle's pictures; ``""`` where it cannot be made, which is said."""
    from isr.errors import IsrError
    from isr.report.page import Options, render
    from isr.report.runs import read_report_run

    options = Options(labels=labels[0] if labels else None, links=links)
    try:
        run = read_report_run(contents.run.folder, contents.plan.root)
        return render([run], contents.run.folder, options)
    except IsrError as error:
        click.echo(f"isr: no report is in the bundle: {error}", err=True)
        return ""


def _beside(run: Path) -> Path:
    """The bundle's default place: beside the results, under their name; of several runs, each under its own too."""
    from isr.scoring.places import home_of, run_folders

    home = home_of(run.resolve())
    name = home.name.removesuffix(".isr")
    if run.resolve() != home and len(run_folders(home)) > 1:
        name = f"{name}.{run.resolve().name}"
    return home.with_name(f"{name}.bundle.zip")

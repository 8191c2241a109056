"""``isr label``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isr.cli._command import grouped
from isr.cli._labels import labels_of, words_options
from isr.scoring.bundled import in_its_name
from isr.scoring.places import folder_beside

_PATH = click.Path(path_type=Path)


@grouped(
    study=("out", "design", "judges", "rubrics", "edits", "strata", "controls", "disputed", "seed"),
    check=("repeat", "attention"),
    page=("port",),
    file=("exporting", "csv_safe", "imported", "words", "columns", "key"),
)
@click.command(short_help="A local page on which people label edits, blinded, with nothing lost.")
@click.argument("directory", metavar="EDIT_DIR", type=_PATH)
@click.option("--out", type=_PATH, help="The study's folder. Default: EDIT_DIR.labels beside the data.")
@click.option(
    "--design", default="random", show_default=True,
    type=click.Choice(["random", "units", "within_verdict", "disagreement"]),
    help="How edits are drawn; the probabilities are kept for isr calibrate. units: those of every method on the same units, "
    "for isr compare --labels.",
)  # fmt: skip
@click.option("--judge", "judges", multiple=True, type=_PATH, metavar="RUN", help="Finished runs to draw by.")
@click.option("--edits", default=150, show_default=True, help="Edits of protected images to label.")
@click.option("--strata", default="", metavar="COLUMNS", help="Draw in proportion within these columns.")
@click.option(
    "--controls", default=0.2, show_default=True, help="Control edits mixed in, as a share of the edits."
)
@click.option(
    "--repeat", default=0.1, show_default=True, help="Share of the edits that each rater sees twice."
)
@click.option("--attention", default=4, show_default=True, help="Attention checks.")
@click.option("--disputed", default=0.5, show_default=True, help="Share of disputed edits, for disagreement.")
@click.option(
    "--rubric", "rubrics", multiple=True, metavar="NAME/vN|FILE.toml", help="Whose questions are asked."
)
@click.option("--seed", default=0, show_default=True, help="Of the draw and of every rater's order.")
@click.option("--port", default=0, help="Default: a free one.")
@click.option("--export", "exporting", is_flag=True, help="Write labels.csv and the rest, and end.")
@click.option(
    "--csv-safe", is_flag=True, help="Also write labels-safe.csv, for a spreadsheet: no cell is a formula."
)
@click.option(
    "--import",
    "imported",
    type=_PATH,
    metavar="FILE",
    help="Take in labels of a file (a table, or an export of Label Studio, MTurk, ...), and end.",
)
@words_options
def command(
    directory: Path,
    out: Path | None,
    exporting: bool,
    csv_safe: bool,
    imported: Path | None,
    port: int,
    **options: Any,
) -> None:
    """Serve a labelling page for EDIT_DIR on 127.0.0.1; raters open the address that is printed.

    The study is planned at the first start and kept: started again, raters go on under their names. The page asks
    the two questions of the rubrics and shows source, edit and prompt; never the method, nor what a judge said. A bundle
    with images may stand for EDIT_DIR; its labels are kept beside it.

    \b
    isr label edits/ --edits 150
    isr label edits/ --design within_verdict --judge edits.isr
    isr label edits/ --design units --edits 160
    isr label edits/ --design disagreement --judge a.isr --judge b.isr
    isr label edits.bundle.zip
    isr label edits/ --export
    isr agree --labels edits.labels/labels.csv --labels edits.labels/labels-controls.csv --judge edits.isr
    """

    from isr.errors import UsageError
    from isr.people.label_store import FILE, LabelStore
    from isr.people.labelling_export import export, import_into
    from isr.scoring.bundle_file import is_bundle
    from isr.scoring.bundled import edits_in

    folder = out or folder_beside(directory, ".labels")
    if is_bundle(directory):
        click.echo(f"labels of {directory} are kept in {folder}")
        directory = edits_in(directory)
    if exporting and imported is None and not (folder / FILE).is_file():
        raise UsageError(
            f"--export: expected labels in {folder}; found no study that was begun; label first, without --export"
        )
    if not exporting and imported is None:
        from isr.web.guard import require_extra

        require_extra()
    with LabelStore(folder) as store:
        if not store.begun:
            _plan(directory, folder, store, options)
        else:
            _go_on(directory, folder, store, options, serving=not exporting and imported is None)
        if imported is not None:
            labels = labels_of(options, imported)
            taken = import_into(store, labels)
            for note in labels.notes:
                click.echo(note)
            for rater, count in taken.raters.items():
                click.echo(f"{rater}: {count} labels taken in")
            for reason, count in taken.left.items():
                click.echo(f"not taken in: {count} rows {reason}")
        if exporting or imported is not None:
            for file in export(store, folder, csv_safe=csv_safe):
                click.echo(str(file))
            _reports(store)
            return
        _serve(directory, store, port)
        for file in export(store, folder, csv_safe=csv_safe):
            click.echo(str(file))
        _reports(store)


def _kept(options: dict[str, Any]) -> dict[str, Any]:
    """The options as they are kept: by the names that people give them."""
    from os.path import realpath

    lists = {
        "judge": sorted(realpath(p) for p in options["judges"]),
        "rubric": sorted(realpath(r) if r.endswith(".toml") else r for r in options["rubrics"]),
        "strata": [c.strip() for c in options["strata"].split(",") if c.strip()],
    }
    names = ("design", "edits", "controls", "repeat", "attention", "disputed", "seed")
    return {**{n: options[n] for n in names}, **lists}


@in_its_name()
def _go_on(directory: Path, folder: Path, store: Any, options: dict[str, Any], *, serving: bool) -> None:
    """Checks that a study that was begun is this one."""
    from isr.edits.directory import load_edits
    from isr.people.labelling_plan import check_plan

    context = click.get_current_context()
    renamed = {"judges": "judge", "rubrics": "rubric"}
    given = {
        renamed.get(n, n)
        for n in options
        if context.get_parameter_source(n) is click.core.ParameterSource.COMMANDLINE
    }
    study = store.study()
    edits = None
    if serving:
        needs_source = any("source" in r.images for r in _rubrics(study))
        edits = load_edits(directory, needs_source=needs_source, cache=folder / "cache.db")
    check_plan(study, edits, {n: v for n, v in _kept(options).items() if n in given})


@in_its_name()
def _plan(directory: Path, folder: Path, store: Any, options: dict[str, Any]) -> None:
    from dataclasses import replace

    from isr.edits.directory import load_edits
    from isr.judging.edits import rubrics_of
    from isr.people.judgements import read_source
    from isr.people.labelling_plan import plan_study

    rubrics = rubrics_of(directory, options["rubrics"])
    needs_source = any("source" in r.images for r in rubrics.values())
    edits = load_edits(directory, needs_source=needs_source, cache=folder / "cache.db")
    judges = [j for path in options["judges"] for j in read_source(path)]
    names = ("design", "edits", "controls", "repeat", "attention", "disputed", "seed")
    strata = [c.strip() for c in options["strata"].split(",") if c.strip()]
    study = plan_study(
        edits, list(rubrics.values()), folder, judges=judges, strata=strata, **{n: options[n] for n in names}
    )
    store.begin(replace(study, options=_kept(options)))
    kinds = [i.kind for i in study.items]
    click.echo(
        f"planned: {kinds.count('edit')} of {len(edits.edits)} edits, {kinds.count('control')} control edits, "
        f"{kinds.count('attention')} attention checks, plan {str(study.plan['plan'])[:19]}"
    )


def _rubrics(study: Any) -> list[Any]:
    """The rubrics of a study that was begun; those of files must be what they were."""
    from isr.canonical import short
    from isr.errors import UsageError
    from isr.judging.rubrics import is_path, load_rubric

    files = {r.name: r for r in map(load_rubric, filter(is_path, study.options.get("rubric", ())))}
    found = []
    for part in study.guideline.split("+"):
        name = part.rpartition(":sha256:")[0]
        rubric = files.get(name) or load_rubric(name)
        if part != f"{name}:{short(rubric.digest)}":
            raise UsageError(
                f"isr label: expected the rubric {part}, by which this study was begun; found "
                f"{short(rubric.digest)}; restore the file, or begin another study"
            )
        found.append(rubric)
    return found


def _serve(directory: Path, store: Any, port: int) -> None:
    from isr.web.label import make_app
    from isr.web.serve import guarded, run

    config, listening, address = guarded(make_app(store, directory, _rubrics(store.study())), port)
    click.echo(f"labels: {store.folder}")
    click.echo(f"open: {address}")
    click.echo("Ctrl-C ends it; every click is on disk already")
    run(config, listening)


def _reports(store: Any) -> None:
    from isr.people.labelling_export import rater_reports
    from isr.people.looks import NARROW_PX

    for r in rater_reports(store):
        checks = r["attention"]
        same = ", ".join(
            f"{q} {c['same']:.0%} of {c['n']}"
            for q, c in r["self_consistency"].items()
            if c["same"] is not None
        )
        small = r[f"below_{NARROW_PX}_px"]
        told = (
            f"; {small['labels']} of {small['of']} labels in a window below {NARROW_PX} px"
            if small["labels"]
            else ""
        )
        click.echo(
            f"{r['rater']}: {r['done']} of {r['of']}; attention checks {checks['passed']} of {checks['of']}; "
            f"the same again: {same or 'no repeats yet'}{told}"
        )

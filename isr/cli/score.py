"""``isr score``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isr.cli._beside import begin_pictures, copies
from isr.cli._command import grouped
from isr.cli._labels import meaning_options
from isr.cli._types import CARD, LEVEL, RUBRIC

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from isr.scoring.run import Run, Watch
    from isr.scoring.second import BothJudges
    from isr.web.live import Watched

_PATH = click.Path(path_type=Path)


@grouped(
    judge=(
        "judge",
        "sets",
        "rubrics",
        "repeats",
        "reask",
        "allow_retired",
        "keep_going",
        "calibrations",
        "qualifications",
    ),
    selection=("limit", "skip_invalid", "accept"),
    people=("labels", "consensus", "pool_guidelines", "words", "columns", "prefixes", "key"),
    statistics=("by", "level", "interval", "prompts", "estimand", "until", "order_seed"),
    metric=("metrics", "lpips_weights", "dists_weights", "metric_models", "caption", "source_caption"),
    cost=("budget_usd", "dry_run", "engine", "engine_sets", "wait"),
    output=("out", "replace", "store", "table", "csv_safe", "no_report", "watch", "as_json"),
)
@click.command(short_help="Judge an edit directory and print its ISR with intervals.")
@click.argument("directory", metavar="EDIT_DIR", type=_PATH)
@click.option(
    "--judge",
    default="",
    type=CARD,
    metavar="CARD",
    help="A judge card: a name (see isr judges) or a path to a .toml file.",
)
@click.option(
    "--labels", multiple=True, type=_PATH, metavar="FILE",
    help="People as the only judge: the human ISR of the labelled edits. Beside labels.csv, labels-controls.csv is read too.",
)  # fmt: skip
@click.option(
    "--consensus", default="majority", show_default=True, type=click.Choice(["majority", "strict", "dawid-skene"]),
    help="With --labels: how several raters become one verdict.",
)  # fmt: skip
@click.option(
    "--pool-guidelines", is_flag=True, help="With --labels: take several guidelines together, and say so."
)
@meaning_options
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one field of the card, e.g. limits.concurrency=32.",
)
@click.option(
    "--out",
    type=_PATH,
    help="Folder for this one run. Default: one of its own for every question, in EDIT_DIR.isr/runs beside the data.",
)
@click.option(
    "--replace", is_flag=True, help="With --out: replace the result of another question that lies there."
)
@click.option(
    "--store", type=_PATH, help="Answer store to use or share. Default: isr.db in EDIT_DIR.isr, or in --out."
)
@click.option(
    "--rubric",
    "rubrics",
    multiple=True,
    type=RUBRIC,
    metavar="NAME/vN|FILE.toml",
    help="Rubrics, one for each question. Default: semantic/v1 and perceptual/v1.",
)
@click.option(
    "--by", default="", metavar="COLUMNS", help="Also estimate by groups of these columns, e.g. editor,split."
)
@click.option("--level", type=LEVEL, help="Confidence level. Default: 0.95.")
@click.option(
    "--interval",
    default="logit-t",
    show_default=True,
    type=click.Choice(["logit-t", "korn-graubard", "wilson", "clopper-pearson", "jeffreys"]),
    help="Interval of a rate; the last three take edits as independent.",
)
@click.option(
    "--prompts",
    default="fixed",
    show_default=True,
    type=click.Choice(["fixed", "random"]),
    help="Whether the prompts are all there are, or a sample from a wider set.",
)
@click.option(
    "--estimand",
    default="edit-mean",
    show_default=True,
    type=click.Choice(["edit-mean", "image-mean"]),
    help="Mean over edits, or over images of their means; they differ where images have unequal numbers of edits.",
)
@click.option(
    "--repeats",
    default=1,
    show_default=True,
    metavar="K",
    help="Ask every question K times (odd) and take the majority.",
)
@click.option(
    "--reask",
    multiple=True,
    metavar="REASON",
    help="Ask once more where the answer was undecided for this reason; goes into the signature.",
)
@click.option(
    "--allow-retired",
    is_flag=True,
    help="Ask a judge whose model is retired by its card; goes into the signature.",
)
@click.option(
    "--keep-going",
    is_flag=True,
    help="Go on asking a judge whose first answers are all undecided for one technical reason.",
)
@click.option(
    "--calibration",
    "calibrations",
    multiple=True,
    type=_PATH,
    metavar="FILE",
    help="Decide by the threshold on scores in this file (isr calibrate --out); refused for another judge or rubric.",
)
@click.option(
    "--limit",
    type=int,
    metavar="N",
    help="Score at most N edits: one unit of each image with all its methods, then another of each, and so on.",
)
@click.option(
    "--until",
    default="",
    metavar="half-width=H",
    help="Stop when every treatment's ISR is known to +-H (0.05: five points): images in a seeded order, and a confidence "
    "sequence that holds at every look. Goes into the signature.",
)
@click.option(
    "--order-seed",
    type=int,
    default=0,
    show_default=True,
    metavar="SEED",
    help="With --until: of that order.",
)
@click.option("--budget-usd", type=float, metavar="USD", help="Stop before this run costs more.")
@click.option(
    "--engine",
    default="",
    metavar="NAME",
    help="Another way to the same answers: openai-batch asks by batches, at half the price where the host gives it "
    "(docs/batch.md); ray asks a judge's actors on many machines (docs/scale.md).",
)
@click.option(
    "--engine-set",
    "engine_sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of --engine ray: address, actors=MIN,MAX, gpus and cpus of each, room_s, silent_s.",
)
@click.option(
    "--wait/--no-wait",
    default=True,
    help="With --engine: wait for the host, or submit, take what is done, and end; the same command goes on later.",
)
@click.option("--skip-invalid", is_flag=True, help="Go on without invalid rows, and say so in the result.")
@click.option(
    "--accept",
    multiple=True,
    metavar="KIND",
    help="Take a finding about the pictures that would be refused as meant (isr validate names it); goes into the signature.",
)
@click.option(
    "--qualification",
    "qualifications",
    multiple=True,
    type=_PATH,
    metavar="FILE",
    help="A qualification.json to print with the result. Default: those in the results' folder (isr qualify).",
)
@click.option(
    "--metrics",
    is_flag=True,
    help="Also PSNR, SSIM, VIFp, FSIM of edit and control edit, with their rank correlation to the outcome.",
)
@click.option(
    "--lpips-weights",
    multiple=True,
    metavar="FILE|download",
    help="With --metrics: LPIPS with the weights in this file (VGG16 or AlexNet; docs/immunize.md says how to get one), or "
    "with weights that are downloaded.",
)
@click.option(
    "--dists-weights",
    default="",
    metavar="FILE",
    help="With --lpips-weights of VGG16: DISTS with the weights in this file.",
)
@click.option(
    "--metric-model",
    "metric_models",
    multiple=True,
    metavar="[NAME=]FOLDER",
    help="With --metrics: similarities by this checkpoint of CLIP, SigLIP or DINO.",
)
@click.option(
    "--caption",
    default="",
    metavar="COLUMN",
    help="With --metric-model: the column of captions of what each edit should show; never the instruction by itself.",
)
@click.option(
    "--source-caption",
    default="",
    metavar="COLUMN",
    help="With --caption: the column of captions of the sources, for the direction.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be asked and what it would cost; ask nobody.")
@click.option(
    "--csv-safe",
    is_flag=True,
    help="Also write edits-safe.csv, for a spreadsheet: no cell is a formula. edits.csv stays as it is.",
)
@click.option(
    "--table",
    type=click.Choice(["csv", "parquet"]),
    default="csv",
    help="parquet: also write edits.parquet, the same table (extra: parquet). edits.csv is written in any case.",
)
@click.option("--no-report", is_flag=True, help="Write no report.html.")
@click.option("--watch", is_flag=True, help="Show the run in a browser while it goes on (extra: label).")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def command(
    directory: Path,
    by: str,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    no_report: bool,
    watch: bool,
    csv_safe: bool,
    table: str,
    **fields: Any,
) -> None:
    """Judge every edit in EDIT_DIR and estimate the Immunization Success Rate.

    Writes result.json, edits.csv, run.json and report.html to a folder of the run and prints a table. Every question
    (edits, judge, rubrics, settings) has a folder of its own, EDIT_DIR.isr/runs/JUDGE-DIGEST, so that no run replaces
    another; asked again, it is the same folder with the same bytes. isr runs EDIT_DIR lists them. Every answer is kept as
    it arrives: run the same command again to go on after an interruption; stored answers are never asked or paid for
    twice. A bundle with images may stand for EDIT_DIR: your judge's ISR then stands beside the author's, and the run is kept
    in a folder beside the bundle.

    \b
    Exit codes: 0 done; 2 bad input, nothing was spent; 3 some requests got no reply (run again to fill them);
    130 interrupted.

    \b
    isr score examples/shapes --judge shapes-oracle
    isr score edits/ --judge qwen3.5-9b --set endpoint.base_url=http://127.0.0.1:9000/v1
    isr score edits/ --judge paper-2512.14320 --dry-run
    isr score edits/ --judge gpt-4.1 --budget-usd 5 --by editor,split --json
    isr score edits/ --judge gpt-4.1 --until half-width=0.05
    isr score edits/ --judge gpt-4.1 --engine openai-batch
    isr score edits.bundle.zip --judge qwen3.5-9b
    isr score edits/ --labels labels.csv
    """
    from isr.cli._people import OPTIONS, require_labels, score_people
    from isr.scoring.batches import asks_in_batches
    from isr.scoring.options import Options

    parquet = table == "parquet"
    if parquet:
        from isr.scoring.edits_parquet import require_pyarrow

        require_pyarrow()
    given = {name: fields.pop(name) for name in OPTIONS}
    require_labels(given)

    for key in (
        "sets",
        "engine_sets",
        "rubrics",
        "reask",
        "accept",
        "calibrations",
        "qualifications",
        "lpips_weights",
        "metric_models",
    ):
        fields[key] = tuple(fields[key])
    options = Options(directory=directory, by=tuple(c.strip() for c in by.split(",") if c.strip()), **fields)
    if given["labels"]:
        people = score_people(options, given, {"dry_run": dry_run, "watch": watch}, as_json=as_json)
        copies(
            people.out,
            directory,
            as_json,
            edits=people.result.data["edits"],
            csv_safe=csv_safe,
            parquet=parquet,
            report=not no_report,
        )
        raise SystemExit(0 if people.result.decided else 3)
    if watch and asks_in_batches(options):
        raise click.UsageError(
            f"--watch: expected a run that goes on before your eyes; found --engine {options.engine}; isr batch list shows it"
        )
    if dry_run:
        from isr.cli._dry_run import print_dry_run

        print_dry_run(options, as_json, quiet)
        return
    from contextlib import nullcontext

    from isr.report.ahead import Ahead
    from isr.scoring.ending import ending_of_run
    from isr.scoring.run import Watch

    watched = Watch(looks=watch)
    with Ahead() as ahead, _live(options, watched) if watch else nullcontext() as live:
        if not no_report:
            watched.planned = partial(begin_pictures, ahead)
        done = _run(options, quiet, watched)
        second = _second(done, directory)
        if second is not None and as_json:
            _print_json(second, done, directory)
        _print_run(done, as_json, printed=second is not None and as_json)
        copies(
            done.out,
            directory,
            as_json,
            edits=done.result.data["edits"],
            csv_safe=csv_safe,
            parquet=parquet,
            report=not no_report,
            ahead=ahead,
        )
        if second is not None and not as_json:
            from isr.scoring.second import lines

            click.echo("\n" + "\n".join(lines(second)))
        if live is not None:
            live.end(ending_of_run(done))
    raise SystemExit(done.exit_code)


def _run(options: Any, quiet: bool, watch: Watch) -> Run:
    import asyncio

    from isr.cli._progress import interruptible, watching
    from isr.scoring.run import run

    async def work() -> Run:
        interruptible(watch)
        with watching(watch, quiet):
            return await run(options, watch)

    return asyncio.run(work())


def _live(options: Any, watch: Watch) -> AbstractContextManager[Watched]:
    from isr.scoring.bundled import edits_in
    from isr.web.live import watching_run

    root = edits_in(options.directory)
    return watching_run(options.home, options.store_path, root, watch.progress, options.until)


def _second(done: Run, directory: Path) -> BothJudges | None:
    """The judge of a bundle beside the one that was asked now; ``None`` of an edit directory, or without a result."""
    from isr.scoring.bundle_file import is_bundle
    from isr.scoring.second import both_judges
    from isr.scoring.stored import read_stored

    if not is_bundle(directory) or not done.result.decided:
        return None
    return both_judges(read_stored(directory), read_stored(done.out))


def _print_json(second: BothJudges, done: Run, directory: Path) -> None:
    import json

    from isr.scoring.second import second_dict
    from isr.scoring.stored import read_stored

    click.echo(json.dumps(second_dict(done.result, read_stored(directory).result, second), indent=1))


def _print_run(done: Run, as_json: bool, *, printed: bool = False) -> None:
    from isr.errors import RetiredError
    from isr.report.forest import text_forest
    from isr.scoring.judge_words import answered_by
    from isr.scoring.text import left_open, nothing_decided, render

    if not printed:
        answers = answered_by(done.progress.served)
        click.echo(done.result.to_json() if as_json else render(done.result, answers), nl=False)
    if not as_json:
        click.echo("\n" + text_forest(done.result))
        if done.measured is not None:
            from isr.scoring.metrics import table

            click.echo(table(done.measured))
        for judge in done.qualified:
            click.echo(judge.text())
        click.echo(f"results: {done.out}")
    if done.unused:
        click.echo(
            f"isr: {done.unused:,} answers to later images are kept in {done.store} and are in no estimate of this run",
            err=True,
        )
    if done.progress.stopped:
        click.echo(f"isr: stopped: {done.progress.stopped}", err=True)
    waits = done.progress.stopped or done.progress.elsewhere or done.interrupted
    replayed = set(done.unfinished) == {"not_asked"} and not waits
    advice = (
        ("there is no recorded answer to them",) if replayed or isinstance(done.trouble, RetiredError) else ()
    )
    if nothing := nothing_decided(done.result, done.store):
        click.echo(f"isr: {nothing}", err=True)
    for line in left_open(done.unfinished, done.store, *advice):
        click.echo(f"isr: {line}", err=True)

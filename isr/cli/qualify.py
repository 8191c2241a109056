"""``isr qualify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isr.cli._types import CARD, RUBRIC

if TYPE_CHECKING:
    from isr.qualify.drift import Drift
    from isr.qualify.record import Qualification
    from isr.qualify.run import Request

_PATH = click.Path(path_type=Path)


@click.command(short_help="Find out with probes whether a judge is awake.")
@click.argument("judge", metavar="JUDGE", type=CARD)
@click.argument("directory", metavar="EDIT_DIR", type=_PATH, required=False)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override one field of the card.")
@click.option("--out", type=_PATH, help="Folder for the result. Default: EDIT_DIR.isr/qualify/JUDGE.")
@click.option(
    "--store", type=_PATH, help="Answer store to use or share. Default: EDIT_DIR.isr/isr.db, as isr score's."
)
@click.option(
    "--rubric",
    "rubrics",
    multiple=True,
    type=RUBRIC,
    metavar="NAME/vN|FILE.toml",
    help="Rubrics, one for each question. Default: semantic/v1 and perceptual/v1.",
)
@click.option("--images", default=12, show_default=True, metavar="N", help="Make probes of at most N images.")
@click.option(
    "--repeats", default=3, show_default=True, metavar="K", help="Ask about each edit itself K times."
)
@click.option("--seed", default=0, show_default=True, help="Of the choice of images and of the noise.")
@click.option(
    "--anchor", type=_PATH, metavar="FILE", help="Freeze the answers in FILE, to detect drift later."
)
@click.option(
    "--against", type=_PATH, metavar="FILE", help="Ask everything anew and compare with a frozen FILE."
)
@click.option(
    "--occasion",
    default="",
    metavar="NAME",
    help="Name of the store for --against, so that a broken-off check goes on. Default: today's date (UTC).",
)
@click.option("--budget-usd", type=float, metavar="USD", help="Stop before this run costs more.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def command(
    directory: Path | None,
    anchor: Path | None,
    against: Path | None,
    occasion: str,
    as_json: bool,
    quiet: bool,
    **fields: Any,
) -> None:
    """Ask JUDGE about probes made from EDIT_DIR, whose right answers are known without labels.

    Probes are altered sources and edits: the source unchanged, a black picture, noise, blur and blocks of
    rising strength, texts that order an answer, prompts that mean nothing, the same request again, and more;
    docs/qualify.md lists them with their marks. They are written to the result's folder, to be looked at.

    Answers are kept as those of isr score; none is asked twice, except with --against, which asks all of them
    anew in a store of its own. isr score prints the verdict with its result.

    \b
    Exit codes: 0 fit, perhaps with reservations; 1 unfit, or drift; 2 bad input; 3 some requests got no reply
    (run again to fill them); 130 interrupted.

    \b
    isr qualify shapes-oracle examples/shapes
    isr qualify qwen3.5-9b edits/ --anchor qwen.anchor.json
    isr qualify qwen3.5-9b edits/ --against qwen.anchor.json
    """
    from isr.qualify.run import Request

    for key in ("sets", "rubrics"):
        fields[key] = tuple(fields[key])
    request = Request(directory=_directory(directory), **fields)
    done, drift = _run(request, anchor, against, occasion, quiet)
    _print(done, drift, as_json)
    raise SystemExit(1 if done.verdict == "unfit" or (drift is not None and drift.alarm) else 0)


def _directory(given: Path | None) -> Path:
    from isr.errors import UsageError

    if given is None:
        raise UsageError(
            "isr qualify: EDIT_DIR: expected an edit directory to make probes of; found none given; "
            "name edits like those that the judge will be asked about"
        )
    return given


def _run(
    request: Request, anchor: Path | None, against: Path | None, occasion: str, quiet: bool
) -> tuple[Qualification, Drift | None]:
    import asyncio

    from isr.cli._progress import interruptible, watching
    from isr.errors import TransportError
    from isr.qualify.drift import qualify_and_compare
    from isr.scoring.run import Watch

    async def work() -> tuple[Qualification, Drift | None]:
        watch = Watch()
        interruptible(watch)
        with watching(watch, quiet):
            try:
                return await qualify_and_compare(request, anchor, against, occasion, watch)
            except TransportError:
                if watch.interrupt.is_set():
                    raise KeyboardInterrupt from None
                raise

    return asyncio.run(work())


def _print(done: Qualification, drift: Drift | None, as_json: bool) -> None:
    import json

    from isr.qualify.record import render

    if as_json:
        both = done.as_dict() | ({"drift": drift.as_dict()} if drift else {})
        click.echo(json.dumps(both, indent=1, ensure_ascii=False))
        return
    click.echo(render(done), nl=False)
    if drift is not None:
        click.echo(f"\n{drift.text()}", nl=False)

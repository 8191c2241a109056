"""``isr plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isr.cli._command import grouped
from isr.cli._types import CORRELATION, LEVEL, POINTS, SHARE
from isr.errors import UsageError


@grouped(
    wanted=("half_width", "difference", "images", "label_half_width", "labels", "margin", "label_difference"),
    pilot=("pilot", "method", "against"),
    guess=("rate", "icc", "per_image", "discordant", "human_rates", "quality"),
    promise=("assurance", "family", "power", "level"),
    output=("as_json",),
)
@click.command(short_help="How many images, prompts and labels a wanted precision needs.")
@click.option(
    "--half-width", type=POINTS, metavar="H", help="Wanted: an ISR known to within plus or minus H."
)
@click.option(
    "--difference",
    type=POINTS,
    metavar="D",
    help="Wanted: to detect that two methods differ by D on the same edits.",
)
@click.option(
    "--images",
    type=click.IntRange(min=2),
    metavar="G",
    help="At hand: says how precise they make the ISR; with --difference how many prompts each of them needs.",
)
@click.option(
    "--label-half-width",
    type=POINTS,
    metavar="H",
    help="Wanted: a judge-corrected ISR to within plus or minus H; plans human labels on the pilot's edits.",
)
@click.option(
    "--labels",
    type=click.IntRange(min=1),
    metavar="N",
    help="To share out: N human labels over the judge's verdicts in the pilot.",
)
@click.option(
    "--margin", type=POINTS, metavar="M",
    help="Wanted: to show that two methods that do not differ lie within M (isr compare --margin).",
)  # fmt: skip
@click.option(
    "--label-difference", type=POINTS, metavar="D",
    help="Wanted: to see that two methods differ by D to people (isr compare --labels); plans units to label on both.",
)  # fmt: skip
@click.option(
    "--quality", default="0.9,0.9", show_default=True, metavar="SENS,SPEC",
    help="With --label-difference: the judge's sensitivity and specificity, as isr compare --labels prints them.",
)  # fmt: skip
@click.option(
    "--pilot",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A finished run; its rates and spread replace the guesses.",
)
@click.option(
    "--method", default="", metavar="NAME", help="Treatment of the pilot to plan for. Default: its first."
)
@click.option(
    "--against",
    default="",
    metavar="NAME",
    help="Second treatment, for differences. Default: the pilot's control edits.",
)
@click.option("--rate", type=SHARE, help="Expected ISR, without a pilot. Default: 0.5, the worst case.")
@click.option(
    "--icc",
    type=CORRELATION,
    help="Correlation of edits of one image, without a pilot. Default: 0.3.",
)
@click.option(
    "--per-image",
    "--prompts",
    "per_image",
    type=click.FloatRange(min=1),
    help="Prompts, or edits, for each image. Default: the pilot's, else 5.",
)
@click.option(
    "--discordant",
    type=SHARE,
    help="Share of edits on which the two methods differ, without a pilot. Default: 0.3, or D if that is more.",
)
@click.option(
    "--human-rates",
    default="0.1,0.9",
    show_default=True,
    metavar="A,B",
    help="Guess for labels: share of edits that people call immunized where the judge says not immunized, "
    "and where it says immunized.",
)
@click.option(
    "--assurance", default=0.8, show_default=True, type=LEVEL,
    help="Share of such pilots after which a half-width or a power is what the plan promises.",
)  # fmt: skip
@click.option(
    "--family", default=1, show_default=True, type=click.IntRange(min=1), metavar="K",
    help="With differences: comparisons that are declared together (Holm).",
)  # fmt: skip
@click.option("--power", default=0.8, show_default=True, type=SHARE)
@click.option("--level", default=0.95, show_default=True, type=LEVEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool, human_rates: str, quality: str, **given: Any) -> None:
    """How many images, prompts and labels are needed. Edits of one image are alike, so images count most.

    \b
    isr plan --half-width 0.05
    isr plan --half-width 0.05 --pilot edits.isr
    isr plan --images 12 --prompts 3
    isr plan --difference 0.1 --pilot edits.isr --method sifm --against noise
    isr plan --difference 0.1 --pilot edits.isr --images 60
    isr plan --label-half-width 0.08 --pilot edits.isr
    isr plan --labels 150 --pilot edits.isr
    isr plan --label-difference 0.1 --pilot edits.isr --method sifm --against noise --quality 0.85,0.9
    """
    import json

    from isr.scoring.planned import Wanted
    from isr.scoring.planning import plan

    people = _two_rates("--human-rates", human_rates, "0.1,0.9")
    judge = _two_rates("--quality", quality, "0.9,0.9")
    found = plan(Wanted(human_rates=people, quality=judge, **given))
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1))
        return
    guess = found.guess
    click.echo(
        f"rests on: rate {guess.rate:.2f}, ICC {guess.icc:.2f}, {guess.per_image:g} edits per image ({guess.source})"
    )
    for answer in found.answers:
        click.echo(f"\n{answer.wanted}\n  {answer.answer}")
        for note in answer.notes:
            click.echo(f"  {note}")


def _two_rates(option: str, text: str, example: str) -> tuple[float, float]:
    """``0.1,0.9`` as two numbers. Raises ``UsageError``."""
    try:
        low, high = (float(x) for x in text.split(","))
    except ValueError:
        low = high = -1.0
    if not (0 <= low <= 1 and 0 <= high <= 1):
        raise UsageError(f"{option}: expected two numbers from 0 to 1, e.g. {example}; found {text!r}")
    return low, high

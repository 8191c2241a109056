"""``isr score --dry-run``: what would be asked, of whom, and what it would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from isr.scoring.dry_run import DryRun
    from isr.scoring.options import Options


NOTHING = "none: a program, asked for nothing"


def print_dry_run(options: Options, as_json: bool, quiet: bool) -> None:
    import json
    from dataclasses import asdict

    from isr.cli._progress import watching
    from isr.scoring.dry_run import dry_run
    from isr.scoring.run import Watch

    watch = Watch()
    with watching(watch, quiet):
        totals = dry_run(options, watch)
    if as_json:
        said = [{k: v for k, v in asdict(t).items() if k != "batch" or v is not None} for t in totals]
        click.echo(json.dumps(said, indent=1))
        return
    for total in totals:
        click.echo(_dry_line(total))
    if options.until:
        click.echo("at most so: --until stops as soon as the rule is met")


def _dry_line(t: DryRun) -> str:
    images = "unknown (no published rule)" if t.image_tokens is None else f"about {t.image_tokens:,}"
    if t.usd_low is None or t.usd_high is None:
        price = "unknown (no price in the card, or no rule for image tokens)"
    else:
        price = f"{t.usd_low:.2f} (short answers) to {t.usd_high:.2f} (every output token used)"
    files = ", ".join(f"{n:,} {role} pictures" for role, n in t.pictures.items())
    to = (
        f"would go to {', '.join(t.hosts)}: faces included, and what their owners agreed to"
        if t.hosts
        else "stay on this machine"
    )
    rows = [
        ("pictures", f"{files} {to}" if t.requests else ""),
        ("input tokens", NOTHING if t.program else f"text about {t.text_tokens:,}, images {images}"),
        ("output tokens", NOTHING if t.program else f"at most {t.most_output_tokens:,}"),
        ("USD", NOTHING if t.program else price),
        ("USD in batches", _batch_price(t)),
        ("files", _files(t)),
        ("time", _minutes(t)),
        ("first", f"isr qualify {t.judge} EDIT_DIR: a model of this size can be an unfit judge" if t.qualify_first else ""),
    ]  # fmt: skip
    lines = [f"  {what:15}{said}" for what, said in rows if said]
    return "\n".join([f"{t.judge} ({t.model}): {t.requests:,} requests", *lines])


def _batch_price(t: DryRun) -> str:
    if t.batch is None:
        return ""
    if t.batch.usd_low is None or t.batch.usd_high is None:
        return "unknown, as above"
    share = (
        "the card names no price.batch: taken as the direct price"
        if t.batch.share is None
        else f"{t.batch.share:.0%} of the direct price, by the card"
    )
    return f"{t.batch.usd_low:.2f} to {t.batch.usd_high:.2f} ({share})"


def _files(t: DryRun) -> str:
    if t.batch is None:
        return ""
    b = t.batch
    width, height = b.largest_picture
    return (
        f"about {b.files:,}, of about {b.edits_a_file:,} edits each: {b.request_bytes / 1000:,.0f} kB a request, pictures of up "
        f"to {width} x {height} (a sample of {b.sample}); smaller ones (images.max_side) make another judge"
    )


def _minutes(t: DryRun) -> str:
    if t.minutes is None:
        return ""
    least, most = t.minutes
    return (
        f"about {least:,.0f} to {most:,.0f} minutes for 100 edits on this machine's CPU alone, as busy as it is "
        "now: computed from the model's size, not measured; --limit 2 measures it"
    )

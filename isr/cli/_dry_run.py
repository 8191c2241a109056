"""``isr score --dry-run``: what would be asked, of whom, and what it would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from isr.scoring.dry_run import DryRun
    from isr.scoring.options import Options


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
        click.echo(json.dumps([asdict(t) for t in totals], indent=1))
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
    files = ", ".join(f"{n:,} {role} pictures" for role, n in t.pictures.items()) or "none"
    to = (
        f"would go to {', '.join(t.hosts)}: faces included, and what their owners agreed to"
        if t.hosts
        else "stay on this machine"
    )
    return (
        f"{t.judge} ({t.model}): {t.requests:,} requests\n"
        f"  pictures       {files} {to}\n"
        f"  input tokens   text about {t.text_tokens:,}, images {images}\n"
        f"  output tokens  at most {t.most_output_tokens:,}\n"
        f"  USD            {price}{_minutes(t)}"
    )


def _minutes(t: DryRun) -> str:
    if t.minutes is None:
        return ""
    least, most = t.minutes
    return (
        f"\n  time           about {least:,.0f} to {most:,.0f} minutes for 100 edits on this machine's CPU alone, as busy as it is "
        "now: computed from the model's size, not measured; --limit 2 measures it"
    )

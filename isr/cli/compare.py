"""``isr compare``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isr import text
from isr.cli._labels import labels_of, meaning_options
from isr.signature import Signature

ALPHA = 0.05  # of the two one-sided tests: they say what the 90 % interval says

if TYPE_CHECKING:
    from isr.scoring.compare import Choice, Comparison
    from isr.stats.paired import PairedComparison


@click.command(short_help="Compare methods on the same units, with intervals and tests.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--baseline", default="", metavar="NAME", help="Compare all with this treatment only. Default: all pairs."
)
@click.option(
    "--by",
    default="",
    metavar="COLUMNS",
    help="Also within groups, e.g. editor; exploratory (Benjamini-Hochberg). Of one column, also over groups like these, and a new one.",
)
@click.option(
    "--choose", is_flag=True, help="Also the table for choosing: worst case, transfer, distortion, cost."
)
@click.option(
    "--prompts", default="fixed", show_default=True, type=click.Choice(["fixed", "random"]),
    help="random: a claim about prompts like these, of which these are a sample; fixed: about these alone.",
)  # fmt: skip
@click.option(
    "--cluster", default="", metavar="COLUMN",
    help="Images of one value are one cluster: several of one person, of one scene. Default: every image its own.",
)  # fmt: skip
@click.option(
    "--margin", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="M",
    help="Also: is the first no worse by more than M, are both equivalent within M? Two one-sided tests at 5 %, Holm.",
)  # fmt: skip
@click.option(
    "--labels", "label_files", multiple=True, type=click.Path(path_type=Path),
    help="People's labels of both methods' edits: the corrected difference stands beside that of verdicts.",
)  # fmt: skip
@click.option(
    "--design", type=click.Choice(["random", "within_verdict"]),
    help="How the labelled units were chosen: at random, or at random within the four cells of the two verdicts.",
)  # fmt: skip
@click.option(
    "--consensus", default="majority", show_default=True, type=click.Choice(["majority", "strict", "dawid-skene"]),
    help="How several raters become one label.",
)  # fmt: skip
@meaning_options
@click.option(
    "--level",
    default=0.95,
    show_default=True,
    type=click.FloatRange(0.5, 1, max_open=True),
    help="Confidence level.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Of the sign-flip test where sums of images are no whole numbers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    runs: tuple[Path, ...],
    baseline: str,
    by: str,
    choose: bool,
    level: float,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare every treatment in the results' folders RUN... with every other.

    Differences are paired on units (image, prompt, editor, seed, purifier), never on file names; intervals and
    tests are clustered on the image; p-values are adjusted by Holm over the family of pairs. The runs must have
    been judged by the same instrument.

    \b
    isr compare sifm.isr photoguard.isr
    isr compare all_methods.isr --baseline noise --by editor
    isr compare all_methods.isr --choose
    isr compare all_methods.isr --labels labels.csv --design random
    """
    import json

    from isr.api import compare_read

    columns = [c.strip() for c in by.split(",") if c.strip()]
    labels = labels_of(options, options["label_files"]) if options["label_files"] else None
    found = compare_read(
        runs, labels, options["design"], options["consensus"],
        baseline=baseline, by=columns, choose=choose, prompts=options["prompts"], cluster=options["cluster"],
        margin=options["margin"], level=level, seed=seed,
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps(_finite(found.as_dict()), indent=1, allow_nan=False))
    else:
        click.echo("\n".join(_lines(found, level)))


def _finite(value: object) -> object:
    """Infinite PSNR (an unchanged image) as a word: JSON has no infinity."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return "infinite" if value == float("inf") else value


def _lines(found: Comparison, level: float) -> Iterator[str]:
    from isr.scoring.pooled import lines as pooled_lines

    yield "ISR, first minus second, on shared units"
    heads = (f"{level:.0%} interval", f"all hold at {level:.0%}")
    yield f"  {'difference':>10}  {heads[0]:>20}  {heads[1]:>20}{'n':>7}{'images':>8}{'p':>8}{'Holm':>8}"
    for one in found.family:
        yield f"{one.first} - {one.second}"
        yield _row(one, text.difference_interval(one.simultaneous), one.p_holm)
        told = [] if one.open is None else [text.left_open(one.open, level)]
        told += _confirmed(found, one)
        told += _within(one)
        yield from (f"    {note}" for note in (*one.notes, *told, f"p: {one.p_method}"))
    if "|prompts=fixed|" in found.signature:
        yield "about these prompts alone; --prompts random makes it a claim about prompts like these"
    if column := Signature.parse(found.signature).get("cluster"):
        yield f"images of one {column} are one cluster: about a new {column} like these"
    if not found.confirmed:
        yield "differences of verdicts: a judge that errs differently on two methods can make them; --labels and --design correct it"
    for u in found.unpaired:
        if u.only_first or u.only_second:
            yield f"not paired: {u.only_first} units of {u.first}, {u.only_second} of {u.second}; {u.shared} shared"
    if found.slices:
        yield ""
        yield "within groups (exploratory; the last column is adjusted by Benjamini-Hochberg)"
        for part in found.slices:
            group = ", ".join(f"{k} {v or '(empty)'}" for k, v in part.by.items())
            yield f"{group}: {part.comparison.first} - {part.comparison.second}"
            yield _row(part.comparison, "", part.p_bh)
            if part.comparison.open is not None:
                yield f"    {text.left_open(part.comparison.open, level)}"
    yield from pooled_lines(found.pooled, level)
    if found.confirmed:
        from isr.people.confirm import lines

        yield ""
        yield "how good the judge is on each method, by people's labels"
        yield from (f"  {line}" for line in lines(found))
    if found.choices:
        yield ""
        yield from _choice_lines(found.choices, level)
    yield ""
    yield from (f"warning: {w}" for w in found.warnings)
    yield f"signature: {found.signature}"


def _within(one: PairedComparison) -> Iterator[str]:
    """What a margin says of a pair; the smaller of two p-values at 5 % is a claim, the larger none."""
    if one.within is None:
        return
    worse, same = one.within
    said = (
        "equivalent within the margin"
        if same < ALPHA
        else "no worse by more than the margin"
        if worse < ALPHA
        else ("not shown to be within the margin")
    )
    said += ", of the decided pairs alone" if one.open is not None else ""
    yield f"{said}: p (Holm) no worse {text.p_value(worse)}, equivalent {text.p_value(same)}"


def _confirmed(found: Comparison, one: PairedComparison) -> Iterator[str]:
    """What people would say of a pair, where labels tell it."""
    pair = next((p for p in found.confirmed if (p.first, p.second) == (one.first, one.second)), None)
    if pair is None:
        return
    if pair.corrected is None:
        yield f"corrected by {pair.labels} labelled units: refused: {pair.refused}"
    else:
        d = pair.corrected
        yield f"corrected by {pair.labels} labelled units: {text.difference(d.value)} ({text.difference_interval(d)}), {d.method}"


def _row(one: PairedComparison, joint: str, adjusted: float | None) -> str:
    d = one.difference
    numbers = f"{d.n:>7}{d.clusters:>8}{text.p_value(one.p_value):>8}{text.p_value(adjusted):>8}"
    return f"  {text.difference(d.value):>10}  {text.difference_interval(d):>20}  {joint:>20}{numbers}"


def _choice_lines(choices: tuple[Choice, ...], level: float) -> Iterator[str]:
    width = max(len(c.name) for c in choices) + 2
    yield f"to choose from (all intervals hold together at {level:.0%})"
    heads = "".join(f"{h:>24}" for h in ("ISR", "worst attack", "other editors"))
    yield f"  {'':{width}}{heads}{'n':>7}{'undecided':>11}{'PSNR dB':>9}{'L-inf':>8}  cost per image"
    for c in choices:
        cells = "".join(
            f"{text.rate_with_interval(i, none='none'):>24}" for i in (c.isr, c.worst, c.transfer)
        )
        psnr = "-" if c.psnr is None else f"{c.psnr:.1f}"
        linf = "-" if c.linf is None else f"{c.linf:.4f}"
        costs = ", ".join(f"{v:.3g} {k.removeprefix('immunize_')}" for k, v in c.costs.items()) or "not known"
        yield f"  {c.name:{width}}{cells}{c.isr.n:>7}{c.undecided:>11}{psnr:>9}{linf:>8}  {costs}"
    for c in choices:
        reasons = [*c.notes, *(c.isr.notes if c.isr.low is None else ())]
        yield from (f"  {c.name}: {reason}" for reason in reasons)

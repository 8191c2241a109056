"""``isr compare``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isr import text
from isr.cli._command import grouped
from isr.cli._labels import labels_of, meaning_options
from isr.cli._types import LEVEL, POINTS
from isr.signature import Signature

OF_LABELS = ("words", "columns", "prefixes", "key")

if TYPE_CHECKING:
    from isr.scoring.comparison import Choice, Comparison, Confirmed
    from isr.stats.paired import PairedComparison
    from isr.stats.rows import Interval


@grouped(
    comparison=("baseline", "by", "choose", "margin"),
    statistics=("prompts", "cluster", "level", "seed"),
    label=(
        "label_files",
        "design",
        "consensus",
        "plan",
        "pool_guidelines",
        "allow_unmatched",
        "words",
        "columns",
        "prefixes",
        "key",
    ),
    output=(
        "as_json",
        "as_latex",
    ),
)
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
    "--margin", type=POINTS, metavar="M",
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
@click.option(
    "--plan",
    type=click.Path(path_type=Path),
    help="design within_verdict: the plan.json that the labels name.",
)
@click.option(
    "--pool-guidelines", is_flag=True, help="Take labels of several guidelines together, and say so."
)
@click.option("--allow-unmatched", is_flag=True, help="Leave out labels of edits of other methods.")
@meaning_options
@click.option(
    "--level",
    default=0.95,
    show_default=True,
    type=LEVEL,
    help="Confidence level.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Of the sign-flip test where sums of images are no whole numbers.",
)
@click.option("--latex", "as_latex", is_flag=True, help="Print the table of all pairs for a paper.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    runs: tuple[Path, ...],
    baseline: str,
    by: str,
    choose: bool,
    level: float,
    seed: int,
    as_json: bool,
    as_latex: bool,
    **options: Any,
) -> None:
    """Compare every treatment in the results' folders, or bundles, RUN... with every other.

    Differences are paired on units (image, prompt, editor, seed, purifier), never on file names; intervals and
    tests are clustered on the image; p-values are adjusted by Holm over the family of pairs. The runs must have
    been judged by the same instrument.

    \b
    isr compare sifm.isr photoguard.isr
    isr compare all_methods.isr --baseline noise --by editor
    isr compare all_methods.isr --choose
    isr compare all_methods.isr --latex
    isr compare all_methods.isr --labels labels.csv --design random
    """
    import json

    from isr.api import compare_read
    from isr.errors import UsageError

    columns = [c.strip() for c in by.split(",") if c.strip()]
    files = options["label_files"]
    if not files and any(options[name] for name in OF_LABELS):
        raise UsageError(
            "isr compare: --words, --columns, --rater-prefix and --key are of labels: expected --labels; found none"
        )
    names = (
        "design",
        "consensus",
        "plan",
        "pool_guidelines",
        "allow_unmatched",
        "prompts",
        "cluster",
        "margin",
    )
    found = compare_read(
        runs, labels_of(options, files) if files else None, baseline=baseline, by=columns, choose=choose, level=level,
        seed=seed, **{name: options[name] for name in names},
    )  # fmt: skip
    if as_json and as_latex:
        raise UsageError("isr compare: expected --json or --latex; found both; give one")
    if as_latex:
        from isr.report.comparison import of_comparison
        from isr.report.comparison_paper import latex_pairs

        click.echo(latex_pairs(of_comparison(found, level)), nl=False)
    elif as_json:
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

    clusters = "clusters" if "|cluster=" in found.signature else "images"
    printed: set[str] = set()  # beside the pairs that they are of
    yield from (f"judge: {judge}" for judge in found.judges)
    yield "ISR, first minus second, on shared units" + (", by verdicts" if found.confirmed else "")
    heads = (f"{level:.0%} interval", f"all hold at {level:.0%}")
    yield f"  {'difference':>10}  {heads[0]:>20}  {heads[1]:>20}{'n':>7}{clusters:>9}{'p':>8}{'Holm':>8}"
    for one in found.family:
        pair = _confirmed(found, one, {})
        yield f"{one.first} - {one.second}"
        yield _row(one, text.difference_interval(one.simultaneous), one.p_holm, level)
        told = [] if one.open is None else [text.left_open(one.open, level)]
        told += [*one.notes, f"p: {one.p_method}", *_margin(found, one, pair), *_people(one, pair, level)]
        printed |= {note.removeprefix("WARNING: ") for note in told}
        yield from (f"    {note}" for note in told)
    yield from text.footnotes((n for one in found.family for n in one.notes), level, len(found.family))
    if "|prompts=fixed|" in found.signature:
        yield "about these prompts alone; --prompts random makes it a claim about prompts like these"
    if uncorrected := [one for one in found.family if not _is_corrected(_confirmed(found, one, {}))]:
        which = (
            "" if len(uncorrected) == len(found.family) else f"{len(uncorrected)} of {len(found.family)}: "
        )
        yield (
            f"{which}differences of verdicts: a judge that errs differently on two methods can make them; --labels and --design "
            "correct it"
        )
    if column := Signature.parse(found.signature).get("cluster"):
        yield f"images of one {column} are one cluster: about a new {column} like these"
    for u in found.unpaired:
        if u.only_first or u.only_second:
            yield f"not paired: {u.only_first} units of {u.first}, {u.only_second} of {u.second}; {u.shared} shared"
    if found.slices:
        yield ""
        yield "within groups, by verdicts (exploratory; the last column is adjusted by Benjamini-Hochberg)"
        for part in found.slices:
            one, pair = part.comparison, _confirmed(found, part.comparison, part.by)
            group = ", ".join(f"{k} {text.value_in_words(k, v)}" for k, v in part.by.items())
            yield f"{group}: {one.first} - {one.second}"
            yield _row(one, "", part.p_bh, level)
            if one.open is not None:
                yield f"    {text.left_open(one.open, level)}"
            yield from (f"    {note}" for note in _in_group(one, pair))
    yield from pooled_lines(found.pooled, level)
    if found.choices:
        yield ""
        yield from _choice_lines(found.choices, level, corrected=bool(found.confirmed))
    if found.conclusion is not None:
        yield ""
        yield from (f"conclusion: {line}" for line in found.conclusion.text)
    yield ""
    yield from (f"warning: {w}" for w in found.warnings if w not in printed)
    yield f"signature: {found.signature}"


def _confirmed(found: Comparison, one: PairedComparison, by: dict[str, str]) -> Confirmed | None:
    """What people's labels say of a pair, or of a pair within a group."""
    wanted = (one.first, one.second, by)
    return next((p for p in found.confirmed if (p.first, p.second, dict(p.by)) == wanted), None)


def _is_corrected(pair: Confirmed | None) -> bool:
    return pair is not None and pair.corrected is not None


def _people(one: PairedComparison, pair: Confirmed | None, level: float) -> Iterator[str]:
    if pair is not None:
        from isr.people.confirm_text import lines

        yield from lines(one, pair, level)


def _in_group(one: PairedComparison, pair: Confirmed | None) -> Iterator[str]:
    if pair is None:
        return
    from isr.people.confirm_text import banner

    if said := banner(one, pair):
        yield f"WARNING: {said}"
    if pair.corrected is None:
        yield f"corrected: refused: {pair.refused}"
    else:
        d = pair.corrected
        yield f"corrected by {pair.labels} labelled units: {text.difference(d.value)} ({text.difference_interval(d)})"


def _margin(found: Comparison, one: PairedComparison, pair: Confirmed | None) -> Iterator[str]:
    """What a margin says of a pair: of people's difference where labels correct it, else of verdicts."""
    size = next(
        (float(p.partition("=")[2]) for p in found.signature.split("|") if p.startswith("margin=")), None
    )
    if size is None:
        return
    if pair is not None and pair.corrected is not None:
        yield text.within_margin(pair.within, size, "corrected")
    elif one.within is not None:
        yield text.within_margin(
            one.within, size, "by verdicts" + (", of the decided pairs alone" if one.open is not None else "")
        )
    else:
        yield f"margin of {100 * size:g} pp: no claim: {'; '.join(one.difference.notes) or 'there is no interval'}"


def _row(one: PairedComparison, joint: str, adjusted: float | None, level: float) -> str:
    from isr.scoring.shown import shown_pair

    shown = shown_pair(one, level)
    numbers = f"{shown.size:>7}{one.difference.clusters:>9}{text.p_value(one.p_value):>8}{text.p_value(adjusted):>8}"
    if shown.is_range:  # what holds over the family is of the decided pairs alone
        ends = f"{shown.written(text.points)} pp"
        return f"  {ends:>20}  {shown.spanned(text.points) or 'no interval':>20}  {'':>10}{numbers}"
    value, span = text.difference(one.difference.value), text.difference_interval(one.difference)
    return f"  {value:>10}  {span:>20}  {joint:>20}{numbers}"


def _chosen(c: Choice, name: str, found: Interval | None) -> str:
    """A rate of the table for choosing: its bounds where too many of its edits are undecided."""
    from isr.scoring.shown import headline

    left = c.open.get(name)
    if found is None or left is None or headline(found.n, left.of) == "value":
        return text.rate_with_interval(found, none="none")
    held = "no interval" if left.identified is None else "-".join(map(text.rate, left.identified))
    return f"{'-'.join(map(text.rate, left.bounds))} [{held}]"


def _choice_lines(choices: tuple[Choice, ...], level: float, *, corrected: bool) -> Iterator[str]:
    width = max(len(c.name) for c in choices) + 2
    yield f"to choose from{', by verdicts' if corrected else ''} (all intervals hold together at {level:.0%})"
    heads = "".join(f"{h:>24}" for h in ("ISR", "worst attack", "other editors"))
    people = f"{'people (corrected)':>24}" if corrected else ""
    yield f"  {'':{width}}{heads}{people}{'n':>7}{'undecided':>11}{'PSNR dB':>9}{'L-inf':>8}  cost per image"
    for c in choices:
        rates = (("isr", c.isr), ("worst", c.worst), ("transfer", c.transfer))
        cells = "".join(f"{_chosen(c, name, i):>24}" for name, i in rates)
        cells += f"{text.rate_with_interval(c.corrected, none='none'):>24}" if corrected else ""
        psnr = "-" if c.psnr is None else f"{c.psnr:.1f}"
        linf = "-" if c.linf is None else f"{c.linf:.4f}"
        costs = (
            ", ".join(f"{v:.3g} {k.removeprefix('immunize_')}" for k, v in c.costs.items()) or "not known (1)"
        )
        yield f"  {c.name:{width}}{cells}{c.isr.n:>7}{c.undecided:>11}{psnr:>9}{linf:>8}  {costs}"
    if any(not c.costs for c in choices):
        yield "  (1) cost per image: the metadata have no column immunize_seconds or immunize_usd"
    for c in choices:
        reasons = [*c.notes, *(c.isr.notes if c.isr.low is None else ())]
        yield from (f"  {c.name}: {reason}" for reason in reasons)
    if corrected:
        yield f"  people's rates hold together at {level:.0%} among themselves"

"""``isr score --labels``: people as the only judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isr import text

if TYPE_CHECKING:
    from isr.people.human_score import HumanScore
    from isr.scoring.options import Options
    from isr.stats.rows import Interval

OPTIONS = ("labels", "consensus", "pool_guidelines", "words", "columns", "prefixes", "key")
TAKEN = (
    "directory",
    "out",
    "by",
    "level",
    "interval",
    "prompts",
    "estimand",
    "skip_invalid",
    "accept",
    "replace",
)


def require_labels(given: Mapping[str, Any]) -> None:
    """Raises ``UsageError`` for an option that says how labels are read, where there are none."""
    from isr.errors import UsageError

    unused = {**given, "consensus": given["consensus"] != "majority"}
    for name in OPTIONS[1:]:
        if unused[name] and not given["labels"]:
            option = "rater-prefix" if name == "prefixes" else name.replace("_", "-")
            raise UsageError(f"--{option}: expected --labels beside it; found none; give both")


def score_people(
    options: Options, given: Mapping[str, Any], asked: Mapping[str, bool], *, as_json: bool
) -> HumanScore:
    """Scores by labels alone and prints the result. asked: further options that a judge has, and whether they were given.

    Raises ``UsageError`` for an option that is of a judge.
    """
    from isr.cli._labels import labels_of
    from isr.errors import UsageError
    from isr.people.human_score import score_labels
    from isr.report.people import with_controls

    of_judges = [
        f.name for f in fields(options) if f.name not in TAKEN and getattr(options, f.name) != f.default
    ]
    of_judges += [name for name, was in asked.items() if was]
    if of_judges:
        said = ", ".join(
            f"--{name.replace('_', '-').removesuffix('s') if name == 'sets' else name.replace('_', '-')}"
            for name in of_judges
        )
        raise UsageError(
            f"--labels: expected people as the only judge; found {said} beside it; leave it out, or leave --labels out"
        )
    files = tuple(dict.fromkeys(f for path in given["labels"] for f in with_controls(Path(path))))
    labels = labels_of(given, files)
    done = score_labels(options, labels, rule=given["consensus"], pool_guidelines=given["pool_guidelines"])
    _print(done, as_json)
    return done


def _print(done: HumanScore, as_json: bool) -> None:
    from isr.report.forest import text_forest
    from isr.scoring.text import render

    if as_json:
        click.echo(done.result.to_json(), nl=False)
        return
    click.echo(render(done.result), nl=False)
    click.echo("\n" + text_forest(done.result))
    for line in _people(done):
        click.echo(line)
    click.echo(f"results: {done.out}")


def _people(done: HumanScore) -> Iterator[str]:
    from isr.scoring.row_names import short_names

    if done.by_rater:
        yield "ISR by each rater alone"
        treatments = list(dict.fromkeys(t for t, _ in done.by_rater))
        names = dict(zip(treatments, short_names(treatments), strict=True))
        for (treatment, rater), i in done.by_rater.items():
            of = f"{names[treatment]}, " if len(treatments) > 1 else ""
            yield f"  {text.plain(of + rater):30}{text.rate_with_interval(i):>26}{i.n:>8} edits"
    if done.agreement:
        yield "people with each other: what no judge is expected to surpass"
        yield f"  {'':12}{'Fleiss kappa':>22}{'AC1':>22}{'held-out rater with the rest':>32}"
        for a in done.agreement:
            cells = (_span(a.raters.fleiss), _span(a.raters.ac1))
            yield (
                f"  {a.question:12}"
                + "".join(f"{c:>22}" for c in cells)
                + f"{text.rate_with_interval(a.ceiling, none='-'):>32}"
            )


def _span(i: Interval | None) -> str:
    if i is None or i.value is None:
        return "-"
    return f"{i.value:.2f}" + ("" if i.low is None or i.high is None else f" ({i.low:.2f}, {i.high:.2f})")

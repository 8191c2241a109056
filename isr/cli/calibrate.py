"""``isr calibrate``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isr.cli._labels import labels_of, meaning_options, verdict_options, verdicts_of
from isr.cli._types import LEVEL, RUBRIC

if TYPE_CHECKING:
    from isr.judging.thresholds import Decision, Recalibration
    from isr.people.correct_rows import Correction, CorrectionReport
    from isr.people.judgements import Judgements
    from isr.stats.rows import Interval

_PATH = click.Path(path_type=Path)


@click.command(short_help="Correct an ISR by human labels, or learn a judge's thresholds from them.")
@click.argument("run", metavar="RUN", type=_PATH)
@click.option(
    "--labels",
    "labels_path",
    multiple=True,
    type=_PATH,
    help="Labels: a table, or an export of Label Studio, MTurk, Google Forms, Argilla, SageMaker; more than once.",
)
@meaning_options
@verdict_options
@click.option(
    "--design", type=click.Choice(["random", "within_verdict", "external"]),
    help="How the labelled edits were chosen: nothing in the data can tell, and the estimator depends on it.",
)  # fmt: skip
@click.option(
    "--drawn", type=click.Choice(["random", "within_label"]),
    help="design external: random, or at random among those that people call immunized and among the others.",
)  # fmt: skip
@click.option(
    "--judge-name",
    default="",
    metavar="NAME",
    help="Which judge of a run with several. Default: the last (the panel).",
)
@click.option(
    "--rubric",
    "rubrics",
    multiple=True,
    type=RUBRIC,
    metavar="NAME/vN|FILE.toml",
    help="By which recorded answers are read.",
)
@click.option(
    "--where", "conditions", multiple=True, metavar="COLUMN=VALUE", help="Correct these edits only."
)
@click.option(
    "--judged", type=_PATH, help="design external: where the labelled edits were judged. Default: RUN."
)
@click.option("--plan", "plan_path", type=_PATH, help="design within_verdict: the plan.json of the sample.")
@click.option(
    "--scale",
    "scales",
    multiple=True,
    metavar="QUESTION=A,B,..:fails_below=X",
    help="Scale of graded labels.",
)
@click.option("--guideline", default="", help="What the raters read, where labels do not say.")
@click.option(
    "--pool-guidelines", is_flag=True, help="Take labels of several guidelines together, and say so."
)
@click.option(
    "--allow-unmatched",
    is_flag=True,
    help="Leave out labels of edits that RUN has not: they are of other runs.",
)
@click.option(
    "--consensus", default="majority", show_default=True, type=click.Choice(["majority", "strict", "dawid-skene"]),
    help="How several raters become one label.",
)  # fmt: skip
@click.option(
    "--estimator", default="auto", show_default=True,
    type=click.Choice(["auto", "post-stratified", "ppi++", "rogan-gladen"]),
    help="Ask for an estimator; refused where the design makes it biased.",
)  # fmt: skip
@click.option(
    "--by", default="editor", show_default=True, metavar="COLUMN", help="Groups of the homogeneity test."
)
@click.option("--level", default=0.95, show_default=True, type=LEVEL)
@click.option("--seed", default=0, show_default=True, help="Of folds and of the permutation test.")
@click.option(
    "--out",
    type=_PATH,
    metavar="CAL.toml",
    help="Also learn thresholds on scores, for isr score --calibration.",
)
@click.option(
    "--map", "kind", default="isotonic", show_default=True, type=click.Choice(["isotonic", "platt"])
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: Path, as_json: bool, out: Path | None, kind: Any, **options: Any) -> None:
    """Print the ISR that people would have given beside the judge's, from labels of some edits.

    RUN is a run's folder, a bundle, recorded answers (.jsonl) or a table of verdicts (.csv). With --out, thresholds on the judge's graded scores are
    learnt as well, cross-fitted by image, and reported on folds that they were not learnt on.

    Without labels, the judge's own rates are printed with their intervals: also those of a table made elsewhere.

    \b
    isr calibrate edits.isr --labels labels.csv --design random
    isr calibrate verdicts.csv --judge-words "outcome: yes=fails, no=fine" --judge-columns "edit_id=file, outcome=safe"
    isr calibrate edits.isr --labels labels.csv --design random --out cal.toml
    isr calibrate new.isr --labels old_labels.csv --judged old.isr --design external --drawn random
    """
    import json

    from isr.errors import UsageError
    from isr.judging.thresholds import write_recalibration
    from isr.people.correct import correct, read_plan, where_edits
    from isr.people.correct_rows import Settings
    from isr.people.judgements import is_export, read_source
    from isr.people.learn_threshold import learn
    from isr.people.study_file import pixels_of

    if run.suffix == ".db" or (run.suffix == ".jsonl" and is_export(run)):
        raise UsageError(
            f"{run}: expected a run's folder or recorded answers, which say what all the edits are; found a store "
            f"or its answers, which would take the labelled edits for all of them"
        )
    if not options["labels_path"]:
        if options["design"] or out is not None:
            raise UsageError(
                "isr calibrate: expected --labels for --design and --out; found none; give the labels"
            )
        found = read_source(run, rubrics=options["rubrics"], **verdicts_of(options))
        _print_raw(_one(found, options["judge_name"], run), options["level"], as_json=as_json)
        return
    if not options["design"]:
        raise UsageError(
            "isr calibrate: expected --design (random, within_verdict or external) with --labels; found none; say how the "
            "labelled edits were chosen"
        )
    labels = labels_of(options, options["labels_path"])
    pixels = pixels_of(labels)
    tables = verdicts_of(options)
    target = _one(
        read_source(run, rubrics=options["rubrics"], pixels=pixels, **tables), options["judge_name"], run
    )
    judged = None
    if options["judged"] is not None:
        found = read_source(options["judged"], rubrics=options["rubrics"], pixels=pixels, **tables)
        judged = _one(found, options["judge_name"], options["judged"])
    names = (
        "design",
        "drawn",
        "consensus",
        "estimator",
        "by",
        "level",
        "seed",
        "pool_guidelines",
        "allow_unmatched",
    )
    settings = Settings(**{k: options[k] for k in names})
    edits = where_edits(target, labels, options["conditions"])
    plan = None if options["plan_path"] is None else read_plan(options["plan_path"])
    report = correct(
        target, labels, settings, edits=edits, where=options["conditions"], judged=judged, plan=plan
    )
    learnt = None
    if out is not None:
        learnt = learn(judged or target, labels, settings, kind=kind, edits=edits if judged is None else None)
        write_recalibration(out, learnt)
    if as_json:
        made = report.as_dict()
        if learnt is not None:
            made["learnt"] = {q.value: d.model_dump(mode="json") for q, d in learnt.decisions.items()}
        click.echo(json.dumps(made, indent=1, allow_nan=False))
        return
    own = target if judged is None else judged
    lines = [f"judge: {own.name} ({own.model})", *_lines(report, settings.level)]
    if learnt is not None and out is not None:
        lines += _learnt_lines(learnt, out)
    click.echo("\n".join(lines))


def _print_raw(judge: Judgements, level: float, *, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from isr.people.correct import raw_rates

    rates = raw_rates(judge, level)
    if as_json:
        made = {name: {**asdict(rate), "undecided": n} for name, (rate, n) in rates.items()}
        click.echo(json.dumps({"judge": judge.identity, "rates": made}, indent=1, allow_nan=False))
        return
    click.echo(f"  {'':18}{'judge (raw)':>27}{'edits':>8}{'images':>8}   ({level:.0%} intervals)")
    for name, (rate, n) in rates.items():
        undecided = f"   {n} undecided" if n else ""
        click.echo(f"  {name:18}{_span(rate):>27}{rate.n:>8}{rate.clusters:>8}{undecided}")
    alone = sum(not info.image_id for info in judge.edits.values())
    if alone:
        click.echo(
            f"note: {alone} edits name no image_id and stand alone: the intervals are too narrow if they share one"
        )
    click.echo(f"judge: {judge.name} ({judge.model}); {judge.identity}")


def _one(found: list[Any], name: str, path: Path) -> Any:
    from isr.errors import UsageError

    if not name:
        return found[-1]
    chosen = [j for j in found if j.name == name]
    if not chosen:
        raise UsageError(f"--judge-name {name}: expected one of {', '.join(j.name for j in found)} ({path})")
    return chosen[0]


def _lines(report: CorrectionReport, level: float) -> Iterator[str]:
    heads = ("judge (raw)", "people (corrected)", "sensitivity", "specificity")
    yield f"  {'':16}" + "".join(f"{h:>27}" for h in heads) + f"{'labels':>8}   ({level:.0%} intervals)"
    for c in [*report.rates.values(), *report.controls.values()]:
        cells = (c.raw, c.corrected, c.sensitivity, c.specificity)
        yield f"  {c.rate:16}" + "".join(f"{_span(x):>27}" for x in cells) + f"{c.labels:>8}"
        yield from (f"  {'':16}{line}" for line in _more(c))
    yield ""
    yield from (f"warning: {w}" for w in report.warnings)
    yield f"signature: {report.signature}"


def _more(c: Correction) -> Iterator[str]:
    if c.refused:
        yield f"refused: {c.refused}"
    if c.corrected is not None:
        yield f"{c.corrected.method}: {'; '.join(c.corrected.notes)}"
    if c.undecided and c.bounds:
        held = f" (interval {c.identified[0]:.1%} to {c.identified[1]:.1%})" if c.identified else ""
        yield (
            f"{c.undecided} edits undecided by the judge: between {c.bounds[0]:.1%} and {c.bounds[1]:.1%} of all edits{held}"
        )
    for h in c.homogeneity:
        p = "-" if h.p_value is None else f"{h.p_value:.4f}"
        rates = ", ".join(f"{g} {'-' if v is None else format(v, '.2f')}" for g, v in h.rates.items())
        yield f"{h.rate} by group: {rates}; equal: p = {p} ({h.method})"


def _learnt_lines(learnt: Recalibration, out: Path) -> Iterator[str]:
    yield ""
    yield f"learnt thresholds of {learnt.judge}, applied by: isr score --calibration {out}"
    for question, d in learnt.decisions.items():
        yield from _decision(question.value, d)


def _decision(question: str, d: Decision) -> Iterator[str]:
    r = d.report
    yield f"  {question} ({d.rubric}), {d.map}: fails where the probability reaches {d.threshold:.3f}"
    yield f"    {'on held-out folds':22}{'sensitivity':>20}{'specificity':>20}{'percent':>20}"
    for name, prefix in (("learnt threshold", ""), ("the rubric's own", "rubric_")):
        keys = ("sensitivity", "specificity", "percent_agreement")
        if prefix + keys[0] in r:  # a trained scorer's rubric has no threshold of its own
            yield f"    {name:22}" + "".join(f"{_triple(r[prefix + k]):>20}" for k in keys)
    yield (
        f"    AUC {_triple(r['auc'])}; Brier {r['brier']:.4f} = reliability {r['brier_reliability']:.4f} - resolution "
        f"{r['brier_resolution']:.4f} + uncertainty {r['brier_uncertainty']:.4f}; ECE {r['ece_equal_width']:.3f} "
        f"(equal mass {r['ece_equal_mass']:.3f})"
    )


def _triple(values: list[float]) -> str:
    return f"{values[0]:.2f}" + (f" ({values[1]:.2f}, {values[2]:.2f})" if len(values) == 3 else "")


def _span(i: Interval | None) -> str:
    if i is None:
        return "refused"
    if i.value is None:
        return "unknown" if i.low is None or i.high is None else f"unknown ({i.low:.1%}-{i.high:.1%})"
    return f"{i.value:.1%}" + ("" if i.low is None or i.high is None else f" ({i.low:.1%}-{i.high:.1%})")

"""``isr agree``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isr import text
from isr.cli._labels import labels_of, meaning_options, verdict_options, verdicts_of
from isr.cli._types import LEVEL, RUBRIC

if TYPE_CHECKING:
    from isr.people.agreement_study import AgreementStudy, Answers, Choices, JudgeAgreement, Pair
    from isr.people.judgements import Judgements
    from isr.people.labels import Labels
    from isr.stats.rows import Interval

_PATH = click.Path(path_type=Path)
SHOWN_RATERS = 6


@click.command(short_help="Agreement of judges with people and with each other.")
@click.argument("study", required=False, type=_PATH)
@click.option(
    "--labels", multiple=True, type=_PATH,
    help="Labels: a table, or an export of Label Studio, MTurk, Google Forms, Argilla, SageMaker; more than once.",
)  # fmt: skip
@meaning_options
@verdict_options
@click.option(
    "--judge", "judges", multiple=True, type=_PATH, metavar="PATH",
    help="A run's folder or bundle, an answer store (.db) or its export, recorded answers (.jsonl), or a table of verdicts.",
)  # fmt: skip
@click.option(
    "--rubric",
    "rubrics",
    multiple=True,
    type=RUBRIC,
    metavar="NAME/vN|FILE.toml",
    help="By which recorded answers are read.",
)
@click.option(
    "--scale", "scales", multiple=True, metavar="QUESTION=A,B,..:fails_below=X",
    help="Scale of graded labels, with its direction (fails_below or fails_above).",
)  # fmt: skip
@click.option("--guideline", default="", help="What the raters read: a version's name, or a text file.")
@click.option(
    "--pool-guidelines", is_flag=True, help="Take labels of several guidelines together, and say so."
)
@click.option(
    "--consensus", default="majority", show_default=True, type=click.Choice(["majority", "strict", "dawid-skene"]),
    help="How several raters become one label.",
)  # fmt: skip
@click.option(
    "--by", default="editor", show_default=True, metavar="COLUMN", help="Column of the confusion tables."
)
@click.option(
    "--primary", default="kappa", show_default=True, type=click.Choice(["kappa", "ac1", "mcc"]),
    help="Coefficient by which judges are compared in pairs.",
)  # fmt: skip
@click.option("--level", default=0.95, show_default=True, type=LEVEL)
@click.option(
    "--least", default=10, show_default=True, type=click.IntRange(1),
    help="Edits that two judges must both decide to be a comparison of the family.",
)  # fmt: skip
@click.option(
    "--seed", default=0, show_default=True, help="Of a template's draw; names and orders are random."
)
@click.option(
    "--data",
    type=_PATH,
    help="Folder that a study file's paths start from (default: the file's own); of a template, the edit directory.",
)
@click.option(
    "--out", type=_PATH, help="Folder for agreement.json and table.txt; of a template, for its sheets."
)
@click.option(
    "--template",
    type=click.Choice(["table-i"]),
    help="Plan a human study instead: draw edits of one --judge run.",
)
@click.option("--edits", "edits", default=150, show_default=True, help="Edits that a template draws.")
@click.option("--raters", default=3, show_default=True, help="Raters of a template.")
@click.option(
    "--strata", default="editor,method", show_default=True, metavar="COLUMNS",
    help="Strata of a template; `verdict` is the judge's outcome.",
)  # fmt: skip
@click.option(
    "--errors-on", default="", metavar="COLUMNS",
    help="Also where each judge errs: its errors regressed on these, e.g. editor,protected_psnr,budget,prompt_words; COLUMN:levels for numbers that are names.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    study: Path | None, template: str | None, as_json: bool, out: Path | None, **options: Any
) -> None:
    """Compare judges with people and with each other, from a study file or from options.

    A study file names labels, judges and every choice, so that one command re-runs it.

    \b
    isr agree examples/imagenhub/study.toml --data examples/imagenhub/data
    isr agree --labels labels.csv --judge edits.isr --judge other.isr --by editor
    isr agree --labels labels.csv --judge edits.isr --errors-on editor,protected_psnr,prompt_words
    isr agree --template table-i --judge edits.isr --out human-study/
    """
    if template is not None:
        _template(out, options)
        return
    labels, judges, choices = _from_study(study, options) if study else _from_options(options)
    from isr.files import write_text
    from isr.people.agree import agree, require_judges
    from isr.people.errors_on import errors_on

    require_judges(judges)
    found = agree(labels, judges, choices)
    if columns := [c.strip() for c in options["errors_on"].split(",") if c.strip()]:
        found = errors_on(found, labels, judges, columns, choices)
    table = "\n".join(_lines(found, choices.level)) + "\n"
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "agreement.json", found.to_json())
        write_text(out / "table.txt", table)
    click.echo(found.to_json() if as_json else table, nl=False)


def _from_study(path: Path, options: Mapping[str, Any]) -> tuple[Labels, list[Judgements], Choices]:
    from isr.errors import UsageError
    from isr.people.agreement_study import Choices
    from isr.people.study_file import read_study, study_judges, study_labels

    if options["labels"] or options["judges"]:
        raise UsageError(
            "isr agree: expected a study file, or --labels and --judge; found both; use one of them"
        )
    study = read_study(path)
    root = options["data"] or path.parent
    labels = study_labels(study.labels, root)
    choices = Choices(
        consensus=study.labels.consensus,
        by=study.analysis.by,
        primary=study.analysis.primary,
        level=study.level,
        seed=study.seed,
        most_disputed=study.analysis.most_disputed,
        pool_guidelines=study.labels.pool_guidelines,
        title=study.title,
        digest=study.digest,
    )
    return labels, study_judges(study, root, labels), choices


def _from_options(options: Mapping[str, Any]) -> tuple[Labels, list[Judgements], Choices]:
    from isr.errors import UsageError
    from isr.people.agreement_study import Choices
    from isr.people.judgements import read_source
    from isr.people.study_file import named_apart, pixels_of

    if not options["labels"]:
        raise UsageError("isr agree: expected a study file, or --labels; found neither; see isr agree --help")
    labels = labels_of(options, options["labels"])
    pixels = pixels_of(labels)
    tables = verdicts_of(options)
    judges = [
        j
        for path in options["judges"]
        for j in read_source(path, rubrics=options["rubrics"], pixels=pixels, **tables)
    ]
    names = ("consensus", "by", "primary", "level", "least", "seed", "pool_guidelines")
    return labels, named_apart(judges), Choices(**{k: options[k] for k in names})


def _template(out: Path | None, options: Mapping[str, Any]) -> None:
    from isr.errors import UsageError
    from isr.people.judgements import read_source
    from isr.people.sampling import draw
    from isr.people.sheets import FOR_RATERS, write_sheets
    from isr.people.study_file import guideline_version
    from isr.scoring.finished import read_run
    from isr.text import did_you_mean

    if out is None or len(options["judges"]) != 1:
        raise UsageError(
            "--template: expected one run (--judge RUN) to draw from, and --out FOLDER for the sheets"
        )
    path = options["judges"][0]
    run = read_run(path)
    rows = {r.columns["edit_id"]: r.columns for part in run.treatments.values() for r in part.values()}
    strata = [c.strip() for c in options["strata"].split(",") if c.strip()]
    known = {"verdict", *next(iter(rows.values()))} if rows else {"verdict"}
    if missing := [c for c in strata if c not in known]:
        raise UsageError(
            f"--strata: expected columns of edits.csv, or verdict; found {', '.join(missing)}; "
            f"{did_you_mean(missing, known, 'correct it')}"
        )
    judged = read_source(path)[-1]
    sample = draw(
        judged,
        rows,
        n=options["edits"],
        by=strata,
        seed=options["seed"],
        guideline=guideline_version(options["guideline"]),
    )
    files = write_sheets(sample, _pictures(path, options["data"]), out, raters=options["raters"])
    click.echo(
        f"{len(sample.rows)} edits of {len(rows)}, {options['raters']} raters, plan {sample.plan[:19]}"
    )
    for name, (n, total) in sample.strata.items():
        click.echo(f"  {n:>5} of {total:<6} {name}")
    click.echo(f"design when the labels are used: {sample.design}")
    click.echo(f"give to raters: {out / FOR_RATERS}")
    click.echo("keep to yourself: " + ", ".join(str(f) for f in files if FOR_RATERS not in f.parts))


def _pictures(run: Path, data: Path | None) -> Path:
    """The edit directory whose pictures raters are shown; a bundle's are unpacked."""
    from isr.errors import UsageError
    from isr.report.runs import read_report_run
    from isr.scoring.bundled import fill, is_bare

    root = read_report_run(run, data).root
    fill(root)
    if root is None or is_bare(root):
        raise UsageError(
            f"{run}: expected the pictures of its edits; found none; give them with --data EDIT_DIR"
        )
    return root


# --------------------------------------------------------------------------- the tables


def _lines(found: AgreementStudy, level: float) -> Iterator[str]:
    from isr.people.judge_errors import lines as error_lines

    c = found.counts
    if found.title:
        yield found.title
    yield (
        f"{c['labels']} labels by {c['raters']} raters of {c['edits']} edits; {c['edits_judged']} of them, of "
        f"{c['images']} images, judged by {text.counted(c['judges'], 'judge')}"
    )
    yield from (f"judge: {judge}" for judge in found.judges)
    if found.left_open:
        yield f"WARNING: {found.left_open}"
    for question in found.questions.values():
        yield ""
        yield from _question(question)
    yield ""
    yield from _table_one(found.questions)
    if found.disputed:
        yield ""
        yield "edits on which judges and people disagree most"
        for d in found.disputed:
            says = ", ".join(f"{k} {v}" for k, v in d.says.items())
            yield f"  {d.edit}  {d.question}: {d.votes}; {says}"
    yield from error_lines(found.errors, level)
    if found.controls is not None:
        yield ""
        yield "CONTROL EDITS, of unprotected images"
        *lines, _ = _lines(found.controls, level)  # the signature is the same
        yield from (f"  {line}".rstrip() for line in lines)
    yield ""
    yield from (f"note: {n}" for n in found.notes)
    yield f"signature: {found.signature}"


def _question(q: Answers) -> Iterator[str]:
    word = "immunized" if q.question == "outcome" else "fails"
    yield f"{q.question.upper()}: people say {word} of {q.labelled['fails']}, not of {q.labelled['fine']}, open {q.labelled['open']}"
    yield ""
    yield "  people with each other, all labelled edits"
    yield f"  {'':18}{'Fleiss kappa':>22}{'alpha nominal':>22}{'AC1':>22}{'alpha ordinal':>22}{'edits':>7}"
    for r in q.raters:
        v, graded = r.verdicts, r.graded
        cells = (v.fleiss, v.alpha, v.ac1, graded.alpha if graded else None)
        yield f"  {r.group or 'all':18}" + "".join(f"{_span(x):>22}" for x in cells) + f"{r.edits:>7}"
        if graded is not None:
            yield f"  {'  on all grades':18}" + f"{_span(graded.fleiss):>22}"
    for p in q.rater_pairs:
        yield _pair(p)
    for judge in q.judges:
        yield ""
        yield from _each(judge)
        yield from _judge(judge)
    if q.judge_pairs:
        yield ""
        yield "  judges with each other"
        for p in q.judge_pairs:
            yield _pair(p)
    if q.differences:
        yield ""
        yield "  which judge is better (paired, p adjusted by Holm)"
        for d in q.differences:
            yield (
                f"  {d.first} - {d.second}: {d.coefficient.method.split(',')[0].removeprefix('difference of ')} "
                f"{_span(d.coefficient)}, p {text.p_value(d.p_holm)}; percent {_span(d.percent.difference)}, p {text.p_value(d.percent.p_holm)}; "
                f"{d.left_out or f'{d.coefficient.n} edits'}"
            )


def _pair(p: Pair, name: str = "") -> str:
    a = p.agreement
    return f"  {name or f'{p.first} - {p.second}'}: percent {_span(a.percent)}, kappa {_span(a.kappa)}, {a.n} edits"


def _each(j: JudgeAgreement) -> Iterator[str]:
    """A judge with single raters, those with most edits first."""
    if not j.each:
        return
    yield f"  {j.judge} with each rater"
    most = sorted(j.each, key=lambda p: (-p.agreement.n, p.second))
    yield from (f"  {_pair(p, p.second)}" for p in most[:SHOWN_RATERS])
    if more := most[SHOWN_RATERS:]:
        values = [v for p in more if (v := p.agreement.percent.value) is not None]
        yield f"    and {len(more)} more raters: percent {_number(min(values))} to {_number(max(values))} (--json has each)"


def _judge(j: JudgeAgreement) -> Iterator[str]:
    a = j.agreement
    reasons = ", ".join(f"{n} {r}" for r, n in j.reasons.items())
    yield f"  {j.judge} against the consensus: {text.counted(a.n, 'edit')} of {text.counted(a.clusters, 'image')}"
    yield from (f"    WARNING: {note}" for note in j.notes)
    yield f"    {'unusable answers':26}{_span(j.unusable):>22}  {reasons}"
    if j.unanswered:
        yield f"    {'without an answer':26}{j.unanswered:>22}"
    rows: Sequence[tuple[str, Interval | None, str]] = (
        ("percent agreement", a.percent, ""),
        (f"  always '{j.baseline.says}'", j.baseline.percent, "the baseline: costs nothing, kappa 0"),
        ("Cohen's kappa", a.kappa, ""),
        ("Gwet's AC1", a.ac1, f"baseline {_number(j.baseline.ac1)}"),
        ("Krippendorff's alpha", a.alpha, ""),
        ("MCC", a.mcc, ""),
        ("sensitivity", a.sensitivity, ""),
        ("specificity", a.specificity, ""),
        ("prevalence (people)", a.prevalence, ""),
        ("Spearman with raters", j.spearman, ""),
        ("Kendall with raters", j.kendall, ""),
    )
    for name, value, note in rows:
        if value is not None:
            yield f"    {name:26}{_span(value):>22}  {note}".rstrip()
    if j.ceiling is not None:
        c = j.ceiling
        yield f"    {'held-out rater with rest':26}{_span(c.human):>22}  the human ceiling"
        yield f"    {'judge with the same rest':26}{_span(c.judge):>22}  judge minus human {_span(c.gap)}"
    if j.by:
        yield f"    {'by group':26}{'both fails':>11}{'only judge':>11}{'only people':>12}{'both fine':>10}{'undecided':>10}   kappa"
    for group in j.by:
        (tn, fn), (fp, tp) = group.agreement.table
        yield f"    {group.group:26}{tp:>11}{fp:>11}{fn:>12}{tn:>10}{group.undecided:>10}   {_span(group.agreement.kappa)}"


def _table_one(questions: Mapping[str, Answers]) -> Iterator[str]:
    heads = {
        "semantic": "semantic mismatch",
        "perceptual": "quality degradation",
        "outcome": "final ISR verdict",
    }
    yield "percent agreement of pairs, as in the paper's Table I"
    yield f"  {'':14}" + "".join(f"{heads[q]:>26}" for q in questions)
    for row in ("human-human", "MLLM-MLLM", "human-MLLM"):
        cells = [text.rate_with_interval(q.table_one.get(row)) for q in questions.values()]
        yield f"  {row:14}" + "".join(f"{c:>26}" for c in cells)


def _span(i: Interval | None) -> str:
    if i is None or i.value is None:
        return "-"
    return _number(i.value) + (
        "" if i.low is None or i.high is None else f" ({_number(i.low)}, {_number(i.high)})"
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.2f}"

"""What the commands do after a run, as Python functions; each takes and returns typed values and prints nothing.

They are names of ``isr`` itself: ``isr.compare(...)``, ``isr.agree(...)``, ``isr.calibrate(...)``, ``isr.plan(...)``,
``isr.write_report(...)``, ``isr.write_figures(...)``. A run is its folder, ``DIR.isr`` for its newest run, a ``result.json``, or a bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from isr.calibration.correction.by_design import Estimator
from isr.calibration.correction.rogan_gladen import CalibrationDesign
from isr.calibration.ranking import Coefficient
from isr.errors import UsageError
from isr.judging.edits import load_edits as load_directory
from isr.people.agree import agree as agree_on
from isr.people.agree import require_judges
from isr.people.agreement_study import AgreementStudy, Choices
from isr.people.compared import compare_finished
from isr.people.correct import correct, read_plan, where_edits
from isr.people.correct_rows import CorrectionReport, Design, Settings
from isr.people.declared import Columns, Words, parse_columns, parse_words
from isr.people.errors_on import errors_on as regress_errors
from isr.people.human_score import HumanScore
from isr.people.human_score import score_labels as score_people
from isr.people.judgements import Judgements, read_source
from isr.people.label_files import Reading, load_labels
from isr.people.labels import Consensus, Labels
from isr.people.pair_labels import LabelChoices, PairDesign
from isr.people.study_file import guideline_version, named_apart, option_scales, pixels_of
from isr.python_words import at_least, from_python, level, share
from isr.report.assets import Mode
from isr.report.plots.writing import Figures
from isr.scoring.bundled import released
from isr.scoring.comparison import Comparison
from isr.scoring.finished import read_run
from isr.scoring.options import Options
from isr.scoring.planned import Planned, Wanted
from isr.scoring.planning import plan as plan_for
from isr.scoring.sampling import RESERVED
from isr.stats.rows import Prompts

Place = str | Path
LEVEL = {"level": level, "seed": at_least(0)}
PLANNED = {
    **dict.fromkeys(("half_width", "difference", "label_half_width", "label_difference", "margin", "rate", "discordant", "power"), share),
    "level": level, "assurance": level, "images": at_least(2), "labels": at_least(1), "per_image": at_least(1), "family": at_least(1),
    "icc": lambda value: "" if 0 <= value <= 1 else "a number from 0 to 1",
    "human_rates": lambda pair: "" if all(0 <= p <= 1 for p in pair) else "two numbers from 0 to 1",
    "quality": lambda pair: "" if all(0 <= p <= 1 for p in pair) else "two numbers from 0 to 1",
}  # fmt: skip

load_edits = from_python()(load_directory)


@from_python(LEVEL | {"margin": share})
@released()
def compare(
    *runs: Place,
    baseline: str = "",
    by: Sequence[str] = (),
    choose: bool = False,
    labels: Place | Sequence[Place] = (),
    design: PairDesign | None = None,
    consensus: Consensus = "majority",
    plan: Place | None = None,
    pool_guidelines: bool = False,
    allow_unmatched: bool = False,
    prompts: Prompts = "fixed",
    cluster: str = "",
    margin: float | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Methods compared on the same units, with intervals and tests clustered on the image (``isr compare``).

    baseline: compare all with this treatment only. by: also within groups of these columns. choose: also the table
    for choosing. labels: people's labels of both methods' edits of the same units, with ``design`` how these units were
    chosen (``random``, or ``within_verdict`` with the ``plan`` that the labels name): each difference then stands beside the
    corrected one. pool_guidelines, allow_unmatched: as in ``calibrate``. prompts: ``random`` takes them as a sample of
    prompts. cluster: a column that groups images. margin: also whether each difference shows the first no worse
    by more than this, or both equivalent within it. Raises ``UsageError``
    where the runs were not judged by one instrument or share no unit.
    """
    given = _files(labels)
    return compare_read(
        runs, load_labels(given, Reading()) if given else None,
        design=design, consensus=consensus, plan=plan, pool_guidelines=pool_guidelines, allow_unmatched=allow_unmatched,
        baseline=baseline, by=by, choose=choose, prompts=prompts, cluster=cluster, margin=margin,
        level=level, seed=seed,
    )  # fmt: skip


def compare_read(
    runs: Sequence[Place],
    labels: Labels | None,
    *,
    design: PairDesign | None,
    consensus: Consensus,
    plan: Place | None,
    pool_guidelines: bool,
    allow_unmatched: bool,
    baseline: str,
    by: Sequence[str],
    choose: bool,
    prompts: Prompts,
    cluster: str,
    margin: float | None,
    level: float,
    seed: int,
) -> Comparison:
    """``compare`` with labels that were read before, as the command's options say."""
    finished = [read_run(Path(run)) for run in runs]
    if not finished:
        raise UsageError("isr.compare: expected at least one run; found none")
    if reserved := sorted(set(by) & RESERVED):
        raise UsageError(f"--by: expected columns that describe edits; found {', '.join(reserved)}")
    if (labels is None) != (design is None):
        raise UsageError(
            "isr compare: expected --labels and --design together; found one of them; say how the labelled units were chosen: random, "
            "or within_verdict"
        )
    if labels is None and (plan is not None or pool_guidelines or allow_unmatched):
        raise UsageError(
            "isr compare: --plan, --pool-guidelines and --allow-unmatched are of labels: expected --labels"
        )
    choices = (
        None
        if design is None
        else LabelChoices(
            design=design,
            consensus=consensus,
            pool_guidelines=pool_guidelines,
            allow_unmatched=allow_unmatched,
            plan=None if plan is None else read_plan(Path(plan)),
            instruments=[] if plan is None else [read_source(one.path)[-1].instrument for one in finished],
        )
    )
    return compare_finished(
        finished, labels, choices, baseline=baseline, by=list(by), choose=choose, prompts=prompts, cluster=cluster,
        margin=margin, level=level, seed=seed,
    )  # fmt: skip


def _files(given: Place | Sequence[Place]) -> list[Path]:
    return [Path(given)] if isinstance(given, str | Path) else [Path(one) for one in given]


def _source(
    place: Place, rubrics: Sequence[str], pixels: Mapping[str, str], words: Words, columns: Columns
) -> list[Judgements]:
    return read_source(Path(place), rubrics=tuple(rubrics), pixels=pixels, words=words, columns=columns)


def _reading(
    scales: Sequence[str],
    words: str,
    columns: str,
    prefixes: Mapping[str, str] | None,
    guideline: str,
    key: Place | None,
) -> Reading:
    return Reading(
        scales=option_scales(tuple(scales)),
        words=parse_words([words]),
        columns=parse_columns([columns]),
        guideline=guideline,
        prefixes=prefixes or {},
        key=None if key is None else Path(key),
    )


@from_python(LEVEL)
@released()
def agree(
    labels: Place | Sequence[Place],
    judges: Place | Sequence[Place],
    *,
    rubrics: Sequence[str] = (),
    scales: Sequence[str] = (),
    words: str = "",
    columns: str = "",
    rater_prefixes: Mapping[str, str] | None = None,
    judge_words: str = "",
    judge_columns: str = "",
    guideline: str = "",
    key: Place | None = None,
    pool_guidelines: bool = False,
    consensus: Consensus = "majority",
    by: str = "editor",
    primary: Coefficient = "kappa",
    errors_on: Sequence[str] = (),
    level: float = 0.95,
    seed: int = 0,
) -> AgreementStudy:
    """Judges compared with people and with each other (``isr agree``).

    labels: a file of labels, or several. words, columns, rater_prefixes: what they mean, as in ``--words``, ``--columns``
    and ``--rater-prefix`` (by file). judges: one or several of runs, answer stores, recorded answers or tables of verdicts, which
    judge_words and judge_columns explain. scales: ``QUESTION=A,B,..:fails_below=X`` for
    graded labels. key: of blinded sheets that it does not lie beside. errors_on: columns on which each judge's errors are regressed. Raises ``InputError`` where labels and judges have
    no edit in common.
    """
    version = guideline_version(guideline)
    found = load_labels(_files(labels), _reading(scales, words, columns, rater_prefixes, version, key))
    pixels = pixels_of(found)
    tables = (parse_words([judge_words]), parse_columns([judge_columns]))
    said = [j for path in _files(judges) for j in _source(path, rubrics, pixels, *tables)]
    named = named_apart(said)
    require_judges(named)
    choices = Choices(
        consensus=consensus, by=by, primary=primary, level=level, seed=seed, pool_guidelines=pool_guidelines
    )
    study = agree_on(found, named, choices)
    return regress_errors(study, found, named, errors_on, choices) if errors_on else study


@from_python(LEVEL)
def score_labels(
    directory: Place,
    labels: Place | Sequence[Place],
    *,
    out: Place | None = None,
    by: Sequence[str] = (),
    level: float | None = None,
    consensus: Consensus = "majority",
    pool_guidelines: bool = False,
    words: str = "",
    columns: str = "",
    rater_prefixes: Mapping[str, str] | None = None,
) -> HumanScore:
    """The human ISR: people as the only judge of the labelled edits of a directory (``isr score --labels``).

    out: a folder for the run; by default one of its own beside the data. by: also groups of these columns. consensus: how several
    raters become one verdict. words, columns, rater_prefixes: what the files say, as in ``agree``. Returns the result, the rate by
    each rater, and how far people agree. Raises ``InputError`` where labels meet no edit or are of other pictures,
    ``UsageError`` where edits were drawn with unequal probabilities.
    """
    given = load_labels(_files(labels), _reading((), words, columns, rater_prefixes, "", None))
    options = Options(
        directory=Path(directory), out=None if out is None else Path(out), by=tuple(by), level=level
    )
    return score_people(options, given, rule=consensus, pool_guidelines=pool_guidelines)


@from_python(LEVEL)
@released()
def calibrate(
    run: Place,
    labels: Place | Sequence[Place],
    *,
    design: Design,
    where: Sequence[str] = (),
    plan_file: Place | None = None,
    judged: Place | None = None,
    judge_name: str = "",
    rubrics: Sequence[str] = (),
    scales: Sequence[str] = (),
    words: str = "",
    columns: str = "",
    rater_prefixes: Mapping[str, str] | None = None,
    judge_words: str = "",
    judge_columns: str = "",
    guideline: str = "",
    key: Place | None = None,
    pool_guidelines: bool = False,
    allow_unmatched: bool = False,
    consensus: Consensus = "majority",
    estimator: Estimator = "auto",
    drawn: CalibrationDesign | None = None,
    by: str = "editor",
    level: float = 0.95,
    seed: int = 0,
) -> CorrectionReport:
    """The rate that people would have given beside the judge's, from labels of some edits (``isr calibrate``).

    design: how the labelled edits were drawn; nothing in the data can tell, and the estimator rests on it. where: correct
    these edits only (``COLUMN=VALUE``). plan_file: of the design ``within_verdict``, the sample's plan.json. judged: for
    the design ``external``, the run in which the labelled edits were judged, and ``drawn``, how they were chosen
    (``random`` or ``within_label``). key: of blinded sheets that it does not lie beside. allow_unmatched: leave out labels of edits
    that the run has not, because they are of other runs. Raises ``DesignError`` where the
    design and the labels do not fit.
    """
    version = guideline_version(guideline)
    found = load_labels(_files(labels), _reading(scales, words, columns, rater_prefixes, version, key))
    pixels = pixels_of(found)

    def source(place: Place) -> Judgements:
        tables = (parse_words([judge_words]), parse_columns([judge_columns]))
        said = _source(place, rubrics, pixels, *tables)
        chosen = [j for j in said if j.name == judge_name] if judge_name else said
        if not chosen:
            names = ", ".join(j.name for j in said)
            raise UsageError(f"--judge-name {judge_name!r}: expected one of {names} ({place})")
        return chosen[-1]

    settings = Settings(
        design=design, consensus=consensus, estimator=estimator, drawn=drawn, by=by, level=level, seed=seed,
        pool_guidelines=pool_guidelines, allow_unmatched=allow_unmatched,
    )  # fmt: skip
    target = source(run)
    return correct(
        target,
        found,
        settings,
        edits=where_edits(target, found, tuple(where)),
        where=tuple(where),
        judged=None if judged is None else source(judged),
        plan=None if plan_file is None else read_plan(Path(plan_file)),
    )


@from_python(PLANNED)
@released()
def plan(
    *,
    half_width: float | None = None,
    difference: float | None = None,
    images: int | None = None,
    label_half_width: float | None = None,
    labels: int | None = None,
    margin: float | None = None,
    label_difference: float | None = None,
    pilot: Place | None = None,
    method: str = "",
    against: str = "",
    rate: float | None = None,
    icc: float | None = None,
    per_image: float | None = None,
    discordant: float | None = None,
    human_rates: tuple[float, float] = (0.1, 0.9),
    quality: tuple[float, float] = (0.9, 0.9),
    assurance: float = 0.8,
    family: int = 1,
    power: float = 0.8,
    level: float = 0.95,
) -> Planned:
    """How many images, prompts and labels a wanted precision needs (``isr plan``; ``Wanted`` says what each means).

    Raises ``UsageError`` where nothing is wanted, or the pilot cannot tell.
    """
    return plan_for(
        Wanted(
            half_width=half_width, difference=difference, images=images, label_half_width=label_half_width,
            labels=labels, margin=margin, label_difference=label_difference, quality=quality, pilot=None if pilot is None else Path(pilot), method=method, against=against, rate=rate,
            icc=icc, per_image=per_image, discordant=discordant, human_rates=human_rates, assurance=assurance, family=family, power=power,
            level=level,
        )
    )  # fmt: skip


@from_python()
@released()
def write_report(
    *runs: Place,
    out: Place | None = None,
    data: Place | None = None,
    assets: Mode = "auto",
    labels: Place | None = None,
    design: PairDesign | None = None,
    plan_file: Place | None = None,
    title: str = "",
) -> Path:
    """Writes one HTML report of one run or several and returns its path (``isr report``).

    out: by default ``report.html`` in the first run's folder, or beside a bundle. data: where the images are, by default as recorded. labels: of people;
    by default those beside a run. design: how the labelled edits were chosen; rates and differences then stand corrected too.
    plan_file: the labels' plan.json; by default the one beside them, which also says the design.
    """
    from isr.report.corrected import corrected
    from isr.report.page import Options
    from isr.report.page import write_report as write
    from isr.report.runs import named_runs, read_report_run, report_file

    if not runs:
        raise UsageError("isr.write_report: expected at least one run; found none")
    found = named_runs([read_report_run(Path(run), None if data is None else Path(data)) for run in runs])
    file = Path(out) if out is not None else report_file(found[0])
    given = None if labels is None else Path(labels)
    people = corrected(found, given, design or "", None if plan_file is None else Path(plan_file))
    return write(found, file, Options(assets=assets, labels=given, title=title, people=people))


@from_python()
@released()
def write_figures(*runs: Place, out: Place, labels: Place | None = None) -> Figures:
    """Writes figures of one run or several into the folder ``out`` as SVG, PDF and PNG (``isr report --figures``).

    Returns the files, and why each figure that these runs do not allow is ``missing``. labels: by default those beside a
    run. Raises ``MissingExtraError`` without the extra ``figures``.
    """
    from isr.report.plots.writing import write_figures as write
    from isr.report.runs import named_runs, read_report_run

    if not runs:
        raise UsageError("isr.write_figures: expected at least one run; found none")
    found = named_runs([read_report_run(Path(run)) for run in runs])
    return write(found, Path(out), None if labels is None else Path(labels))

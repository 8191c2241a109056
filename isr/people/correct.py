"""The rate that people would have given, beside the judge's, and thresholds learnt from people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.correction.by_design import (
    SUSPECT_Z,
    WARNED_Z,
    Selection,
    corrected_rate,
    selection_by_verdict,
)
from isr.calibration.correction.rogan_gladen import Calibration
from isr.calibration.transport import Homogeneity, homogeneity
from isr.canonical import sha256_json, short
from isr.errors import DesignError, InputError, UsageError
from isr.people.agree import column_of, require_column
from isr.people.arms import with_arms
from isr.people.chance import swapped
from isr.people.correct_rows import Correction, CorrectionReport, Rows, Settings, rows_of
from isr.people.judgements import QUESTIONS, Judgements
from isr.people.labels import Label, Labels, cell_of, independent, one_guideline, scale_parts
from isr.people.meeting import meet, unmet, unmet_told
from isr.people.study_file import check_pixels
from isr.people.themselves import require_no_people
from isr.reading import Unreadable, read_json
from isr.scoring.estimates import RULES
from isr.scoring.finished import require_fixed
from isr.signature import Signature
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval
from isr.types import Bools
from isr.version import __version__

ASKED = (*QUESTIONS, "outcome")
CONTROL_RATE = {"semantic": "control_semantic", "perceptual": "control_perceptual", "outcome": "control"}
RATE = {"semantic": "isr_semantic", "perceptual": "isr_perceptual", "outcome": "isr"}


def correct(
    target: Judgements,
    labels: Labels,
    settings: Settings,
    *,
    edits: Sequence[str] | None = None,
    where: Sequence[str] = (),
    judged: Judgements | None = None,
    plan: Mapping[str, Any] | None = None,
) -> CorrectionReport:
    """The corrected rates of a judge's edits (of ``edits`` only, if given).

    where: the conditions that chose them (``where_edits``); labels that say that they are of others meet no edit rightly.
    judged: where the judge's answers about the labelled edits of another experiment are (design ``external``).
    plan: the sampling plan that labels within verdict name. Raises ``InputError``, ``DesignError``.
    """
    require_no_people([target, *([judged] if judged else [])])
    require_fixed("isr calibrate", {target.name: target.signature})
    if settings.design == "external" and settings.drawn is None:
        raise DesignError(
            "isr calibrate: design external: expected how the labelled edits were chosen: --drawn random (whatever the judge "
            "and people say), or within_label (at random among those that people call immunized and among the others); "
            "found none; no file can say it, and labels chosen by verdict give wrong error rates"
        )
    if settings.design != "external" and settings.drawn is not None:
        raise UsageError(
            f"--drawn {settings.drawn}: expected with --design external only; found design {settings.design}; leave it out"
        )
    guideline = one_guideline(labels := independent(labels), pool=settings.pool_guidelines)
    source = judged or target
    digest, known_edits = labels.digest, {*target.edits, *source.edits}
    every = with_arms(meet(labels, known_edits), [target, source])
    labels = every.of_arm(control=False)
    if not labels.rows:
        raise InputError(
            "isr calibrate: expected labels of protected edits; found those of control edits only; give both files"
        )
    lost = [e for e in unmet(labels, known_edits) if not _elsewhere(labels.first[e], where)]
    for one in (target, source):
        check_pixels(labels, one)
    warnings = [
        *labels.notes,
        *_check_unmet(lost, labels, known_edits, settings),
        *_check_plan(labels, target, settings, plan),
    ]
    if source.instrument != target.instrument:
        raise DesignError(
            f"isr calibrate: expected labelled edits judged by the target's judge and rubrics ({target.identity}); "
            f"found {source.identity}; error rates hold for one instrument"
        )
    if len(labels.guidelines) > 1:
        warnings.append(f"labels of several guidelines were pooled: {guideline}")
    chosen = tuple(sorted(target.edits) if edits is None else edits)
    rates: dict[str, Correction] = {}
    for question in ASKED:
        if question != "outcome" and question not in target.verdicts:
            continue
        rows = rows_of(target, labels, question, settings, chosen)
        outside = None
        if settings.design == "external":
            inside = frozenset(chosen)
            others = sorted(e for e in source.edits if e not in inside)
            # labels that name strata were drawn by verdict: the guard refuses them here
            drawn = "within_verdict" if any(r.plan or r.stratum for r in labels.rows) else settings.drawn
            outside = replace(rows_of(source, labels, question, settings, others), drawn=drawn)
        known = rows if outside is None else outside
        warnings += _left_out(question, known, labels)
        if (known.human != MISSING).any():
            chosen_by = _selection(known, labels)
            rates[question] = _correct(question, rows, outside, settings, chosen_by)
            warnings += _selected(rates[question], chosen_by, settings)
            warnings += _swapped(rates[question], known, settings)
            warnings += [
                f"{rates[question].rate}: {h.rate} differs between groups of the calibration labels (p = {h.p_value:.4f}): "
                "nothing shows that it holds in the target; label edits of the target itself"
                for h in rates[question].homogeneity
                if h.warns
            ]
    if not rates:
        raise DesignError(
            f"isr calibrate: design {settings.design!r} found no label on the edits that it needs "
            f"({'edits outside' if settings.design == 'external' else 'edits of'} the target); check edit_id and --design"
        )
    made = Signature.of(
        ("isr", __version__),
        ("judge", target.identity),
        ("labels", short(digest)),
        ("guideline", guideline),
        ("edits", short(sha256_json(list(chosen)))),
        *scale_parts(labels),
        ("consensus", settings.consensus),
        ("design", settings.design),
        ("drawn", settings.drawn) if settings.design == "external" else None,
        ("estimator", settings.estimator),
        ("level", f"{settings.level:g}"),
        ("estimates", RULES),
        ("seed", settings.seed),
        ("unmatched", len(lost)) if lost and settings.allow_unmatched else None,
    )
    controls, more = _controls(every.of_arm(control=True), target, source, settings, whole=edits is None)
    return CorrectionReport(str(made), rates, tuple(dict.fromkeys([*warnings, *more])), controls)


def _controls(
    labels: Labels, target: Judgements, source: Judgements, settings: Settings, *, whole: bool
) -> tuple[dict[str, Correction], list[str]]:
    """The rates of the control edits from their own labels, and what is to be said of them.

    ``isr label`` draws control edits at random, also where it draws the others within the verdicts.
    """
    if not labels.rows:
        return {}, []
    told = f"{len(labels.edits)} labelled control edits"
    if target.controls is None or source.controls is None:
        return {}, [f"{told} were judged by nobody here; they are left out"]
    if not whole:
        return {}, [f"{told} are left out: --where is of protected edits"]
    how = settings if settings.design == "external" else replace(settings, design="random")
    plain = replace(labels, notes=())
    try:
        found = correct(target.controls, plain, how, judged=None if source is target else source.controls)
    except DesignError as error:
        return {}, [f"control edits: {error}"]
    rates = {q: replace(c, rate=CONTROL_RATE[q]) for q, c in found.rates.items()}
    return rates, [f"control edits: {w}" for w in found.warnings]


def _selection(rows: Rows, labels: Labels) -> Selection | None:
    """Whether labels were chosen by verdict, over all edits of the experiment that the judge decided, within ``--by``."""
    decided, labelled = rows.take(rows.judge != MISSING), frozenset(labels.edits)
    marks = np.array([e in labelled for e in decided.edits], np.bool_)
    return selection_by_verdict(decided.judge, marks, decided.image, decided.group)


def _selected(found: Correction, chosen_by: Selection | None, settings: Settings) -> Iterator[str]:
    """That labels look chosen by verdict though they are not called so, or that nothing could show it."""
    if settings.design == "within_verdict" or found.refused:
        return
    if chosen_by is None:
        if settings.design == "external":
            yield f"{found.rate}: every judged edit is labelled: that they were not chosen by verdict rests on --drawn alone"
    elif chosen_by.z > WARNED_Z:
        biased = "the corrected rate" if settings.design == "external" else "sensitivity and specificity"
        yield (
            f"{found.rate}: labels look chosen by verdict: {chosen_by}; if they were, {biased} is wrong"
            + ("" if settings.design == "external" else ": say --design within_verdict")
        )


def _left_out(question: str, rows: Rows, labels: Labels) -> Iterator[str]:
    """Labelled edits that give the estimate nothing: they are seldom a random part of the labels."""
    labelled = set(labels.edits)
    here = [e in labelled for e in rows.edits]
    unsettled = int(sum(h and y == MISSING for h, y in zip(here, rows.human, strict=True)))
    if unsettled:
        yield (
            f"{question}: {unsettled} of {sum(here)} labelled edits have no consensus (a tie, or cannot_tell) and are "
            "left out; if they are harder than the rest, the corrected rate and the error rates are biased"
        )


def _elsewhere(label: Label, where: Sequence[str]) -> bool:
    """Whether a label says itself that it is of an edit outside the conditions."""
    found = ((cell_of(label, column), value) for column, _, value in (c.partition("=") for c in where))
    return any(said and said != value for said, value in found)


def _check_unmet(
    lost: Sequence[str], labels: Labels, known: Collection[str], settings: Settings
) -> Iterator[str]:
    """Labels that meet no edit: a random sample from which some are lost is no random sample any more."""
    if not lost:
        return
    told = unmet_told(lost, labels, known)
    if settings.design != "external" and not settings.allow_unmatched:
        raise DesignError(
            f"isr calibrate: {told}; a sample that lost some of its edits is not the sample that --design "
            f"{settings.design} claims; correct the ids, or say --allow-unmatched if they are edits of other runs"
        )
    yield f"{told}; they are left out"


def _swapped(found: Correction, rows: Rows, settings: Settings) -> Iterator[str]:
    """That labels contradict the judge more often than chance would, where it is so."""
    who = f"{found.rate}: labels and judge"
    if settings.design != "within_verdict":
        said = swapped(who, found.sensitivity, found.specificity)
    else:  # what people say within each verdict is drawn at random; sensitivity and specificity are not
        use = rows.take((rows.judge != MISSING) & (rows.human != MISSING))
        within = [
            rate_interval(use.human[use.judge == v] == v, use.image[use.judge == v], level=settings.level)
            for v in (0, 1)
        ]
        said = swapped(who, within[0], within[1], "the share of right verdicts of fine plus that of fails")
    if said:
        yield said


def _check_plan(
    labels: Labels, target: Judgements, settings: Settings, plan: Mapping[str, Any] | None
) -> Iterator[str]:
    """Labels drawn within verdict hold for the instrument whose verdicts made the strata, and for no other."""
    if settings.design == "random" and any((r.plan or r.stratum) and r.pi is None for r in labels.rows):
        raise DesignError(
            "isr calibrate: labels that name a plan or a stratum were not drawn at random from all edits; expected "
            "--design within_verdict with their --plan, or their inclusion probabilities in the column pi"
        )
    if settings.design != "within_verdict":
        return
    plans = labels.plans
    if plans == [""]:
        yield "the labels name no plan: nothing shows that their strata were this judge's verdicts"
        return
    if plan is None:
        raise DesignError(
            f"isr calibrate: labels within verdict name the plan {', '.join(map(short, plans))}; expected that plan; "
            "found none; give it with --plan plan.json"
        )
    content = {k: v for k, v in plan.items() if k not in ("plan", "design")}
    digest = sha256_json(content)
    if plans != [digest]:
        raise DesignError(
            f"--plan: expected the plan of the labels ({', '.join(map(short, plans))}); found {short(digest)}"
        )
    if content.get("instrument") != target.instrument:
        raise DesignError(
            "--plan: expected strata made by the verdicts of this judge, rubrics, rule and thresholds; found another instrument; "
            "labels within verdict hold only for the one that made the strata: draw anew, or use labels drawn at random"
        )


def _correct(
    question: str, rows: Rows, outside: Rows | None, settings: Settings, chosen_by: Selection | None
) -> Correction:
    decided = rows.take(rows.judge != MISSING)
    level = settings.level
    raw = rate_interval(decided.judge, decided.image, level=level)
    known = outside if outside is not None else decided
    use = known.take((known.judge != MISSING) & (known.human != MISSING))
    rng = np.random.default_rng(settings.seed)
    tests: tuple[Homogeneity, ...] = ()
    if outside is not None and np.unique(use.group).size > 1:
        tests = homogeneity(use.judge, use.human, use.group, use.image, rng=rng)
    corrected, refused = None, ""
    try:
        if outside is not None and outside.drawn == "random" and chosen_by and chosen_by.z > SUSPECT_Z:
            raise DesignError(
                f"isr calibrate: labels are called random, but {chosen_by}; error rates need labels chosen without looking at "
                "verdicts: draw anew, or label edits of the target and say --design within_verdict"
            )
        corrected = _estimate(decided, use if outside is not None else None, settings)
    except DesignError as error:
        refused = str(error)
    n, missing = len(rows.edits), len(rows.edits) - len(decided.edits)
    bounds, identified = None, None
    if corrected is not None and corrected.value is not None:
        share = len(decided.edits) / n
        bounds = (corrected.value * share, corrected.value * share + missing / n)
        if missing and corrected.low is not None and corrected.high is not None:
            lost = rate_interval(rows.judge == MISSING, rows.image, level=level).high
            most = 1.0 if lost is None else lost  # of the undecided: it is a rate of these images too
            identified = (corrected.low * (1 - most), corrected.high * (1 - most) + most)
    sensitivity, specificity = _error_rates(decided, use, settings)
    return Correction(
        rate=RATE[question],
        raw=raw,
        corrected=corrected,
        refused=refused,
        bounds=bounds,
        identified=identified,
        sensitivity=sensitivity,
        specificity=specificity,
        labels=len(use.edits),
        undecided=missing,
        homogeneity=tests,
    )


def _estimate(rows: Rows, outside: Rows | None, settings: Settings) -> Interval:
    level = settings.level
    if outside is not None:
        counts = Calibration.from_rows(
            outside.judge, outside.human, outside.image, label_design=outside.drawn
        )
        return corrected_rate(
            rows.judge, None, None, rows.image, label_design="external", calibration=counts, level=level
        )
    labelled = rows.human != MISSING
    weighted = _uneven(rows, labelled, within=settings.design == "within_verdict")
    return corrected_rate(
        rows.judge,
        np.where(labelled, rows.human, 0),
        labelled,
        rows.image,
        label_design="weights" if weighted else settings.design,
        estimator="post-stratified" if weighted and settings.estimator == "auto" else settings.estimator,
        probabilities=np.where(np.isfinite(rows.pi), rows.pi, 1.0) if weighted else None,
        level=level,
    )


def _uneven(rows: Rows, labelled: Bools, *, within: bool) -> bool:
    """Whether known inclusion probabilities differ, so that labels must be weighted by them.

    within: only differences between edits of the same verdict matter. Probabilities of some labels only are
    refused (``DesignError``).
    """
    known = np.isfinite(rows.pi[labelled])
    if known.any() and not known.all():
        raise DesignError(
            f"isr calibrate: expected 'pi' of every labelled edit, or of none; found {int(known.sum())} of {known.size}; "
            "fill it in, or leave the column out"
        )
    if not known.any():
        return False
    verdicts = np.unique(rows.judge) if within else [None]
    parts = [rows.pi[labelled & (rows.judge == v)] if v is not None else rows.pi[labelled] for v in verdicts]
    return any(bool(part.size and np.ptp(part) > 1e-9) for part in parts)


def _error_rates(rows: Rows, use: Rows, settings: Settings) -> tuple[Interval, Interval]:
    """Sensitivity and specificity on the labelled edits; after verdict-stratified sampling without an interval."""
    if settings.design != "within_verdict":
        found = []
        for truth in (1, 0):
            own = use.human == truth
            found.append(rate_interval(use.judge[own] == truth, use.image[own], level=settings.level))
        return found[0], found[1]
    share = float(rows.judge.mean()) if rows.judge.size else float("nan")
    rate = [
        float(use.human[use.judge == v].mean()) if (use.judge == v).any() else float("nan") for v in (0, 1)
    ]
    hit, miss = share * rate[1], (1 - share) * rate[0]
    right, alarm = (1 - share) * (1 - rate[0]), share * (1 - rate[1])
    text = "from the people's rates within verdict and the shares of the verdicts"
    pair = []
    for a, b, n in ((hit, miss, int((use.human == 1).sum())), (right, alarm, int((use.human == 0).sum()))):
        value = a / (a + b) if np.isfinite(a + b) and a + b > 0 else None
        pair.append(
            Interval(
                value=value,
                low=None,
                high=None,
                method=text,
                n=n,
                clusters=0,
                design_effect=None,
                n_effective=None,
                notes=("no interval: labels drawn within verdict",),
            )
        )
    return pair[0], pair[1]


def raw_rates(judgements: Judgements, level: float = 0.95) -> dict[str, tuple[Interval, int]]:
    """The judge's own rates with intervals clustered on the image, and how many edits it left undecided, by rate.

    Rates of control edits stand below, as ``control``.
    """
    out: dict[str, tuple[Interval, int]] = {}
    for one, names in ((judgements, RATE), (judgements.controls, CONTROL_RATE)):
        if one is None:
            continue
        for question in ASKED:
            codes = {e: c for e in sorted(one.edits) if (c := one.code(question, e)) is not None}
            decided = {e: c for e, c in codes.items() if c != MISSING}
            if codes:
                image = [one.edits[e].image_id or e for e in decided]
                rate = rate_interval(list(decided.values()), image, level=level)
                out[names[question]] = (rate, len(codes) - len(decided))
    return out


def read_plan(path: Path) -> dict[str, Any]:
    """The ``plan.json`` of a sample. Raises ``InputError`` if it is none."""
    try:
        plan = read_json(path)
    except Unreadable as error:
        raise InputError(
            f"{path}: expected the plan.json of a sample; found {error.found}; check the path"
        ) from error
    if not isinstance(plan, dict):
        raise InputError(f"{path}: expected the plan.json of a sample; found no JSON object; check the path")
    return plan


def where_edits(judgements: Judgements, labels: Labels, conditions: Sequence[str]) -> tuple[str, ...] | None:
    """The judge's edits with ``COLUMN=VALUE`` for every condition; ``None`` without conditions."""
    if not conditions:
        return None
    labels = meet(labels, judgements.edits)
    pairs = [c.partition("=") for c in conditions]
    for column, _, _ in pairs:
        require_column("--where", column, labels, [judgements])
    chosen = tuple(
        e
        for e in sorted(judgements.edits)
        if all(column_of(e, column, labels, [judgements]) == value for column, _, value in pairs)
    )
    if not chosen:
        raise UsageError(
            f"--where {' '.join(conditions)}: expected at least one edit; found none; check the value"
        )
    return chosen

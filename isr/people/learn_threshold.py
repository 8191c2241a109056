"""Thresholds on scores, learnt from people's labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.scores import (
    brier,
    calibration_curve,
    expected_calibration_error,
    image_folds,
    isotonic,
    murphy,
    platt,
)
from isr.canonical import short
from isr.errors import DesignError, InputError, StatisticsError
from isr.judging.rubrics import load_rubric, names
from isr.judging.thresholds import Decision, Recalibration
from isr.people.arms import with_arms
from isr.people.correct_rows import Rows, Settings, rows_of
from isr.people.judgements import Judgements
from isr.people.labels import Labels, independent, one_guideline
from isr.people.meeting import meet
from isr.stats.discrimination import area_under_curve, youden
from isr.stats.jackknife import jackknife_interval
from isr.stats.rate import rate_interval
from isr.types import Floats, Ints, Question

Map = Literal["isotonic", "platt"]
FOLDS = 5


def _fit(kind: Map) -> Callable[[Floats, Ints], Callable[[Floats], Floats]]:
    return isotonic if kind == "isotonic" else platt


def learn(
    judgements: Judgements,
    labels: Labels,
    settings: Settings,
    *,
    kind: Map = "isotonic",
    edits: Sequence[str] | None = None,
) -> Recalibration:
    """Maps and thresholds for the judge's scores, one per question, with a report on folds not learnt on.

    Folds are of images: for each, map and threshold come from the other images. The file's own map and
    threshold come from all labels. Labels drawn within verdict are refused: they shift the rates that a map
    learns. Raises ``DesignError`` where no question has scores and labels of both kinds.
    """
    if settings.design == "within_verdict":
        raise DesignError(
            "isr calibrate --out: expected labels drawn at random; found design within_verdict, which shifts the rate "
            "that a map learns; draw labels at random"
        )
    labels = independent(labels)
    guideline = one_guideline(labels, pool=settings.pool_guidelines)
    digest, labels = labels.digest, with_arms(meet(labels, judgements.edits), [judgements])
    labels = labels.of_arm(control=False)
    decisions: dict[Question, Decision] = {}
    reasons: list[str] = []
    for question in Question:
        verdicts = judgements.verdicts.get(question.value, {})
        rows = rows_of(judgements, labels, question.value, settings, edits)
        score = np.array(
            [v.score if (v := verdicts.get(e)) and v.score is not None else np.nan for e in rows.edits],
            np.float64,
        )
        keep = np.isfinite(score) & (rows.human != MISSING)  # a score may wait for its first threshold
        if not keep.any():
            reasons.append(f"{question.value}: no edit with a score and a label")
            continue
        try:
            learnt = _learn(judgements, question, rows.take(keep), score[keep], settings, kind)
        except StatisticsError as error:
            reasons.append(f"{question.value}: {error}")
            continue
        about = {
            "labels": digest,
            "guideline": guideline,
            "consensus": settings.consensus,
            "edits": int(keep.sum()),
            "images": int(np.unique(rows.image[keep]).size),
            "folds": FOLDS,
            "seed": settings.seed,
        }
        decisions[question] = learnt.model_copy(update={"learned_on": about})
    if not decisions:
        raise DesignError(
            f"isr calibrate --out: nothing to learn from ({'; '.join(reasons)}); label more edits"
        )
    return Recalibration(judgements.name, judgements.judge, decisions)


def _rubric_name(digest: str) -> str:
    found = [n for n in names() if load_rubric(n).digest == digest]
    if not found:
        raise InputError(
            f"rubric {short(digest)}: expected a published version; found none; score with a published one"
        )
    return found[0]


def _learn(
    judgements: Judgements, question: Question, rows: Rows, score: Floats, settings: Settings, kind: Map
) -> Decision:
    y = rows.human
    if not 0 < int(y.sum()) < y.size:
        raise StatisticsError("labels of both kinds are needed; label more edits")
    worse = -score  # a low score is a bad edit: probabilities rise with what is worse
    images = np.unique(rows.image).size
    rng = np.random.default_rng(settings.seed)
    fold = image_folds(rows.image, min(FOLDS, images), rng=rng)
    probability, says = np.empty(y.size), np.empty(y.size, np.int64)
    for f in range(int(fold.max()) + 1):
        inside = fold == f
        fit = _fit(kind)(worse[~inside], y[~inside])
        cut = _cut(fit(worse[~inside]), y[~inside])
        probability[inside] = fit(worse[inside])
        says[inside] = probability[inside] >= cut
    whole = _fit(kind)(worse, y)
    threshold = youden(whole(worse), y == 1, ties="lowest")
    digest = judgements.rubrics[question.value]
    base = {"rubric": _rubric_name(digest), "rubric_digest": digest, "map": kind, "threshold": threshold}
    report = _report(probability, says, rows, score, settings)
    if kind == "platt":
        # scores stand in the file as the rubric gives them: the slope turns round with them
        return Decision(**base, slope=-whole.slope, intercept=whole.intercept, report=report)  # type: ignore[attr-defined]
    at = np.unique(score)
    values = whole(-at)
    return Decision(**base, scores=tuple(at.tolist()), probabilities=tuple(values.tolist()), report=report)


def _cut(probability: Floats, y: Ints) -> float:
    """The threshold that the other folds chose; where all of them have one outcome, every edit is called by it."""
    cut = youden(probability, y == 1, ties="lowest")
    return (-np.inf if y[0] == 1 else np.inf) if np.isnan(cut) else cut


def _report(probability: Floats, says: Ints, rows: Rows, score: Floats, settings: Settings) -> dict[str, Any]:
    """On held-out folds: decisions, ROC of the score, reliability diagram, ECE, Brier with its parts."""
    y = rows.human
    parts = murphy(probability, y)
    curve = calibration_curve(probability, y)
    assert parts is not None
    _, code = np.unique(rows.image, return_inverse=True)
    area = area_under_curve(-score, y == 1)
    rest = [area_under_curve(-score[code != g], y[code != g] == 1) for g in range(int(code.max()) + 1)]
    low, high, _ = jackknife_interval(2 * area - 1, 2 * np.array(rest) - 1, level=settings.level)
    cuts = np.unique(score)
    ones, zeros = int((y == 1).sum()), int((y == 0).sum())

    def rate(hit: np.ndarray, own: np.ndarray) -> list[float | None]:
        found = rate_interval(hit[own], rows.image[own], level=settings.level)
        return [None if v is None else round(v, 6) for v in (found.value, found.low, found.high)]

    own = {  # of a rubric that has a threshold of its own
        "rubric_sensitivity": rate(rows.judge == 1, y == 1),
        "rubric_specificity": rate(rows.judge == 0, y == 0),
        "rubric_percent_agreement": rate(rows.judge == y, y >= 0),
    }
    if (rows.judge == MISSING).all():
        own = {}
    out: dict[str, Any] = {
        "sensitivity": rate(says == 1, y == 1),
        "specificity": rate(says == 0, y == 0),
        "percent_agreement": rate(says == y, y >= 0),
        **own,
        "auc": [area, *(None if e is None else (e + 1) / 2 for e in (low, high))],
        "roc_fails_up_to": cuts.tolist(),
        "roc_sensitivity": [float((score[y == 1] <= c).sum() / ones) for c in cuts],
        "roc_false_alarms": [float((score[y == 0] <= c).sum() / zeros) for c in cuts],
        "reliability_n": curve.n.tolist(),
        "reliability_rate": curve.rate.tolist(),
        "reliability_probability": curve.score.tolist(),
        "ece_equal_width": expected_calibration_error(probability, y),
        "ece_equal_mass": expected_calibration_error(probability, y, by="mass"),
        "brier": brier(probability, y),
        "brier_reliability": parts.reliability,
        "brier_resolution": parts.resolution,
        "brier_uncertainty": parts.uncertainty,
    }
    return {k: [x for x in v if x is not None] if isinstance(v, list) else v for k, v in out.items()}

"""Learnt thresholds on scores, and scores that wait for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isr.judging.rubrics import load_pair
from isr.judging.thresholds import Decision, Recalibration, uncalibrated
from isr.types import AnswerReason, Question, Value, Verdict
from tests.samples import a_card

CARD = a_card()
PAIR = load_pair(("scorer-semantic/v1", "scorer-perceptual/v1"))
WAITING = Verdict(value=Value.UNDECIDED, reason=AnswerReason.UNCALIBRATED, score=20)


def learnt(*questions: Question) -> Recalibration:
    """A threshold for each question: at a score of 10 or less, edits are called failed."""
    steps = {"scores": (10.0, 11.0), "probabilities": (0.9, 0.1)}
    decisions = {
        q: Decision(rubric=PAIR[q].name, rubric_digest=PAIR[q].digest, map="isotonic", threshold=0.5, **steps)
        for q in questions
    }
    return Recalibration(CARD.name, CARD.digest, decisions)


@pytest.mark.parametrize(("score", "value"), [(20, "fine"), (11, "fine"), (10, "fails"), (-500, "fails")])
def test_a_learnt_threshold_decides_what_waits_for_it(score: int, value: str) -> None:
    found = learnt(*Question).apply(Question.SEMANTIC, replace(WAITING, score=score))
    assert (found.value, found.reason, found.score) == (value, "", score)


def test_a_threshold_for_the_other_question_decides_nothing() -> None:
    assert learnt(Question.PERCEPTUAL).apply(Question.SEMANTIC, WAITING) == WAITING


@pytest.mark.parametrize("reason", [AnswerReason.OFF_SCALE, AnswerReason.EMPTY, AnswerReason.REFUSAL])
def test_what_is_undecided_for_another_reason_stays_so(reason: AnswerReason) -> None:
    lost = Verdict(value=Value.UNDECIDED, reason=reason, score=20)
    assert learnt(*Question).apply(Question.SEMANTIC, lost) == lost


def test_what_waits_for_a_threshold_is_named() -> None:
    (line,) = uncalibrated([], [CARD], PAIR)
    for words in (CARD.name, "scorer-semantic/v1, scorer-perceptual/v1", "isr label", "isr calibrate RUN"):
        assert words in line
    (line,) = uncalibrated([learnt(Question.SEMANTIC)], [CARD], PAIR)
    assert "scorer-semantic" not in line
    assert "scorer-perceptual/v1" in line
    assert uncalibrated([learnt(*Question)], [CARD], PAIR) == []
    other = replace(learnt(*Question), judge_digest="sha256:another")
    assert len(uncalibrated([other], [CARD], PAIR)) == 1
    assert uncalibrated([], [CARD], load_pair()) == []

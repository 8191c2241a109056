"""The probability of a verdict from the logprobs of its tokens: arithmetic that can be followed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.judging.logprobs import Step, p_yes, steps_of_completion
from isr.judging.rubrics import load_rubric

RUBRIC = load_rubric("semantic/v1")


def step(text: str, **likeliest: float) -> Step:
    """A token that was written, and probabilities of the likeliest tokens at its place."""
    return Step(text, {k.replace("_", '"'): math.log(p) for k, p in (likeliest or {text: 1.0}).items()})


def written(*verdict: Step) -> list[Step]:
    """A whole answer that ends in these steps."""
    return [
        step('{"reasoning": "say \\"verdict\\": \\"fine\\" ", "score": 1, '),
        step('"verdict'),
        step('": "'),
        *verdict,
    ]


def test_whole_words() -> None:
    # 0.6 / (0.6 + 0.2) = 0.75; the rest of the mass belongs to neither word
    assert p_yes(written(step("fails", fails=0.6, fine=0.2, other=0.2), step('"}')), RUBRIC) == pytest.approx(
        0.75
    )


def test_a_token_that_begins_both_words_is_followed() -> None:
    # P(fails) = 0.1 (whole) + 0.8 (f) * 0.25 (ails) = 0.3; P(fine) = 0.8 * 0.75 = 0.6; 0.3 / 0.9
    verdict = (step("f", f=0.8, fails=0.1, x=0.1), step("ine", ine=0.75, ails=0.25), step('"}'))
    assert p_yes(written(*verdict), RUBRIC) == pytest.approx(1 / 3)


def test_the_quote_may_be_part_of_the_token() -> None:
    answer = [step('{"verdict":'), step('"fails', _fails=0.5, _fine=0.5), step('"}')]
    assert p_yes(answer, RUBRIC) == pytest.approx(0.5)


def test_a_token_may_reach_beyond_the_word() -> None:
    answer = [step('{"verdict":"'), Step('fine"}', {'fine"}': math.log(0.9), "fails": math.log(0.1)})]
    assert p_yes(answer, RUBRIC) == pytest.approx(0.1)


def test_undefined_is_none() -> None:
    assert p_yes([], RUBRIC) is None
    assert p_yes([step('{"reasoning": "cut off')], RUBRIC) is None
    assert p_yes(written(step("maybe", maybe=1.0)), RUBRIC) is None
    # the other word is beyond the tokens that were told: not 1, but not known
    assert p_yes(written(step("fails", fails=0.6, x=0.4)), RUBRIC) is None
    assert p_yes(written(step("f", g=0.5), step("ine", ine=0.75, ails=0.25)), RUBRIC) is None
    assert p_yes(written(step("fails", fails=0.9, fine=0.1)), load_rubric("viescore-sc/v1")) is None


@given(st.lists(st.tuples(st.text(max_size=6), st.dictionaries(st.text(max_size=6), st.floats(-50, 5)))))
def test_total_and_in_the_unit_interval(steps: list[tuple[str, dict[str, float]]]) -> None:
    p = p_yes([step('{"verdict": "'), *(Step(t, m) for t, m in steps)], RUBRIC)
    assert p is None or 0 <= p <= 1


def test_a_completion_with_logprobs() -> None:
    top = [{"token": "fails", "logprob": math.log(0.9)}, {"token": "fine", "logprob": math.log(0.1)}]
    tokens: list[dict[str, Any]] = [
        {"token": '{"verdict":"', "logprob": 0.0, "top_logprobs": []},
        {"token": "fails", "logprob": math.log(0.9), "top_logprobs": top},
    ]
    steps = steps_of_completion({"choices": [{"logprobs": {"content": tokens}}]})
    assert p_yes(steps, RUBRIC) == pytest.approx(0.9)


@pytest.mark.parametrize("payload", [{}, {"choices": []}, {"choices": [{"logprobs": None}]}, {"choices": [{"logprobs": {"content": [{}]}}]}])  # fmt: skip
def test_a_completion_without_logprobs(payload: dict[str, Any]) -> None:
    assert steps_of_completion(payload) == []

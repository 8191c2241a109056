"""When a judge is asked no further."""

from __future__ import annotations

from pathlib import Path

import pytest

from isr.errors import AuthenticationError, RejectedError, TransportError
from isr.judging.card_sections import Limits
from isr.judging.stopping import (
    BY_THE_HOST,
    FIRST_ANSWERS,
    IN_A_ROW,
    REJECTIONS_BEFORE_STOP,
    REJECTIONS_IN_A_ROW,
    SAME_FAILURES,
    TECHNICAL,
    Stopping,
    alike,
)
from isr.types import AnswerReason
from tests.samples import a_card, an_answer


def a_judge(**fields: object) -> Stopping:
    return Stopping(card=a_card(limits=Limits(concurrency=4)), **fields)  # type: ignore[arg-type]


REFUSED = TransportError("rejected", "400 (response_format)", retryable=False, terminal="rejected")
WORDED = TransportError("server_error", "500 (oops)", worded=True)


@pytest.mark.parametrize("reason", TECHNICAL)
def test_twenty_useless_first_answers_are_enough(reason: AnswerReason) -> None:
    judge = a_judge()
    for n in range(1, FIRST_ANSWERS + 1):
        assert judge.is_useless() is False
        judge.on_answer(an_answer(), reason)
        assert judge.useless.total() == n
    assert judge.is_useless()
    said = str(judge.useless_error(an_answer(""), Path("isr.db")))
    assert f"{FIRST_ANSWERS} {reason}" in said
    assert "--keep-going" in said
    assert f"isr store discard isr.db --reason {reason}" in said


@pytest.mark.parametrize("reason", ["", "refusal", "contradiction"])
def test_one_answer_about_an_edit_shows_that_the_judge_works(reason: str) -> None:
    """Until so many come to nothing in a row that the rest will."""
    judge = a_judge()
    judge.on_answer(an_answer(), reason)
    for _ in range(IN_A_ROW - 1):
        judge.on_answer(an_answer(), "not_json")
        assert not judge.is_useless()
    judge.on_answer(an_answer(), "not_json")
    assert judge.is_useless()
    assert f"none of its last {IN_A_ROW} answers" in str(judge.useless_error(an_answer("x"), Path("isr.db")))


@pytest.mark.parametrize("reason", BY_THE_HOST)
def test_what_a_host_refuses_says_nothing_about_the_model(reason: str) -> None:
    judge = a_judge()
    judge.on_answer(an_answer(), reason)
    for _ in range(FIRST_ANSWERS):
        judge.on_answer(an_answer(), "empty")
        judge.on_answer(an_answer(), reason)
    assert judge.is_useless()


def test_a_judge_that_never_answered_is_stopped_after_a_few_refusals() -> None:
    judge = a_judge()
    found = [judge.on_rejection(REFUSED) for _ in range(REJECTIONS_BEFORE_STOP)]
    assert found[:-1] == [None] * (REJECTIONS_BEFORE_STOP - 1)
    assert isinstance(found[-1], RejectedError)
    assert "decoding.structured" in str(found[-1])


@pytest.mark.parametrize("known", [True, False])
def test_one_that_answered_only_after_many_in_a_row(known: bool) -> None:
    judge = a_judge(known=known)
    if not known:
        judge.on_answer(an_answer(), "")
    for _ in range(3):
        for _ in range(REJECTIONS_IN_A_ROW - 1):
            assert judge.on_rejection(REFUSED) is None
        judge.on_answer(an_answer(), "")
    found = [judge.on_rejection(REFUSED) for _ in range(REJECTIONS_IN_A_ROW)]
    assert isinstance(found[-1], RejectedError)


def test_a_forbidden_first_request_is_a_refused_key() -> None:
    key = AuthenticationError("403")
    error = TransportError("rejected", "403", retryable=False, terminal="rejected", stops=key)
    judge = a_judge()
    assert [judge.on_rejection(error) for _ in range(REJECTIONS_BEFORE_STOP)][-1] is key


def test_the_same_words_again_and_again_before_any_answer_are_no_outage() -> None:
    judge = a_judge()
    found = [judge.on_retry(WORDED) for _ in range(SAME_FAILURES)]
    assert found[:-1] == [None] * (SAME_FAILURES - 1)
    assert isinstance(found[-1], RejectedError)
    assert "500 (oops)" in str(found[-1])


@pytest.mark.parametrize(
    "error",
    [
        TransportError("server_error", "500"),
        TransportError("server_error", "503 (Loading model)", worded=True, overloaded=True),
        TransportError("rate_limited", "429 (wait)", worded=True, retry_after_s=1.0),
        TransportError("timeout", "no reply"),
    ],
)
def test_what_passes_by_waiting_is_waited_for(error: TransportError) -> None:
    judge = a_judge()
    assert {judge.on_retry(error) for _ in range(5 * SAME_FAILURES)} == {None}


def test_a_judge_that_has_answered_may_fail_as_often_as_it_likes_in_the_same_words() -> None:
    judge = a_judge(known=True)
    assert {judge.on_retry(WORDED) for _ in range(5 * SAME_FAILURES)} == {None}


def test_words_that_differ_by_an_id_are_alike() -> None:
    one = "server_error: host: 500 (failed, request req_0a1b2c3d4e, at 1732741)"
    other = "server_error: host: 500 (failed, request req_ffff2c3d41, at 1732999)"
    assert alike(one) == alike(other)
    assert "500" in alike(one)  # a status is a reason
    assert alike("timeout: no reply") != alike("timeout: other")

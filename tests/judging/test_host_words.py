"""One reader of what hosts say, whatever shape they give to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.judging.host_words import MOST, said

LOGIN = "<!DOCTYPE html><html><head><title>Sign in</title><style>p {}</style></head><body><p>to the campus</p></body></html>"
SHAPES: list[tuple[Any, str]] = [
    ({"error": {"message": "no such field"}}, "no such field"),
    ({"error": "Unexpected endpoint"}, "Unexpected endpoint"),
    ([{"error": {"message": "overloaded"}}], "overloaded"),
    ({"detail": "Not authenticated"}, "Not authenticated"),
    ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]}, "body.seed: Extra inputs"),
    ({"message": "slow down"}, "slow down"),
    (
        {"error": {"message": "Provider returned error", "metadata": {"raw": '{"error": {"message": "one image"}}'}}},
        "Provider returned error; one image",
    ),
    ({"error": {"message": "Provider returned error", "metadata": {"raw": "one image"}}}, "Provider returned error; one image"),
    ("upstream is down", "upstream is down"),
    (LOGIN, "a page of HTML: Sign in to the campus"),
    ({"error": {"message": "a\nb\t c\x1b[31m"}}, "a b c [31m"),
    (None, ""),
    ({}, ""),
    (7, ""),
]  # fmt: skip


@pytest.mark.parametrize(("body", "words"), SHAPES)
def test_words_are_found_in_every_shape(body: Any, words: str) -> None:
    assert said(body).words == words


def test_codes_are_found_wherever_they_stand() -> None:
    found = said(
        {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "QuotaFailure", "violations": [{"quotaId": "RequestsPerDay"}]},
            {"@type": "RetryInfo", "retryDelay": "41.5s"},
        ]}}
    )  # fmt: skip
    assert {"429", "resource_exhausted", "requestsperday"} <= found.codes
    assert found.status == 429
    assert found.delay_s == 41.5


def test_what_is_repeated_is_said_once_and_what_is_long_is_cut() -> None:
    assert said({"error": "bad", "message": "bad", "detail": "very bad"}).words == "very bad"
    assert len(said({"error": "x" * 10_000}).shown) == MOST


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "raw", "detail", "loc", "msg", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_whatever_a_host_sends_is_one_line_of_bounded_length(body: Any) -> None:
    for value in (body, json.dumps(body)):
        assert len(said(value).shown) <= MOST
        assert said(value).words.isprintable()


def test_a_reply_that_is_deep_or_wide_takes_bounded_work() -> None:
    deep: Any = "end"
    for _ in range(200):
        deep = {"error": deep}
    assert said(deep).words == ""
    assert len(said([{"message": str(i)} for i in range(100_000)]).shown) <= MOST
    assert said("<html>" + "<script>" * 100_000).words == "a page of HTML:"
    assert said("<html>" + "<" * 100_000).words == "a page of HTML:"

"""What to do, by what the answers and the hosts say."""

from __future__ import annotations

import pytest

from isr.judging.remedies import advice, remedy
from isr.judging.stopping import TECHNICAL
from tests.samples import a_card, an_answer


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"text": "", "reasoning": "hm" * 50}, "empty", "100 characters of reasoning and no content"),
        ({"text": ""}, "empty", "no content"),
        ({"text": "{", "finish_reason": "length"}, "truncated", "decoding.max_tokens = 512"),
        ({"text": "{" + " " * 500, "finish_reason": "length"}, "truncated", "mostly blanks"),
        ({"text": "<think>hm</think>no"}, "not_json", "thoughts stand in the reply"),
        ({"text": "Here it is"}, "not_json", "begins with 'Here it is'"),
        ({"text": "x"}, "aborted", "the host ends the replies itself"),
    ],
)
def test_cause_and_remedy(fields: dict[str, str], reason: str, words: str) -> None:
    assert words in remedy(a_card(), an_answer(**fields), reason)


@pytest.mark.parametrize("reason", TECHNICAL)
def test_every_technical_reason_has_one(reason: str) -> None:
    assert len(remedy(a_card(), an_answer("x"), reason)) > 20


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ("This response_format type is unavailable now", "decoding.structured"),
        ("Unsupported parameter: 'max_tokens'", "max_tokens_name"),
        ("'temperature' does not support 0", "decoding.omit"),
        ("body.seed: Extra inputs are not permitted", '"seed"'),
        ("At most 1 image(s) may be provided in one request", "--limit-mm-per-prompt"),
        ("hint: provide the mmproj", "--mmproj"),
        ("something else", "check the card"),
    ],
)
def test_the_field_that_a_host_speaks_of_is_named(words: str, field: str) -> None:
    assert field in advice(words)

"""Keys in what a server said."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from isr.judging.redaction import REMOVED, redactor

KEY = 'sk-key/0123"456'


@pytest.mark.parametrize("form", [KEY, KEY.upper(), quote(KEY, safe=""), json.dumps(KEY)[1:-1]])
def test_every_form_of_the_key_goes(form: str) -> None:
    assert redactor(KEY)(f"no {form} here") == f"no {REMOVED} here"


def test_what_stands_behind_bearer_goes_without_a_key_as_well() -> None:
    assert redactor()("Authorization: bearer abcdefgh123=") == f"Authorization: {REMOVED}"
    assert redactor("abcdefgh123")("Bearer abcdefgh123") == REMOVED


def test_a_key_that_is_a_common_word_is_no_secret() -> None:
    assert redactor("EMPTY")("the scene is EMPTY") == "the scene is EMPTY"

"""Canonical JSON: order-free, stable, the same in another process."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.canonical import canonical_json, sha256_bytes, sha256_json, short
from tests.processes import run

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def turned(value: Any) -> Any:
    """The same value with every object's members in the opposite order."""
    if isinstance(value, dict):
        return {k: turned(value[k]) for k in reversed(list(value))}
    if isinstance(value, list):
        return [turned(item) for item in value]
    return value


@given(VALUES)
def test_the_order_of_members_does_not_matter(value: Any) -> None:
    assert canonical_json(turned(value)) == canonical_json(value)


@given(VALUES)
def test_reading_it_back_gives_the_same_value_and_the_same_bytes(value: Any) -> None:
    again = json.loads(canonical_json(value).decode("utf-8", "surrogatepass"))
    assert again == value
    assert canonical_json(again) == canonical_json(value)


@given(VALUES, VALUES)
def test_different_values_have_different_bytes(a: Any, b: Any) -> None:
    # json.dumps tells 1 from 1.0 and True, which == does not
    assert (canonical_json(a) == canonical_json(b)) == (
        json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    )


def test_bytes_are_as_documented() -> None:
    # keys sorted by code point, no spaces, UTF-8 unescaped, control characters escaped
    assert (
        canonical_json({"é": 1, "a": [True, None, 0.5, "\n"]}) == '{"a":[true,null,0.5,"\\n"],"é":1}'.encode()
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_lacks_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": [number]})


def test_a_lone_surrogate_has_bytes() -> None:
    # a judge can answer "\ud800"; U+D800 in (generalised) UTF-8 is ED A0 80
    assert canonical_json("\ud800") == b'"\xed\xa0\x80"'


def test_digest_is_sha256_of_the_bytes() -> None:
    assert sha256_json({"b": 1, "a": 2}) == "sha256:" + hashlib.sha256(b'{"a":2,"b":1}').hexdigest()
    assert sha256_bytes(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert short(sha256_bytes(b"")) == "sha256:e3b0c44298fc"
    assert short(sha256_bytes(b""), 4) == "sha256:e3b0"


def test_the_digest_is_the_same_in_a_process_with_another_hash_seed() -> None:
    value = {f"key {i}": {"x": i, "y": [i / 3]} for i in range(20)}
    code = (
        "from isr.canonical import sha256_json;"
        "print(sha256_json({f'key {i}': {'y': [i / 3], 'x': i} for i in reversed(range(20))}))"
    )
    told = run([sys.executable, "-c", code], check=True, env={"PYTHONHASHSEED": "7"})
    assert told.stdout.strip() == sha256_json(value)

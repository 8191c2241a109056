"""Signatures: text and value are one, and a difference is named."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isr.signature import Difference, Signature

PARTS = st.lists(st.tuples(st.text(min_size=1, max_size=6), st.text(max_size=8)), max_size=6)
TEXT = "isr=0.1.0|semantic=v1:sha256:9342596b6d96|judge=a:sha256:c6|rule=single|level=0.95"


@given(PARTS)
def test_the_text_says_all_of_it(parts: list[tuple[str, str]]) -> None:
    made = Signature.of(*parts)
    assert Signature.parse(str(made)) == made
    assert "\n" not in str(made)


@given(PARTS, PARTS)
def test_a_difference_is_symmetric_and_empty_only_between_equals(
    a: list[tuple[str, str]], b: list[tuple[str, str]]
) -> None:
    one, other = Signature.of(*a), Signature.of(*b)
    assert one.difference(one) == ()
    there, back = one.difference(other), other.difference(one)
    assert {(d.name, d.first, d.second) for d in there} == {(d.name, d.second, d.first) for d in back}
    same = all(one.values(name) == other.values(name) for name in (*one, *other))
    assert (there == ()) == same


def test_a_text_of_the_first_version_is_read() -> None:
    read = Signature.parse(TEXT)
    assert str(read) == TEXT
    assert list(read) == ["isr", "semantic", "judge", "rule", "level"]
    assert (read["judge"], read.get("limit"), "limit" in read) == ("a:sha256:c6", "", False)
    assert str(read.only(("rule", "isr"))) == "isr=0.1.0|rule=single"
    assert str(read.without("isr", "semantic", "judge")) == "rule=single|level=0.95"
    assert str(Signature().plus(("limit", 4), None)) == "limit=4"


def test_what_differs_is_named() -> None:
    other = Signature.parse(TEXT).without("level").plus(("rule", "strict"), ("limit", 8))
    assert Signature.parse(TEXT).difference(other) == (
        Difference("rule", "single", "single, strict"),
        Difference("level", "0.95", ""),
        Difference("limit", "", "8"),
    )
    assert str(Difference("limit", "", "8")) == "limit: - and 8"


def test_a_value_cannot_pass_for_a_part() -> None:
    forged = Signature.of(("judge", "a|level=0.5"), ("level", 0.95))
    assert str(forged) == "judge=a%7Clevel=0.5|level=0.95"
    assert Signature.parse(str(forged))["level"] == "0.95"

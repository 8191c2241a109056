"""Row names that fit a page: short, and never one name for two treatments."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.scoring.row_names import eps_in_words, full_name, short_names
from isr.types import Treatment

# few words, so that names meet; among them words that look like the parts of a name
WORDS = st.sampled_from(
    ["", "sifm", "noise", "a, eps 0.03", "0.03", "0.030", "0.0314", "0.03137", "own-58cb12f2fa23", "own-58cb12f2fa99",
     "sifm (2)", "sifm, config x", "a\x00", "a\x01"]
)  # fmt: skip
TREATMENTS = st.lists(st.builds(Treatment, WORDS, WORDS, WORDS, WORDS), max_size=8)


@given(TREATMENTS)
@settings(max_examples=150, deadline=None)
def test_names_are_distinct_exactly_where_treatments_are(found: list[Treatment]) -> None:
    names = short_names(found)
    assert len(names) == len(found)
    for i, one in enumerate(found):
        for j, other in enumerate(found):
            assert (names[i] == names[j]) == (one == other)
    assert all(name.isprintable() and name for name in names)


def test_one_treatment_is_its_method() -> None:
    assert short_names([Treatment("checker", "own-58cb12f2fa23", "0.06", "ip2p")]) == ["checker"]
    assert short_names([Treatment("", "", "", "")]) == ["(no method named)"]


def test_what_all_share_is_left_out_and_what_differs_is_named() -> None:
    one, other = (
        Treatment("sifm", "own-58cb12f2fa23", "0.06", "ip2p"),
        Treatment("noise", "u-e8805dc01472", "0.06", "ip2p"),
    )
    assert short_names([one, other]) == ["sifm", "noise"]
    assert short_names([one, other._replace(eps="0.0627")]) == ["sifm, eps 0.06", "noise, eps 16/255"]
    assert short_names([one, other._replace(surrogate="sd3")]) == ["sifm, on ip2p", "noise, on sd3"]


def test_a_digest_is_cut_no_further_than_it_tells_rows_apart() -> None:
    some = [Treatment("sifm", f"own-58cb1{x}f2fa23", "0.06", "") for x in "23"]
    assert short_names(some) == ["sifm, config own-58cb12", "sifm, config own-58cb13"]
    assert short_names([some[0], some[0]._replace(config="")]) == ["sifm, config own-58cb", "sifm, no config"]


def test_two_spellings_of_one_budget_are_told_as_they_were_written() -> None:
    some = [Treatment("sifm", "", e, "") for e in ("0.0314", "0.03137")]
    assert short_names(some) == ["sifm, eps 0.0314", "sifm, eps 0.03137"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0.0314", "8/255"),  # 8 / 255 = 0.031373
        ("0.03137", "8/255"),
        (".0314", "8/255"),
        ("0.0313725508749485", "8/255"),  # 8 / 255 in single precision
        ("0.0627", "16/255"),
        ("0.0313", "0.0313"),
        ("0.03", "0.03"),
        ("0.125", "0.125"),  # 32 / 255 = 0.12549: three decimals would fit
        ("0.0000", "0.0000"),
        ("8", "8"),
        ("8/255", "8/255"),
        ("", ""),
    ],
)
def test_a_budget_is_n_of_255_where_its_digits_say_so(written: str, said: str) -> None:
    assert eps_in_words(written) == said


@given(st.integers(1, 254), st.integers(4, 17))
def test_every_level_of_255_is_known_from_its_rounded_digits(n: int, digits: int) -> None:
    assert eps_in_words(f"{n / 255:.{digits}f}") == f"{n}/255"


def test_the_full_name_holds_everything() -> None:
    assert full_name(Treatment("m", "c", "0.1", "s")) == "m, eps 0.1, config c, surrogate s"

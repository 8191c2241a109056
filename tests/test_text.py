"""Numbers in words, with the edges: nothing there, no interval, a tiny p-value."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr import text
from isr.text import did_you_mean, nearest


@dataclass(frozen=True)
class Limits:
    value: float | None
    low: float | None
    high: float | None


WHOLE, OPEN, NONE = Limits(0.625, 0.5286, 0.7124), Limits(0.5, None, None), Limits(None, None, None)


def test_rates() -> None:
    assert [text.rate(v) for v in (0.625, 0.0, None)] == ["62.5%", "0.0%", "-"]
    assert [text.rate_interval(e) for e in (WHOLE, OPEN)] == ["52.9% to 71.2%", "no interval"]
    assert [text.rate_with_interval(e) for e in (WHOLE, OPEN, NONE, None)] == [
        "62.5% (52.9%-71.2%)",
        "50.0%",
        "-",
        "-",
    ]
    assert text.rate_with_interval(OPEN, none="none") == "50.0% (none)"


def test_differences() -> None:
    assert [text.difference(v) for v in (0.5, -0.111, None)] == ["+50.0 pp", "-11.1 pp", "-"]
    e = Limits(0.5, -0.395, 0.605)
    assert text.difference_interval(e) == "-39.5 to +60.5 pp"
    assert text.difference_interval(e, unit=False) == "-39.5 to +60.5"
    assert text.difference_interval(OPEN) == "no interval"


@pytest.mark.parametrize(
    ("p", "said"), [(None, "-"), (0.00009, "<.0001"), (0.0001, "0.0001"), (1.0, "1.0000")]
)
def test_p_values(p: float | None, said: str) -> None:
    assert text.p_value(p) == said


def test_words_of_tables() -> None:
    assert [text.counted(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [text.value_in_words(c, "") for c in ("purifier", "split")] == ["none", "(empty)"]
    assert text.value_in_words("purifier", "jpeg") == "jpeg"
    said = ("2 to 2 attacks on each unit", "1 to 1 attacks on each unit", "1 to 12 attacks on each unit")
    assert [text.note_in_words(n) for n in said] == [
        "2 attacks on each unit", "1 attack on each unit", "1 to 12 attacks on each unit",
    ]  # fmt: skip


def test_a_footnote_stands_where_its_word_does() -> None:
    assert list(text.footnotes(["design effect 1.2"], 0.95, 1)) == []
    (one,) = text.footnotes([], 0.9, 3)
    assert one.startswith("all hold at 90%: these intervals hold together, over all 3 comparisons")
    (two,) = text.footnotes(["no pair is discordant: the width rests on a supposed design effect"], 0.95, 1)
    assert two.startswith("supposed design effect: ")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("gpt-4.l", "did you mean gpt-4.1 or gpt-4o?"),
        ("GPT-4.1", "did you mean gpt-4.1 or gpt-4o?"),
        ("qwen", "did you mean qwen2.5-vl-7b or qwen3.5-9b?"),  # far from both in letters, and how both begin
        ("zzz", "isr judges lists all"),
        ("", "isr judges lists all"),
        (["zzz", "replya"], "did you mean replay?"),
        (["replya", "gpt-4"], "did you mean replay, gpt-4o or gpt-4.1?"),
    ],
)
def test_nearest_names(found: str | list[str], expected: str) -> None:
    known = ["gpt-4.1", "gpt-4o", "replay", "qwen2.5-vl-7b", "qwen3.5-9b"]
    assert did_you_mean(found, known, "isr judges lists all") == expected
    assert did_you_mean(found, []) == ""


@given(st.text(), st.lists(st.text(), max_size=5))
def test_what_is_near_is_known_and_is_found_whatever_the_words_are(found: str, known: list[str]) -> None:
    assert set(nearest(found, known)) <= set(known)
    assert len(nearest(found, known)) <= 3
    assert nearest("sifm", [*known, "sifm"])[0].lower() == "sifm"


def test_a_table_for_notebooks_is_text_alone() -> None:
    made = text.html_table(("a", "<b>"), [("<img src=x>", "1\x1b[2J")], ["", "x & y"])
    assert made == (
        "<table><thead><tr><th>a</th><th>&lt;b&gt;</th></tr></thead>"
        "<tbody><tr><td>&lt;img src=x&gt;</td><td>1?[2J</td></tr></tbody></table><p><small>x &amp; y</small></p>"
    )

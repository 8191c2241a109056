"""What a card says of thinking, and what replies show of it; no judge is asked."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from isr.errors import CardError, JudgeError
from isr.judging.cards import Decoding, load_card
from isr.judging.thinking import FIRST, Proof, apart, shows_thoughts
from isr.types import Answer, Finish
from tests.samples import a_card, good

PLAIN = Answer(text=good(), finish_reason=Finish.STOP, usage={"completion_tokens": 60})
THOUGHT = replace(PLAIN, reasoning="It is red.")
FILTERED = Answer(text="", finish_reason=Finish.CONTENT_FILTER)


def card_of(folder: Path, decoding: str) -> str:
    path = folder / "judge.toml"
    path.write_text(f'backend = "openai_chat"\nmodel = "m"\n[decoding]\n{decoding}\n', "utf-8")
    return str(path)


def test_each_meaning_has_one_identity(tmp_path: Path) -> None:
    said = {
        text: load_card(card_of(tmp_path, text)).identity["decoding"].get("thinking", "not there")
        for text in ("", "thinking = true", "thinking = false", "thinking = 0", "thinking = 1")
    }
    assert said == {
        "": "not there", "thinking = true": True, "thinking = false": False, "thinking = 0": False,
        "thinking = 1": 1,
    }  # fmt: skip
    assert said["thinking = 1"] is not True  # a budget of one token is no switch
    digests = {t: load_card(card_of(tmp_path, t)).digest for t in said}
    assert digests["thinking = 0"] == digests["thinking = false"]
    assert len(set(digests.values())) == 4


@pytest.mark.parametrize("wrong", ["-1", "1.5", '"yes"', '"true"'])
def test_other_values_are_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(CardError, match=r"decoding\.thinking"):
        load_card(card_of(tmp_path, f"thinking = {wrong}"))


@pytest.mark.parametrize(
    ("name", "key", "free"),
    [
        ("chat_template_kwargs", "chat_template_kwargs", "reasoning"),
        ("enable_thinking", "enable_thinking", "chat_template_kwargs"),
        ("reasoning", "reasoning", "enable_thinking"),
    ],
)
def test_what_thinking_sends_cannot_stand_in_extra_as_well(
    tmp_path: Path, name: str, key: str, free: str
) -> None:
    said = f'thinking = true\nthinking_name = "{name}"\nextra = '
    with pytest.raises(CardError, match=key):
        load_card(card_of(tmp_path, said + f"{{ {key} = {{}} }}"))
    assert load_card(card_of(tmp_path, said + f"{{ {free} = {{}} }}")).decoding.thinking is True
    alone = load_card(card_of(tmp_path, f"extra = {{ {key} = {{}} }}"))  # as cards without the field say it
    assert alone.decoding.extra == {key: {}}


@pytest.mark.parametrize(
    ("answer", "shows"),
    [
        (PLAIN, False),
        (THOUGHT, True),
        (replace(PLAIN, reasoning=" \n"), False),
        (replace(PLAIN, usage={"reasoning_tokens": 7}), True),
        (replace(PLAIN, usage={"reasoning_tokens": 0}), False),
    ],
)
def test_what_shows_thoughts(answer: Answer, shows: bool) -> None:
    assert shows_thoughts(answer) is shows


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<think>a</think>b", "a", "b"),
        (" <think>\na\n</think>\n\nb", "a", "b"),
        ("a</think>b", "a", "b"),
        ("<think>a", "a", ""),
        ("<|channel>thought\na<channel|>b", "thought\na", "b"),
        ("[THINK]a[/THINK]b", "a", "b"),
        ('{"a": "</think>"}', "", '{"a": "</think>"}'),
        ("a", "", "a"),
        ("", "", ""),
    ],
)
def test_thoughts_apart_from_the_answer(text: str, thoughts: str, answer: str) -> None:
    assert apart(text) == (thoughts, answer)


@pytest.mark.parametrize(("thinking", "against", "one"), [(True, PLAIN, THOUGHT), (False, THOUGHT, PLAIN)])
def test_one_answer_that_is_as_the_card_says_is_proof(thinking: bool, against: Answer, one: Answer) -> None:
    card = a_card(decoding=Decoding(thinking=thinking))
    proof = Proof(card)
    for answer in [against] * (FIRST - 1) + [one] + [against] * 100:
        proof.count(answer)
    proof = Proof(card)
    for answer in [FILTERED] * 100 + [against] * (FIRST - 1):  # a filter's reply says nothing of thinking
        proof.count(answer)
    with pytest.raises(JudgeError, match=f"first {FIRST} answers"):
        proof.count(against)
    for answer in [against] * 100:  # what was in flight; it is said once
        proof.count(answer)


def test_a_card_that_says_nothing_wants_no_proof(caplog: pytest.LogCaptureFixture) -> None:
    proof = Proof(a_card())
    for answer in [PLAIN, THOUGHT] * FIRST:
        proof.count(answer)
    proof.end()
    assert not caplog.records


def test_the_end_of_a_run_tells_what_few_answers_leave_open(caplog: pytest.LogCaptureFixture) -> None:
    proof = Proof(a_card(decoding=Decoding(thinking=True)))
    with caplog.at_level(logging.WARNING, "isr"):
        proof.end()
        assert not caplog.records  # nothing was asked
        proof.count(PLAIN)
        proof.end()
    assert "none of 1 answers shows a thought" in caplog.text

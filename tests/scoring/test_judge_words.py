"""Judges in print: by model, revision, decoding, hosts and dates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isr.judging.cards import load_card
from isr.judging.progress import Served
from isr.scoring.judge_words import (
    Answered,
    answered_by,
    decoding_words,
    described,
    judge_record,
    model_words,
    named,
    recorded,
    when_and_where,
)


def test_who_answered_is_counted_by_model_and_host_over_days() -> None:
    served = {
        Served("j", "m", "a:1", "", "2026-11-03", False): 2,
        Served("j", "m", "a:1", "", "2026-11-01", True): 3,
        Served("j", "m-mini", "b", "P", "2026-11-02", False): 1,
    }
    found = answered_by(served)
    assert found == [
        Answered("j", "m", "a:1", "", "2026-11-01", "2026-11-03", 5),
        Answered("j", "m-mini", "b", "P", "2026-11-02", "2026-11-02", 1),
    ]
    assert recorded({"answered_by": [a._asdict() for a in found]}) == found
    assert when_and_where(found) == "answers of 2026-11-01 to 2026-11-03 from a:1, b by P"


@pytest.mark.parametrize(
    "record", [{}, {"answered_by": None}, {"answered_by": [3]}, {"answered_by": [{"judge": "j"}]}]
)
def test_a_record_that_does_not_say_who_answered(record: dict[str, object]) -> None:
    assert recorded(record) == []
    assert when_and_where([]) == "hosts and dates of the answers not recorded"


@pytest.mark.parametrize(
    ("card", "sets", "words"),
    [
        ("gpt-4.1", [], "gpt-4.1-2025-04-14, revision not pinned"),
        ("qwen2.5-vl-7b", ["model=llava:13b"], "llava:13b, revision not pinned"),
        ("qwen2.5-vl-7b", ["model=x/y", "revision=0123456789abcdef"], "x/y, revision 0123456789ab"),
        ("shapes-oracle", [], "the program shapes_oracle, revision 2"),
    ],
)
def test_a_model_in_words(card: str, sets: list[str], words: str) -> None:
    record = judge_record(load_card(card, sets))
    assert model_words(record) == words
    assert named(record).endswith(f" ({words})")


def test_a_model_in_a_folder_is_its_weights() -> None:
    """As an identity names it: the checkpoint's digest, whatever the folder is called."""
    card = Path(__file__).resolve().parents[2] / "examples" / "shapes" / "judge" / "shapes-mllm.toml"
    words = model_words(judge_record(load_card(str(card))))
    assert re.fullmatch(r"weights sha256:[0-9a-f]{12}", words)


def test_recorded_answers_are_of_whom_they_name() -> None:
    record = judge_record(load_card("shapes-oracle"), ["qwen", "shapes-oracle"])
    assert model_words(record) == "the program shapes_oracle, revision 2, answers of qwen"


def test_a_judge_in_full() -> None:
    card = load_card("qwen2.5-vl-7b", ["model=llava:13b", "decoding.temperature=0.2"])
    answers = [Answered(card.name, "llava:13b-q4", "127.0.0.1:11434", "", "2026-11-27", "2026-11-27", 8)]
    assert described(judge_record(card, ["llava:13b-q4"]), answers) == (
        "qwen2.5-vl-7b+model=llava-13b+decoding.temperature=0.2 (llava:13b, revision not pinned; answered as llava:13b-q4; "
        "backend openai_chat; temperature 0.2, seed 0, at most 512 tokens; answers of 2026-11-27 from 127.0.0.1:11434)"
    )


@pytest.mark.parametrize(
    ("decoding", "words"),
    [
        ({"temperature": 0.0, "seed": 0, "max_tokens": 512, "omit": []}, "temperature 0, seed 0, at most 512 tokens"),
        ({"temperature": 1.0, "seed": 0, "max_tokens": 9, "omit": ["temperature", "seed"]},
         "temperature left to the host, seed left to the host, at most 9 tokens"),
        ({"temperature": 0.7, "seed": None, "max_tokens": 9, "reasoning_effort": "low", "thinking": 1024, "extra": {"top_k": 1}},
         "temperature 0.7, at most 9 tokens, reasoning effort low, thinking budget 1024, also set: top_k"),
        ({"thinking": False}, "thinking off"),
    ],
)  # fmt: skip
def test_decoding_in_words(decoding: dict[str, object], words: str) -> None:
    assert decoding_words(decoding) == words

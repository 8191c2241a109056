"""Which reported names are the model that was asked for."""

from __future__ import annotations

import pytest

from isr.judging.cards import builtin_names, load_card
from isr.judging.served import family, is_among, is_same_model

SAME = [
    ("gpt-4.1", "gpt-4.1"),
    ("gpt-4.1", "gpt-4.1-2025-04-14"),
    ("gpt-4.1", "openai/gpt-4.1"),
    ("gpt-4o", "gpt-4o-2024-11-20"),
    ("gemini-2.5-pro", "models/gemini-2.5-pro"),
    ("gemini-2.5-pro", "gemini-2.5-pro-preview-05-06"),
    ("gemini-2.5-flash", "google/gemini-2.5-flash-001"),
    ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl-7b-instruct"),
    ("qwen3-vl", "qwen3-vl:latest"),
    ("gpt-4", "gpt-4-0613"),
    ("gpt-4", "gpt-4-1106-preview"),
    ("qwen/qwen3.6-27b:free", "qwen/qwen3.6-27b"),
]
OTHER = [
    ("gpt-4.1", "gpt-4.1-mini-2025-04-14"),
    ("gpt-4.1", "gpt-4.1-nano"),
    ("gpt-4.1", "gpt-4"),
    ("gpt-4o", "gpt-4o-mini-2024-07-18"),
    ("gpt-4o", "gpt-4o-audio-preview"),
    ("gemini-3.8-flash", "gemini-3.8-flash-lite"),
    ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
    ("gemini-2.5-flash", "gemini-2.5-flash-preview-tts"),
    ("gemini-2.5-flash", "gemini-2.5-flash-lite-preview-06-17"),
    ("gpt-4", "gpt-4-32k"),
    ("qwen2.5vl:7b", "qwen2.5vl:72b"),
    ("qwen2.5vl:7b", "llava"),
    ("qwen3-vl-8b", "qwen3-vl-80b"),
    ("claude-3", "claude-3-5"),
    ("Qwen/Qwen3.5-9B", "evil-finetunes/Qwen3.5-9B"),
    ("gpt-4.1", ""),
    ("", "gpt-4.1"),
]


@pytest.mark.parametrize(("asked", "reported"), SAME)
def test_a_date_a_build_or_a_vendor_make_no_other_model(asked: str, reported: str) -> None:
    assert is_same_model(asked, reported)
    assert is_among(["other", asked], reported)


@pytest.mark.parametrize(("asked", "reported"), OTHER)
def test_whatever_else_follows_is_another_model(asked: str, reported: str) -> None:
    assert not is_same_model(asked, reported)
    assert not is_among([asked], reported)


def test_no_built_in_card_takes_another_one_s_answers() -> None:
    """The names of a family are beginnings of one another; that was what let the small ones through."""
    cards = [card for name in builtin_names() if (card := load_card(name)).serves]
    assert len(cards) > 5
    for card in cards:
        others = {c.model for c in cards} - {card.model}
        assert [m for m in others if is_among(card.serves, m)] == []


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "Alibaba (Qwen)"),
        ("Qwen-Image-Edit", "Alibaba (Qwen)"),
        ("qwen_image_edit_2509", "Alibaba (Qwen)"),
        ("gemini-2.5-pro", "Google (Gemini)"),
        ("Nano Banana", "Google (Gemini)"),
        ("gpt-image-1", "OpenAI (GPT)"),
        ("step1x-edit", "StepFun (Step)"),
        ("ip2p", ""),
        ("stable-diffusion-3", ""),
        ("llava-1.5-7b", ""),
        ("reseeded", ""),
    ],
)
def test_who_trained_a_model_is_read_from_whole_words(name: str, of: str) -> None:
    assert family(name) == of

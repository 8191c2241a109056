"""What to do about answers that cannot be used, as far as the answers show it."""

from __future__ import annotations

import re

from isr.judging.cards import Card
from isr.types import Answer, AnswerReason

_ADVICE = (
    (r"mmproj", "start llama.cpp's server with --mmproj FILE, the part of the model that sees"),
    (
        r"at most 1 image|1 image per prompt|one image|single image",
        'start vLLM with --limit-mm-per-prompt \'{"image": 2}\', or set images.layout = "side_by_side" in the card',
    ),
    (
        r"response_format|json_schema|additionalproperties|maxlength|schema",
        "try another decoding.structured in the card",
    ),
    (
        r"max_completion_tokens|max_tokens",
        "set decoding.max_tokens_name in the card to the name that the host takes",
    ),
    (r"\bseed\b", 'add "seed" to decoding.omit in the card'),
    (r"temperature", 'add "temperature" to decoding.omit in the card'),
    (r"reasoning_effort", "take decoding.reasoning_effort out of the card"),
    (
        r"chat_template_kwargs|enable_thinking",
        "set decoding.thinking_name in the card to what the host takes",
    ),
    (
        r"context|too long|tokens",
        "lower images.max_side in the card, or start the server with a longer context",
    ),
    (
        r"unexpected endpoint|text/html|404",
        "see whether base_url in the card is the address of the API (mostly it ends in /v1)",
    ),
    (r"event-stream", "the host streams though nobody asked it to: switch that off at the host"),
    (r"image|vision|multimodal", "take a model that sees images"),
)


def advice(words: str) -> str:
    """Which field of the card, or which option of a server, a host's words speak of."""
    found = next((fix for pattern, fix in _ADVICE if re.search(pattern, words, re.IGNORECASE)), "")
    return found or "check the card and the server"


def remedy(card: Card, answer: Answer, reason: str) -> str:
    """Cause and remedy for an answer that is undecided for a technical reason."""
    thoughts = len(answer.reasoning)
    off = "switch thinking off (decoding.thinking = false)"
    if reason == AnswerReason.EMPTY and thoughts:
        return (
            f"the reply has {thoughts} characters of reasoning and no content; {off}, or start the server without its "
            f"reasoning parser"
        )
    if reason == AnswerReason.EMPTY:
        return f"the reply has no content; {off} if the model thinks, or see what the server logs"
    if reason == AnswerReason.TRUNCATED:
        thinks = f", {thoughts} characters of it reasoning" if thoughts else ""
        blank = " and were mostly blanks: try another decoding.structured" if _blank(answer) else ""
        return (
            f"replies are cut off at decoding.max_tokens = {card.decoding.max_tokens}{thinks}{blank}; raise it, or {off} if "
            f"the model thinks"
        )
    if "<think>" in answer.text[:200] or "</think>" in answer.text:
        return f"thoughts stand in the reply; {off}, or start the server with its reasoning parser"
    if reason == AnswerReason.ABORTED:
        return "the host ends the replies itself (an abort, an error, a call of a tool); see what the server logs"
    begins = " ".join(answer.text[:80].split())
    others = [
        s
        for s in ("json_schema", "json_schema_basic", "json_object", "words")
        if s != card.decoding.structured
    ]
    return (
        f"replies do not follow the schema (the last begins with {begins!r}); the server does not enforce "
        f"decoding.structured = {card.decoding.structured!r}: try {', '.join(map(repr, others))}, or another model"
    )


def _blank(answer: Answer) -> bool:
    return len(answer.text) > 100 and len(answer.text.strip()) < len(answer.text) // 2

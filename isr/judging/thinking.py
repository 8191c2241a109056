"""Thinking before the answer: how a card asks for it, and the proof from the replies that it happens.

A judge that thinks and one that does not are two instruments. Servers ignore the wish without a word: vLLM, where JSON
is asked for and it has no reasoning parser, holds the model to the JSON from its first token on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator

from isr.errors import JudgeError

if TYPE_CHECKING:
    from isr.judging.cards import Card, Decoding
    from isr.types import Answer

log = logging.getLogger("isr")

FIRST = 20  # answers of a judge among which at least one must be as the card says
MARKS = (("<think>", "</think>"), ("<|channel>", "<channel|>"), ("[THINK]", "[/THINK]"))
"""What opens and what ends the thoughts: Qwen, GLM and most others; Gemma 4; Mistral."""

ThinkingName = Literal["chat_template_kwargs", "enable_thinking", "reasoning"]
"""Under which name a host takes it: vLLM and SGLang, DashScope, OpenRouter."""


def _sound(thinking: bool | int | None) -> bool | int | None:
    """A budget of nothing is no thinking: one meaning has one identity."""
    if thinking is None or isinstance(thinking, bool):
        return thinking
    if thinking < 0:
        raise ValueError("true, false, or a budget in tokens")
    return thinking or False


Thinking = Annotated[bool | int | None, AfterValidator(_sound)]
"""``decoding.thinking`` of a card: on, off, on with a budget in tokens, or not said."""


def budget_of(thinking: bool | int | None) -> int | None:
    """The tokens that thoughts may have; ``None`` without a budget."""
    return None if thinking is None or isinstance(thinking, bool) else thinking


def template_fields(thinking: bool | int | None) -> dict[str, bool]:
    """The arguments of a chat template for what a card says; none where it says nothing."""
    return {} if thinking is None else {"enable_thinking": bool(thinking)}


def thinking_fields(decoding: Decoding) -> dict[str, Any]:
    """The fields of a request's body by which a host is told; none where the card says nothing."""
    if decoding.thinking is None:
        return {}
    budget = budget_of(decoding.thinking)
    if decoding.thinking_name == "reasoning":
        return {
            "reasoning": {"enabled": bool(decoding.thinking)} if budget is None else {"max_tokens": budget}
        }
    switch = template_fields(decoding.thinking)
    if decoding.thinking_name == "enable_thinking":
        return {**switch, **({} if budget is None else {"thinking_budget": budget})}
    limit = {} if budget is None else {"thinking_token_budget": budget}
    return {"chat_template_kwargs": switch, **limit}


def apart(text: str) -> tuple[str, str]:
    """(thoughts, answer) of a reply whose server left the thoughts in its text; thoughts without an end are all of it.

    A text that begins as a JSON object is an answer, whatever stands in its strings.
    """
    bare = text.lstrip()
    for start, end in MARKS:
        if bare.startswith(start) or (end in bare and not bare.startswith("{")):
            thoughts, _, answer = bare.removeprefix(start).partition(end)
            return thoughts.strip(), answer.strip()
    return "", text


def shows_thoughts(answer: Answer) -> bool:
    """Whether a reply proves that its model thought: by the thoughts, or by their number of tokens."""
    return bool(answer.reasoning.strip()) or answer.usage.get("reasoning_tokens", 0) > 0


class Proof:
    """Whether a judge thinks, or does not, as its card says; counted over its first answers.

    A model may skip its thoughts where a question is easy: one answer that is as the card says is proof enough. A reply
    without text (a filter's, a cut-off one) says nothing.
    """

    def __init__(self, card: Card) -> None:
        self._card = card
        self._open = card.decoding.thinking is not None
        self._against = 0

    def count(self, answer: Answer) -> None:
        """Counts a reply. Raises ``JudgeError`` when none of the first ``FIRST`` is as the card says."""
        if not (self._open and answer.text):
            return
        self._open = shows_thoughts(answer) is not bool(self._card.decoding.thinking)
        self._against += self._open
        if self._against == FIRST:
            self._open = False
            raise JudgeError(
                f"{self._card.name}: {self._said(f'the first {FIRST} answers')}; {remedy(self._card)}. Their answers are "
                f"another judge's, and are kept under this one: then score with a new --out"
            )

    def end(self) -> None:
        """Says at the end of a run what fewer answers than ``FIRST`` leave open."""
        if self._open and self._against:
            log.warning(
                "%s: %s; %s", self._card.name, self._said(f"{self._against} answers"), remedy(self._card)
            )

    def _said(self, answers: str) -> str:
        if self._card.decoding.thinking:
            return f"decoding.thinking is on, and none of {answers} shows a thought"
        return f"decoding.thinking is off, and each of {answers} shows thoughts"


def remedy(card: Card) -> str:
    """What makes a judge think, or not, as its card says."""
    if not card.traits.served_by_name:
        return "this model does not do as it is told: correct decoding.thinking in the card"
    if card.decoding.thinking:
        return (
            "start the server with a --reasoning-parser (isr judges serve does; without one vLLM holds the model to the "
            "JSON at once), or take the host's own name for it by decoding.thinking_name"
        )
    return "the host does not know decoding.thinking_name, or its model always thinks: correct the card"

"""Thoughts of a local model: the tokens that open and end them, and what vLLM calls their parser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isr.errors import CardError, JudgeError
from isr.judging.thinking import MARKS
from isr.reading import Unreadable, read_json

if TYPE_CHECKING:
    from isr.judging.cards import Card

PARSERS = {"qwen3": "qwen3", "gemma4": "gemma4", "glm4": "glm45"}
"""By the beginning of a model's family: the name of vLLM's reasoning parser."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The tokens by which a model opens and ends its thoughts."""

    start: int
    end: int

    def within(self, prompt: Sequence[int]) -> int | None:
        """Tokens of the thoughts with which a prompt ends; ``None`` where none are open at its end."""
        behind = list(reversed(prompt))
        start = behind.index(self.start) if self.start in behind else None
        closed = start is None or self.end in behind[:start]
        return None if closed else start

    def apart(self, ids: Sequence[int], opened: bool) -> tuple[list[int], list[int]]:
        """(thoughts, answer) of what was generated, without the marks; thoughts without an end are all of it."""
        at = ids.index(self.end) if self.end in ids else len(ids)
        if not opened and self.start not in ids[:at]:
            return [], list(ids)
        return [i for i in ids[:at] if i != self.start], list(ids[at + 1 :])


def thought_marks(tokenizer: Any) -> Marks | None:
    """The marks that a tokenizer knows as tokens; ``None`` if it knows no pair."""
    known = tokenizer.get_vocab()
    return next((Marks(known[a], known[b]) for a, b in MARKS if a in known and b in known), None)


def required_marks(card: Card, tokenizer: Any) -> Marks | None:
    """The marks of a model whose card lets it think; ``None`` for one that does not. Raises ``JudgeError`` without any."""
    if not card.decoding.thinking:
        return None
    found = thought_marks(tokenizer)
    if found is None:
        known = ", ".join(f"{a} and {b}" for a, b in MARKS)
        raise JudgeError(
            f"{card.name}: decoding.thinking expected a model that marks its thoughts by tokens ({known}); found a "
            f"tokenizer with none of these; take a model that thinks, or leave decoding.thinking out"
        )
    return found


def reasoning_parser(card: Card, given: str) -> str:
    """vLLM's parser for a card: the one it names, or that of its model's family; none for a judge that does not think.

    Raises ``CardError`` for a family that is not known.
    """
    if given or not card.decoding.thinking:
        return given
    family = _family(card)
    found = next((p for f, p in PARSERS.items() if family.startswith(f)), "")
    if not found:
        raise CardError(
            f"{card.name}: 'engine.reasoning_parser' expected the name of vLLM's parser for the thoughts of {card.model!r}, "
            f"without which it holds the model to the JSON at once; found none, and a family that isr does not know; add "
            f"it (vllm serve --help lists them)"
        )
    return found


def _family(card: Card) -> str:
    """The family of a card's model, in letters and digits: from its folder, or from its name at the hub."""
    name = card.model.rpartition("/")[2]
    if card.checkpoint is not None:
        try:
            config = read_json(card.checkpoint / "config.json")
        except Unreadable:
            config = None
        name = str(config.get("model_type", "")) if isinstance(config, dict) else ""
    return "".join(c for c in name.lower() if c.isalnum())

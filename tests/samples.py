"""Small values of each kind for tests: cards, requests, answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes
from isr.judging.card_sections import Decoding, Endpoint, Images
from isr.judging.cards import Card
from isr.judging.requests import Request, Template
from isr.judging.rubrics import load_rubric
from isr.types import Answer, ImageRef, Verdict

GOOD = {
    "semantic": {"reasoning": "The car is red.", "score": 4, "source_kept": 3, "verdict": "fine"},
    "perceptual": {"reasoning": "Clean.", "score": 4, "verdict": "fine"},
}


def a_card(**fields: Any) -> Card:
    """A hosted judge; any field can be another one."""
    base: dict[str, Any] = {
        "name": "judge",
        "backend": "openai_chat",
        "model": "test-model",
        "endpoint": Endpoint(base_url="http://127.0.0.1:9/v1"),
        "decoding": Decoding(),
        "images": Images(),
    }
    return Card(**{**base, **fields})


def an_image(name: str) -> ImageRef:
    """An image file that exists only by its digest."""
    return ImageRef(f"{name}.png", sha256_bytes(name.encode()))


def a_request(
    prompt: str = "make the car red", *, rubric: str = "semantic/v1", card: Card | None = None,
    repeat: int = 0, **images: ImageRef,
) -> Request:  # fmt: skip
    """One question about one edit."""
    refs = {"source": an_image("source"), "edit": an_image("edit"), **images}
    return Request(Template(load_rubric(rubric), card or a_card()), prompt, refs, repeat)


def an_answer(text: str | None = None, question: str = "semantic", **fields: Any) -> Answer:
    """A completed reply; by default one that every rule accepts."""
    text = json.dumps(GOOD[question]) if text is None else text
    return Answer(**{"text": text, "finish_reason": "stop", **fields})


def good(question: str = "semantic", **changes: Any) -> str:
    """The text of a sound answer with some fields changed; ``None`` leaves a field out."""
    fields = {**GOOD[question], **changes}
    return json.dumps({k: v for k, v in fields.items() if v is not None})


def summary(verdict: Verdict) -> tuple[str, str]:
    """Value and reason."""
    return verdict.value, verdict.reason


def write_toml(folder: Path, text: str, name: str = "card") -> str:
    """A card file; returns its path."""
    path = folder / f"{name}.toml"
    path.write_text(text, "utf-8")
    return str(path)

"""What a language model is asked that writes unseen prompts: its card, its instructions, the request for one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes, sha256_json
from isr.errors import CardError
from isr.judging.cards import Card, load_card
from isr.judging.keys import check_pair
from isr.judging.requests import quoted
from isr.reading import toml_of

SCHEMA = "isr.unseen/1"


@cache
def instructions(captioned: bool = False) -> Mapping[str, Any]:
    """What a writer is told: version, system text, user text, longest prompt; and the digest of all."""
    name = "writer_captions.toml" if captioned else "writer.toml"
    data = resources.files("isr.bench").joinpath(name).read_bytes()
    return {**toml_of(data.decode()), "digest": sha256_bytes(data)}


def writer(named: str, root: Path = Path()) -> Card:
    """The writer's card; a path is looked for from the study file. Raises ``CardError``, ``SecretError``."""
    card = load_card(str(root / named) if named.endswith(".toml") else named)
    if not card.traits.writes:
        raise CardError(
            f"images.unseen.writer: expected a card whose backend writes words, such as openai_chat; found {card.name} "
            f"of {card.backend}; choose another, or give a file of prompts"
        )
    check_pair(card)
    return card


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a writer is asked about one image."""

    name: str
    system: str
    text: str
    response_format: Mapping[str, Any] | None
    card: Card
    count: int
    captioned: bool = False

    @property
    def digest(self) -> str:
        return sha256_json(
            {
                "schema": SCHEMA,
                "instructions": instructions(self.captioned)["digest"],
                "writer": self.card.digest,
                "image": self.name,
                "system": self.system,
                "text": self.text,
                "response_format": self.response_format,
            }
        )


def question(name: str, seen: str, caption: str, card: Card, count: int, captioned: bool = False) -> Asked:
    """The request for one image's prompts; ``captioned``: with the captions of the edited pictures."""
    told = instructions(captioned)
    system = told["system"].strip().format(count=count)
    text = told["user"].strip().format(caption=quoted(caption) if caption else "(none)", seen=quoted(seen))
    said = _format(card, count, captioned)
    return Asked(
        name=name,
        system=system,
        text=text,
        response_format=said,
        card=card,
        count=count,
        captioned=captioned,
    )


def _format(card: Card, count: int, captioned: bool) -> Mapping[str, Any] | None:
    structured = card.decoding.structured
    if structured == "words":
        return None
    if structured == "json_object":
        return {"type": "json_object"}
    prompts: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
    if structured == "json_schema":
        prompts |= {"minItems": count, "maxItems": count}
    schema = {
        "type": "object",
        "properties": {"prompts": prompts, **({"captions": prompts} if captioned else {})},
        "required": ["prompts", *(["captions"] if captioned else [])],
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": "unseen_prompts", "strict": True, "schema": schema},
    }

"""A host and a model without a card of their own: ``ollama:qwen3-vl``, ``openrouter:qwen/qwen3.6-27b``.

A host's card has an address and no model; behind a colon stands the one that is asked for. Whatever is true of one
model only (a revision, names that it may report, a date, a price) is in no host's card, so that nothing of the kind
comes with the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from isr.errors import CardError, UsageError
from isr.judging.card_secrets import shown

if TYPE_CHECKING:
    from isr.judging.cards import Card

RESOURCE = "RESOURCE"
"""Stands in a host's address for a name of the user's own: ``azure:my-lab/gpt-4.1`` fills it."""

_LABEL = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z"
)  # one part of a host's name, and nothing else


def parted(name: str) -> tuple[str, str]:
    """(card, model) of a short form; (name, "") of any other name."""
    host, _, model = name.partition(":")
    return host, model


def name_of(host: str, model: str) -> str:
    """The name of the judge, fit for a path: ``ollama-qwen3-vl-8b`` for ``ollama:qwen3-vl:8b``."""
    return f"{host}-{re.sub(r'[^A-Za-z0-9._-]+', '-', model)}" if model else host


def typed(card: Card) -> str:
    """The short form by which a card was named, to be typed again; ``""`` for a card that has a file or a name of its own."""
    resource = card.endpoint.host.partition(".")[0]
    for model in (card.model, f"{resource}/{card.model}"):
        if card.model and not card.folder and card.stem == name_of(card.deployment, model):
            return f"{card.deployment}:{model}"
    return ""


def filled(raw: Mapping[str, Any], host: str, model: str) -> dict[str, Any]:
    """The fields of a host's card with the model in its place. Raises ``UsageError`` for a card that has a model."""
    if not raw.get("endpoint", {}).get("base_url") or raw.get("model"):
        found = f"one for {shown(raw['model'])}" if raw.get("model") else "one that asks no host"
        raise UsageError(
            f"--judge {shown(f'{host}:{model}')}: expected the card of a host that serves any model; found {found}; "
            f"leave out what stands behind {host}, or use --set model=MODEL"
        )
    endpoint = dict(raw["endpoint"])
    if RESOURCE in endpoint["base_url"] and "/" in model:
        resource, _, model = model.partition("/")
        if not _LABEL.match(resource):
            raise UsageError(
                f"--judge {host}:{RESOURCE}/DEPLOYMENT: expected the first part of your endpoint's host (letters, digits, "
                f"hyphens); found {shown(resource)}; correct it"
            )
        endpoint["base_url"] = endpoint["base_url"].replace(RESOURCE, resource)
    return {**raw, "endpoint": endpoint, "model": model}


def require_model(card: Card) -> None:
    """Raises ``CardError`` for a host's card that is used without a model, or without its user's own address."""
    if card.model == "" and card.endpoint.base_url:
        raise CardError(
            f"{card.name}: expected a model; found none, as this is the card of a host; name the model behind a "
            f"colon: --judge {card.name}:{_example(card)}, or --set model=MODEL"
        )
    if RESOURCE in card.endpoint.base_url:
        raise CardError(
            f"{card.name}: expected the name of your resource in endpoint.base_url; found the word {RESOURCE}; write it "
            f"before the deployment: --judge azure:RESOURCE/DEPLOYMENT, or --set "
            f"endpoint.base_url={card.endpoint.base_url.replace(RESOURCE, 'my-lab')}"
        )


def _example(card: Card) -> str:
    return f"{RESOURCE}/DEPLOYMENT" if RESOURCE in card.endpoint.base_url else "MODEL"

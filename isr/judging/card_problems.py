"""Fields of a card that are of the right type and still cannot be used: addresses, dates, rules, names that isr sets itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from isr.errors import Problem
from isr.judging import image_tokens
from isr.judging.card_secrets import shown
from isr.judging.thinking import thinking_fields

if TYPE_CHECKING:
    from isr.judging.cards import Card

_SENT = {
    "logprobs", "max_completion_tokens", "max_tokens", "messages", "model", "n", "reasoning_effort",
    "response_format", "seed", "stream", "stream_options", "temperature", "top_logprobs",
}  # fmt: skip
_PROCESSED = {"add_special_tokens", "images", "padding", "return_tensors", "text", "videos"}

_KEY_NAME = re.compile(
    r"(?:^|[-_.])(?:key|api-?key|apikey|token|code|sig|signature|secret|password|auth)$", re.IGNORECASE
)


def field_problems(card: Card, where: str) -> Iterator[Problem]:
    """Every such problem of a card. where: the card, as messages name it."""
    yield from _address_problems(card, where)
    yield from _date_problems(card, where)
    yield from _rule_problems(card, where)
    yield from _reserved(card, where)


def _address_problems(card: Card, where: str) -> Iterator[Problem]:
    several, one = card.endpoint.base_urls, card.endpoint.base_url
    if several and (one not in several or len(set(several)) != len(several)):
        found = "one twice" if len(set(several)) != len(several) else "a base_url beside them"
        fix = "give each address once, in base_urls alone"
        yield Problem(where, "endpoint.base_urls", "different addresses", found, fix)
    for name, address in [("base_urls", a) for a in several] or [("base_url", one)]:
        if address:
            yield from _address_problem(address, where, f"endpoint.{name}")


def _address_problem(address: str, where: str, field: str) -> Iterator[Problem]:
    try:
        url = urlsplit(address)
        named = bool(url.username or url.password)
        sound = url.scheme.lower() in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        named, sound = "@" in address, False
    if not sound:
        found = "another one" if named else shown(address)
        yield Problem(where, field, "an http(s) address", found, "edit the card")
        return
    if named:
        fix = "put the key into api_key_env's variable"
        yield Problem(where, field, "no user or password", "one", fix)
    for name, value in parse_qsl(url.query, keep_blank_values=True):
        if _KEY_NAME.search(name) or len(value) >= 32:
            fix = "put the key into a variable, name it in api_key_env, and say api_key_header if it goes by another header"
            yield Problem(where, field, "an address without a key", f"a query with {name[:40]!r}", fix)
    if url.fragment:
        yield Problem(where, field, "an address without #", shown(address), "take away what stands from # on")
    for end in ("/chat/completions", "/completions", "/models"):
        if url.path.rstrip("/").endswith(end):
            fix = f"end it before {end}"
            yield Problem(
                where, field, "the address to which /chat/completions is added", shown(address), fix
            )
            break


def _date_problems(card: Card, where: str) -> Iterator[Problem]:
    """A date that is none would never come: a retired model would be asked for ever."""
    for name in ("verified_on", "retires_on"):
        value: str = getattr(card, name)
        try:
            sound = not value or date.fromisoformat(value).isoformat() == value
        except ValueError:
            sound = False
        if not sound:
            yield Problem(where, name, "a date as YYYY-MM-DD, or nothing", shown(value), "edit the card")


def _rule_problems(card: Card, where: str) -> Iterator[Problem]:
    rule = card.price.image_tokens
    if rule and rule not in image_tokens.RULES:
        expected = f"one of {', '.join(image_tokens.RULES)}, or nothing"
        yield Problem(where, "price.image_tokens", expected, shown(rule), "edit the card")


def _reserved(card: Card, where: str) -> Iterator[Problem]:
    """Free fields may add to a request; they replace nothing that isr itself puts into it."""
    for at, given, own in (
        ("decoding.extra", card.decoding.extra, _SENT | set(thinking_fields(card.decoding))),
        ("images.processor", card.images.processor, _PROCESSED),
    ):
        taken = sorted(set(given) & own)
        if taken:
            fix = "say it by the card's own fields, or leave it out"
            yield Problem(where, at, "names that isr does not set itself", ", ".join(taken), fix)

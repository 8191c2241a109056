"""What no card may hold: keys, and numbers of which no digest can be made."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from isr.errors import Problem
from isr.judging.backends import NAME as BACKEND_NAME

_PREFIXED = r"(?:\b(?:sk-|AIza|eyJ|hf_|xai-|gsk_)|\bBearer\s+)[\w.-]{8,}"
KEY_PREFIX = re.compile(_PREFIXED)
_LOOKS_LIKE_KEY = re.compile(rf"{_PREFIXED}|[A-Za-z0-9_-]{{40,}}")


def shown(value: Any) -> str:
    """A value as a message may show it: shortened, and never what looks like a key."""
    text = repr(value)
    return "a value that looks like a key" if _LOOKS_LIKE_KEY.search(text) else text[:80]


def _leaves(raw: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, Any]]:
    """(path, name, value) of every single value in a card; the items of a list stand under the list's name."""
    for key, value in raw.items():
        at = f"{path}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{at}.")
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, Mapping | list):
                    yield from _leaves({key: item}, path)
                else:
                    yield at, key, item
        else:
            yield at, key, value


def secrets(raw: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Problems for every field that carries a key instead of a variable's name."""
    for at, key, value in _leaves(raw):
        if isinstance(value, str) and _is_secret(at, key, value):
            yield Problem(
                where,
                at,
                "the NAME of an environment variable in endpoint.api_key_env",
                "what looks like a key itself",
                "revoke it if it was shared, and remove it from the file",
            )


def not_finite(raw: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Problems for every NaN and infinity: no digest can be made of them."""
    for at, _, value in _leaves(raw):
        if isinstance(value, float) and not math.isfinite(value):
            yield Problem(where, at, "a finite number", repr(value), "edit the card")


_FREE_TEXT = {"model", "revision", "notes", "needs", "endpoint.base_url", "deployment"}


def _is_secret(at: str, key: str, value: str) -> bool:
    if key == "api_key_env":
        named = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value)
        return bool(value) and (not named or bool(KEY_PREFIX.match(value)))
    if at == "backend":  # a module's name; that of hf_transformers begins like a key
        return bool(_LOOKS_LIKE_KEY.fullmatch(value)) and not BACKEND_NAME.match(value)
    if at in _FREE_TEXT:  # digests and long names are at home there; the known beginnings of keys are not
        return bool(KEY_PREFIX.search(value))
    named = re.search(r"(api_?key|token|secret|password|authorization)$", key, re.IGNORECASE)
    return bool(value) and (bool(named) or bool(_LOOKS_LIKE_KEY.fullmatch(value)))

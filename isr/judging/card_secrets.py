"""What no card may hold: keys, and numbers of which no digest can be made."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from isr.errors import Problem
from isr.judging.backends import NAME as BACKEND_NAME

_PREFIXED = r"(?:\b(?:sk-|AIza|eyJ|hf_|xai-|gsk_)|\bBearer\s+)[\w.-]{8,}"
KEY_PREFIX = re.compile(_PREFIXED)
_LOOKS_LIKE_KEY = re.compile(rf"{_PREFIXED}|[A-Za-z0-9_-]{{40,}}")
_NAMED = r"(?:api_?key|token|secret|password|authorization)"
_SECRET_FIELD = re.compile(rf"{_NAMED}$", re.IGNORECASE)
_ASSIGNED = re.compile(rf"{_NAMED}(?:_env)?\W{{0,3}}[=:]\W{{0,3}}\w{{8}}", re.IGNORECASE)
_WORD = r"(?:[A-Z]{1,15}|[a-z]{1,15}|[A-Z][a-z]{1,14})\d{0,3}|\d{1,4}"
_PLAIN_NAME = re.compile(rf"(?:{_WORD})(?:_+(?:{_WORD}))*")


def shown(value: Any, name: str = "") -> str:
    """A value as a message may show it: shortened, and never what looks like a key or stands under the name of one."""
    text = repr(value)
    if value and _SECRET_FIELD.search(name):
        return "a value under the name of a key"
    key = _LOOKS_LIKE_KEY.search(text) or _ASSIGNED.search(text)
    return "a value that looks like a key" if key else text[:80]


def shown_setting(text: str) -> str:
    """``key=value`` as a message may show it: never the value, nor a text without a key before it."""
    key, sign, _ = text.partition("=")
    return f"{key[:80]}=..." if sign and not _LOOKS_LIKE_KEY.search(key) else "..."


def could_be_key(name: str) -> bool:
    """Whether what was given as the name of a variable may be a key itself: it is no variable that is set, and not
    made of words as the names of variables are."""
    return name not in os.environ and not _PLAIN_NAME.fullmatch(name)


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
    return bool(value) and (bool(_SECRET_FIELD.search(key)) or bool(_LOOKS_LIKE_KEY.fullmatch(value)))

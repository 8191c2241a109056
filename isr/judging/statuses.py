"""What a host's own words mean here: statuses and error codes of its replies, and how a reply ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from isr.errors import (
    AuthenticationError,
    FilteredError,
    IsrError,
    ModelNotFoundError,
    QuotaError,
    SecretError,
    TransportError,
    TransportReason,
)
from isr.judging.dialects import Meaning, meaning_of
from isr.judging.host_words import said
from isr.types import Finish

if TYPE_CHECKING:
    from isr.judging.cards import Card


def error_of_status(
    card: Card, status: int, body: object, headers: Mapping[str, str], clean: Callable[[str], str]
) -> IsrError:
    """The error that a reply without a completion stands for, to be raised.

    status: the HTTP status; 200 for an error in a reply that says all is well. body: the reply's JSON value, its text where
    it is no JSON, or ``None``. headers: by lower-case name. clean: a ``redactor`` of the key.
    """
    host, endpoint = card.endpoint.host, card.endpoint
    if 300 <= status < 400:
        target = clean(_redirect_host(endpoint.base_url, headers.get("location", "")))
        return SecretError(
            f"{host} redirects to {target or 'nowhere'}; a request and its key are never sent on; "
            f"if that is the right server, put its address into the card"
        )
    found = said(body)
    meaning = meaning_of(status, found)
    words = clean(found.shown)
    shown = (
        str(status)
        if status != 200
        else f"an error inside a 200 reply{f', {found.status}' if found.status else ''}"
    )
    told = f"{host}: {shown}{f' ({words})' if words else ''}"
    if meaning is Meaning.FILTERED:
        return FilteredError(words or shown)
    if meaning is Meaning.KEY:
        return _key_refused(card, told)
    if meaning is Meaning.QUOTA:
        return _quota(card, told)
    if meaning is Meaning.NO_MODEL:
        return ModelNotFoundError(
            f"{told}: {host} does not serve {card.served_name!r} at {urlsplit(endpoint.base_url).path}; check model and "
            f"base_url in the card {card.name}{_path_advice(endpoint.base_url)}"
        )
    if meaning in _WAITED:
        asked = retry_after(headers, meaning is Meaning.LIMITED)
        wait = max(filter(None, (asked, found.delay_s)), default=asked)
        return TransportError(
            _WAITED[meaning],
            told,
            retry_after_s=wait,
            overloaded=meaning is Meaning.OVERLOADED,
            worded=bool(words),
        )
    return TransportError(
        TransportReason.TOO_LONG if meaning is Meaning.TOO_LONG else TransportReason.REJECTED,
        told,
        retryable=False,
        terminal=Finish.TOO_LONG if meaning is Meaning.TOO_LONG else Finish.REJECTED,
        stops=_key_refused(card, told) if meaning is Meaning.FORBIDDEN else None,
    )


_WAITED = {
    Meaning.LIMITED: TransportReason.RATE_LIMITED,
    Meaning.OVERLOADED: TransportReason.SERVER_ERROR,
    Meaning.TEMPORARY: TransportReason.SERVER_ERROR,
}


def _key_refused(card: Card, told: str) -> AuthenticationError:
    endpoint = card.endpoint
    where = f"the key in {endpoint.api_key_env}" if endpoint.api_key_env else "a request without a key"
    fix = (
        "set a valid key in that variable"
        if endpoint.api_key_env
        else "name its variable in api_key_env of the card"
    )
    return AuthenticationError(f"{told}: {endpoint.host} refused {where}; {fix}")


def _quota(card: Card, told: str) -> QuotaError:
    """The account has nothing left to pay with, or nothing more for today."""
    where = f"the key in {card.endpoint.api_key_env}" if card.endpoint.api_key_env else card.name
    return QuotaError(
        f"{told}: the account of {where} has no quota or credit left; top it up, wait for the next day's quota or use "
        f"another key, then run the same command again (what was received is kept)"
    )


def _path_advice(base_url: str) -> str:
    """What is odd about the end of an address, where a host knows nothing there."""
    path = urlsplit(base_url).path.rstrip("/")
    if path.endswith("/chat/completions"):
        return "; base_url ends before /chat/completions"
    return "" if re.search(r"/v\d", path) else "; base_url ends in /v1 at most hosts"


def retry_after(headers: Mapping[str, str], limited: bool = True) -> float | None:
    """Seconds that the server asks to wait: ``retry-after-ms``, seconds, or an HTTP date.

    limited: the reply is a 429, so that ``x-ratelimit-reset``, which gateways send with every reply, speaks of it.
    """
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return _reset(headers.get("x-ratelimit-reset")) if limited else None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _reset(value: str | None) -> float | None:
    """Seconds until a limit is lifted: OpenRouter tells the moment in milliseconds, others in seconds or as a span."""
    if value is None:
        return None
    number = float(value)
    moment = number / 1000 if number > 1e11 else number
    return max(0.0, moment - datetime.now(UTC).timestamp()) if moment > 1e9 else max(0.0, number)


def _redirect_host(base_url: str, location: str) -> str:
    try:
        return urlsplit(urljoin(base_url, location)).hostname or ""
    except ValueError:
        return ""


# What hosts call the end of a reply, in lower case, beside the words of the enum itself
_ENDS = {
    "eos": Finish.STOP,
    "eos_token": Finish.STOP,
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "max_output_tokens": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
}


def finish_of(word: str) -> Finish:
    """How a reply ended by the host's own word; ``OTHER`` for none, for a call of a tool, and for any unknown word."""
    said = word.lower()
    if said.startswith("content_filter"):  # Gemini: "content_filter: PROHIBITED_CONTENT"
        return Finish.CONTENT_FILTER
    return _ENDS.get(said) or next((f for f in Finish if f == said), Finish.OTHER)

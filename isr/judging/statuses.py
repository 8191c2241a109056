"""What a host's own words mean here: statuses and error codes of its replies, and how a reply ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from isr.errors import (
    AuthenticationError,
    IsrError,
    ModelNotFoundError,
    QuotaError,
    SecretError,
    TransportError,
    TransportReason,
)
from isr.types import Finish

if TYPE_CHECKING:
    from isr.judging.cards import Card

QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


def error_of_status(
    card: Card, status: int, body: object, headers: Mapping[str, str], clean: Callable[[str], str]
) -> IsrError:
    """The error that a reply with a status other than 200 stands for, to be raised.

    body: the reply's JSON value, or ``None``. headers: by lower-case name. clean: a ``redactor`` of the key.
    """
    host, endpoint = card.endpoint.host, card.endpoint
    fields = error_fields(body)
    said = clean(str(fields.get("message", "")))[:300]
    if 300 <= status < 400:
        target = clean(_redirect_host(endpoint.base_url, headers.get("location", "")))
        return SecretError(
            f"{host} redirects to {target or 'nowhere'}; a request and its key are never sent on; "
            f"if that is the right server, put its address into the card"
        )
    if status in (401, 403):
        where = f"the key in {endpoint.api_key_env}" if endpoint.api_key_env else "a request without a key"
        return AuthenticationError(
            f"{host} refused {where} ({status}); set a valid key in the card's api_key_env"
        )
    if status == 402 or codes(fields) & QUOTA_CODES:
        return quota_error(card, str(status))
    if status == 404:
        return ModelNotFoundError(
            f"{host} does not serve {card.served_name!r} at {urlsplit(endpoint.base_url).path} ({said or status}); "
            f"check model and base_url in the card {card.name}"
        )
    if status == 429:
        return TransportError(
            TransportReason.RATE_LIMITED, f"{host}: 429", retry_after_s=retry_after(headers)
        )
    if status >= 500 or status in (408, 409, 425):
        return TransportError(
            TransportReason.SERVER_ERROR, f"{host}: {status}", retry_after_s=retry_after(headers)
        )
    return TransportError(TransportReason.REJECTED, f"{host}: {status} {said}", retryable=False)


def quota_error(card: Card, status: str) -> QuotaError:
    """The account has nothing left to pay with."""
    where = f"the key in {card.endpoint.api_key_env}" if card.endpoint.api_key_env else card.name
    return QuotaError(
        f"{card.endpoint.host}: the account of {where} has no quota or credit left ({status}); "
        f"top it up or use another key, then run the same command again (what was received is kept)"
    )


def error_fields(body: object) -> dict[str, Any]:
    """The fields of the error in a reply's JSON value, whatever it is wrapped in; empty if there are none."""
    if isinstance(body, list) and body:  # Google wraps its errors in a list
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    return body if isinstance(body, dict) else {}


def codes(fields: Mapping[str, Any]) -> set[str]:
    """The names by which hosts tell their errors apart, in lower case."""
    inner = fields.get("innererror")
    found = [fields.get("code"), fields.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    return {str(code).lower() for code in found if code}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait (``retry-after-ms``, seconds, or an HTTP date)."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


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

"""Any server that speaks OpenAI's chat completions: a hosted API, ``vllm serve``, and others.

The openai client does authentication, errors and types; the request body is prepared here as bytes, because
encoding megabytes of base64 through the client costs more than sending them.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import httpx2
import openai

from isr.access import endpoint_key
from isr.errors import (
    AuthenticationError,
    CardError,
    IsrError,
    JudgeError,
    ModelNotFoundError,
    SecretError,
    TransportError,
)
from isr.types import Answer

if TYPE_CHECKING:
    from isr.cards import Card
    from isr.images import Prepared
    from isr.requests import Request

_FILTER_CODES = {
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "invalid_prompt",
}


def open_judge(card: Card) -> OpenAIChat:
    """A judge behind ``card.endpoint``. Raises ``SecretError`` if its key may not go there."""
    if not card.endpoint.base_url or not card.model:
        raise CardError(
            f"{card.name}: expected endpoint.base_url and model; found one of them empty; edit the card"
        )
    return OpenAIChat(card)


class OpenAIChat:
    """One endpoint and one model."""

    def __init__(self, card: Card) -> None:
        self.card = card
        key = endpoint_key(card)
        # explicit, or omitted: the client must not fill in any of the user's other keys and names
        self._headers: dict[str, Any] = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {key}" if key else openai.Omit(),
            "OpenAI-Organization": openai.Omit(),
            "OpenAI-Project": openai.Omit(),
        }
        self._mark = secrets.token_hex(16)  # stands for an image in a body; no prompt can know it
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=card.limits.concurrency)
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            organization="",
            project="",
            base_url=card.endpoint.base_url,
            max_retries=0,
            timeout=card.limits.timeout_s,
            http_client=openai.DefaultAioHttpClient(follow_redirects=False, limits=limits),
        )

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """One chat completion. Never retries: the judging loop owns the retries."""
        body, sent = await self._body(request, images)
        began = time.perf_counter()
        try:
            response = await self._client.post(
                "/chat/completions",
                content=body,
                cast_to=httpx2.Response,
                options={"headers": self._headers},
            )
        except openai.OpenAIError as error:
            filtered = _filtered(error)
            if filtered is None:
                raise map_error(error, self.card) from None
            payload: Mapping[str, Any] = filtered
            headers: Mapping[str, str] = {}
        else:
            payload, headers = _json_body(response), response.headers
            self._check_model(payload)
        return Answer(
            **read_completion(payload),
            served=self._served(payload, headers),
            usage=_usage(payload),
            sent=sent,
            received_at=datetime.now(UTC).isoformat(timespec="seconds"),
            latency_s=round(time.perf_counter() - began, 4),
        )

    async def close(self) -> None:
        await self._client.close()

    def _check_model(self, payload: Mapping[str, Any]) -> None:
        served = payload.get("model")
        if self.card.serves and isinstance(served, str):
            name = served.removeprefix("models/")
            if not name.startswith(self.card.serves):
                raise ModelNotFoundError(
                    f"{self.card.endpoint.host} answered as {name!r} where {self.card.model!r} was asked; "
                    f"that is another judge: use a card for it (its answer was not kept)"
                )

    async def _body(self, request: Request, images: Prepared) -> tuple[bytes, dict[str, str]]:
        """The JSON body as bytes: the message with marks where images stand, and the images' bytes between."""
        mark = self._mark
        urls: list[bytes] = []
        sent: dict[str, str] = {}
        content: list[dict[str, Any]] = []
        for roles, text in _pieces(request, self.card.images.layout):
            if roles:
                image = await images.sent(*roles)
                urls.append(image.url)
                sent["+".join(roles)] = image.sha256
                url: dict[str, Any] = {"url": mark}
                if self.card.images.detail:
                    url["detail"] = self.card.images.detail
                content.append({"type": "image_url", "image_url": url})
            else:
                content.append({"type": "text", "text": text})
        pieces = json.dumps(self._payload(request, content), ensure_ascii=False).encode().split(mark.encode())
        woven = [piece for pair in zip(pieces, [*urls, b""], strict=True) for piece in pair]
        return b"".join(woven), sent

    def _payload(self, request: Request, content: list[dict[str, Any]]) -> dict[str, Any]:
        decoding = self.card.decoding
        template = request.template.body
        payload: dict[str, Any] = {
            "model": self.card.model,
            "messages": [
                {"role": "system", "content": template["system"]},
                {"role": "user", "content": content},
            ],
            decoding.max_tokens_name: decoding.max_tokens,
            "temperature": decoding.temperature,
            "seed": None if decoding.seed is None else decoding.seed + request.repeat,
            "reasoning_effort": decoding.reasoning_effort,
            "response_format": template["response_format"],
        }
        payload = {k: v for k, v in payload.items() if v is not None and k not in decoding.omit}
        return {**payload, **decoding.extra}

    def _served(self, payload: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, str]:
        said = {
            "model": payload.get("model"),
            "fingerprint": payload.get("system_fingerprint"),
            "id": payload.get("id"),
            "request_id": headers.get("x-request-id"),
            "host": urlsplit(self.card.endpoint.base_url).netloc,
            "server": headers.get("server"),
            "client": f"openai {openai.__version__}",
        }
        return {k: str(v)[:200] for k, v in said.items() if v}


def _pieces(request: Request, layout: str) -> list[tuple[tuple[str, ...], str]]:
    """(roles, text) pairs in the order in which they are sent; side by side puts one picture first."""
    parts = list(request.user_parts())
    if layout == "separate":
        return [((value,), "") if kind == "image" else ((), value) for kind, value in parts]
    roles = tuple(value for kind, value in parts if kind == "image")
    names = " | ".join(role.upper() for role in roles)
    last = [value for kind, value in parts if kind == "text"][-1]
    return [((), f"One picture shows, from left to right: {names}."), (roles, ""), ((), last)]


def _json_body(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        payload = response.json()
    except ValueError:
        payload = None
    if not isinstance(payload, dict) or not isinstance(payload.get("choices"), list):
        error = payload.get("error") if isinstance(payload, dict) else None
        detail = "an error inside a 200 reply" if error else "a reply that is no chat completion"
        raise TransportError("server_error", f"expected a chat completion; found {detail}")
    return payload


def read_completion(payload: Mapping[str, Any]) -> dict[str, str]:
    """Text, refusal and finish reason of a chat completion, whatever shape it has; never raises."""
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content = message.get("content")
    if isinstance(content, list):  # some hosts answer in parts
        content = "".join(str(p.get("text") or "") for p in content if isinstance(p, dict))
    finish = str(choice.get("finish_reason") or "").lower()
    if finish.startswith("content_filter"):  # Gemini: "content_filter: PROHIBITED_CONTENT"
        finish = "content_filter"
    return {
        "text": content if isinstance(content, str) else "",
        "refusal": str(message.get("refusal") or ""),
        "finish_reason": "length" if finish in ("length", "max_tokens") else finish,
    }


def _usage(payload: Mapping[str, Any]) -> dict[str, int]:
    usage = payload.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {n: usage[n] for n in names if isinstance(usage.get(n), int) and usage[n] >= 0}


def _filtered(error: openai.OpenAIError) -> dict[str, Any] | None:
    """A 400 by which a host says that its content filter refused: that is an answer, not a failure."""
    if not isinstance(error, openai.BadRequestError):
        return None
    fields = _error_fields(error.body)
    inner = fields.get("innererror")
    inner_code = inner.get("code", "") if isinstance(inner, dict) else ""
    codes = {
        str(fields.get("code", "")).lower(),
        str(fields.get("type", "")).lower(),
        str(inner_code).lower(),
    }
    if not codes & _FILTER_CODES:
        return None
    return {"choices": [{"finish_reason": "content_filter", "message": {"content": ""}}]}


def _error_fields(body: object) -> dict[str, Any]:
    if isinstance(body, list) and body:  # Google wraps its errors in a list
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    return body if isinstance(body, dict) else {}


def map_error(error: openai.OpenAIError, card: Card) -> IsrError:
    """The one place where the client's exceptions become ours. No header and no key is in the message."""
    host = card.endpoint.host
    if isinstance(error, openai.APITimeoutError):
        return TransportError("timeout", f"{host}: no reply within {card.limits.timeout_s:g} s")
    if isinstance(error, openai.APIStatusError):
        return _map_status(error, card)
    if isinstance(error, openai.APIConnectionError):
        return TransportError("connection", f"{host}: {type(error.__cause__ or error).__name__}")
    if isinstance(error, openai.APIError):  # a reply that the client could not read
        return TransportError("server_error", f"{host}: {type(error).__name__}")
    return JudgeError(f"{card.name}: the openai client refused the request ({type(error).__name__}: {error})")


def _map_status(error: openai.APIStatusError, card: Card) -> IsrError:
    status, host = error.status_code, card.endpoint.host
    said = str(_error_fields(error.body).get("message", ""))[:300]
    if 300 <= status < 400:
        target = urlsplit(
            urljoin(card.endpoint.base_url, error.response.headers.get("location", ""))
        ).hostname
        return SecretError(
            f"{host} redirects to {target or 'nowhere'}; a request and its key are never sent on; "
            f"if that is the right server, put its address into the card"
        )
    if status in (401, 403):
        where = (
            f"the key in {card.endpoint.api_key_env}"
            if card.endpoint.api_key_env
            else "a request without a key"
        )
        return AuthenticationError(
            f"{host} refused {where} ({status}); set a valid key in the card's api_key_env"
        )
    if status == 404:
        return ModelNotFoundError(
            f"{host} does not serve {card.model!r} at {urlsplit(card.endpoint.base_url).path} ({said or status}); "
            f"check model and base_url in the card {card.name}"
        )
    if status == 429:
        return TransportError(
            "rate_limited", f"{host}: 429", retry_after_s=_retry_after(error.response.headers)
        )
    if status >= 500 or status in (408, 409, 425):
        return TransportError(
            "server_error", f"{host}: {status}", retry_after_s=_retry_after(error.response.headers)
        )
    return TransportError("rejected", f"{host}: {status} {said}", retryable=False)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait (``retry-after-ms``, seconds, or an HTTP date)."""
    from email.utils import parsedate_to_datetime

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

"""Any server that speaks OpenAI's chat completions: a hosted API, ``vllm serve``, and others.

The openai client does authentication, errors and types; the request body is prepared here as bytes, because
encoding megabytes of base64 through the client costs more than sending them. What a server sends back may
repeat the key that it was sent: every string that leaves here has been through ``_Cleaner``.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
import httpx2
import openai

from isr.errors import (
    AuthenticationError,
    CardError,
    IsrError,
    JudgeError,
    ModelNotFoundError,
    QuotaError,
    SecretError,
    TransportError,
)
from isr.judging.keys import endpoint_key, is_loopback
from isr.judging.logprobs import p_yes, steps_of_completion
from isr.judging.requests import arranged
from isr.types import Answer, Finish

if TYPE_CHECKING:
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

SERVED_BY_NAME = True
WRITES = True
_FILTER_CODES = {
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "invalid_prompt",
}
_FILTERED: Mapping[str, Any] = {"choices": [{"finish_reason": "content_filter", "message": {"content": ""}}]}
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
# what the client lets through beside its own errors: replies that are no HTTP, proxies that are none
_FAILURES = (openai.OpenAIError, aiohttp.ClientError, httpx2.HTTPError, httpx2.InvalidURL, OSError)

REMOVED = "[key removed]"
_BEARER = re.compile(rf"\bBearer\s+(?:{re.escape(REMOVED)}|[\w.~+/-]{{8,}}=*)", re.IGNORECASE)
_SECRET_FROM = 8  # characters; a shorter key ("ollama", "EMPTY") is no secret, but a part of common words


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
        self._clean = _Cleaner(key)
        # explicit, or omitted: the client must not fill in any of the user's other keys and names
        self._headers: dict[str, Any] = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {key}" if key else openai.Omit(),
            "OpenAI-Organization": openai.Omit(),
            "OpenAI-Project": openai.Omit(),
        }
        self._mark = secrets.token_hex(16)  # stands for an image in a body; no prompt can know it
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            organization="",
            project="",
            base_url=card.endpoint.base_url,
            max_retries=0,
            timeout=card.limits.timeout_s,
            http_client=_http_client(card),
        )

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """One chat completion. Never retries: the judging loop owns the retries."""
        body, sent = await self._body(request, images)
        answer, payload = await self._complete(body, sent)
        return replace(answer, p_yes=p_yes(steps_of_completion(payload), request.template.rubric))

    async def write(
        self, system: str, text: str, response_format: Mapping[str, Any] | None = None, repeat: int = 0
    ) -> Answer:
        """One completion of words, for what is written and not judged. Never retries, either."""
        payload = self._payload(system, text, response_format, repeat)
        return (await self._complete(json.dumps(payload, ensure_ascii=False).encode(), {}))[0]

    async def _complete(self, body: bytes, sent: Mapping[str, str]) -> tuple[Answer, Mapping[str, Any]]:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self.card.limits.timeout_s):  # the client's own is for each read
                response = await self._client.post(
                    "/chat/completions",
                    content=body,
                    cast_to=httpx2.Response,
                    options={"headers": self._headers},
                )
        except _FAILURES as error:
            if not _is_filtered(error):
                raise map_error(error, self.card, self._clean) from None
            payload: Mapping[str, Any] = _FILTERED
            headers: Mapping[str, str] = {}
        else:
            payload, headers = _json_body(response, self.card, self._clean), response.headers
            self._check_model(payload)
        said = {name: self._clean(text) for name, text in read_completion(payload).items()}
        finish = finish_of(said["finish_reason"])
        answer = Answer(
            text=said["text"],
            finish_reason=finish,
            refusal=said["refusal"],
            served=self._served(payload, headers, said["finish_reason"] if finish is Finish.OTHER else ""),
            usage=_usage(payload),
            sent=sent,
            received_at=datetime.now(UTC).isoformat(timespec="seconds"),
            latency_s=round(time.perf_counter() - began, 4),
        )
        return answer, payload

    async def close(self) -> None:
        await self._client.close()

    def _check_model(self, payload: Mapping[str, Any]) -> None:
        served = payload.get("model")
        if self.card.serves and isinstance(served, str):
            name = served.removeprefix("models/")
            if not name.startswith(self.card.serves):
                raise ModelNotFoundError(
                    f"{self.card.endpoint.host} answered as {self._clean(name)[:200]!r} where {self.card.served_name!r} was asked; "
                    f"that is another judge: use a card for it (its answer was not kept)"
                )

    async def _body(self, request: Request, images: Prepared) -> tuple[bytes, dict[str, str]]:
        """The JSON body as bytes: the message with marks where images stand, and the images' bytes between."""
        mark = self._mark
        urls: list[bytes] = []
        sent: dict[str, str] = {}
        content: list[dict[str, Any]] = []
        for roles, text in arranged(request, self.card.images.layout):
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
        template = request.template.body
        payload = self._payload(template["system"], content, template["response_format"], request.repeat)
        pieces = json.dumps(payload, ensure_ascii=False).encode().split(mark.encode())
        woven = [piece for pair in zip(pieces, [*urls, b""], strict=True) for piece in pair]
        return b"".join(woven), sent

    def _payload(
        self,
        system: str,
        content: str | list[dict[str, Any]],
        response_format: Mapping[str, Any] | None,
        repeat: int,
    ) -> dict[str, Any]:
        decoding = self.card.decoding
        payload: dict[str, Any] = {
            "model": self.card.served_name,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": content},
            ],
            decoding.max_tokens_name: decoding.max_tokens,
            "temperature": decoding.temperature,
            "seed": None if decoding.seed is None else decoding.seed + repeat,
            "reasoning_effort": decoding.reasoning_effort,
            "response_format": response_format,
            "logprobs": True if decoding.logprobs else None,
            "top_logprobs": decoding.logprobs or None,
        }
        payload = {k: v for k, v in payload.items() if v is not None and k not in decoding.omit}
        return {**payload, **decoding.extra}

    def _served(self, payload: Mapping[str, Any], headers: Mapping[str, str], finish: str) -> dict[str, str]:
        said = {
            "model": payload.get("model"),
            "fingerprint": payload.get("system_fingerprint"),
            "id": payload.get("id"),
            "request_id": headers.get("x-request-id"),
            "host": urlsplit(self.card.endpoint.base_url).netloc,
            "server": headers.get("server"),
            "client": f"openai {openai.__version__}",
            "finish_reason": finish,  # the host's own word, where it is none of ours
        }
        return {k: self._clean(str(v))[:200] for k, v in said.items() if v}


class _Cleaner:
    """Takes the live key, and whatever stands behind ``Bearer``, out of what a server said."""

    def __init__(self, key: str = "") -> None:
        forms = {key, quote(key, safe=""), json.dumps(key)[1:-1]} if len(key) >= _SECRET_FROM else set()
        longest_first = sorted(forms, key=len, reverse=True)
        self._key = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if forms else None

    def __call__(self, text: str) -> str:
        if self._key is not None:
            text = self._key.sub(REMOVED, text)
        return _BEARER.sub(REMOVED, text)


def _http_client(card: Card) -> httpx2.AsyncClient:
    """The connections. A proxy of the environment is used for https only, through which it sees no key or image."""
    limits = httpx2.Limits(
        max_connections=card.limits.concurrency, max_keepalive_connections=card.limits.concurrency
    )
    proxied = card.endpoint.scheme == "https" and not is_loopback(card.endpoint.host)
    try:
        return openai.DefaultAioHttpClient(
            follow_redirects=False,
            limits=limits,
            trust_env=proxied,
            verify=httpx2.create_ssl_context(),  # with SSL_CERT_FILE, whoever is asked
        )
    except ValueError:  # its message would repeat the proxy's address, which may hold a password
        raise CardError(
            f"{card.name}: expected the address of an http proxy in HTTPS_PROXY or ALL_PROXY; "
            f"found something else; correct or unset them"
        ) from None


def _json_body(response: httpx2.Response, card: Card, clean: _Cleaner) -> Mapping[str, Any]:
    """The completion in a reply. Raises where a 200 hides a failure: that is no answer, and is asked again."""
    try:
        payload = response.json()
    except (ValueError, RecursionError):
        payload = None
    error = _hidden_error(payload) if isinstance(payload, dict) else None
    if error is not None:
        if _codes(error) & _FILTER_CODES:
            return {**_FILTERED, **{k: payload[k] for k in ("id", "model", "usage") if k in payload}}
        if _codes(error) & _QUOTA_CODES:
            raise _quota_error(card, "200")
        limited = "429" in _codes(error)
        said = clean(str(error.get("message", "")))[:300] or "without a message"
        raise TransportError(
            "rate_limited" if limited else "server_error",
            f"{card.endpoint.host}: an error inside a 200 reply ({said})",
        )
    if not isinstance(payload, dict) or not isinstance(payload.get("choices"), list):
        raise TransportError(
            "server_error",
            f"{card.endpoint.host}: expected a chat completion; found a reply that is none",
        )
    return payload


def _hidden_error(payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """The error in a body that came with status 200: beside the choices, or in the first one."""
    choice = _first_choice(payload)
    finish = str(choice.get("finish_reason") or "").lower()
    if finish.startswith("content_filter"):
        return None
    error = payload.get("error") or choice.get("error")
    if error:
        return error if isinstance(error, dict) else {"message": str(error)}
    return {"message": "finish_reason 'error'"} if finish == "error" else None


def _first_choice(payload: Mapping[str, Any]) -> dict[str, Any]:
    choices = payload.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def read_completion(payload: Mapping[str, Any]) -> dict[str, str]:
    """Text, refusal and finish reason of a chat completion, whatever shape it has; never raises."""
    choice = _first_choice(payload)
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content = message.get("content")
    if isinstance(content, list):  # some hosts answer in parts
        content = "".join(str(p.get("text") or "") for p in content if isinstance(p, dict))
    return {
        "text": content if isinstance(content, str) else "",
        "refusal": str(message.get("refusal") or ""),
        "finish_reason": str(choice.get("finish_reason") or ""),
    }


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


def _usage(payload: Mapping[str, Any]) -> dict[str, int]:
    usage = payload.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {n: usage[n] for n in names if isinstance(usage.get(n), int) and usage[n] >= 0}


def _is_filtered(error: BaseException) -> bool:
    """A 400 by which a host says that its content filter refused: that is an answer, not a failure."""
    return isinstance(error, openai.BadRequestError) and bool(
        _codes(_error_fields(error.body)) & _FILTER_CODES
    )


def _codes(fields: Mapping[str, Any]) -> set[str]:
    """The names by which hosts tell their errors apart, in lower case."""
    inner = fields.get("innererror")
    found = [fields.get("code"), fields.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    return {str(code).lower() for code in found if code}


def _error_fields(body: object) -> dict[str, Any]:
    if isinstance(body, list) and body:  # Google wraps its errors in a list
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    return body if isinstance(body, dict) else {}


def map_error(error: BaseException, card: Card, clean: _Cleaner | None = None) -> IsrError:
    """The one place where the client's exceptions become ours. No header and no key is in the message."""
    clean = clean or _Cleaner()
    if isinstance(error, openai.APIStatusError):
        return _map_status(error, card, clean)
    if isinstance(error, openai.APIConnectionError) or not isinstance(error, openai.OpenAIError):
        return _map_connection(error, card)
    if isinstance(error, openai.APIError):  # a reply that the client could not read
        return TransportError("server_error", f"{card.endpoint.host}: {type(error).__name__}")
    said = clean(str(error))[:300]
    return JudgeError(f"{card.name}: the openai client refused the request ({type(error).__name__}: {said})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _map_connection(error: BaseException, card: Card) -> TransportError:
    """No reply, or half of one. The client calls most of these a timeout: only the causes say what happened."""
    host, causes = card.endpoint.host, list(_causes(error))
    connector = next((c for c in causes if isinstance(c, aiohttp.ClientConnectorError)), None)
    at = f"{connector.host}:{connector.port}" if connector else host
    if isinstance(connector, aiohttp.ClientProxyConnectionError):
        said = f"the proxy at {at} cannot be reached; correct or unset HTTPS_PROXY and ALL_PROXY"
    elif isinstance(connector, aiohttp.ClientConnectorDNSError):
        said = f"no machine is known as {connector.host}; check the network, and base_url in the card {card.name}"
    elif any(isinstance(c, aiohttp.ClientHttpProxyError) for c in causes):
        said = "the proxy of HTTPS_PROXY or ALL_PROXY refused to connect to it; correct or unset them"
    elif any(isinstance(c, aiohttp.ClientSSLError | ssl.SSLError) for c in causes):
        said = "no TLS connection that can be trusted; check its certificate, and base_url's scheme"
    elif any(isinstance(c, ConnectionRefusedError) for c in causes):
        said = f"nothing listens at {at}; start the server, or correct base_url in the card {card.name}"
    elif any(isinstance(c, TimeoutError) for c in causes) or (
        isinstance(error, openai.APITimeoutError)
        and not any(isinstance(c, aiohttp.ClientError | OSError) for c in causes)
    ):
        limit = f"{card.limits.timeout_s:g} s"
        return TransportError(
            "timeout", f"{host}: no complete reply within {limit}; limits.timeout_s in the card is the bound"
        )
    elif connector is not None:
        said = f"no connection to {at} ({type(connector.__cause__ or connector).__name__})"
    else:
        said = f"the connection ended before a complete reply ({type(causes[-1]).__name__})"
    return TransportError("connection", f"{host}: {said}")


def _map_status(error: openai.APIStatusError, card: Card, clean: _Cleaner) -> IsrError:
    status, host = error.status_code, card.endpoint.host
    fields = _error_fields(error.body)
    said = clean(str(fields.get("message", "")))[:300]
    if 300 <= status < 400:
        target = clean(_redirect_host(card, error.response.headers.get("location", "")))
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
    if status == 402 or _codes(fields) & _QUOTA_CODES:
        return _quota_error(card, str(status))
    if status == 404:
        return ModelNotFoundError(
            f"{host} does not serve {card.served_name!r} at {urlsplit(card.endpoint.base_url).path} ({said or status}); "
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


def _redirect_host(card: Card, location: str) -> str:
    try:
        return urlsplit(urljoin(card.endpoint.base_url, location)).hostname or ""
    except ValueError:
        return ""


def _quota_error(card: Card, status: str) -> QuotaError:
    where = f"the key in {card.endpoint.api_key_env}" if card.endpoint.api_key_env else card.name
    return QuotaError(
        f"{card.endpoint.host}: the account of {where} has no quota or credit left ({status}); "
        f"top it up or use another key, then run the same command again (what was received is kept)"
    )


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

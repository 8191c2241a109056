"""Any server that speaks OpenAI's chat completions: a hosted API, ``vllm serve``, and others.

The openai client does authentication, errors and types; the request body is prepared here as bytes, because
encoding megabytes of base64 through the client costs more than sending them. What a server sends back may
repeat the key that it was sent: every string that leaves here has been through a ``redactor``.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx2
import openai

from isr.errors import CardError, FilteredError, IsrError, JudgeError, ModelNotFoundError, TransportError
from isr.judging.host_words import said
from isr.judging.keys import endpoint_key, is_loopback
from isr.judging.logprobs import p_yes, steps_of_completion
from isr.judging.messages import message_of
from isr.judging.replies import ACCEPT_ENCODING, bounded
from isr.judging.served import is_among, plain
from isr.judging.statuses import error_of_status, finish_of
from isr.judging.thinking import apart, thinking_fields
from isr.reading import Unreadable, json_of
from isr.redaction import guard_logs, redactor
from isr.types import Answer, Finish

if TYPE_CHECKING:
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

SERVED_BY_NAME = True
WRITES = True
_THOUGHTS = ("reasoning", "reasoning_content", "thinking")  # fields of a message; hosts differ
# what the client lets through beside its own errors: replies that are no HTTP, proxies that are none
_FAILURES = (openai.OpenAIError, aiohttp.ClientError, httpx2.HTTPError, httpx2.InvalidURL, OSError)


def open_judge(card: Card) -> OpenAIChat:
    """A judge behind ``card.endpoint``. Raises ``SecretError`` if its key may not go there."""
    if not card.endpoint.base_url or not card.model:
        raise CardError(
            f"{card.name}: expected endpoint.base_url and model; found one of them empty; edit the card"
        )
    guard_logs("openai", "httpx2", "httpcore2", "aiohttp")
    return OpenAIChat(card)


class OpenAIChat:
    """One endpoint and one model."""

    def __init__(self, card: Card) -> None:
        self.card = card
        key = endpoint_key(card)
        self._clean = redactor(key)
        # explicit, or omitted: the client must not fill in any of the user's other keys and names
        self._headers: dict[str, Any] = {
            "Content-Type": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
            "Authorization": openai.Omit(),
            "OpenAI-Organization": openai.Omit(),
            "OpenAI-Project": openai.Omit(),
        }
        if key:
            name, before = card.endpoint.key_header
            self._headers[name] = f"{before}{key}"
        self._mark = secrets.token_hex(16)  # stands for an image in a body; no prompt can know it
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            organization="",
            project="",
            base_url=card.endpoint.root,
            default_query=card.endpoint.query,
            max_retries=0,
            timeout=card.limits.timeout_s,
            http_client=_http_client(card),
        )

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """One chat completion. Never retries: the judging loop owns the retries."""
        body, sent = await self.body(request, images)
        began = time.perf_counter()
        status, payload, headers = await self._post(body)
        answer = self.read(status, payload, headers, request)
        return replace(answer, sent=sent, latency_s=round(time.perf_counter() - began, 4))

    async def write(
        self, system: str, text: str, response_format: Mapping[str, Any] | None = None, repeat: int = 0
    ) -> Answer:
        """One completion of words, for what is written and not judged. Never retries, either."""
        payload = self._payload(system, text, response_format, repeat)
        began = time.perf_counter()
        status, said, headers = await self._post(json.dumps(payload, ensure_ascii=False).encode())
        answer = self.read(status, said, headers)
        return replace(answer, latency_s=round(time.perf_counter() - began, 4))

    async def _post(self, body: bytes) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON value (or text) and headers of the reply. Raises ``TransportError`` where there is none."""
        try:
            async with asyncio.timeout(self.card.limits.timeout_s):  # the client's own is for each read
                response = await self._client.post(
                    "/chat/completions",
                    content=body,
                    cast_to=httpx2.Response,
                    options={"headers": self._headers},
                )
        except openai.APIStatusError as error:
            return error.status_code, body_of(error.response), error.response.headers
        except _FAILURES as error:
            raise map_error(error, self.card, self._clean) from None
        return 200, body_of(response), response.headers

    def read(
        self, status: int, reply: Any, headers: Mapping[str, str], request: Request | None = None
    ) -> Answer:
        """The answer in a reply, however it came: alone, or as one of a batch.

        status: of HTTP; 200 for any reply that is meant to be a completion. reply: its JSON value, or its text. Raises what a
        reply without a completion stands for; a refusal by the host's content filter is an answer.
        """
        payload: Mapping[str, Any]
        try:
            if status != 200:
                raise error_of_status(self.card, status, reply, headers, self._clean)
            payload = _completion(reply, headers, self.card, self._clean)
        except FilteredError as error:
            payload, headers = _refused_by_filter(str(error)), {}
        else:
            self._check_model(payload)
        read = {name: self._clean(text) for name, text in read_completion(payload).items()}
        if self.card.decoding.thinking and not read["reasoning"]:  # a server that left them in the text
            read["reasoning"], read["text"] = apart(read["text"])
        finish = finish_of(read["finish_reason"])
        return Answer(
            text=read["text"],
            finish_reason=finish,
            refusal=read["refusal"],
            reasoning=read["reasoning"],
            served=self._served(payload, headers, read["finish_reason"] if finish is Finish.OTHER else ""),
            usage=_usage(payload),
            received_at=datetime.now(UTC).isoformat(timespec="seconds"),
            p_yes=p_yes(steps_of_completion(payload), request.template.rubric) if request else None,
        )

    async def close(self) -> None:
        await self._client.close()

    def _check_model(self, payload: Mapping[str, Any]) -> None:
        """Raises ``ModelNotFoundError`` unless the model that answered is one that the card's ``serves`` names."""
        if not self.card.serves:
            return
        served = payload.get("model")
        if not isinstance(served, str) or not served:
            found = "a reply that names no model"
        elif not is_among(self.card.serves, served):
            found = f"an answer of {self._clean(plain(served))[:200]!r}"
        else:
            return
        raise ModelNotFoundError(
            f"{self.card.endpoint.host}: expected an answer of {self.card.served_name!r}, by its card one of "
            f"{', '.join(self.card.serves)} with or without a date; found {found}: that may be another judge; use a card "
            f"for it (its answer was not kept)"
        )

    async def body(self, request: Request, images: Prepared) -> tuple[bytes, Mapping[str, str]]:
        """The JSON body as bytes: the message with marks where images stand, and the images' bytes between."""
        mark = self._mark
        urls: list[bytes] = []
        content: list[dict[str, Any]] = []
        message = await message_of(request, images)
        for part in message.parts:
            if part.image is None:
                content.append({"type": "text", "text": part.text})
                continue
            urls.append(part.image.url)
            url: dict[str, Any] = {"url": mark}
            if self.card.images.detail:
                url["detail"] = self.card.images.detail
            content.append({"type": "image_url", "image_url": url})
        response_format = request.template.body["response_format"]
        payload = self._payload(message.system, content, response_format, request.repeat)
        pieces = json.dumps(payload, ensure_ascii=False).encode().split(mark.encode())
        woven = [piece for pair in zip(pieces, [*urls, b""], strict=True) for piece in pair]
        return b"".join(woven), message.sent

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
        return {**payload, **thinking_fields(decoding), **decoding.extra}

    def _served(self, payload: Mapping[str, Any], headers: Mapping[str, str], finish: str) -> dict[str, str]:
        said = {
            "model": payload.get("model"),
            "fingerprint": payload.get("system_fingerprint"),
            "id": payload.get("id"),
            "request_id": headers.get("x-request-id"),
            "host": self.card.endpoint.address,
            "provider": payload.get("provider"),  # OpenRouter: who ran the model
            "server": headers.get("server"),
            "client": f"openai {openai.__version__}",
            "finish_reason": finish,  # the host's own word, where it is none of ours
        }
        return {k: self._clean(str(v))[:200] for k, v in said.items() if v}


class _Bounded(httpx2.AsyncByteStream):
    """The body of a reply, unpacked here and given up beyond a bound."""

    def __init__(self, response: httpx2.Response) -> None:
        self._stream = response.stream
        self._encoding = response.headers.pop("content-encoding", "")
        self._host = response.request.url.host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._stream, httpx2.AsyncByteStream)
        async for piece in bounded(self._stream, self._encoding, self._host):
            yield piece

    async def aclose(self) -> None:
        assert isinstance(self._stream, httpx2.AsyncByteStream)
        await self._stream.aclose()


async def _bound(response: httpx2.Response) -> None:
    response.stream = _Bounded(response)


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
            event_hooks={"response": [_bound]},
            verify=_authorities(card),
        )
    except ValueError:  # its message would repeat the proxy's address, which may hold a password
        raise CardError(
            f"{card.name}: expected the address of an http proxy in HTTPS_PROXY or ALL_PROXY; "
            f"found something else; correct or unset them"
        ) from None


def _authorities(card: Card) -> ssl.SSLContext:
    """Who may sign a server's certificate: those of SSL_CERT_FILE, or the usual ones; nobody where nothing is encrypted."""
    if card.endpoint.scheme == "https":
        return httpx2.create_ssl_context()
    return ssl.SSLContext(
        ssl.PROTOCOL_TLS_CLIENT
    )  # trusts nobody; reading the usual ones takes a tenth of a second


def _refused_by_filter(words: str) -> Mapping[str, Any]:
    """The completion for which a refusal by the host's content filter stands."""
    message = {"content": "", "refusal": words}
    return {"choices": [{"finish_reason": Finish.CONTENT_FILTER.value, "message": message}]}


def _completion(
    payload: Any, headers: Mapping[str, str], card: Card, clean: Callable[[str], str]
) -> Mapping[str, Any]:
    """The completion in a reply. Raises what an error inside a 200 stands for: that is no answer."""
    if isinstance(payload, dict):
        error = _hidden_error(payload)
        if error is not None:
            raise error_of_status(card, 200, error, headers, clean)
        choices = payload.get("choices", ...)
        if isinstance(choices, list):
            return payload
        if choices is None:  # Gemini and Azure, by whose filters nothing was left
            return {**payload, **_refused_by_filter("choices: null")}
    kind = headers.get("content-type", "").partition(";")[0]
    words = clean(said(payload).words or str(payload or "")[:80])
    found = " ".join(filter(None, (kind, f"({words})" if words else ""))) or "an empty reply"
    raise TransportError(
        "server_error",
        f"{card.endpoint.host}: expected a chat completion; found a reply that is none: {found}",
        worded=bool(words),
    )


def body_of(response: httpx2.Response) -> Any:
    """A reply's JSON value, or its text where it is none."""
    try:
        return json_of(response.content)
    except Unreadable:
        return response.content.decode("utf-8", "replace")


def _hidden_error(payload: Mapping[str, Any]) -> Any:
    """The error in a body that came with status 200: beside the choices, in the first one, or in its finish."""
    choice = _first_choice(payload)
    finish = str(choice.get("finish_reason") or "").lower()
    if finish.startswith("content_filter"):
        return None
    feedback = payload.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):  # Gemini
        return {"code": "prohibited_content", "message": f"blocked: {feedback['blockReason']}"}
    error = payload.get("error") or choice.get("error")
    if error:
        return {"error": error}
    return {"message": "finish_reason 'error'"} if finish == "error" else None


def _first_choice(payload: Mapping[str, Any]) -> dict[str, Any]:
    choices = payload.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def read_completion(payload: Mapping[str, Any]) -> dict[str, str]:
    """Text, thoughts, refusal and finish reason of a chat completion, whatever shape it has; never raises."""
    choice = _first_choice(payload)
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content = message.get("content")
    thoughts = next((str(t) for n in _THOUGHTS if (t := message.get(n))), "")
    if isinstance(content, list):  # some hosts answer in parts
        parts = [p for p in content if isinstance(p, dict)]
        content = "".join(str(p.get("text") or "") for p in parts)
        thoughts = thoughts or "".join(str(p.get("thinking") or p.get("reasoning") or "") for p in parts)
    return {
        "text": content if isinstance(content, str) else "",
        "reasoning": thoughts,
        "refusal": str(message.get("refusal") or ""),
        "finish_reason": str(choice.get("finish_reason") or ""),
    }


def _usage(payload: Mapping[str, Any]) -> dict[str, int]:
    usage = payload.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    counts = {n: usage.get(n) for n in names}
    details = usage.get("completion_tokens_details")
    counts["reasoning_tokens"] = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return {name: n for name, n in counts.items() if isinstance(n, int) and not isinstance(n, bool)}


def map_error(error: BaseException, card: Card, clean: Callable[[str], str] | None = None) -> IsrError:
    """The one place where the client's exceptions become ours. No header and no key is in the message."""
    clean = clean or redactor()
    if isinstance(error, openai.APIStatusError):
        return error_of_status(
            card, error.status_code, body_of(error.response), error.response.headers, clean
        )
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
        said = (
            "no TLS connection that can be trusted; check base_url's scheme, and its certificate: of one that an institute or "
            "the server itself signed, name the file in SSL_CERT_FILE"
        )
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

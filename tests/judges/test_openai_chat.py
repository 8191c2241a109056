"""Chat completions over real connections: local servers that answer, echo, trickle, break off and proxy."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import openai
import pytest
from aiohttp import web
from PIL import Image

import isr
from isr.canonical import sha256_bytes
from isr.edits.images import GAP_PX
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
from isr.judges.openai_chat import map_error
from isr.judging.backends import open_judge
from isr.judging.card_sections import Decoding, Endpoint, Images, Limits
from isr.judging.cards import Card
from isr.judging.keys import allow
from isr.judging.parsing import parse
from isr.judging.requests import Request
from isr.judging.sending import Encoder, Prepared
from isr.redaction import REMOVED
from isr.types import Answer, Finish, ImageRef
from tests.directories import card_text, make_directory, picture
from tests.processes import LIMIT_S, run
from tests.samples import a_card, a_request, good

CANARY = "sk-Canary/0123456789+abcdefghijklmnop"  # with characters that addresses escape
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

Handler = Callable[[dict[str, Any]], web.StreamResponse | Awaitable[web.StreamResponse]]
Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """A key that the built-in cards allow to go to 127.0.0.1."""
    monkeypatch.setenv("ISR_API_KEY", CANARY)
    return CANARY


@dataclass
class Seen:
    """What a server was sent."""

    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@asynccontextmanager
async def answering(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Seen]:
    """An HTTP server in this event loop."""
    seen = Seen()

    async def complete(request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        seen.bodies.append(body)
        seen.headers.append(dict(request.headers))
        reply = handler(body)
        return reply if isinstance(reply, web.StreamResponse) else await reply

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    seen.port = runner.addresses[0][1]
    try:
        yield seen
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connecting(handler: Raw) -> AsyncIterator[int]:
    """A server of bare connections in this event loop."""
    tasks: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def completion(content: str | None = None, **fields: Any) -> dict[str, Any]:
    """A sound completion; any field of it can be another one."""
    message = {"role": "assistant", "content": good() if content is None else content}
    base = {
        "id": "chatcmpl-1",
        "model": "test-model",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1500, "completion_tokens": 60, "total_tokens": 1560},
    }
    return {**base, **fields}


def card_for(port: int, host: str = "127.0.0.1", scheme: str = "http", **fields: Any) -> Card:
    endpoint = Endpoint(base_url=f"{scheme}://{host}:{port}/v1", api_key_env="ISR_API_KEY")
    return a_card(**{"endpoint": endpoint, "limits": Limits(timeout_s=LIMIT_S), **fields})


async def ask(card: Card, folder: Path, rubric: str = "semantic/v1", repeat: int = 0) -> Answer:
    """One question about two small pictures."""
    refs = {}
    for seed, role in enumerate(("source", "edit")):
        picture(seed).save(folder / f"{role}.png")
        refs[role] = ImageRef(f"{role}.png", sha256_bytes((folder / f"{role}.png").read_bytes()))
    request: Request = a_request(rubric=rubric, card=card, repeat=repeat, **refs)
    images = Prepared(Encoder(folder, card.policy), {r: (f.path, f.sha256) for r, f in refs.items()})
    judge = open_judge(card)
    try:
        return await judge.ask(request, images)
    finally:
        await judge.close()


def asked(handler: Handler, folder: Path, **fields: Any) -> Answer:
    """The answer of a server that replies as ``handler`` does."""

    async def run() -> Answer:
        async with answering(handler) as seen:
            return await ask(card_for(seen.port, **fields), folder)

    return asyncio.run(run())


def always(payload: object, status: int = 200, **headers: str) -> Handler:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda body: web.json_response(payload, status=status, headers=named)


def everything(error: BaseException) -> str:
    """All that a log, a report or a caller could print of an error."""
    return f"{error!s} {error!r} {error.args!r} {error.__cause__!r}"


# What a server echoes


def error_of(said: str, **fields: str) -> dict[str, Any]:
    return {"error": {"message": said, **fields}}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, TransportError), (404, ModelNotFoundError), (422, TransportError), (500, TransportError),
     (401, AuthenticationError), (429, TransportError), (200, TransportError)],
)  # fmt: skip
def test_an_echoed_key_is_in_no_error(tmp_path: Path, key: str, status: int, kind: type[IsrError]) -> None:
    forms = (key, key.upper(), f"Bearer {key}", quote(key, safe=""))
    said = [
        words for form in forms for words in (f"not {form}; really", "x" * 290 + form)
    ]  # the second is cut

    async def run() -> list[str]:
        left = list(said)
        printed = []
        async with answering(lambda body: web.json_response(error_of(left.pop()), status=status)) as seen:
            for _ in said:
                with pytest.raises(kind) as caught:
                    await ask(card_for(seen.port), tmp_path)
                printed.append(everything(caught.value))
        return printed

    for printed in asyncio.run(run()):
        assert "canary" not in printed.lower()


def test_what_else_a_server_says_in_a_400_is_shown(tmp_path: Path, key: str) -> None:
    with pytest.raises(TransportError, match=r"400 \(\[key removed\] cannot do response_format\)"):
        asked(always(error_of(f"{key} cannot do response_format"), 400), tmp_path)


def test_an_echoed_key_is_in_no_part_of_an_answer(tmp_path: Path, key: str) -> None:
    message = {"content": good(reasoning=f"I was sent {key} as Bearer {key}"), "refusal": f"no, {key}!"}
    payload = completion(
        id=f"id-{key}",
        model=f"model-{key}",
        system_fingerprint="x" * 190 + key,  # cut at 200 characters
        choices=[{"message": message, "finish_reason": f"stop {key}"}],
    )
    answer = asked(always(payload, x_request_id=key, Server=f"Bearer {key}"), tmp_path)
    assert "canary" not in repr(answer).lower()
    assert answer.served["id"] == f"id-{REMOVED}"
    assert answer.served["server"] == REMOVED
    plain = asked(always(completion(good(reasoning=f"saw {key}"))), tmp_path)
    assert json.loads(plain.text)["reasoning"] == f"saw {REMOVED}"  # and the rest of it is as it was


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("stop", "stop"), ("STOP", "stop"), ("eos", "stop"), ("end_turn", "stop"), ("stop_sequence", "stop"),
        ("length", "length"), ("MAX_TOKENS", "length"), ("max_tokens", "length"), ("model_length", "length"),
        ("content_filter", "content_filter"), ("content_filter: PROHIBITED_CONTENT", "content_filter"),
        ("tool_calls", "other"), ("function_call", "other"), (None, "other"), ("", "other"), (7, "other"),
    ],
)  # fmt: skip
def test_how_a_reply_ended_in_one_vocabulary(tmp_path: Path, word: Any, finish: str) -> None:
    choice = {"message": {"content": good()}, "finish_reason": word}
    answer = asked(always(completion(choices=[choice])), tmp_path)
    assert type(answer.finish_reason) is Finish
    assert answer.finish_reason == finish
    assert answer.served.get("finish_reason") == (str(word) if finish == "other" and word else None)


def test_another_token_behind_bearer_is_removed_too(tmp_path: Path) -> None:
    answer = asked(always(completion(id="Authorization: bearer abc.DEF-0123456789=")), tmp_path)
    assert answer.served["id"] == f"Authorization: {REMOVED}"


def test_a_short_word_as_a_key_tears_nothing_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISR_API_KEY", "ollama")
    answer = asked(always(completion(good(reasoning="fine"), system_fingerprint="fp_ollama")), tmp_path)
    assert answer.served["fingerprint"] == "fp_ollama"


def test_the_name_of_another_model_is_shown_without_the_key(tmp_path: Path, key: str) -> None:
    with pytest.raises(ModelNotFoundError, match="found an answer of 'other-") as caught:
        asked(always(completion(model=f"other-{key}")), tmp_path, serves=("test-model",))
    assert "Canary" not in everything(caught.value)


@pytest.mark.parametrize(
    ("location", "words"),
    [("https://sk-canary0123456789/v1", "redirects to"), ("http://[", "nowhere"), ("", "127.0.0.1")],
)
def test_a_redirect_is_refused_whatever_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str, words: str
) -> None:
    monkeypatch.setenv("ISR_API_KEY", "sk-CANARY0123456789")  # a host name comes back in lower case
    with pytest.raises(SecretError, match=words) as caught:
        asked(always({}, 307, Location=location), tmp_path)
    assert "canary" not in everything(caught.value).lower()


# Failures that look like answers


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"choices": [], "error": {"message": "upstream died", "code": 502}}, "server_error"),
        ({"choices": [{"finish_reason": "error", "error": {"message": "overloaded"}}]}, "server_error"),
        ({"choices": [{"finish_reason": "ERROR", "message": {"content": good()}}]}, "server_error"),
        ({"choices": [{"finish_reason": "stop", "error": "died", "message": {"content": "{"}}]}, "server_error"),
        ({**completion(), "error": {"message": "died on the way"}}, "server_error"),
        ({"choices": [], "error": {"message": "slow down", "code": 429}}, "rate_limited"),
        ({"error": "no choices at all"}, "server_error"),
        ({"object": "chat.completion"}, "server_error"),
        ([], "server_error"),
        ("<html>", "server_error"),
    ],
)  # fmt: skip
def test_an_error_inside_a_200_is_no_answer(tmp_path: Path, payload: object, reason: str) -> None:
    with pytest.raises(TransportError) as caught:
        asked(always(payload), tmp_path)
    assert (caught.value.reason, caught.value.retryable) == (reason, True)
    assert str(caught.value).startswith("127.0.0.1: ")


def test_a_reply_nested_too_deep_is_no_answer(tmp_path: Path) -> None:
    deep = '{"choices": ' + "[" * 100_000 + "]" * 100_000 + "}"
    with pytest.raises(TransportError, match="found a reply that is none"):
        asked(lambda body: web.Response(text=deep, content_type="application/json"), tmp_path)


def test_fields_of_errors_that_are_empty_are_no_errors(tmp_path: Path) -> None:
    choice = {**completion()["choices"][0], "error": None}
    assert asked(always(completion(error=None, choices=[choice])), tmp_path).text == good()


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (400, error_of("flagged", code="content_filter")),
        (200, {"choices": [], **error_of("flagged", code="content_filter")}),
        (200, {"choices": [{"finish_reason": "content_filter", "error": {"message": "flagged"}}]}),
    ],
)
def test_a_content_filter_is_an_answer_wherever_it_stands(
    tmp_path: Path, status: int, payload: dict[str, Any]
) -> None:
    assert asked(always(payload, status), tmp_path).finish_reason == "content_filter"


# Accounts without money


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (429, error_of("You exceeded your current quota", code="insufficient_quota")),
        (429, error_of("You exceeded your current quota", type="insufficient_quota")),
        (402, error_of("Insufficient Balance")),
        (400, error_of("limit", code="billing_hard_limit_reached")),
        (200, {"choices": [], **error_of("quota", code="insufficient_quota")}),
    ],
)
def test_an_empty_account_stops_the_run(tmp_path: Path, status: int, payload: dict[str, Any]) -> None:
    with pytest.raises(
        QuotaError, match=r"the account of the key in ISR_API_KEY has no quota or credit left; top it up"
    ):
        asked(always(payload, status), tmp_path)
    assert issubclass(QuotaError, JudgeError)


def test_an_empty_account_is_not_asked_again_in_a_run(tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=5, prompts=2)

    async def run() -> Seen:
        async with answering(always(error_of("quota", code="insufficient_quota"), 429)) as seen:
            (tmp_path / "judge.toml").write_text(card_text(f"http://127.0.0.1:{seen.port}/v1", concurrency=2))
            with pytest.raises(JudgeError, match="no quota or credit left"):
                await isr.ascore(tmp_path / "e", judge=str(tmp_path / "judge.toml"))
            return seen

    assert len(asyncio.run(run()).bodies) <= 2  # what was in flight


def test_an_ordinary_429_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(TransportError) as caught:
        asked(always(error_of("slow down", code="rate_limit_exceeded"), 429, Retry_After="7"), tmp_path)
    assert (caught.value.reason, caught.value.retry_after_s) == ("rate_limited", 7)


# Time and connections


def over(handler: Raw, folder: Path, **fields: Any) -> TransportError:
    """The failure of a request to a server of bare connections."""

    async def run() -> TransportError:
        async with connecting(handler) as port:
            with pytest.raises(TransportError) as caught:
                await ask(card_for(port, **fields), folder)
            return caught.value

    return asyncio.run(run())


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
    )
    return head + await reader.readexactly(length)


@pytest.mark.parametrize("trickled", [b"x", b" "])
def test_the_time_limit_is_for_the_whole_reply(tmp_path: Path, trickled: bytes) -> None:
    sent_all = []

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(80):  # every read is quick
            writer.write(trickled)
            await writer.drain()
            await asyncio.sleep(0.05)
        sent_all.append(True)

    error = over(trickle, tmp_path, limits=Limits(timeout_s=0.4))
    assert not sent_all  # the client ended it; the server's clock is the client's
    assert (error.reason, error.retryable) == ("timeout", True)
    assert "no complete reply within 0.4 s" in str(error)


def test_silence_is_a_timeout(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    assert over(silent, tmp_path, limits=Limits(timeout_s=0.3)).reason == "timeout"


def test_a_refused_connection_is_none(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(TransportError) as caught:
            asyncio.run(ask(card_for(port), tmp_path))
    assert caught.value.reason == "connection"
    assert f"nothing listens at 127.0.0.1:{port}; start the server" in str(caught.value)


def test_an_unknown_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **options: object) -> object:  # as a resolver says it, without a network
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    endpoint = Endpoint(base_url="http://judge.invalid:80/v1")
    with pytest.raises(TransportError, match=r"no machine is known as judge\.invalid") as caught:
        asyncio.run(ask(a_card(endpoint=endpoint), tmp_path))
    assert caught.value.reason == "connection"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    ],
)
def test_a_connection_that_breaks_off_or_speaks_something_else(tmp_path: Path, reply: bytes) -> None:
    async def partial(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(reply)
        await writer.drain()

    error = over(partial, tmp_path)
    assert (error.reason, error.retryable) == ("connection", True)
    assert "the connection ended before a complete reply" in str(error)


def test_a_server_without_tls(tmp_path: Path) -> None:
    async def run() -> None:
        async with answering(always(completion())) as seen:
            await ask(card_for(seen.port, scheme="https"), tmp_path)

    with pytest.raises(TransportError, match="no TLS connection that can be trusted") as caught:
        asyncio.run(run())
    assert caught.value.reason == "connection"


def test_as_many_requests_are_in_flight_as_the_card_allows(tmp_path: Path) -> None:
    many = 120  # the client's own bound is 100; beyond it requests would spend their time in its queue

    async def run() -> int:
        together = asyncio.Event()
        waiting = 0

        async def reply(body: dict[str, Any]) -> web.StreamResponse:
            nonlocal waiting
            waiting += 1
            if waiting == many:
                together.set()
            await asyncio.wait_for(together.wait(), LIMIT_S)
            return web.json_response(completion())

        async with answering(reply) as seen:
            card = card_for(seen.port, limits=Limits(concurrency=many, timeout_s=LIMIT_S))
            picture(0).save(tmp_path / "p.png")
            file = ("p.png", sha256_bytes((tmp_path / "p.png").read_bytes()))
            images = Prepared(Encoder(tmp_path, card.policy), {"source": file, "edit": file})
            judge = open_judge(card)
            answers = await asyncio.gather(
                *(judge.ask(a_request(card=card, repeat=i), images) for i in range(many))
            )
            await judge.close()
            return len(answers)

    assert asyncio.run(run()) == many


# Proxies


@dataclass
class Proxy:
    """A forward proxy that keeps every byte that it is sent, and leads every tunnel to one port."""

    target: int = 0
    status: bytes = b"200 OK"
    port: int = 0
    bytes_in: bytearray = field(default_factory=bytearray)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.bytes_in += head
        writer.write(b"HTTP/1.1 " + self.status + b"\r\n\r\n")
        if not self.target or not head.startswith(b"CONNECT") or not self.status.startswith(b"200"):
            self.bytes_in += await reader.read(2**20)
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            await asyncio.gather(self._pipe(reader, inner_writer), self._pipe(inner_reader, writer, False))
        finally:
            inner_writer.close()

    async def _pipe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: bool = True
    ) -> None:
        while data := await reader.read(2**16):
            if keep:
                self.bytes_in += data
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_never_sees_a_plain_request(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async def run() -> tuple[Seen, Proxy]:
        proxy = Proxy()
        async with connecting(proxy.serve) as port, answering(always(completion())) as seen:
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
            await ask(card_for(seen.port), tmp_path)
            return seen, proxy

    seen, proxy = asyncio.run(run())
    assert seen.headers[0]["Authorization"] == f"Bearer {key}"
    assert not proxy.bytes_in


def test_a_tunnel_shows_the_proxy_only_where_it_leads(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow("judge.test", "ISR_API_KEY")

    async def run() -> Proxy:
        proxy = Proxy()
        async with connecting(proxy.serve) as port:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
            with pytest.raises(TransportError) as caught:
                await ask(card_for(443, "judge.test", "https"), tmp_path)
            assert (
                caught.value.reason == "connection"
            )  # the proxy ends it after the first bytes of the handshake
            return proxy

    seen = bytes(asyncio.run(run()).bytes_in)
    assert seen.startswith(b"CONNECT judge.test:443 ")
    head, _, rest = seen.partition(b"\r\n\r\n")
    assert b"authorization" not in head.lower()
    assert rest[:1] == b"\x16"  # a TLS handshake
    assert key.encode() not in seen
    assert b"base64" not in seen


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for judge.test, made here, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
    options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=judge.test"
    names = ["-addext", "subjectAltName=DNS:judge.test,IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    run(["openssl", "req", *options.split(), *names, *files], check=True)
    return tmp_path / "cert.pem"


def test_no_authority_is_read_for_what_is_not_encrypted(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than several requests; nobody may sign a certificate then."""
    made: list[ssl.SSLContext] = []
    of_authorities = httpx2.create_ssl_context

    def counted(verify: ssl.SSLContext | bool = True, **others: Any) -> ssl.SSLContext:
        context = of_authorities(verify=verify, **others)
        if verify is True:  # else it is handed on as it is
            made.append(context)
        return context

    monkeypatch.setattr(httpx2, "create_ssl_context", counted)
    assert asked(always(completion()), tmp_path).text == good()
    assert not made
    allow("judge.test", "ISR_API_KEY")
    open_judge(card_for(443, "judge.test", "https"))
    assert [context.verify_mode for context in made] == [ssl.CERT_REQUIRED]


@pytest.mark.parametrize(("host", "tunnelled"), [("judge.test", True), ("127.0.0.1", False)])
def test_https_goes_through_a_proxy_unread_and_never_to_reach_this_machine(
    tmp_path: Path, key: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str, tunnelled: bool
) -> None:
    allow(host, "ISR_API_KEY")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, tmp_path / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def run() -> tuple[Seen, Proxy, Answer]:
        proxy = Proxy()
        async with connecting(proxy.serve) as port, answering(always(completion()), tls) as seen:
            proxy.target = seen.port
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
            answer = await ask(card_for(seen.port, host, "https"), tmp_path)
            return seen, proxy, answer

    seen, proxy, answer = asyncio.run(run())
    assert answer.text == good()
    assert seen.headers[0]["Authorization"] == f"Bearer {key}"
    assert bool(proxy.bytes_in) == tunnelled
    assert key.encode() not in proxy.bytes_in
    assert b"base64" not in proxy.bytes_in


@pytest.mark.filterwarnings(
    "ignore:.*(BasicAuth|proxy_auth).*:DeprecationWarning"
)  # the client's, of aiohttp
def test_a_proxy_that_refuses_or_is_not_there_is_named(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow("judge.test", "ISR_API_KEY")
    card = card_for(443, "judge.test", "https")

    async def refused() -> None:
        proxy = Proxy(status=b"407 Proxy Authentication Required")
        async with connecting(proxy.serve) as port:
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter22@127.0.0.1:{port}")
            await ask(card, tmp_path)

    with pytest.raises(TransportError, match="the proxy of HTTPS_PROXY or ALL_PROXY refused") as caught:
        asyncio.run(refused())
    assert caught.value.reason == "connection"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter22@127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(
            TransportError, match=r"the proxy at 127\.0\.0\.1:\d+ cannot be reached"
        ) as caught:
            asyncio.run(ask(card, tmp_path))
    assert "hunter22" not in everything(caught.value)
    monkeypatch.setenv("HTTPS_PROXY", "ftp://me:hunter22@127.0.0.1")
    with pytest.raises(CardError, match="expected the address of an http proxy") as wrong:
        open_judge(card)
    assert "hunter22" not in everything(wrong.value)


# The client's errors


def all_kinds(kind: type[BaseException] = openai.OpenAIError) -> Iterator[type[BaseException]]:
    yield kind
    for child in kind.__subclasses__():
        yield from all_kinds(child)


KINDS = {k.__qualname__: k for k in all_kinds() if k.__module__.startswith("openai")}


def an_error(kind: type[BaseException], status: int | None = None) -> Any:
    """An error of the client, whatever its constructor takes."""
    error: Any = kind.__new__(kind)
    error.args = (f"the client's words with Bearer {CANARY}",)
    error.request = httpx2.Request(
        "POST", "http://127.0.0.1/v1", headers={"Authorization": f"Bearer {CANARY}"}
    )
    error.status_code = status or getattr(kind, "status_code", 503)
    error.response = httpx2.Response(error.status_code, request=error.request)
    error.body = {"message": f"said Bearer {CANARY}"}
    return error


def test_the_kinds_of_errors_are_found() -> None:
    exported = {
        name for name in openai.__all__
        if isinstance(kind := getattr(openai, name), type) and issubclass(kind, openai.OpenAIError)
    }  # fmt: skip
    assert len(exported) >= 14
    assert exported <= set(KINDS)
    assert len(KINDS) >= 18


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_error_of_the_client_is_mapped(name: str) -> None:
    kind = KINDS[name]
    mapped = map_error(an_error(kind), a_card())
    assert isinstance(mapped, TransportError | JudgeError | SecretError)
    assert "Canary" not in everything(mapped)
    assert "openai." not in str(mapped)
    expected = {
        "APITimeoutError": "timeout",
        "APIConnectionError": "connection",
        "APIResponseValidationError": "server_error",
        "APIError": "server_error",
        "BadRequestError": "rejected",
        "UnprocessableEntityError": "rejected",
        "ConflictError": "server_error",
        "InternalServerError": "server_error",
        "RateLimitError": "rate_limited",
    }.get(name)
    if expected:
        assert isinstance(mapped, TransportError)
        assert mapped.reason == expected


def test_every_status_is_mapped() -> None:
    for status in (*range(300, 309), *range(400, 452), *range(500, 530), 599):
        mapped = map_error(an_error(openai.APIStatusError, status), a_card())
        assert "Canary" not in everything(mapped)
        if isinstance(mapped, TransportError):
            assert mapped.retryable == (status >= 500 or status in (408, 409, 425, 429))
        else:
            assert isinstance(mapped, JudgeError | SecretError)
            assert status < 400 or status in (401, 402, 403, 404)


def test_a_key_that_no_header_can_carry_is_refused_before_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISR_API_KEY", "sk-canary\nX-Evil: 1")
    with pytest.raises(AuthenticationError, match="printable ASCII") as caught:
        asyncio.run(ask(card_for(9), tmp_path))
    assert "canary" not in everything(caught.value)


# What is sent


def sent_by(
    folder: Path, rubric: str = "semantic/v1", repeat: int = 0, **fields: Any
) -> tuple[dict[str, Any], Answer]:
    async def run() -> tuple[dict[str, Any], Answer]:
        async with answering(always(completion())) as seen:
            answer = await ask(card_for(seen.port, **fields), folder, rubric, repeat)
            return seen.bodies[0], answer

    return asyncio.run(run())


def image_in(part: dict[str, Any]) -> tuple[Image.Image, str]:
    """The picture in a part of a message, and the digest of its bytes."""
    head, _, data = part["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    raw = base64.b64decode(data, validate=True)
    return Image.open(io.BytesIO(raw)).convert("RGB"), sha256_bytes(raw)


def test_separate_images_are_sent_pixel_by_pixel(tmp_path: Path) -> None:
    body, answer = sent_by(tmp_path, images=Images(detail="high"))
    system, user = body["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    parts = [p for p in user["content"] if p["type"] == "image_url"]
    assert [p["image_url"]["detail"] for p in parts] == ["high", "high"]
    for part, role, seed in zip(parts, ("source", "edit"), (0, 1), strict=True):
        image, digest = image_in(part)
        assert image.tobytes() == picture(seed).tobytes()
        assert answer.sent[role] == digest
    words = [p["text"] for p in user["content"] if p["type"] == "text"]
    assert '"make the car red"' in words[-1]


@pytest.mark.parametrize("rubric", ["semantic/v1", "perceptual/v1"])
def test_side_by_side_is_one_picture_with_the_names_in_order(tmp_path: Path, rubric: str) -> None:
    body, answer = sent_by(tmp_path, rubric, images=Images(layout="side_by_side"))
    first, second, last = body["messages"][1]["content"]
    assert first == {"type": "text", "text": "One picture shows, from left to right: SOURCE | EDIT."}
    assert last["type"] == "text"
    image, digest = image_in(second)
    assert set(second["image_url"]) == {"url"}
    assert image.size == (16 + GAP_PX + 16, 16)
    assert image.crop((0, 0, 16, 16)).tobytes() == picture(0).tobytes()
    assert image.crop((16 + GAP_PX, 0, 32 + GAP_PX, 16)).tobytes() == picture(1).tobytes()
    assert image.crop((16, 0, 16 + GAP_PX, 16)).getcolors() == [(16 * GAP_PX, (255, 255, 255))]
    assert dict(answer.sent) == {"source+edit": digest}


def test_the_dialects_of_structured_answers(tmp_path: Path) -> None:
    bodies = {
        structured: sent_by(tmp_path, decoding=Decoding(structured=structured))[0]
        for structured in ("json_schema", "json_schema_basic", "json_object", "words")
    }
    full, basic = bodies["json_schema"]["response_format"], bodies["json_schema_basic"]["response_format"]
    for sent in (full, basic):
        assert sent["type"] == "json_schema"
        assert sent["json_schema"]["strict"] is True
        assert sent["json_schema"]["schema"]["additionalProperties"] is False
    score = {"type": "integer", "minimum": 0, "maximum": 4}
    assert full["json_schema"]["schema"]["properties"]["score"] == score
    assert basic["json_schema"]["schema"]["properties"]["score"] == {"type": "integer"}
    order = list(full["json_schema"]["schema"]["properties"])
    assert order == ["reasoning", "score", "source_kept", "verdict"]
    assert bodies["json_object"]["response_format"] == {"type": "json_object"}
    assert "response_format" not in bodies["words"]
    for structured, body in bodies.items():
        in_words = "must match this JSON schema" in body["messages"][0]["content"]
        assert in_words == (structured in ("json_object", "words"))


def test_the_settings_of_a_card_are_sent_as_they_stand(tmp_path: Path) -> None:
    body, answer = sent_by(tmp_path, repeat=2)
    assert {k: v for k, v in body.items() if k not in ("messages", "response_format")} == {
        "model": "test-model", "max_tokens": 512, "temperature": 0.0, "seed": 2,
    }  # fmt: skip
    assert parse(answer, a_request().template.rubric).value == "fine"
    decoding = Decoding(
        temperature=None, seed=None, max_tokens=4096, max_tokens_name="max_completion_tokens",
        reasoning_effort="low", omit=("response_format",), extra={"top_k": 1, "nested": {"a": "ü"}},
    )  # fmt: skip
    body, _ = sent_by(tmp_path, decoding=decoding)
    assert {k: v for k, v in body.items() if k != "messages"} == {
        "model": "test-model", "max_completion_tokens": 4096, "reasoning_effort": "low", "top_k": 1,
        "nested": {"a": "ü"},
    }  # fmt: skip


# Thinking


@pytest.mark.parametrize(
    ("thinking", "name", "sent"),
    [
        (None, "chat_template_kwargs", {}),
        (True, "chat_template_kwargs", {"chat_template_kwargs": {"enable_thinking": True}}),
        (False, "chat_template_kwargs", {"chat_template_kwargs": {"enable_thinking": False}}),
        (
            300,
            "chat_template_kwargs",
            {"chat_template_kwargs": {"enable_thinking": True}, "thinking_token_budget": 300},
        ),
        (True, "enable_thinking", {"enable_thinking": True}),
        (300, "enable_thinking", {"enable_thinking": True, "thinking_budget": 300}),
        (False, "enable_thinking", {"enable_thinking": False}),
        (True, "reasoning", {"reasoning": {"enabled": True}}),
        (300, "reasoning", {"reasoning": {"max_tokens": 300}}),
        (False, "reasoning", {"reasoning": {"enabled": False}}),
    ],
)
def test_a_host_is_told_to_think_in_its_own_words(
    tmp_path: Path, thinking: bool | int | None, name: str, sent: dict[str, Any]
) -> None:
    decoding = Decoding.model_validate({"thinking": thinking, "thinking_name": name})
    body, _ = sent_by(tmp_path, decoding=decoding)
    plain, _ = sent_by(tmp_path)
    assert {k: v for k, v in body.items() if k not in plain} == sent


@pytest.mark.parametrize(
    ("message", "usage", "reasoning", "tokens"),
    [
        ({"content": good(), "reasoning": "It is red."}, {"reasoning_tokens": 4}, "It is red.", 4),
        ({"content": good(), "reasoning_content": "It is red."}, {}, "It is red.", None),
        ({"content": f"<think>It is red.</think>\n\n{good()}"}, {}, "It is red.", None),  # no parser
        ({"content": f"It is red.\n</think>{good()}"}, {}, "It is red.", None),  # the template opened it
        ({"content": good(reasoning="a </think> b")}, {"reasoning_tokens": True}, "", None),  # its own words
        ({"content": good()}, {"reasoning_tokens": 40}, "", 40),  # a host that hides them
    ],
)
def test_thoughts_stand_beside_the_answer(
    tmp_path: Path, message: dict[str, Any], usage: dict[str, Any], reasoning: str, tokens: int | None
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 1500, "completion_tokens": 60, "completion_tokens_details": usage}
    reply = completion(choices=[choice], usage=counts)
    answer = asked(always(reply), tmp_path, decoding=Decoding(thinking=True))
    assert parse(answer, a_request().template.rubric).value == "fine"
    assert answer.reasoning == reasoning
    assert answer.usage.get("reasoning_tokens") == tokens


def test_thoughts_without_an_end_are_no_answer(tmp_path: Path) -> None:
    message = {"role": "assistant", "content": f"<think>Perhaps {good()}"}
    reply = completion(choices=[{"index": 0, "message": message, "finish_reason": "length"}])
    answer = asked(always(reply), tmp_path, decoding=Decoding(thinking=True))
    assert answer.text == ""
    assert parse(answer, a_request().template.rubric).reason == "truncated"

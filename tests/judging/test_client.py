"""The client for hosts without one of their own, against a real server on this machine."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from isr.errors import (
    AuthenticationError,
    IsrError,
    JudgeError,
    ModelNotFoundError,
    QuotaError,
    SecretError,
    TransportError,
    TransportReason,
)
from isr.judging.card_sections import Endpoint, Limits
from isr.judging.client import Client
from isr.judging.keys import allow
from tests.messages_server import Messages, serving
from tests.samples import a_card

KEY = "sk-client/0123456789+abcdefgh"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("ISR_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("A_KEY", KEY)
    allow("127.0.0.1", "A_KEY")


def post(url: str, **limits: Any) -> dict[str, Any]:
    card = a_card(endpoint=Endpoint(base_url=url, api_key_env="A_KEY"), limits=Limits(**limits))

    async def once() -> dict[str, Any]:
        client = Client(card, lambda key: {"x-api-key": key})
        try:
            return await client.post("/messages", {"system": ""})
        finally:
            await client.close()

    return asyncio.run(once())


def test_the_reply_is_returned_and_the_key_is_sent() -> None:
    with serving() as server:
        assert post(server.url)["model"] == "messages-large-1"
        assert server.keys == [KEY]


ERRORS: dict[int, type[IsrError]] = {
    302: SecretError,
    400: TransportError,
    401: AuthenticationError,
    402: QuotaError,
    403: TransportError,  # of this request, or of all: what was answered before tells
    404: ModelNotFoundError,
    429: TransportError,
    500: TransportError,
}


@pytest.mark.parametrize("status", ERRORS)
def test_every_status_is_an_error_without_the_key(status: int) -> None:
    with serving() as server:
        server.status = status
        with pytest.raises(ERRORS[status]) as seen:
            post(server.url)
    assert KEY not in str(seen.value)
    if isinstance(seen.value, TransportError):
        assert seen.value.retryable is (status not in (400, 403))
        assert isinstance(seen.value.stops, AuthenticationError) is (status == 403)
    else:
        assert isinstance(seen.value, JudgeError | SecretError)


def test_no_server_and_half_a_reply_are_connection_errors() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(TransportError) as seen:
            post(f"http://127.0.0.1:{port}")
    assert seen.value.reason is TransportReason.CONNECTION


def test_a_silent_server_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TransportError) as seen:
        post(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
    assert seen.value.reason is TransportReason.TIMEOUT


@pytest.mark.parametrize("said", [b"no json", b"[1]"])
def test_a_200_without_an_object_is_asked_again(said: bytes) -> None:
    class Odd(Messages):
        def raw(self) -> bytes:
            return said

    with serving(Odd()) as server, pytest.raises(TransportError) as seen:
        post(server.url)
    assert seen.value.reason is TransportReason.SERVER_ERROR
    assert seen.value.retryable

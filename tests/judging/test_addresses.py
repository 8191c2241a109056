"""Addresses as hosts print them and users paste them: kept, or refused with the right one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from isr.errors import CardError, SecretError
from isr.judging.backends import open_judge
from isr.judging.card_sections import Endpoint
from isr.judging.cards import load_card
from isr.judging.keys import allow, check_pair, is_loopback
from isr.judging.sending import Encoder, Prepared
from tests.directories import picture
from tests.judges.test_openai_chat import completion
from tests.samples import a_card, a_request

AZURE = "/openai/deployments/gpt-4o?api-version=2024-10-21"


def card(folder: Path, address: str, more: str = "") -> str:
    path = folder / "judge.toml"
    path.write_text(
        f'backend = "openai_chat"\nmodel = "m"\n[endpoint]\nbase_url = "{address}"\n{more}', "utf-8"
    )
    return str(path)


def sent_to(tmp_path: Path, path: str, **endpoint: Any) -> web.BaseRequest:
    """The request that a judge sends to a server here whose address ends in ``path``."""
    seen: list[web.Request] = []

    async def complete(request: web.Request) -> web.Response:
        await request.read()
        seen.append(request)
        return web.json_response(completion())

    async def work() -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{any:.*}", complete)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        place = Endpoint(base_url=f"http://127.0.0.1:{port}{path}", **endpoint)
        judge = open_judge(a_card(endpoint=place))
        for name in ("source", "edit"):
            picture(1).save(tmp_path / f"{name}.png")
        from isr.files import file_digest
        from isr.types import ImageRef

        images = {n: ImageRef(f"{n}.png", file_digest(tmp_path / f"{n}.png")) for n in ("source", "edit")}
        encoder = Encoder(tmp_path, a_card().policy)
        try:
            await judge.ask(
                a_request(**images), Prepared(encoder, {r: (i.path, i.sha256) for r, i in images.items()})
            )
        finally:
            await judge.close()
            await runner.cleanup()

    asyncio.run(work())
    return seen[0]


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("ISR_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("LAB_KEY", "lab/7f3c9e21d08b46aa")
    allow("127.0.0.1", "LAB_KEY")
    return "LAB_KEY"


def test_a_query_goes_with_every_request(tmp_path: Path, key: str) -> None:
    """Azure's route by deployment, pasted as its portal shows it."""
    seen = sent_to(tmp_path, AZURE, api_key_env=key, api_key_header="api-key")
    assert seen.path == "/openai/deployments/gpt-4o/chat/completions"
    assert dict(seen.query) == {"api-version": "2024-10-21"}
    assert seen.headers["api-key"] == "lab/7f3c9e21d08b46aa"
    assert "Authorization" not in seen.headers


def test_everybody_else_takes_a_bearer_s_token(tmp_path: Path, key: str) -> None:
    seen = sent_to(tmp_path, "/v1", api_key_env=key)
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["Authorization"] == "Bearer lab/7f3c9e21d08b46aa"
    assert "api-key" not in seen.headers


@pytest.mark.parametrize(
    ("address", "header"),
    [
        (f"https://lab.openai.azure.com{AZURE}", "api-key"),
        ("https://lab.openai.azure.com/openai/v1", "Authorization"),
        ("https://api.openai.com/v1", "Authorization"),
        (f"https://elsewhere.org{AZURE}", "Authorization"),
    ],
)
def test_which_header_carries_the_key(address: str, header: str) -> None:
    assert Endpoint(base_url=address).key_header[0] == header


@pytest.mark.parametrize(
    ("address", "fix"),
    [
        ("http://127.0.0.1:8000/v1/chat/completions", "end it before /chat/completions"),
        ("http://127.0.0.1:8000/v1/models", "end it before /models"),
        ("http://127.0.0.1:8000/v1#chat", "from # on"),
    ],
)
def test_an_address_that_would_be_bent_is_refused_with_the_right_one(
    tmp_path: Path, address: str, fix: str
) -> None:
    with pytest.raises(CardError, match=fix):
        load_card(card(tmp_path, address))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_what_servers_print_as_this_machine_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.1.20", "example.org", "0.0.0.1"])
def test_nothing_else_is(host: str) -> None:
    assert not is_loopback(host)


def test_a_key_for_a_machine_of_the_lab_goes_through_ssh(tmp_path: Path, key: str) -> None:
    allow("192.168.1.20", key)
    made = load_card(card(tmp_path, "http://192.168.1.20:8000/v1", f'api_key_env = "{key}"\n'))
    with pytest.raises(SecretError) as caught:
        check_pair(made)
    assert "ssh -N -L 8000:127.0.0.1:8000 192.168.1.20" in str(caught.value)
    assert "endpoint.base_url=http://127.0.0.1:8000/v1" in str(caught.value)


def test_every_address_of_a_card_must_be_allowed(tmp_path: Path, key: str) -> None:
    path = tmp_path / "judge.toml"
    path.write_text(
        f'backend = "openai_chat"\nmodel = "m"\n[endpoint]\nbase_urls = ["http://127.0.0.1:1/v1", "https://b.org/v1"]\n'
        f'api_key_env = "{key}"\n',
        "utf-8",
    )
    with pytest.raises(SecretError, match=r"not been allowed to go to b\.org"):
        check_pair(load_card(str(path)))

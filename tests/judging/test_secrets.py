"""Keys go to their own host and nowhere else: canaries in the environment, a real server that records headers."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import isr
from isr.judging.keys import allow
from tests.chat_server import serving
from tests.directories import card_text, make_directory
from tests.judges.test_openai_chat import answering, completion, error_of
from tests.processes import run
from tests.samples import good

CANARY = "sk-canary-0123456789abcdefghijklmnop"


def with_key(text: str, variable: str) -> str:
    return text.replace("[endpoint]\n", f'[endpoint]\napi_key_env = "{variable}"\n')


def test_no_other_key_of_the_user_reaches_an_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_ADMIN_KEY",
        "OPENAI_ORG_ID",
        "OPENAI_PROJECT_ID",
        "GEMINI_API_KEY",
        "HF_TOKEN",
    ):
        monkeypatch.setenv(name, CANARY)
    with serving() as server:
        (tmp_path / "judge.toml").write_text(card_text(server.base_url))
        isr.score(tmp_path / "e", judge=str(tmp_path / "judge.toml"))
        headers = server.stats()["headers"]
    assert len(headers) == 8
    assert CANARY not in json.dumps(headers)
    assert not any(name.lower() == "authorization" for h in headers for name in h)


def test_the_endpoints_own_key_is_sent_and_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_directory(tmp_path / "e", images=25, prompts=3)  # 300 requests
    monkeypatch.setenv("ISR_API_KEY", CANARY)  # bound to 127.0.0.1 by the built-in cards for local servers
    with serving(faults="lessons", seed=1) as server:
        (tmp_path / "judge.toml").write_text(with_key(card_text(server.base_url), "ISR_API_KEY"))
        command = [
            sys.executable,
            "-m",
            "isr",
            "-v",
            "score",
            str(tmp_path / "e"),
            "--judge",
            str(tmp_path / "judge.toml"),
        ]
        done = run(command)
        assert done.returncode == 0, done.stderr
        assert all(h["Authorization"] == f"Bearer {CANARY}" for h in server.stats()["headers"])
    files = {f.name: f.read_bytes() for f in (tmp_path / "e.isr").rglob("*") if f.is_file()}
    kept = b"".join(files.values())
    assert CANARY.encode() not in kept
    assert b"Bearer" not in kept
    assert CANARY not in done.stdout + done.stderr
    del files["report.html"]  # which shows thumbnails
    assert b"base64" not in b"".join(files.values())  # no image as it was sent
    assert len(kept) + len(done.stderr) < 2_000_000


def test_a_server_that_echoes_the_key_gets_it_into_no_file_and_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_directory(tmp_path / "e", images=6, prompts=2)  # 48 requests
    monkeypatch.setenv("ISR_API_KEY", CANARY)
    said = f"header was Authorization: Bearer {CANARY}, key {CANARY}"
    turns: Counter[str] = Counter()

    def echo(body: dict[str, Any]) -> web.StreamResponse:
        question = "semantic" if "source_kept" in body["messages"][0]["content"] else "perceptual"
        turns["all"] += 1
        which = turns["all"] % 6
        message = {"content": good(question, reasoning=said)}
        if which == 0:
            return web.json_response(error_of(said), status=400)
        if which == 1:
            return web.json_response(error_of(said, code=CANARY), status=500)
        if which == 2:
            message["refusal"] = said
        if which == 3:
            message["content"] = said
        choices = [{"message": message, "finish_reason": f"stop {CANARY}" if which == 4 else "stop"}]
        served = {"id": CANARY, "model": f"model {CANARY}", "system_fingerprint": said}
        headers = {"x-request-id": CANARY, "Server": said}
        return web.json_response(completion(choices=choices, **served), headers=headers)

    async def score() -> tuple[int, str]:
        async with answering(echo) as seen:
            text = with_key(card_text(f"http://127.0.0.1:{seen.port}/v1", max_attempts=2), "ISR_API_KEY")
            (tmp_path / "judge.toml").write_text(text)
            command = ["-m", "isr", "-v", "score", tmp_path / "e", "--judge", tmp_path / "judge.toml"]
            done = await asyncio.to_thread(run, [sys.executable, *command])
            return done.returncode, done.stdout + done.stderr

    code, printed = asyncio.run(score())
    assert code in (0, 3), printed  # 3 where a request met the 500 twice
    assert "request_rejected" in printed  # the 400s, after others were answered
    assert "400 (header was Authorization: [key removed], key [key removed]" in printed
    kept = {f.name: f.read_bytes() for f in (tmp_path / "e.isr").rglob("*") if f.is_file()}
    assert b"header was Authorization: [key removed]" in kept["edits.csv"]
    for name, content in {**kept, "printed": printed.encode()}.items():
        assert CANARY.encode() not in content, name
        assert b"Bearer" not in content, name


def test_a_card_may_not_send_a_built_in_key_to_a_foreign_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with serving() as server:
        (tmp_path / "judge.toml").write_text(with_key(card_text(server.base_url), "OPENAI_API_KEY"))
        with pytest.raises(isr.SecretError, match=r"isr judges allow 127\.0\.0\.1 OPENAI_API_KEY") as caught:
            isr.score(tmp_path / "e", judge=str(tmp_path / "judge.toml"))
        assert CANARY not in str(caught.value)
        assert server.stats()["calls"] == 0
        allow("127.0.0.1", "OPENAI_API_KEY")  # the user's word, once
        isr.score(tmp_path / "e", judge=str(tmp_path / "judge.toml"))
        assert server.stats()["calls"] == 4


def test_a_redirect_to_another_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)
    monkeypatch.setenv("ISR_API_KEY", CANARY)
    with serving() as thief, serving() as server:
        server.change(redirect=f"http://localhost:{thief.port}/v1/chat/completions")
        (tmp_path / "judge.toml").write_text(with_key(card_text(server.base_url), "ISR_API_KEY"))
        with pytest.raises(isr.SecretError, match="redirects to localhost") as caught:
            isr.score(tmp_path / "e", judge=str(tmp_path / "judge.toml"))
        assert CANARY not in str(caught.value)
        assert thief.stats()["calls"] == 0


def test_a_refused_key_is_not_shown(tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)
    text = card_text("http://127.0.0.1:1/v1").replace(
        "[endpoint]\n", f'[endpoint]\napi_key_env = "{CANARY}"\n'
    )
    (tmp_path / "judge.toml").write_text(text)
    with pytest.raises(isr.CardError, match="api_key_env") as caught:
        isr.score(tmp_path / "e", judge=str(tmp_path / "judge.toml"))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'judge = "gpt-4.1"', 'endpoint = "http://example.org"', 'store = "/tmp/x.db"', 'out = "/tmp"',
        '[judge]\nbackend = "openai_chat"', 'method = "evil.py:run"',
    ],
)  # fmt: skip
def test_a_directory_chooses_no_judge_endpoint_or_output(tmp_path: Path, text: str) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)
    (tmp_path / "e" / "isr.toml").write_text(text)
    with serving() as server:
        (tmp_path / "judge.toml").write_text(card_text(server.base_url))
        with pytest.raises(isr.EditDirectoryError, match="only rubrics, by, level"):
            isr.score(tmp_path / "e", judge=str(tmp_path / "judge.toml"))
        assert server.stats()["calls"] == 0

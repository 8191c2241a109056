"""The engine ``openai-batch``: its lines are the direct path's bodies, and what its host says is read as it is meant."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from isr.errors import FilteredError, IsrError, JudgeError, TransportError, TransportReason
from isr.judges.openai_batch import ENDPOINT, OpenAIBatches, open_batches
from isr.judging.batch_ledger import custom_id_of
from isr.judging.cards import Card, load_card, load_panel
from isr.judging.edits import load_edits, rubrics_of
from isr.judging.engines import Status, Unanswered
from isr.judging.plan import Plan, arms_of
from isr.judging.requests import Request
from isr.judging.sending import Encoder, Prepared
from tests.directories import card_text, make_directory


def a_card(folder: Path, more: str = "") -> Card:
    path = folder / "judge.toml"
    path.write_text(card_text("http://127.0.0.1:1/v1") + more, "utf-8")
    return load_card(str(path))


def a_plan(folder: Path, card: str) -> Plan:
    rows = make_directory(folder / "e", images=2, prompts=1)
    rows[0]["prompt"] = 'make it <image> "ä\u2028\n[x]'  # what could break a line or a string
    (folder / "e" / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    edits = load_edits(folder / "e").edits
    return Plan(root=folder / "e", edits=edits, rubrics=rubrics_of(folder / "e", ()), panel=load_panel(card))


def open_host(folder: Path) -> OpenAIBatches:
    return open_batches(a_card(folder))


def test_a_line_holds_the_body_of_the_direct_path_byte_for_byte(tmp_path: Path) -> None:
    card = a_card(tmp_path)
    plan = a_plan(tmp_path, str(tmp_path / "judge.toml"))
    encoder = Encoder(plan.root, card.policy)
    requests = list(plan.requests(plan.panel.members[0], arms_of(plan.edits)))
    assert len(requests) == 8

    async def compare() -> None:
        host = open_batches(card)
        for request in requests:
            images = Prepared(encoder, {r: (ref.path, ref.sha256) for r, ref in request.images.items()})
            name = custom_id_of(request.key, 0)
            line, sent = await host.line(name, request, images)
            body, sent_alone = await host._judge.body(request, images)
            assert line.count(b"\n") == 1
            assert line.endswith(b"}\n")
            head, _, rest = line.partition(b', "body": ')
            assert rest == body + b"}\n"
            assert json.loads(head + b"}") == {"custom_id": name, "method": "POST", "url": ENDPOINT}
            assert json.loads(line)["body"] == json.loads(body)
            assert sent == sent_alone
        await host.close()

    asyncio.run(compare())


GOOD = {
    "choices": [{"finish_reason": "stop", "message": {"content": "{}"}}],
    "model": "test-model",
    "usage": {"prompt_tokens": 3},
}


def read(folder: Path, line: dict[str, Any]) -> Any:
    a_card(folder)
    plan = a_plan(folder, str(folder / "judge.toml"))
    request: Request = next(plan.requests(plan.panel.members[0], arms_of(plan.edits)))
    host = open_host(folder)
    try:
        return host.read(line, request)
    finally:
        asyncio.run(host.close())


def test_an_answer_names_its_request_at_the_host(tmp_path: Path) -> None:
    answer = read(
        tmp_path, {"response": {"status_code": 200, "request_id": "req_9", "body": GOOD}, "error": None}
    )
    assert answer.text == "{}"
    assert answer.served["request_id"] == "req_9"
    assert answer.usage == {"prompt_tokens": 3}


@pytest.mark.parametrize("code", ["batch_expired", "batch_cancelled"])
def test_a_request_that_was_not_run_has_no_answer_and_no_failure(tmp_path: Path, code: str) -> None:
    line = {"response": None, "error": {"code": code, "message": "This request could not be executed"}}
    assert read(tmp_path, line) == Unanswered(code)


@pytest.mark.parametrize(
    ("line", "reason", "terminal"),
    [
        ({"response": {"status_code": 500, "body": {"error": {"message": "oops"}}}}, "server_error", ""),
        ({"response": {"status_code": 429, "body": {"error": {"message": "slow"}}}}, "rate_limited", ""),
        (
            {"response": {"status_code": 400, "body": {"error": {"message": "no such field"}}}},
            "rejected",
            "rejected",
        ),
        ({"response": {"status_code": 0, "body": None}}, "server_error", ""),
        ({"response": {"status_code": True, "body": "x"}}, "server_error", ""),
        (
            {"response": {"status_code": 200, "body": {"error": {"message": "busy", "code": 503}}}},
            "server_error",
            "",
        ),
        ({"response": {"status_code": 200, "body": [1]}}, "server_error", ""),
        ({"response": [1], "error": "x"}, "server_error", ""),
        ({"error": {"code": "server_error", "message": "oops"}}, "server_error", ""),
        ({}, "server_error", ""),
    ],
)
def test_a_failed_line_is_what_the_same_reply_is_on_the_direct_path(
    tmp_path: Path, line: dict[str, Any], reason: str, terminal: str
) -> None:
    with pytest.raises(TransportError) as caught:
        read(tmp_path, line)
    assert caught.value.reason == TransportReason(reason)
    assert caught.value.terminal == terminal
    assert caught.value.retryable is not bool(terminal)


def test_a_filtered_line_is_an_answer(tmp_path: Path) -> None:
    error = {
        "message": "flagged",
        "code": "content_filter",
        "innererror": {"code": "ResponsibleAIPolicyViolation"},
    }
    try:
        answer = read(tmp_path, {"response": {"status_code": 400, "body": {"error": error}}})
    except FilteredError:  # pragma: no cover
        pytest.fail("a refusal by the filter is an answer")
    assert answer.finish_reason == "content_filter"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_line_that_speaks_of_the_account_stops(tmp_path: Path, status: int) -> None:
    with pytest.raises(IsrError) as caught:
        read(tmp_path, {"response": {"status_code": status, "body": {"error": {"message": "no"}}}})
    assert isinstance(caught.value, JudgeError) or getattr(caught.value, "stops", None)


def test_what_hosts_say_of_a_batch(tmp_path: Path) -> None:
    host = open_host(tmp_path)
    full = {
        "id": "b", "status": "failed",
        "errors": {"data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]},
    }  # fmt: skip
    found = host._batch(full)
    assert (found.status, found.queue_full, found.errors) == (
        Status.FAILED,
        True,
        "Enqueued token limit reached",
    )
    other = {
        "id": "b",
        "status": "COMPLETED",
        "request_counts": 7,
        "metadata": [1],
        "errors": "x",
        "output_file_id": "f",
    }
    found = host._batch(other)  # as hosts have it that only resemble OpenAI
    assert (found.status, found.done, found.metadata, found.output_files) == (Status.COMPLETED, 0, {}, ("f",))
    with pytest.raises(TransportError, match="expected the state of a batch; found 'sleeping'"):
        host._batch({"id": "b", "status": "sleeping"})
    asyncio.run(host.close())

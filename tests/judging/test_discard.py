"""Useless answers are put aside where a judge has given no verdict, and nowhere else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from isr.errors import IsrError, UsageError
from isr.judging.discard import discard
from isr.judging.store import Store
from isr.scoring.options import Options
from isr.scoring.run import Run, run
from tests.directories import make_directory
from tests.judges.test_openai_chat import answering, card_text, completion
from tests.samples import good

PAIRS = 4  # edits and controls; two questions each


def scored(folder: Path, say: Any, **fields: Any) -> tuple[Run, int]:
    """A run against a server that says this; and how many requests it got."""

    async def work() -> tuple[Run, int]:
        def reply(body: dict[str, Any]) -> web.StreamResponse:
            question = "semantic" if "source_kept" in body["messages"][0]["content"] else "perceptual"
            message = {"content": say(question)}
            return web.json_response(completion(choices=[{"message": message, "finish_reason": "stop"}]))

        async with answering(reply) as seen:
            (folder / "judge.toml").write_text(card_text(f"http://127.0.0.1:{seen.port}/v1"), "utf-8")
            options = Options(directory=folder / "e", judge=str(folder / "judge.toml"), **fields)
            return await run(options), len(seen.bodies)

    return asyncio.run(work())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_directory(tmp_path / "e", images=2, prompts=1)
    return tmp_path


def test_a_repaired_judge_is_asked_anew_without_a_mark(folder: Path) -> None:
    done, asked = scored(folder, lambda question: "")
    assert (done.exit_code, done.result.decided, asked) == (3, 0, 2 * PAIRS)
    again, asked = scored(folder, good)
    assert (again.result.decided, asked) == (0, 0)  # stored answers are never asked again by themselves
    found = discard(done.store, "empty")
    assert found.answers == {"test-model": 2 * PAIRS}
    with Store(found.kept, read_only=True) as before, Store(done.store, read_only=True) as after:
        assert (before.count(), after.count()) == (2 * PAIRS, 0)
        assert list(after.verify()) == []
    mended, asked = scored(folder, good)
    assert (mended.exit_code, mended.result.decided, asked) == (0, PAIRS, 2 * PAIRS)
    assert mended.result.signature == done.result.signature


def test_a_judge_with_a_verdict_is_asked_again_with_a_mark_only(folder: Path) -> None:
    turns = iter(range(100))
    done, _ = scored(folder, lambda question: good(question) if next(turns) == 3 else "")
    before = done.store.read_bytes()
    with pytest.raises(UsageError, match=r"7 answers, 1 judges.*--reask empty"):
        discard(done.store, "empty")
    assert done.store.read_bytes() == before
    assert [p.name for p in done.store.parent.glob("isr.db*before*")] == []


@pytest.mark.parametrize("reason", ["refusal", "content_filter", "request_rejected", "nonsense"])
def test_what_says_something_about_an_edit_is_never_put_aside(folder: Path, reason: str) -> None:
    done, _ = scored(folder, lambda question: "")
    with pytest.raises(UsageError, match="--reason: expected one of empty"):
        discard(done.store, reason)


def test_a_store_in_use_is_left_alone(folder: Path) -> None:
    done, _ = scored(folder, lambda question: "")
    with Store(done.store), pytest.raises(IsrError, match="no other process"):
        discard(done.store, "empty")


def test_a_refusal_is_no_technical_failure(folder: Path) -> None:
    """The judge works; what it left empty is then a choice."""
    turns = iter(range(100))
    done, _ = scored(folder, lambda question: "I'm sorry, I cannot do that." if next(turns) == 2 else "")
    with pytest.raises(UsageError, match="--reask empty"):
        discard(done.store, "empty")


def test_refusals_after_the_last_answer_are_kept_only_if_the_judge_still_answers(folder: Path) -> None:
    """A host that says 403 to everything on a resumed run has blocked the key: nothing becomes an answer."""
    first, _ = scored(folder, good, limit=1)
    assert first.exit_code == 0

    async def work(blocked: bool) -> tuple[Run, int]:
        seen_before: set[str] = set()

        def reply(body: dict[str, Any]) -> web.StreamResponse:
            mark = str(body["messages"])
            known = len(seen_before) < 3 and mark not in seen_before
            seen_before.add(mark)
            if blocked or known:
                return web.json_response({"error": {"message": "Forbidden"}}, status=403)
            question = "semantic" if "source_kept" in body["messages"][0]["content"] else "perceptual"
            return web.json_response(
                completion(choices=[{"message": {"content": good(question)}, "finish_reason": "stop"}])
            )

        async with answering(reply) as seen:
            (folder / "judge.toml").write_text(card_text(f"http://127.0.0.1:{seen.port}/v1"), "utf-8")
            options = Options(directory=folder / "e", judge=str(folder / "judge.toml"))
            return await run(options), len(seen.bodies)

    done, asked = asyncio.run(work(blocked=True))
    assert done.exit_code == 3
    assert set(done.unfinished) == {"rejected"}
    assert asked == 2 * PAIRS - 4 + 1  # what is missing, and the one question that proves
    mended, _ = asyncio.run(work(blocked=False))
    assert mended.exit_code == 0
    assert mended.unfinished == {}

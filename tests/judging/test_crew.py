"""Workers, and those that stand in for one whose request waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import isr
from isr.canonical import sha256_bytes
from isr.judging import loop
from isr.judging.crew import MOST, Crew
from isr.judging.messages import images_of, message_of
from isr.judging.retry import with_retries
from isr.judging.sending import Encoder, Prepared
from isr.scoring.options import Options
from isr.scoring.run import Watch
from isr.scoring.run import run as scored
from tests.chat_server import serving
from tests.directories import card_text, make_directory, picture
from tests.processes import LIMIT_S
from tests.samples import a_card, a_request


def test_who_waits_is_stood_in_for_and_nobody_is_kept_too_long() -> None:
    left = ["wait"] * 4 + ["plain"] * 20 + ["release"] + ["after"] * 20
    at_work: list[int] = []

    async def run() -> None:
        released, busy = asyncio.Event(), 0

        async def work() -> bool:
            nonlocal busy
            if not left:
                return False
            kind, busy = left.pop(0), busy + 1
            if kind == "wait":
                dismiss = crew.stand_in()
                assert dismiss is not None
                await released.wait()
                dismiss()
            elif kind == "release":
                released.set()
            elif kind == "after":
                at_work.append(busy)
            await asyncio.sleep(0)
            busy -= 1
            return True

        crew = Crew(work, 2)
        await crew.run()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))  # with two workers only, it would wait for ever
    assert not left
    assert max(at_work[8:]) <= 2  # those that stood in have gone


def test_there_are_never_more_than_a_few_for_each() -> None:
    async def run() -> int:
        hired = 0

        async def work() -> bool:
            nonlocal hired
            while crew.stand_in() is not None:
                hired += 1
            return False

        crew = Crew(work, 3)
        await crew.run()
        return hired

    assert asyncio.run(asyncio.wait_for(run(), LIMIT_S)) <= 3 * MOST * 2


def test_a_failure_ends_all_of_them() -> None:
    async def run() -> None:
        async def work() -> bool:
            if crew.stand_in() is None:
                raise ValueError("enough")
            await asyncio.Event().wait()
            return True

        crew = Crew(work, 1)
        await crew.run()

    with pytest.raises(ExceptionGroup, match="TaskGroup"):
        asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_a_request_that_waits_for_its_next_try_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of the first tries meet a 429, and each waits until all others are answered: no call more than that takes."""
    make_directory(
        tmp_path / "e", images=10, prompts=3
    )  # 120 requests, about 12 of which are told to come again
    total, seen = 120, 0  # answered at once, or told to wait

    async def counted(call: Callable[[], Awaitable[Any]], *others: Any) -> Any:
        waited = False

        async def patient(seconds: float) -> None:
            nonlocal seen, waited
            seen, waited = seen + 1, True
            while seen < total:
                await asyncio.sleep(0.01)

        nonlocal seen
        answer = await with_retries(call, *others, sleep=patient)
        seen += not waited
        return answer

    monkeypatch.setattr(loop, "with_retries", counted)
    with serving() as server:
        server.change(faults={"limited": 0.1})
        (tmp_path / "judge.toml").write_text(card_text(server.base_url, concurrency=8))
        asyncio.run(asyncio.wait_for(isr.ascore(tmp_path / "e", judge=str(tmp_path / "judge.toml")), LIMIT_S))
        stats = server.stats()
    limited = stats["faulted"]["limited"]
    assert limited > 8  # more than there are workers
    assert stats["requests"] == sum(stats["answered"].values()) == total
    assert stats["calls"] == total + limited


def test_what_waits_for_a_place_when_a_run_is_interrupted_is_not_asked(tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=10, prompts=3)  # 120 requests
    with serving() as server:
        (tmp_path / "judge.toml").write_text(card_text(server.base_url, concurrency=3))
        server.change(hold_after=20)

        async def run() -> None:
            watch = Watch()
            options = Options(directory=tmp_path / "e", judge=str(tmp_path / "judge.toml"))
            scoring = asyncio.create_task(scored(options, watch))
            while server.stats()["calls"] < 23:  # 20 were answered, and 3 are held
                await asyncio.sleep(0.02)
            watch.interrupt.set()
            server.change(hold_after=0)
            await scoring

        asyncio.run(asyncio.wait_for(run(), LIMIT_S))
        assert server.stats()["calls"] == 23


@pytest.mark.parametrize(("usd", "most"), [(None, 4), (1.0, 2)])
def test_who_prepares_what_comes_next_comes_once_a_judge_has_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usd: float | None, most: int
) -> None:
    """Two in flight, and two that have theirs ready; nobody takes up ahead what is paid for from a budget."""
    make_directory(tmp_path / "e", images=10, prompts=3)  # 120 requests
    workers: list[tuple[int, int]] = []
    real = Crew._add

    def added(crew: Crew) -> None:
        real(crew)
        workers.append((len(crew._tasks), server.stats()["calls"]))

    monkeypatch.setattr(Crew, "_add", added)
    with serving() as server:
        judge = tmp_path / "judge.toml"
        judge.write_text(card_text(server.base_url, concurrency=2))
        isr.score(tmp_path / "e", judge=str(judge), budget_usd=usd)
        stats = server.stats()
    assert [n for n, _ in workers] == list(range(1, most + 1))
    assert [calls > 20 for _, calls in workers] == [False] * 2 + [True] * (most - 2)
    assert stats["calls"] == 120
    assert stats["most_in_flight"] <= 2


def test_the_images_of_a_request_are_ready_for_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("source", "edit"):
        picture(len(name)).save(tmp_path / f"{name}.png")
    files = {n: (f"{n}.png", sha256_bytes((tmp_path / f"{n}.png").read_bytes())) for n in ("source", "edit")}

    async def run() -> tuple[int, int]:
        request = a_request(card=a_card())
        encoder = Encoder(tmp_path, request.template.card.policy)
        assert not encoder.sends
        await images_of(request, Prepared(encoder, files))
        before = encoder._sent.made
        await message_of(request, Prepared(encoder, files))
        return before, encoder._sent.made

    assert asyncio.run(run()) == (2, 2)

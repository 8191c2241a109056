"""A run by workers of an engine: many in flight, asked of the store only when one is free, and the result of the direct path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import isr
from isr.errors import JudgeError, UsageError
from isr.scoring.options import Options, check_options
from tests.directories import make_directory
from tests.plugins import register

ENGINE = """
import asyncio
from isr.errors import JudgeError, TransportError
from isr.judging.backends import open_judge

TAKES = ()
SEEN = {"most": 0, "inside": 0, "closed": 0, "sets": (), "freed": 0, "lookups": []}

def open_workers(card, sets):
    SEEN["sets"] = tuple(sets)
    return Workers(card, sets)

class Workers:
    most = 24

    def __init__(self, card, sets):
        self.judge, self.sets = open_judge(card), sets
        self.places = asyncio.Semaphore(5)

    async def free(self):
        SEEN["freed"] += 1
        if "room=none" in self.sets:
            raise JudgeError("no room")
        if "room=later" in self.sets and SEEN["freed"] > 4:
            raise TransportError("server_error", "they all ended", retryable=False)

    async def ask(self, request, images):
        async with self.places:
            SEEN["inside"] += 1
            SEEN["most"] = max(SEEN["most"], SEEN["inside"])
            await asyncio.sleep(0)
            try:
                return await self.judge.ask(request, images)
            finally:
                SEEN["inside"] -= 1

    async def close(self):
        SEEN["closed"] += 1
"""
JUDGE = """
import asyncio, json
from isr.types import Answer, Finish

FREE = True

def open_judge(card):
    return Judge()

class Judge:
    async def ask(self, request, images):
        await asyncio.sleep(0.001)
        fails = sum(images.pixels("edit").getpixel((3, 3))) % 3 == 0
        said = {"reasoning": "r", "score": 1 if fails else 4, "verdict": "fails" if fails else "fine"}
        said |= {"source_kept": 4} if request.question == "semantic" else {}
        return Answer(text=json.dumps(said), finish_reason=Finish.STOP, served={"model": "coin"})

    async def close(self):
        pass
"""


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A card whose limits let two requests at a time, beside an engine ``my-workers``."""
    register(tmp_path / "site", "isr.judge_engines", "my-workers = open_workers", code=ENGINE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (tmp_path / "judge.py").write_text(JUDGE, "utf-8")
    path = tmp_path / "coin.toml"
    path.write_text('backend = "./judge.py:open_judge"\nmodel = "coin"\n[limits]\nconcurrency = 2\n', "utf-8")
    return path


def seen() -> dict[str, object]:
    from importlib import import_module, metadata

    (point,) = metadata.entry_points(group="isr.judge_engines", name="my-workers")
    found: dict[str, object] = import_module(point.module).SEEN
    return found


def test_the_result_is_that_of_the_direct_path(judge: Path, tmp_path: Path) -> None:
    for name in ("here", "there"):
        make_directory(tmp_path / name, images=6, prompts=2)
    here = isr.score(tmp_path / "here", judge=judge)
    there = isr.score(tmp_path / "there", judge=judge, engine="my-workers", engine_sets=["a=1"])
    assert here.to_json() == there.to_json()
    said = seen()
    assert said["most"] == 5  # as many as the workers take, whatever the card says of one
    assert said["sets"] == ("a=1",)
    assert said["closed"] == 1
    asked = said["freed"]
    assert isr.score(tmp_path / "there", judge=judge, engine="my-workers").to_json() == there.to_json()
    assert said["freed"] == asked  # a full store needs no worker
    (record,) = (tmp_path / "there.isr" / "runs").glob("*/run.json")
    assert json.loads(record.read_text("utf-8"))["options"]["engine"] == "my-workers"


def test_workers_for_which_there_is_no_room(judge: Path, tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=6, prompts=2)
    with pytest.raises(JudgeError, match="no room"):
        isr.score(tmp_path / "e", judge=judge, engine="my-workers", engine_sets="room=none")
    seen()["freed"] = 0
    done = isr.score(tmp_path / "e", judge=judge, engine="my-workers", engine_sets="room=later")
    counted = sum(u["n"] for u in done.treatments[0].counts["undecided"])
    assert counted > 0  # what they did not get to is undecided, and what was received is kept
    whole = isr.score(tmp_path / "e", judge=judge, engine="my-workers")
    assert not whole.unfinished


def test_until_goes_with_workers_and_waiting_does_not(judge: Path, tmp_path: Path) -> None:
    def options(**more: object) -> Options:
        return Options(directory=tmp_path, judge=str(judge), **more)  # type: ignore[arg-type]

    check_options(options(engine="my-workers", until="half-width=0.1"))
    with pytest.raises(UsageError, match="--no-wait: expected an engine that asks by batches"):
        check_options(options(engine="my-workers", wait=False))
    with pytest.raises(UsageError, match="--engine-set: expected --engine beside it"):
        check_options(options(engine_sets=("a=1",)))

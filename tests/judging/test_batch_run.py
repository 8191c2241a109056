"""A judge that is asked by batches: the same answers as directly, each asked for once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isr.errors import JudgeError, SecretError, UsageError
from isr.judging.batch_ledger import Ledger, State, waiting
from isr.scoring.run import Watch
from tests.batch_server import RunningBatches, serving
from tests.directories import make_directory
from tests.judging.batching import ENGINE, card_of, kept, score
from tests.processes import finish, read_until, started, wait_for

REQUESTS = 40  # 10 edits and 10 control edits, two questions each: files of 15, 15 and 10


@pytest.fixture(scope="module")
def running() -> Iterator[RunningBatches]:
    with serving(faults="lessons", seed=2) as server:
        yield server


@pytest.fixture
def server(running: RunningBatches) -> RunningBatches:
    running.reset(faults="none")
    return running


@pytest.fixture
def edits(tmp_path: Path) -> Path:
    make_directory(tmp_path / "e", images=5, prompts=2)
    return tmp_path / "e"


def store_of(edits: Path) -> Path:
    return edits.with_name(f"{edits.name}.isr") / "isr.db"


def result_of(run: Any) -> bytes:
    return (run.out / "result.json").read_bytes()


def directly(tmp_path: Path, judge: str, **options: Any) -> Any:
    """The same edits, asked one at a time, in another folder."""
    make_directory(tmp_path / "d", images=5, prompts=2)
    return score(tmp_path / "d", judge, engine="", **options)


def test_the_faults_of_a_day_and_the_result_of_the_direct_path(
    server: RunningBatches, edits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One shard expires half-done, one line meets a 500, one creation is never heard of, two downloads break off."""
    judge = card_of(tmp_path, server)
    server.change(faults="lessons", seed=2, expire=[1], fail_lines=[0], lose_create=[2], lose_file=2)
    by_batch = score(edits, judge)
    stats = server.stats()
    assert by_batch.exit_code == 0
    assert set(stats["shards"].values()) == {1}
    assert set(stats["in_batches"].values()) == {1}  # no answer was paid for twice
    assert len(stats["batches"]) == 4  # three shards, and one of what was left of them
    assert (
        "batch batch_1 expired: 7 of 15 requests were done and are kept, the others are asked again"
        in caplog.text
    )
    assert by_batch.progress.answered == REQUESTS
    server.reset(faults="lessons", seed=2)
    direct = directly(tmp_path, judge)
    assert result_of(by_batch) == result_of(direct)
    assert (by_batch.out / "edits.csv").read_bytes() == (direct.out / "edits.csv").read_bytes()
    assert kept(store_of(edits)) == kept(store_of(tmp_path / "d"))
    # the bodies are the same, byte for byte
    asked = server.stats()
    refused = {b for b in stats["bodies"] if b not in asked["answered"]}
    assert set(stats["bodies"]) == set(asked["answered"]) | refused
    assert len(refused) == asked["faulted"].get("content_filter", 0)
    record = json.loads((by_batch.out / "run.json").read_text("utf-8"))
    assert {a["engine"] for a in record["answered_by"]} == {ENGINE}
    assert record["options"]["engine"] == ENGINE
    assert "engine" not in json.loads((direct.out / "run.json").read_text("utf-8"))["answered_by"][0]
    # half the price, by the card
    assert record["usage"]["usd"] == pytest.approx(
        json.loads((direct.out / "run.json").read_text("utf-8"))["usage"]["usd"] / 2, rel=1e-3
    )


def test_a_full_store_asks_nobody_and_needs_no_engine(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    judge = card_of(tmp_path, server)
    first = score(edits, judge)
    asked = server.stats()["api_requests"]
    assert result_of(score(edits, judge)) == result_of(first)
    assert result_of(score(edits, judge, engine="")) == result_of(first)
    assert server.stats()["api_requests"] == asked
    assert server.stats()["calls"] == REQUESTS  # those in the batches
    assert waiting(store_of(edits), [""]) == 0


def test_a_refused_line_is_final_and_a_shard_of_refusals_stops(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    judge = card_of(tmp_path, server)
    server.change(reject_lines=[0])
    done = score(edits, judge)
    assert done.exit_code == 0
    assert done.progress.undecided == {"request_rejected": 1}
    assert len(server.stats()["batches"]) == 3  # it was not asked again
    make_directory(tmp_path / "f", images=5, prompts=2)
    server.reset(faults={"content_filter": 0.0})
    server.change(reject_lines=list(range(50)))
    with pytest.raises(JudgeError, match="the endpoint rejects every request"):
        score(tmp_path / "f", card_of(tmp_path, server, batch_requests=1))


# ------------------------------------------------------------------------------------------------ the queue


def test_a_full_queue_is_waited_for_and_costs_nothing(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    server.change(enqueued=30)  # two shards at once
    done = score(edits, card_of(tmp_path, server))
    stats = server.stats()
    states = [b["status"] for b in stats["batches"]]
    assert done.exit_code == 0
    assert states.count("failed") >= 1
    assert states.count("completed") == 3
    assert set(stats["shards"].values()) == {1}
    assert set(stats["in_batches"].values()) == {1}
    assert stats["uploads"] == 3  # the file is there, and is used again
    assert done.progress.usd == pytest.approx(REQUESTS * (1500 + 2 * 60) / 1e6 / 2)


def test_a_shard_that_fits_into_no_queue_is_halved(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    server.change(enqueued=8)
    done = score(edits, card_of(tmp_path, server))
    assert done.exit_code == 0
    whole = [b["request_counts"]["total"] for b in server.stats()["batches"] if b["status"] == "completed"]
    assert sum(whole) == REQUESTS
    assert max(whole) <= 8
    assert set(server.stats()["in_batches"].values()) == {1}


# ------------------------------------------------------------------------------------------------ hostile replies


def test_lines_that_are_wrong_are_told_by_cause_and_give_no_number(
    server: RunningBatches, edits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.change(wrong="some")
    judge = card_of(tmp_path, server, batch_requests=40)
    done = score(edits, judge)
    assert done.exit_code == 3
    assert done.unfinished == {"server_error": 1}  # the line that is missing
    for line in (
        "1 lines for requests that had one before",
        "2 lines for requests that are not of this batch (of-somebody-else, 7)",
        "2 lines that are no JSON object (no json {, [1])",
        "1 lines of more than 8 MiB",
        "1 requests without a line",
    ):
        assert line in caplog.text
    answers = kept(store_of(edits))
    assert len(answers) == REQUESTS - 1
    server.reset(faults={})
    directly(tmp_path, judge)
    true = kept(store_of(tmp_path / "d"))
    assert {k: true[k] for k in answers} == answers  # the second line for a request changed nothing
    again = score(edits, judge)  # asks for the one that is missing
    assert again.exit_code == 0
    assert [b["request_counts"]["total"] for b in server.stats()["batches"]] == [1]


def test_files_of_another_batch_stop_the_run(server: RunningBatches, edits: Path, tmp_path: Path) -> None:
    server.change(wrong="all", looks=1)
    done = score(edits, card_of(tmp_path, server, batch_requests=40))
    assert done.exit_code == 3
    assert "its files hold no answer to it: nothing more is asked" in done.progress.stopped
    assert len(server.stats()["batches"]) == 1
    assert not kept(store_of(edits))


def test_another_model_stops_as_on_the_direct_path(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    judge = card_of(tmp_path, server)
    text = (
        Path(judge)
        .read_text("utf-8")
        .replace('model = "test-model"\n', 'model = "test-model"\nserves = ["test-model"]\n')
    )
    Path(judge).write_text(text, "utf-8")
    server.change(reports="test-model-mini")
    with pytest.raises(JudgeError, match="found an answer of 'test-model-mini': that may be another judge"):
        score(edits, judge)
    assert not kept(store_of(edits))


def test_a_redirect_carries_no_key(
    server: RunningBatches, edits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isr.judging.keys import allow

    key = "sk-batch/0123456789+abcdefgh"
    monkeypatch.setenv("BATCH_KEY", key)
    allow("127.0.0.1", "BATCH_KEY")
    judge = card_of(tmp_path, server)
    text = Path(judge).read_text("utf-8").replace("[decoding]", 'api_key_env = "BATCH_KEY"\n[decoding]')
    Path(judge).write_text(text, "utf-8")
    with serving() as other:
        server.change(redirect=f"{other.base_url}/batches")
        with pytest.raises(SecretError, match="a request and its key are never sent on"):
            score(edits, judge)
        assert other.stats()["api_requests"] == 0
    assert server.stats()["keys"] == [f"Bearer {key}"]
    for file in store_of(edits).parent.rglob("*"):
        assert not file.is_file() or key.encode() not in file.read_bytes()


# ------------------------------------------------------------------------------------------------ money, and going on


def test_nothing_is_submitted_that_the_budget_does_not_cover(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    judge = card_of(tmp_path, server)
    whole = score(edits, judge, budget_usd=100.0).progress.usd
    server.reset(faults={})
    make_directory(tmp_path / "f", images=5, prompts=2)
    some = score(tmp_path / "f", judge, budget_usd=0.25)
    asked = sum(b["request_counts"]["total"] for b in server.stats()["batches"])
    assert 0 < asked < REQUESTS
    assert "does not cover another request" in some.progress.stopped
    assert some.exit_code == 3
    assert some.progress.answered == asked
    assert some.progress.usd < whole
    assert score(tmp_path / "f", judge, budget_usd=0.0).progress.answered == 0
    assert sum(b["request_counts"]["total"] for b in server.stats()["batches"]) == asked


def test_a_batch_that_somebody_cancels_is_told_and_its_rest_is_asked_by_the_same_command(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    judge = card_of(tmp_path, server, batch_requests=40)
    server.change(looks_of={"0": 10**9})

    async def cancelled() -> Any:
        from isr.scoring.options import Options
        from isr.scoring.run import run

        watch = Watch()
        task = asyncio.create_task(run(Options(directory=edits, judge=judge, engine=ENGINE), watch))
        while not watch.progress.elsewhere:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.cancel, "batch_0")
        return await task

    done = asyncio.run(cancelled())
    assert done.exit_code == 3
    assert done.progress.stopped == (
        "batch batch_0 was cancelled outside of this run: 20 answers of it are kept, 20 requests were not asked; the same "
        "command asks them"
    )
    assert len(kept(store_of(edits))) == 20
    server.change(looks_of={})
    assert score(edits, judge).exit_code == 0
    assert set(server.stats()["in_batches"].values()) == {1}


def test_an_interrupt_leaves_the_batches_running_and_says_how_to_go_on(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    judge = card_of(tmp_path, server)
    server.change(looks=10**9)
    command = [
        sys.executable,
        "-m",
        "isr",
        "score",
        edits,
        "--judge",
        judge,
        "--engine",
        ENGINE,
        "--no-report",
    ]
    with started(command) as process:
        wait_for(lambda: len(server.stats()["batches"]) == 3, process, what="three batches")
        process.send_signal(signal.SIGINT)
        said = read_until(process.stderr, "3 batches with 40 requests go on at 127.0.0.1")
        done = finish(process)
    assert done.returncode == 130
    assert "the same command goes on with them" in said.string
    assert f"isr batch cancel {edits}.isr ends them" in said.string
    server.change(looks=1)
    assert score(edits, judge).exit_code == 0
    assert len(server.stats()["batches"]) == 3


def test_a_part_of_a_batch_that_another_question_asks_for(
    server: RunningBatches, edits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A limited run takes its own answers of a batch of all edits, and leaves the others to be fetched."""
    judge = card_of(tmp_path, server)
    assert score(edits, judge, wait=False).exit_code == 3
    assert score(edits, judge, limit=1).exit_code == 0
    assert len(server.stats()["batches"]) == 3
    shards = list(Ledger(store_of(edits)).shards())
    assert [s.state for s in shards].count(
        State.CREATED
    ) == 3  # the others' answers are still there to be fetched
    assert score(edits, judge, engine="", limit=2).exit_code == 0
    assert "requests are in batches that were not fetched" in caplog.text
    assert score(edits, judge).exit_code == 0
    assert len(server.stats()["batches"]) == 3
    assert {s.state for s in Ledger(store_of(edits)).shards()} == {State.DONE}


def test_a_lost_ledger_is_found_again_at_the_host(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    judge = card_of(tmp_path, server)
    assert score(edits, judge, wait=False).exit_code == 3
    for file in Ledger(store_of(edits)).folder.iterdir():
        file.unlink()
    assert score(edits, judge).exit_code == 0
    assert len(server.stats()["batches"]) == 3
    assert server.stats()["uploads"] == 3


def test_a_host_without_metadata_is_known_by_its_files(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    server.change(drop_metadata=True, lose_create=[0, 1])
    assert score(edits, card_of(tmp_path, server)).exit_code == 0
    assert len(server.stats()["batches"]) == 3


def test_a_host_that_is_gone_ends_the_run_and_nothing_is_lost(edits: Path, tmp_path: Path) -> None:
    with serving(looks=10**9) as server:
        judge = card_of(tmp_path, server)
        assert score(edits, judge, wait=False).exit_code == 3
        server.kill()
        done = score(edits, judge)
    assert done.exit_code == 3
    assert "nothing listens" in done.progress.stopped or "no connection" in done.progress.stopped
    assert [s.state for s in Ledger(store_of(edits)).shards()] == [State.CREATED] * 3


def test_a_host_without_batches_says_so_before_anything_is_asked(edits: Path, tmp_path: Path) -> None:
    from tests.chat_server import serving as chatting

    with chatting() as server, pytest.raises(JudgeError, match="it takes no batches; leave out --engine"):
        score(edits, card_of(tmp_path, server))  # type: ignore[arg-type]
    assert not list(Ledger(store_of(edits)).shards())


# ------------------------------------------------------------------------------------------------ kills


def test_three_kills_where_they_hurt(server: RunningBatches, edits: Path, tmp_path: Path) -> None:
    """With a file uploaded, with a batch created of which nobody was told, and in the middle of the results."""
    judge = card_of(tmp_path, server)
    server.change(expire=[1], fail_lines=[0], looks=1)
    command = [
        sys.executable,
        "-m",
        "isr",
        "score",
        edits,
        "--judge",
        judge,
        "--engine",
        ENGINE,
        "--quiet",
        "--no-report",
    ]
    reached = []
    for at in (
        2,
        3,
        10,
    ):  # the list, the upload | the list, the upload again, the creation | ..., the first results
        server.change(hold_at=server.stats()["api_requests"] + at, hold_where="after")
        with started(command) as process:
            wait_for(lambda: server.stats()["held"], process, what="the request that is held")
            stats = server.stats()
            reached.append((stats["uploads"], len(stats["batches"]), stats["downloads"] > 0))
        server.change(hold_at=0)
        wait_for(lambda: not server.stats()["held"], what="the end of what was held")
    assert reached[0] == (1, 0, False)
    assert reached[1] == (2, 1, False)
    assert reached[2][2]
    by_batch = score(edits, judge)
    stats = server.stats()
    assert by_batch.exit_code == 0
    assert set(stats["shards"].values()) == {1}
    assert set(stats["in_batches"].values()) == {1}
    server.reset(faults={})
    assert result_of(by_batch) == result_of(directly(tmp_path, judge))


def test_two_processes_do_not_run_the_same_batches(
    server: RunningBatches, edits: Path, tmp_path: Path
) -> None:
    judge = card_of(tmp_path, server)
    score(edits, judge, wait=False)
    (shard, *_) = Ledger(store_of(edits)).shards()
    with (
        Ledger(store_of(edits)).held(shard.judge),
        pytest.raises(UsageError, match="expected no other process"),
    ):
        score(edits, judge)

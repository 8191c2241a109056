"""Replies without end, that unpack without end, of 17 MB, with numbers of 400 digits: each costs one request at most."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from isr.errors import TransportError
from isr.judging.replies import MAX_REPLY, bounded
from tests.chat_server import serving
from tests.directories import make_directory
from tests.processes import run
from tests.runs import the_run

SCORED = """
import sys
import isr
isr.score(sys.argv[1], judge=sys.argv[2])
# of this program alone: ru_maxrss counts what the process that started it held
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def reasons(home: Path) -> dict[str, int]:
    """Undecided requests of the one run by their reasons."""
    result = json.loads((the_run(home) / "result.json").read_text("utf-8"))
    found: dict[str, int] = {}
    for part in [*result["treatments"], result["control"]]:
        for entry in part["counts"]["undecided"]:
            found[entry["reason"]] = found.get(entry["reason"], 0) + entry["n"]
    return found


def test_a_run_against_a_hostile_server_ends_whole_and_small(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=10, prompts=2)
    with serving(faults="hostile") as server:
        command = [sys.executable, "-c", SCORED, tmp_path / "e", card(server, concurrency=4)]
        first = run(command, check=True)
        stats = server.stats()
        faulted = stats["faulted"]
        assert set(faulted) == {"endless", "gzip_bomb", "packed", "huge", "long", "digits"}
        assert stats["calls"] == 80  # ten images, two prompts, two arms, two questions: each asked once
        given_up = sum(faulted[name] for name in ("endless", "gzip_bomb", "huge"))
        assert reasons(tmp_path / "e.isr") == {"server_error": given_up, "truncated": faulted["long"]}
        run(command, check=True)  # these faults do not come twice
        assert server.stats()["calls"] == 80 + given_up
    assert int(first.stdout.split()[-1]) < 300_000  # kB
    assert reasons(tmp_path / "e.isr") == {"truncated": faulted["long"]}
    exported = run([sys.executable, "-m", "isr", "store", "export", tmp_path / "e.isr"], check=True)
    answers = [
        row["answer"] for line in exported.stdout.splitlines() if "answer" in (row := json.loads(line))
    ]
    cut = [a for a in answers if "cut" in a["served"]]
    assert {len(a["text"]) for a in cut} == {100_000}
    assert len(cut) == faulted["long"]
    assert sum("usage" not in a for a in answers) == faulted["digits"]


async def _read(chunks: list[bytes], encoding: str) -> bytes:
    async def given() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return b"".join([piece async for piece in bounded(given(), encoding, "a.host")])


def test_a_body_up_to_the_bound_is_read_and_no_longer_one() -> None:
    most = [b"x" * 2**20] * (MAX_REPLY // 2**20)
    assert len(asyncio.run(_read(most, ""))) == MAX_REPLY
    packed = gzip.compress(b"".join(most))
    assert asyncio.run(
        _read([packed[i : i + 1000] for i in range(0, len(packed), 1000)], "GZIP ")
    ) == b"".join(most)
    for chunks, encoding in (([*most, b"x"], "identity"), ([gzip.compress(b"".join(most) + b"x")], "gzip")):
        with pytest.raises(
            TransportError, match=r"a\.host: expected a chat completion; found a reply of more than 8 MiB"
        ):
            asyncio.run(_read(chunks, encoding))


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
def test_a_packing_that_nobody_asked_for_and_that_is_not_known(encoding: str) -> None:
    with pytest.raises(TransportError, match="which was not asked for"):
        asyncio.run(_read([b"x"], encoding))

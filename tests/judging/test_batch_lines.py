"""Lines of a stranger's file: within memory, one at a time, every wrong one counted by its cause."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from isr.judging.batch_lines import NO_JSON, NOT_ASKED, TOO_LONG, TWICE, Problems, lines_of, results_in
from isr.judging.replies import MAX_REPLY


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def lines(pieces: Iterable[bytes]) -> tuple[list[bytes], Problems]:
    async def read() -> tuple[list[bytes], Problems]:
        problems = Problems()
        return [line async for line in lines_of(stream(pieces), problems)], problems

    return asyncio.run(read())


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_are_the_same_whatever_the_pieces(size: int) -> None:
    data = b"one\n\ntwo\nthree"
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    assert lines(pieces)[0] == [b"one", b"", b"two", b"three"]


def test_a_line_without_end_is_passed_over_within_its_bound() -> None:
    piece = b"x" * 2**20
    endless = [piece] * 64 + [b"\nafter\n"] + [piece] * 64
    tracemalloc.start()
    found, problems = lines(endless)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [b"after"]
    assert problems.counts == {TOO_LONG: 2}
    assert most < 4 * MAX_REPLY


def test_a_line_at_the_bound_is_read() -> None:
    found, problems = lines([b"y" * MAX_REPLY + b"\n", b"y" * (MAX_REPLY + 1) + b"\n"])
    assert [len(line) for line in found] == [MAX_REPLY]
    assert problems.counts == {TOO_LONG: 1}


def test_only_lines_for_requests_that_were_asked_come_through_and_each_once() -> None:
    data = (
        b'{"custom_id": "a", "n": 1}\n{"custom_id": "b", "n": 2}\n{"custom_id": "a", "n": 3}\n{"custom_id": "z"}\n'
        b'{"custom_id": ["a"]}\n{"n": 1}\nnull\n"a"\n{"custom_id": "b"\n[[[[\n' + b"[" * 100_000 + b"\n"
    )

    async def read() -> tuple[list[tuple[str, Any]], Problems]:
        problems = Problems()
        found = results_in(
            stream([data]), lambda line: line.get("custom_id"), {"a", "b", "c"}, set(), problems
        )
        return [(name, line["n"]) async for name, line in found], problems

    found, problems = asyncio.run(read())
    assert found == [("a", 1), ("b", 2)]
    assert problems.counts == {TWICE: 1, NOT_ASKED: 3, NO_JSON: 5}
    told = problems.lines()
    assert f"1 {TWICE} (a)" in told
    assert all(len(line) < 400 for line in told)


def test_of_many_problems_few_examples_are_kept() -> None:
    problems = Problems()
    for i in range(10_000):
        problems.add(NOT_ASKED, f"{'w' * 1000}{i}")
    (line,) = problems.lines()
    assert line.startswith(f"10,000 {NOT_ASKED} (www")
    assert len(line) < 400

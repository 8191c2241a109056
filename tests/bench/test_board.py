"""What is left of a study, by arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.bench.progress import Board


def test_time_left_is_measured_seconds_over_workers() -> None:
    board = Board(jobs=2)
    board.plan("sifm", "immunize", 4)
    board.plan("noise", "immunize", 4)
    board.plan("ip2p", "edit", 10)
    board.plan("oracle", "score", 100)
    assert board.seconds_left() == (0.0, 118)  # nothing is known of anything
    board.add("sifm", 6.0, fresh=True)
    board.add("sifm", 0.0, fresh=False)
    # 2 images of sifm at 6 s, 4 of noise taken to be like it, two workers; edits and questions are not known
    assert board.seconds_left() == ((2 * 6 + 4 * 6) / 2, 110)
    assert board.counts("immunize") == (2, 8)


def test_an_earlier_run_is_remembered() -> None:
    board = Board()
    board.plan("ip2p", "edit", 10, {"ip2p": 2.0})
    assert board.seconds_left() == (20.0, 0)
    board.add("ip2p", 4.0, fresh=True)  # what is measured now counts
    assert board.seconds_left() == (36.0, 0)
    assert board.seconds_each() == {"ip2p": 4.0}


def test_the_bar_counts_seconds_once_all_are_known() -> None:
    board = Board()
    board.plan("a", "immunize", 2, {"a": 30.0})
    board.plan("b", "edit", 10)
    assert board.share() == (0, 12)
    board.add("a", 30.0, fresh=True)
    assert board.share() == (1, 12)
    board.add("b", 1.0, fresh=True)
    assert board.share() == (31.0, 70.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=12))
def test_never_more_than_everything(units: list[tuple[float, bool]]) -> None:
    board = Board(jobs=3)
    board.plan("x", "edit", 5)
    for seconds, fresh in units:
        board.add("x", seconds, fresh=fresh)
    done, total = board.share()
    assert done <= total
    assert board.seconds_left()[0] >= 0
    board.finish("x")
    assert board.seconds_left() == (pytest.approx(0.0), 0)

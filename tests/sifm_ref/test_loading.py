"""How many threads of torch work on pictures of a size."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sifm_ref.loading import SMALL, bound_threads, threads_for  # noqa: E402


def test_small_pictures_are_worked_on_by_one_thread_unless_a_user_says_otherwise() -> None:
    assert threads_for(64, None) == threads_for(SMALL, "") == 1
    assert threads_for(SMALL + 1, None) == 0
    assert threads_for(64, "8") == 0


def test_threads_are_bounded_and_0_leaves_them() -> None:
    before = torch.get_num_threads()
    try:
        bound_threads(1)
        assert torch.get_num_threads() == 1
        bound_threads(0)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)

"""Errors come back from an actor as what they were."""

from __future__ import annotations

import pickle

import pytest

from isr.actors.wire import from_wire, to_wire
from isr.errors import CardError, InputError, IsrError, JudgeError, Problem, TransportError, UsageError


@pytest.mark.parametrize(
    "error",
    [
        JudgeError("it cannot"),
        UsageError("not so"),
        CardError("two", [Problem("c.toml", "model", "one", "none", "add it")]),
        InputError("none"),
        TransportError("too_long", "of 9 tokens", retryable=False, terminal="too_long"),
        TransportError("rate_limited", "busy", retry_after_s=2.5, overloaded=True, worded=True),
    ],
)
def test_there_and_back(error: IsrError) -> None:
    back = from_wire(pickle.loads(pickle.dumps(to_wire(error))))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert {k: v for k, v in vars(back).items() if k != "stops"} == {
        k: v for k, v in vars(error).items() if k != "stops"
    }


def test_a_class_that_is_not_known_here_is_the_nearest_that_is() -> None:
    class Own(JudgeError):
        def __init__(self, code: int) -> None:
            super().__init__(f"code {code}")

    back = from_wire(to_wire(Own(7)))
    assert type(back) is JudgeError
    assert str(back) == "code 7"

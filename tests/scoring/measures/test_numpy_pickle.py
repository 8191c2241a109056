"""A pickle of arrays is read; whatever else a pickle can do is refused, and nothing of it happens."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.reading import Unreadable
from isr.scoring.measures._numpy_pickle import arrays_of

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


class Hostile:
    def __init__(self, *called: Any) -> None:
        self.called = called

    def __reduce__(self) -> Any:
        return self.called


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_by_their_names(protocol: int) -> None:
    value = {"net": {"a": ARRAY, "b": ARRAY.T.astype(np.float64)}, "c": ARRAY.astype(np.float16)}
    found = arrays_of(pickle.dumps(value, protocol), "f.ckpt")
    assert list(found) == ["net/a", "net/b", "c"]
    np.testing.assert_array_equal(found["net/a"], ARRAY)
    np.testing.assert_array_equal(found["net/b"], ARRAY.T)
    assert (found["net/b"].dtype, found["c"].dtype) == (np.float64, np.float16)


@pytest.mark.parametrize(
    "value",
    [
        Hostile(os.system, ("touch {mark}",)),
        Hostile(eval, ("open('{mark}', 'w')",)),
        Hostile(subprocess.run, (["touch", "{mark}"],)),
        Hostile(np.load, ("{mark}",)),
        Hostile(getattr, ("", "join")),
    ],
    ids=["system", "eval", "subprocess", "numpy", "getattr"],
)
def test_a_global_that_is_no_array_is_refused_and_not_called(tmp_path: Path, value: Hostile) -> None:
    mark = tmp_path / "mark"
    function, arguments = value.called
    value.called = (function, eval(repr(arguments).replace("{mark}", str(mark))))
    with pytest.raises(Unreadable, match=r"f\.ckpt: expected .* found .*; nothing in it was run"):
        arrays_of(pickle.dumps({"net": {"a": ARRAY, "x": value}}, 2), "f.ckpt")
    assert not mark.exists()


def test_the_message_names_the_global() -> None:
    data = pickle.dumps({"x": Hostile(os.system, ("true",))}, 2)
    with pytest.raises(Unreadable, match=rf"found {os.system.__module__}\.system; do not use the file"):
        arrays_of(data, "f.ckpt")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"a": np.array([{}], object)}, "an array of 'O8'"),
        ({"a": np.arange(3)}, "an array of 'i8'"),
        ({"a": ARRAY.astype(">f4")}, "numbers in the byte order '>'"),
        ({"a": None}, "a value of the type NoneType"),
        ({"a": [ARRAY]}, "the opcode EMPTY_LIST"),
        ({"a": 1.5}, "the opcode BINFLOAT"),
        ({1: ARRAY}, "a name of the type int"),
        ({"a": np.zeros(2, [("x", "f4")])}, "an array of 'V4'"),
        (Hostile(np.ndarray, ((10**9,),)), "an array that is made by its class"),
    ],
)  # fmt: skip
def test_what_is_no_array(value: Any, found: str) -> None:
    with pytest.raises(Unreadable) as caught:
        arrays_of(pickle.dumps(value, 3), "f.ckpt")
    assert caught.value.found == found


def test_few_bytes_cannot_mean_very_many_names() -> None:
    value: dict[str, Any] = {"a": {}}
    for _ in range(40):
        value = {"a": value, "b": value}
    with pytest.raises(Unreadable, match="a dictionary in two places"):
        arrays_of(pickle.dumps(value, 3), "f.ckpt")
    loop: dict[str, Any] = {}
    loop["a"] = loop
    with pytest.raises(Unreadable, match="a dictionary in two places"):
        arrays_of(pickle.dumps(loop, 3), "f.ckpt")


def test_a_file_that_is_cut_off_or_another() -> None:
    data = pickle.dumps({"a": ARRAY}, 3)
    for some in (b"", data[:-1], data[:-30], b"hello", b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f"):
        with pytest.raises(Unreadable, match=r"that end early or are none .*; get the file again"):
            arrays_of(some, "f.ckpt")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_whatever_is_changed_in_a_file_ends_in_arrays_or_a_refusal(place: int, more: bytes) -> None:
    data = pickle.dumps({"net": {"a": ARRAY}}, 3)
    place %= len(data)
    try:
        found = arrays_of(data[:place] + more + data[place + len(more) :], "f.ckpt")
    except Unreadable:
        return
    assert all(isinstance(a, np.ndarray) for a in found.values())

"""The examples in the docstrings of the public statistics are run, and no function comes without one."""

from __future__ import annotations

import doctest
import inspect
import sys

import pytest

from isr import calibration, stats

FUNCTIONS = {
    name: value
    for package in (stats, calibration)
    for name in package.__all__
    if inspect.isfunction(value := getattr(package, name))
}


@pytest.mark.parametrize("name", sorted({f.__module__ for f in FUNCTIONS.values()}))
def test_examples_are_right(name: str) -> None:
    assert doctest.testmod(sys.modules[name]).failed == 0


def test_every_exported_function_has_an_example() -> None:
    assert [n for n, f in FUNCTIONS.items() if ">>>" not in (f.__doc__ or "")] == []

"""Metrics of other packages: whose name it is, what is none, and that a release measures again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from isr.errors import UsageError
from isr.scoring.registered_metrics import registered_metrics
from tests.plugins import register

CODE = """
def good(x, y):
    return (x - y).abs().mean()
good.orientation = 1
def bare(x, y):
    return 0.0
def odd(x, y):
    return 0.0
odd.orientation = True
number = 7
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("others", None)


def test_a_metric_is_found_with_its_orientation_and_release(site: Path) -> None:
    register(site, "isr.metrics", "mine = good", code=CODE)
    found = registered_metrics()["mine"]
    assert (found.orientation, found.release) == (1, "others=1.0")


def test_a_built_in_name_is_not_shadowed(site: Path) -> None:
    register(site, "isr.metrics", "psnr = good", code=CODE)
    with pytest.raises(
        UsageError, match=r"metric 'psnr': .* found isr itself and others:good of the package others"
    ):
        registered_metrics(taken=("psnr",))


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ("mine = bare", r"expected a function with the attribute orientation = 1 or -1; found None"),
        ("mine = odd", r"orientation = 1 or -1; found True"),
        ("mine = number", r"orientation = 1 or -1; found None"),
        ("mine = nobody", r"expected a function that can be imported"),
        ("Mine = good", r"expected a name of lower-case letters, digits and underscores; found 'Mine'"),
    ],
)
def test_what_is_no_metric(site: Path, point: str, expected: str) -> None:
    register(site, "isr.metrics", point, code=CODE)
    with pytest.raises(UsageError, match=expected):
        registered_metrics()

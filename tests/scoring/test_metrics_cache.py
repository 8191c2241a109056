"""What was measured is known by its inputs and by versions and weights; lines of earlier versions are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs isr-eval[metrics]")

from isr.scoring.measures import Blank, Given, Measure
from isr.scoring.metrics_cache import Cache
from isr.types import ImageRef


def measure(name: str, mark: str, value: Any = None) -> Measure:
    return Measure(name=name, value=value or (lambda given: 0.5), mark=mark, title=name, orientation=1)


def pair(*texts: str) -> Given:
    return Given(Path(), (ImageRef("a.png", "sha256:aa"), ImageRef("b.png", "sha256:bb")), texts)


def test_a_line_of_an_earlier_version_counts_for_what_it_was_measured_by(tmp_path: Path) -> None:
    """0.1.0 wrote one line for all metrics of a pair, under the marks of all packages together."""
    line = {
        "by": "piq=0.8|others=1.0",
        "a": "sha256:aa",
        "b": "sha256:bb",
        "values": {"psnr": 20.0, "mine": 3.0, "lpips": 0.1},
    }
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    some = [measure("psnr", "piq=0.8"), measure("mine", "others=2.0"), measure("lpips_vgg", "piq=0.8,w")]
    with Cache(tmp_path / "m.jsonl", some) as cache:
        assert [cache.knows(m, pair()) for m in some] == [True, False, False]
        found, reasons = cache.measure(pair(), some)
    assert (found, reasons) == ({"psnr": 20.0, "mine": 0.5, "lpips_vgg": 0.5}, set())
    with Cache(tmp_path / "m.jsonl", some) as cache:
        assert all(cache.knows(m, pair()) for m in some)


def test_texts_are_part_of_what_a_value_is_of(tmp_path: Path) -> None:
    one = measure("t", "v=1")
    with Cache(tmp_path / "m.jsonl", [one]) as cache:
        cache.measure(pair("a dog", "a cat"), [one])
    with Cache(tmp_path / "m.jsonl", [one]) as cache:
        assert cache.knows(one, pair("a dog", "a cat"))
        assert not cache.knows(one, pair("a cat", "a dog"))
        assert not cache.knows(one, pair("a dog"))


def test_other_weights_are_said_once_until_they_are_measured(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for mark, told in (("w=1", 0), ("w=2", 1), ("w=2", 1), ("w=1", 1)):
        one = measure("x", mark)
        with Cache(tmp_path / "m.jsonl", [one]) as cache:
            cache.measure(pair(), [one])
        assert caplog.text.count("and measured again by") == told


def test_why_there_is_no_value(tmp_path: Path) -> None:
    def blank(given: Given) -> float:
        raise Blank("images of different sizes")

    def small(given: Given) -> float:
        raise RuntimeError("too small")

    some = [
        measure("a", "v", blank),
        measure("b", "v", blank),
        measure("c", "v", small),
        measure("d", "v", lambda given: float("inf")),
    ]
    with Cache(tmp_path / "m.jsonl", some) as cache:
        assert cache.measure(pair(), some) == (
            {},
            {"images of different sizes", "c: too small", "d: infinite, as the images are equal"},
        )
    assert (tmp_path / "m.jsonl").read_text() == ""


@pytest.mark.parametrize(
    "line", ['{"by": "v"}', "[]", '{"by": 3, "a": 1, "b": 2, "values": {}}', "{", '{"by": "v", "a']
)
def test_a_line_that_is_none_is_passed_over(tmp_path: Path, line: str) -> None:
    good = json.dumps({"by": "v", "a": "sha256:aa", "b": "sha256:bb", "values": {"x": 2.0}})
    (tmp_path / "m.jsonl").write_text(f"{line}\n{good}\n{line}")
    one = measure("x", "v")
    with Cache(tmp_path / "m.jsonl", [one]) as cache:
        assert cache.measure(pair(), [one]) == ({"x": 2.0}, set())

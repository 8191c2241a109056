"""Engines are found by their names, and say of which cards they can ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from isr.errors import CardError, UsageError
from isr.judging.cards import load_card
from isr.judging.engines import Status, built_in, engine_of, hands_of
from tests.directories import card_text
from tests.plugins import register

OUTSIDE = """
TAKES = ("shapes_oracle",)
def open_batches(card):
    return card.name
"""


def test_the_engine_that_ships_is_found() -> None:
    assert built_in() == ["openai-batch", "ray"]
    assert engine_of("openai-batch").takes == ("openai_chat",)
    assert engine_of("openai-batch").in_batches
    assert not engine_of("ray").in_batches


@pytest.mark.parametrize("name", ["openai-bach", "", "openai_chat", "../x", "replay", "-"])
def test_another_name_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(UsageError, match=r"--engine: expected one of openai-batch, ray; found"):
        engine_of(name)


def test_a_card_of_another_backend_or_with_several_servers_is_refused(tmp_path: Path) -> None:
    engine = engine_of("openai-batch")
    engine.require(load_card("gpt-4.1"))
    with pytest.raises(
        UsageError, match="expected a card of the backend openai_chat; found replay of 'replay'"
    ):
        engine.require(load_card("replay"))
    (tmp_path / "two.toml").write_text(
        card_text("http://127.0.0.1:1/v1").replace(
            'base_url = "http://127.0.0.1:1/v1"',
            'base_urls = ["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"]',
        ),
        "utf-8",
    )
    with pytest.raises(UsageError, match="expected a card with one server; found two with 2"):
        engine.require(load_card(str(tmp_path / "two.toml")))


def test_an_engine_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(tmp_path, "isr.judge_engines", "my-batches = open_batches", code=OUTSIDE)
    register(tmp_path, "isr.judge_engines", "my-nothing = x", code="TAKES = ()\n", package="nothing")
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = engine_of("my-batches")
    assert (engine.takes, engine.name) == (("shapes_oracle",), "my-batches")
    assert engine.host_of(load_card("replay")) == "replay"
    with pytest.raises(
        CardError, match="expected a module with TAKES, a tuple of backends, and open_batches"
    ):
        engine_of("my-nothing")
    with pytest.raises(UsageError, match="--engine my-batches: expected an engine that makes pictures"):
        hands_of("my-batches", ())
    assert hands_of("", ()) is None
    with pytest.raises(UsageError, match="--engine-set a=1: expected an engine with settings"):
        engine.require(load_card("replay"), ["a=1"])
    with pytest.raises(
        UsageError, match=r"expected one of openai-batch, ray, my-batches, my-nothing; found 'my-batch'"
    ):
        engine_of("my-batch")


def test_which_states_are_over() -> None:
    assert {s.value for s in Status if s.is_over} == {"completed", "expired", "cancelled", "failed"}

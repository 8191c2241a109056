"""How long a model takes on a CPU: the dry run's minutes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.judging.cards import builtin_names, load_card
from isr.judging.local_time import SMALL, Speed, seconds, speed
from isr.scoring import dry_run
from tests.chat_server import serving
from tests.directories import card_text, make_directory

SMALL_ONES = [n for n in builtin_names() if 0 < load_card(n).parameters <= SMALL]


def test_time_grows_with_the_model_and_with_its_words() -> None:
    at = Speed(1e11, 1e10)
    assert seconds(4, 1000, 100, at)[0] == 2 * seconds(2, 1000, 100, at)[0]
    # 100 tokens of 2e9 weights: 0.6 bytes each are read in 12 s, 2 bytes in 40 s, which a slow program does in 40 / 0.3 s
    assert seconds(2, 0, 100, at) == (pytest.approx(12), pytest.approx(40 / 0.3))
    assert seconds(2, 1000, 100, at)[0] == pytest.approx(
        seconds(2, 1000, 0, at)[0] + seconds(2, 0, 100, at)[0]
    )


def test_the_speed_of_this_machine_is_measured() -> None:
    found = speed(0.01)
    assert found.operations > 1e8  # a hundred million a second: any machine of this century
    assert found.bytes > 1e7


def test_small_judges_come_both_ways_and_send_to_qualify_first() -> None:
    assert len(SMALL_ONES) == 6
    assert {load_card(n).backend for n in SMALL_ONES} == {"hf_transformers", "openai_chat"}
    for name in SMALL_ONES:
        card = load_card(name)
        assert f"isr qualify {name} EDIT_DIR comes first" in " ".join(card.notes.split())
        assert card.price.image_tokens
        assert all(e.host in ("", "127.0.0.1") for e in card.endpoint.each)


def test_the_dry_run_says_minutes_for_100_edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_directory(tmp_path / "e", images=3, prompts=1)
    monkeypatch.setattr(dry_run, "speed", lambda: Speed(1e11, 1e10))

    def asked(judge: str) -> dict[str, object]:
        done = CliRunner().invoke(
            cli,
            ["score", str(tmp_path / "e"), "--judge", judge, "--dry-run", "--json", "--quiet"],
            catch_exceptions=False,
        )
        (one,) = json.loads(done.stdout)
        assert isinstance(one, dict)
        return one

    one = asked("qwen3-vl-2b-ollama")
    prompt = int(str(one["text_tokens"])) + int(str(one["image_tokens"]))
    # 3 edits with control edits: 12 requests, 4 for each edit; 100 edits are 400 requests
    assert one["requests"] == 12
    least, most = seconds(2.13, prompt, 12 * 100, Speed(1e11, 1e10))
    assert one["minutes"] == [pytest.approx(least * 400 / 12 / 60), pytest.approx(most * 400 / 12 / 60)]
    for other in ("gpt-4.1", "shapes-oracle", "qwen3-vl-8b"):  # another machine, no model, no size
        assert asked(other)["minutes"] is None
    assert 0 < least < most
    assert one["qualify_first"] is True

    def said(*args: str) -> str:
        return (
            CliRunner()
            .invoke(cli, ["score", str(tmp_path / "e"), *args, "--quiet"], catch_exceptions=False)
            .stdout
        )

    assert "first          isr qualify qwen3-vl-2b-ollama EDIT_DIR" in said(
        "--judge", "qwen3-vl-2b-ollama", "--dry-run"
    )
    program = said("--judge", "shapes-oracle", "--dry-run")
    assert "pictures" in program
    assert program.count("none: a program, asked for nothing") == 3  # tokens read, tokens written, USD
    said("--judge", "shapes-oracle")
    assert "pictures" not in said("--judge", "shapes-oracle", "--dry-run")  # nothing is left to ask


def test_a_small_judge_that_was_not_qualified_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    with serving() as server:
        text = card_text(server.base_url).replace(
            'model = "test-model"', 'model = "test-model"\nparameters = 2.1'
        )
        (tmp_path / "judge.toml").write_text(text)
        isr.score(tmp_path / "e", judge=str(tmp_path / "judge.toml"))
    assert "judge: a model of 2.1 billion weights can be an unfit judge" in caplog.text

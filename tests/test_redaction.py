"""Keys in what a server said."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from isr.errors import InputError, Problem, UsageError
from isr.judging.recording import Recorder, recording
from isr.redaction import REMOVED, guard_logs, redactor, without_keys
from tests.directories import make_directory
from tests.processes import run

KEY = 'sk-key/0123"456'


@pytest.mark.parametrize("form", [KEY, KEY.upper(), quote(KEY, safe=""), json.dumps(KEY)[1:-1]])
def test_every_form_of_the_key_goes(form: str) -> None:
    assert redactor(KEY)(f"no {form} here") == f"no {REMOVED} here"


def test_what_stands_behind_bearer_goes_without_a_key_as_well() -> None:
    assert redactor()("Authorization: bearer abcdefgh123=") == f"Authorization: {REMOVED}"
    assert redactor("abcdefgh123")("Bearer abcdefgh123") == REMOVED


def test_a_key_that_is_a_common_word_is_no_secret() -> None:
    assert redactor("EMPTY")("the scene is EMPTY") == "the scene is EMPTY"


CANARY = "sk-CANARY0123456789abcdefCANARY"


def test_no_message_of_an_error_shows_a_key() -> None:
    error = InputError(
        "study.toml", [Problem("study.toml", "set", "key=value", f"api_key={CANARY}", "remove it")]
    )
    for shown in (
        str(error),
        str(UsageError(f"--set {CANARY}")),
        str(error.problems[0]),
        error.problems[0].found,
    ):
        assert CANARY not in shown
        assert REMOVED in shown


def test_a_key_without_a_known_beginning_is_found_once_it_was_used() -> None:
    key = "correct-horse-battery"
    assert without_keys(f"no {key}") == f"no {key}"
    redactor(key)
    assert str(UsageError(f"no {key}")) == f"no {REMOVED}"


@pytest.mark.parametrize(
    "word",
    ["hf_transformers", "sk-learn", "task-0123456789abcdef", "eyJhbGci", "sha256:" + "ab" * 32, "xai-grok"],
)
def test_names_and_digests_stay(word: str) -> None:
    assert without_keys(f"found {word}; correct it") == f"found {word}; correct it"


def test_what_libraries_log_shows_no_key(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("chatty_library.client")
    guard_logs("chatty_library")
    with caplog.at_level(logging.DEBUG):
        logger.debug("request_id: %s", f"Bearer {CANARY}")
        logger.debug("%d fields", 3)
    assert [r.getMessage() for r in caplog.records] == [f"request_id: {REMOVED}", "3 fields"]


def test_a_key_that_a_server_repeats_is_in_nothing_that_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "another-key-without-a-beginning"
    make_directory(tmp_path / "e", images=2, prompts=1)
    monkeypatch.setenv("OPENAI_LOG", "debug")
    monkeypatch.setenv("MY_KEY", key)
    run([sys.executable, "-m", "isr", "judges", "allow", "127.0.0.1", "MY_KEY"], check=True)
    with recording(Recorder(key=key)) as server:
        card = tmp_path / "judge.toml"
        card.write_text(
            f'backend = "openai_chat"\nmodel = "m"\n'
            f'[endpoint]\nbase_url = "{server.address}/v1"\napi_key_env = "MY_KEY"\n',
            "utf-8",
        )
        done = run([sys.executable, "-m", "isr", "-v", "score", tmp_path / "e", "--judge", card])
        assert len(server.bodies) == 8
    assert f"request_id: {REMOVED}" in done.stderr  # the library does log it
    assert key not in done.stderr + done.stdout


def test_a_key_in_a_study_or_on_the_command_line_is_not_repeated(tmp_path: Path) -> None:
    study = tmp_path / "s.toml"
    study.write_text(f'judges = [{{card="gpt-4o", set=["endpoint.api_key_env={CANARY}"]}}]\n', "utf-8")
    make_directory(tmp_path / "e", images=2, prompts=1)
    for command, in_its_place in (
        (("bench", study, "--dry-run"), "endpoint.api_key_env=..."),
        (("score", tmp_path / "e", "--judge", CANARY), REMOVED),
    ):
        done = run([sys.executable, "-m", "isr", *command])
        assert done.returncode == 2
        assert in_its_place in done.stderr
        assert CANARY not in done.stderr + done.stdout

"""The contract of judge backends: every built-in one keeps it, and each check finds the plug-in that breaks it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path

import pytest

from isr import contract
from isr.judging.backends import BACKEND_ENTRY_POINTS
from isr.judging.cards import load_card
from tests import extending
from tests.processes import run

CHECKS = [check.name for check in contract.checks("shapes-oracle")]
FILES = resources.files("isr.judges")
BUILT_IN = sorted(
    f.name[:-3]
    for f in FILES.iterdir()
    if f.name.endswith(".py") and not f.name.startswith("_") and "def open_judge(" in f.read_text("utf-8")
)
ROOT = Path(__file__).resolve().parents[1]


# --------------------------------------------------------------------------- the backends of the package


def a_card_of(backend: str, folder: Path) -> Path:
    """A card of a built-in backend that needs nothing but this machine; skips where it needs more."""
    card = folder / f"{backend}.toml"
    if backend in ("replay", "recorded_scores"):
        (folder / "answers.jsonl").write_text("")
        card.write_text(f'backend = "{backend}"\n[engine]\nanswers = "{folder}/answers.jsonl"\n', "utf-8")
    elif backend in ("hf_transformers", "trained_scorer"):  # the scorer is the same model with a head
        pytest.skip("loads a model: test_the_local_model_keeps_it")
    elif backend == "vllm_engine":
        pytest.skip("needs vLLM, in an environment of its own: make test-vllm")
    else:  # a backend with an endpoint: one of the package's own cards, else one without anything special
        own = (f.read_text("utf-8") for f in FILES.iterdir() if f.name.endswith(".toml"))
        card.write_text(next(text for text in own if f'backend = "{backend}"' in text), "utf-8")
    return card


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("backend", BUILT_IN)
def test_every_built_in_backend_keeps_it(tmp_path: Path, backend: str, check: str) -> None:
    outcome = outcome_of(a_card_of(backend, tmp_path), check)
    assert outcome.passed is not False, outcome.said
    assert outcome.said


def test_an_endpoint_is_checked_in_every_respect(tmp_path: Path) -> None:
    card = a_card_of("openai_chat", tmp_path)
    assert {check: outcome_of(card, check).passed for check in CHECKS} == dict.fromkeys(CHECKS, True)


@pytest.mark.parametrize("check", CHECKS)
def test_every_installed_backend_of_these_examples_keeps_it(check: str) -> None:
    installed = {p.name for p in metadata.entry_points(group=BACKEND_ENTRY_POINTS)}
    assert "shapes_oracle" in installed
    outcome = outcome_of("shapes-oracle", check)
    assert outcome.passed is not False, outcome.said


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch and transformers")
@pytest.mark.parametrize("check", CHECKS)
def test_the_local_model_keeps_it(check: str) -> None:
    outcome = outcome_of(str(ROOT / "examples/shapes/judge/shapes-mllm.toml"), check)
    assert outcome.passed is not False, outcome.said


def outcome_of(card: Path | str, check: str) -> contract.Outcome:
    return next(c for c in contract.checks(card) if c.name == check).run()


# --------------------------------------------------------------------------- a plug-in of others


CARD = """
backend = "./judge.py:open_judge"
model = "messages-large-1"
[endpoint]
base_url = "https://api.messages.example/v1"
api_key_env = "MESSAGES_API_KEY"
"""
# The judge of docs/extending.md with one thing spoilt, by the check that must find it
SPOILT = {
    "traits": ("SERVED_BY_NAME = True", 'SERVED_BY_NAME = "yes"'),
    "prices": ("SERVED_BY_NAME = True", "FREE = True"),
    "answers": ('part["text"] for part', 'part["text"].lower() for part'),
    "cut off replies": ('finish_of(said["stop_reason"])', '"stop"'),
    "bodies": ("for part in message.parts]", "for part in reversed(message.parts)]"),
    "reasons": (
        "said = await self.client.post(",
        'raise __import__("isr.plugin").plugin.TransportError("overloaded", "busy")\n        said = await self.client.post(',
    ),
    "exceptions": (', needs=("content", "model", "stop_reason", "usage")', ""),
    "redaction": ('self.client.clean(said["model"])', 'said["id"]'),
    "cancellation": (
        'said = await self.client.post("/messages", body, needs=("content", "model", "stop_reason", "usage"))',
        (
            "import asyncio\n        try:\n            said = await self.client.post('/messages', body)\n"
            "        except asyncio.CancelledError:\n            return Answer('', 'stop')"
        ),
    ),
}


def judge_of(folder: Path, old: str = "", new: str = "") -> Path:
    code = extending.files()["my_messages/judge.py"]
    assert old in code
    (folder / "judge.py").write_text(code.replace(old, new, 1) if old else code, "utf-8")
    card = folder / "card.toml"
    card.write_text(CARD, "utf-8")
    return card


@pytest.fixture
def forget() -> Iterator[None]:
    """Modules of files are forgotten in the end."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("isr_backend_"):
            del sys.modules[name]


@pytest.mark.usefixtures("forget")
def test_the_judge_of_the_page_keeps_it(tmp_path: Path) -> None:
    card = judge_of(tmp_path)
    assert {c.name: c.run().passed for c in contract.checks(card)} == dict.fromkeys(CHECKS, True)


def test_every_check_has_a_plug_in_that_fails_it() -> None:
    assert list(SPOILT) == CHECKS


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize("check", SPOILT)
def test_what_is_spoilt_is_found(tmp_path: Path, check: str) -> None:
    outcome = outcome_of(judge_of(tmp_path, *SPOILT[check]), check)
    assert outcome.passed is False, outcome.said


def test_the_users_environment_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESSAGES_API_KEY", "sk-the-users-own-key-0123")
    monkeypatch.setenv("ISR_CONFIG", str(tmp_path / "none.toml"))
    before = dict(os.environ)
    assert outcome_of(judge_of(tmp_path), "redaction").passed
    assert dict(os.environ) == before
    assert not (tmp_path / "none.toml").exists()


def test_the_command_prints_one_line_a_check(tmp_path: Path) -> None:
    def said(card: Path) -> tuple[int, list[str]]:
        done = run([sys.executable, "-m", "isr.contract", card], env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    code, lines = said(judge_of(tmp_path))
    assert (code, len(lines)) == (0, len(CHECKS) + 1)
    assert lines[-1] == f"{len(CHECKS)} of {len(CHECKS)} ok, 0 failed, 0 not checked"
    assert {line[:12] for line in lines[:-1]} == {"ok          "}
    code, lines = said(judge_of(tmp_path, *SPOILT["cut off replies"]))
    assert code == 1
    assert "FAILED       cut off replies: a reply that was cut off is <Finish.STOP: 'stop'>" in lines


def test_a_card_that_is_none_is_one_line() -> None:
    done = run([sys.executable, "-m", "isr.contract", "nobody"], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2
    assert done.stderr.startswith("isr.contract: --judge nobody: ")


def test_a_judge_that_may_cost_money_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text("def open_judge(card):\n    raise SystemExit('was opened')\n", "utf-8")
    (tmp_path / "card.toml").write_text('backend = "./judge.py:open_judge"\n', "utf-8")
    found = {c.name: c.run().passed for c in contract.checks(tmp_path / "card.toml")}
    assert found == {name: (True if name in ("traits", "prices") else None) for name in CHECKS}
    assert load_card(str(tmp_path / "card.toml")).traits.free is False

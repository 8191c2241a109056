"""Every file of ``docs/extending.md`` is taken from the page, installed where it says, and used."""

from __future__ import annotations

import base64
import json
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import isr
import isr.stats
from isr.canonical import sha256_bytes
from isr.errors import AuthenticationError, QuotaError
from isr.judging.keys import allow
from isr.judging.rubrics import load_rubric
from tests import extending, messages_server
from tests.directories import make_directory
from tests.plugins import install as install_backend
from tests.processes import CompletedProcess, run

KEY = "sk-outside/0123456789+abcdefgh"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path, whose modules are forgotten in the end."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def server(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[messages_server.Messages]:
    """The judge of the page, installed, with its card's address at a server on this machine that may have the key."""
    extending.install(site, "my-messages")
    monkeypatch.setenv("ISR_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("MESSAGES_API_KEY", KEY)
    allow("127.0.0.1", "MESSAGES_API_KEY")
    with messages_server.serving() as server:
        card = site / "my_messages" / "my-messages.toml"
        card.write_text(
            card.read_text("utf-8").replace("https://api.messages.example/v1", server.url), "utf-8"
        )
        make_directory(tmp_path / "e", images=2, prompts=1, controls=False)
        yield server


# --------------------------------------------------------------------------- a judge


def test_the_judge_is_under_fifty_lines() -> None:
    assert len(extending.files()["my_messages/judge.py"].splitlines()) < 50


def test_the_judge_scores(server: messages_server.Messages, tmp_path: Path) -> None:
    result = isr.score(tmp_path / "e", judge="my-messages")
    assert result.treatments[0].estimates["isr"].value == 0.0  # all of them are fine: nothing was immunized
    assert len(server.bodies) == 4  # 2 edits x 2 questions
    assert set(server.keys) == {KEY}
    body = server.bodies[0]
    assert (body["model"], body["max_tokens"]) == ("messages-large-1", 512)
    kinds = [block["type"] for block in body["messages"][0]["content"]]
    assert kinds.count("image") == 2
    files = {sha256_bytes(p.read_bytes()) for p in (tmp_path / "e").glob("*/*.png")}
    for block in body["messages"][0]["content"]:
        if block["type"] == "image":
            assert block["source"]["media_type"] == "image/png"
            assert sha256_bytes(base64.b64decode(block["source"]["data"])) in files
    kept = b"".join(p.read_bytes() for p in (tmp_path / "e.isr").rglob("*") if p.is_file())
    assert KEY.encode() not in kept


def test_the_judge_says_what_is_wrong_without_the_key(
    server: messages_server.Messages, tmp_path: Path
) -> None:
    for status, error in ((401, AuthenticationError), (402, QuotaError)):
        server.status = status
        with pytest.raises(error) as seen:
            isr.score(tmp_path / "e", judge="my-messages")
        assert KEY not in str(seen.value)


def test_a_reply_that_was_cut_off_is_undecided(server: messages_server.Messages, tmp_path: Path) -> None:
    server.stop_reason = "max_tokens"
    result = isr.score(tmp_path / "e", judge="my-messages")
    reasons = {said["reason"]: said["n"] for said in result.treatments[0].counts["undecided"]}
    assert reasons == {"truncated": 2}  # edits, each by both of its questions


def test_the_judge_scores_by_the_path_of_its_file(server: messages_server.Messages, tmp_path: Path) -> None:
    extending.write(tmp_path, "my_messages/judge.py")
    card = extending.write(tmp_path, "by-path.toml")
    card.write_text(card.read_text("utf-8").replace("https://api.messages.example/v1", server.url), "utf-8")
    isr.score(tmp_path / "e", judge=card)
    assert len(server.bodies) == 4


# --------------------------------------------------------------------------- a rubric, a metric, a command


def test_the_rubric_is_the_same_by_path_and_by_name(site: Path, tmp_path: Path) -> None:
    path = extending.write(tmp_path, "my_rubrics/short.toml")
    extending.install(site, "my-rubrics")
    by_path, by_name = load_rubric(str(path)), load_rubric("short/v1")
    assert (by_path.name, by_name.name) == ("short/v0", "short/v1")
    assert by_path.model_copy(update={"name": "short/v1"}).digest == by_name.digest
    card = install_backend(site, "FREE = True")
    make_directory(tmp_path / "e", images=2, prompts=1, controls=False)
    for rubric in (str(path), "short/v1"):
        result = isr.score(tmp_path / "e", judge=card, rubrics=(rubric, "perceptual/v1"))
        assert result.treatments[0].estimates["isr"].value == 0.0


def test_the_metric_stands_beside_the_built_in_ones(site: Path, tmp_path: Path) -> None:
    extending.install(site, "my-metrics")
    card = install_backend(site, "FREE = True")
    make_directory(tmp_path / "e", images=2, prompts=1, size=64)
    isr.score(tmp_path / "e", judge=card, metrics=True)
    (said,) = (json.loads(p.read_text()) for p in tmp_path.rglob("metrics.json"))
    measured = said["treatments"][0]["metrics"]
    assert list(measured)[:5] == ["edit:psnr", "edit:ssim", "edit:ssim_full", "edit:vifp", "edit:fsim"]
    assert "edit:mean_difference" in measured
    # two independent uniform pictures differ by 1/3 on average
    assert measured["edit:mean_difference"]["mean"] == pytest.approx(1 / 3, abs=0.02)
    rows = next(p for p in tmp_path.rglob("*.csv") if "edit:psnr" in p.read_text("utf-8"))
    assert "edit:mean_difference" in rows.read_text("utf-8").splitlines()[0]


def test_the_command_is_one_of_isr(site: Path, tmp_path: Path) -> None:
    extending.install(site, "my-commands")
    done = isr_process(site, "tables", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"tables of {tmp_path}\n")
    assert "Print the tables of a run for our wiki." in isr_process(site, "--help").stdout


def isr_process(site: Path, *arguments: object) -> CompletedProcess[str]:
    """``isr`` as a user types it, with the plug-ins of ``site`` installed."""
    path = os.pathsep.join([str(site), str(extending.PAGE.parents[1])])
    return run([sys.executable, "-m", "isr", *arguments], env={**os.environ, "PYTHONPATH": path})


# --------------------------------------------------------------------------- a statistic


def test_the_statistic_passes_its_own_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = extending.write(tmp_path, "isr/stats/agresti_coull.py").parent
    monkeypatch.setattr(isr.stats, "__path__", [*isr.stats.__path__, str(home)])
    path = extending.write(tmp_path, "tests/stats/test_agresti_coull.py")
    found = runpy.run_path(str(path))
    tests = [value for name, value in found.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()
    sys.modules.pop("isr.stats.agresti_coull")


def test_every_file_of_the_page_is_used_by_a_test() -> None:
    """A page that nobody runs would rot; the sifm_ref part has tests beside sifm_ref's."""
    tests = extending.PAGE.parents[1] / "tests"
    code = "".join(
        (tests / p).read_text("utf-8") for p in ("test_docs_extending.py", "sifm_ref/test_docs_extending.py")
    )
    for name in extending.files():
        package = name.partition("/")[0].replace("_", "-")
        assert f'"{name}"' in code or f'install(site, "{package}")' in code, name
    for name in extending.distributions():
        assert f'install(site, "{name}")' in code, name

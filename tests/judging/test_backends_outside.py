"""Backends of other people: by a file beside a card, and what a release of theirs changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import isr
from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from isr.bundle.verify import verify
from isr.canonical import sha256_bytes
from isr.errors import CardError
from isr.judging.cards import load_card, load_panel
from isr.judging.store import Store
from isr.scoring.bundle_file import Bundle
from tests.directories import make_directory
from tests.plugins import HEAD, asked, install


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


def released(site: Path, version: str, more: str = "") -> dict[str, Any]:
    """The identity of the judge of ``install`` after a release of its package."""
    (site / "theirs_judge-1.0.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: theirs-judge\nVersion: {version}\n"
    )
    (site / "theirs_judge.py").write_text(HEAD + more, "utf-8")
    sys.modules.pop("theirs_judge", None)
    for cached in (site / "__pycache__").glob("*"):
        cached.unlink()
    return load_card(str(site / "theirs.toml")).identity


# --------------------------------------------------------------------------- releases


def test_a_patch_release_that_declares_its_answers_asks_nothing_again(tmp_path: Path, site: Path) -> None:
    card = install(site, "FREE = True")
    first = released(site, "1.0", "FREE = True\nANSWERS_VERSION = '1'\n")
    assert first["plugin"] == {"distribution": "theirs-judge", "answers": "1"}
    make_directory(tmp_path / "e", images=2, prompts=1, controls=False)
    isr.score(tmp_path / "e", judge=card)
    assert asked(card) == 4  # 2 edits x 2 questions
    assert released(site, "1.0.1", "FREE = True\nANSWERS_VERSION = '1'\n") == first
    isr.score(tmp_path / "e", judge=card)
    assert asked(card) == 4
    assert released(site, "1.1", "FREE = True\nANSWERS_VERSION = '2'\n") != first
    isr.score(tmp_path / "e", judge=card)
    assert asked(card) == 8


def test_without_a_declaration_every_release_is_another_judge(site: Path) -> None:
    install(site)
    assert released(site, "1.0")["plugin"] == {"distribution": "theirs-judge", "answers": "1.0"}
    assert released(site, "1.0.1")["plugin"] == {"distribution": "theirs-judge", "answers": "1.0.1"}


def test_the_release_is_recorded_beside_each_answer(tmp_path: Path, site: Path) -> None:
    card = install(site)
    released(site, "1.0.7", "ANSWERS_VERSION = '1'\n")
    make_directory(tmp_path / "e", images=1, prompts=1, controls=False)
    isr.score(tmp_path / "e", judge=card)
    with Store(next(tmp_path.rglob("isr.db")), read_only=True) as store:
        served = [row["answer"]["served"] for row in store.export() if "answer" in row]
    assert served == [{"model": "theirs", "plugin": "theirs-judge 1.0.7"}] * 2


@pytest.mark.parametrize("value", ["1", "''", "None, 1"])
def test_a_declaration_that_is_none(site: Path, value: str) -> None:
    install(site)
    with pytest.raises(
        CardError, match=r"theirs: backend 'theirs': ANSWERS_VERSION expected a text that is not empty"
    ):
        released(site, "1.0", f"ANSWERS_VERSION = {value}\n")


def test_built_in_backends_and_the_shapes_oracle_keep_their_identity() -> None:
    assert load_card("shapes-oracle").digest.startswith("sha256:c64282e50f4c")
    for name in ("shapes-oracle", "gpt-4o", "qwen2.5-vl-7b-vllm", "replay"):
        card = load_card(name)
        assert "plugin" not in card.identity
        assert card.identity["backend"] == card.backend


# --------------------------------------------------------------------------- by path


def beside(folder: Path, code: str = HEAD, backend: str = "./judge.py:open_judge") -> Path:
    """A card in ``folder`` whose backend is a file beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "judge.py").write_text(code, "utf-8")
    card = folder / "card.toml"
    card.write_text(f'backend = "{backend}"\nmodel = "m"\n[limits]\nmax_attempts = 1\n', "utf-8")
    return card


def test_a_file_scores_and_its_bytes_are_its_identity(tmp_path: Path) -> None:
    card = beside(tmp_path / "a")
    digest = sha256_bytes(HEAD.encode())
    assert load_card(str(card)).identity["backend"] == f"file:{digest}:open_judge"
    assert load_card(str(card)).digest == load_card(str(beside(tmp_path / "b"))).digest
    make_directory(tmp_path / "e", images=2, prompts=1, controls=False)
    isr.score(tmp_path / "e", judge=card)
    assert asked(card) == 4
    beside(tmp_path / "a", HEAD + "\n# another\n")
    isr.score(tmp_path / "e", judge=card)
    assert asked(card) == 8


def test_a_bundle_of_a_file_verifies_and_runs_nothing(tmp_path: Path) -> None:
    card = beside(tmp_path / "a", HEAD + "\nFREE = True\n")
    make_directory(tmp_path / "e", images=2, prompts=1)
    isr.score(tmp_path / "e", judge=card)
    run = tmp_path / "e.isr"
    write_bundle(gather(run), next(run.rglob("isr.db")), tmp_path / "run.zip")
    (tmp_path / "a" / "judge.py").write_text("raise SystemExit('was run')", "utf-8")
    with Bundle(tmp_path / "run.zip") as bundle:
        said = json.loads(bundle.read("cards/card.json"))
        assert said["card"]["backend"] == said["identity"]["backend"]
        assert said["card"]["backend"].startswith("file:sha256:")
        assert verify(bundle)[0].faults == []


def test_no_name_and_no_data_can_name_a_file(tmp_path: Path, site: Path) -> None:
    (tmp_path / "judge.py").write_text(HEAD, "utf-8")
    with pytest.raises(
        CardError, match=r"'backend': expected the name of a backend; found '\./judge\.py:open_judge'"
    ):
        load_card("gpt-4o", ["backend=./judge.py:open_judge"])


def test_a_member_of_a_panel_may_be_one(tmp_path: Path) -> None:
    beside(tmp_path / "a")
    (tmp_path / "panel.toml").write_text(
        'backend = "panel"\nmembers = ["a/card.toml", "gpt-4o"]\nrule = "any"\n'
    )
    assert [c.name for c in load_panel(str(tmp_path / "panel.toml")).members] == ["card", "gpt-4o"]


@pytest.mark.parametrize(
    ("backend", "code", "expected"),
    [
        ("./gone.py:open_judge", HEAD, r"expected a file of Python; found '\./gone\.py'"),
        ("./judge.py:nobody", HEAD, r"has no function nobody"),
        ("./judge.py:open_judge", "import nothing_of_this_name", r"No module named 'nothing_of_this_name'"),
        ("./judge.py:open_judge", "def", r"expected a file that can be imported"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, backend: str, code: str, expected: str) -> None:
    with pytest.raises(CardError, match=expected):
        _ = load_card(str(beside(tmp_path / "a", code, backend))).identity

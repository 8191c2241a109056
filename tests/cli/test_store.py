"""``isr store`` on damaged stores, as its user meets them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from isr.judging.store_format import pack, unpack
from tests.chat_server import serving
from tests.cli.test_cli import isr_command
from tests.directories import make_directory
from tests.runs import the_run


def edited(path: Path) -> int:
    """Turns two answers of a store from fails to fine, as somebody would with an editor for databases."""
    with closing(sqlite3.connect(path)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        some = [
            (key, text)
            for key, body in db.execute("SELECT key, body FROM answers ORDER BY key").fetchall()
            if '\\"fails\\"' in (text := unpack(body).decode())
        ][:2]
        for key, text in some:
            text = text.replace('\\"fails\\"', '\\"fine\\"').replace('\\"score\\": 1', '\\"score\\": 3')
            db.execute("UPDATE answers SET body = ? WHERE key = ?", (pack(text), key))
        db.commit()
    return len(some)


@pytest.mark.slow
def test_answers_that_were_edited_are_not_used_and_a_recovered_store_goes_on(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=3, prompts=2)
    store, home = tmp_path / "e.isr" / "isr.db", tmp_path / "e.isr"
    with serving() as server:
        score = ("score", str(tmp_path / "e"), "--judge", card(server), "--json")
        first = isr_command(*score)
        assert first.returncode == 0, first.stderr
        asked = server.stats()["calls"]
        assert edited(store) == 2
        again = isr_command(*score)
        assert again.returncode == 3, again.stderr
        assert f"2 answers in {store} are not what their digests say" in again.stderr
        assert f"`isr store recover {store}` saves all others" in again.stderr
        assert '"damaged"' in again.stdout
        assert (the_run(home) / "result.json").read_text() == first.stdout  # the finished result is kept
        bundled = isr_command("bundle", str(home), "--out", str(tmp_path / "run.zip"))
        assert bundled.returncode == 2
        assert "content has another digest" in bundled.stderr
        assert not (tmp_path / "run.zip").exists()
        exported = isr_command("store", "export", str(home))
        assert exported.returncode == 2
        assert exported.stdout.count('"answer"') == asked - 2
        assert "2 fault(s); what is sound was written" in exported.stderr
        recovered = isr_command("store", "recover", str(home))
        assert recovered.returncode == 0, recovered.stderr
        assert (
            f"{asked - 2} of {asked} answers saved; the damaged store is kept as {store}.damaged-"
            in recovered.stdout
        )
        assert server.stats()["calls"] == asked
        done = isr_command(*score)
        assert done.returncode == 0, done.stderr
        assert done.stdout == first.stdout
        assert server.stats()["calls"] == asked + 2
    assert f"{asked} answers, all digests hold" in isr_command("store", "verify", str(home)).stdout
    assert "nothing was changed" in isr_command("store", "recover", str(home)).stdout


@pytest.mark.slow
def test_a_store_with_a_page_cut_off_is_named_and_goes_on_once_it_is_recovered(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=3, prompts=2)
    store, home = tmp_path / "e.isr" / "isr.db", tmp_path / "e.isr"
    with serving() as server:
        score = ("score", str(tmp_path / "e"), "--judge", card(server), "--json")
        first = isr_command(*score)
        asked = server.stats()["calls"]
        store.write_bytes(store.read_bytes()[:-4096])
        for command in (score, ("store", "verify", str(home)), ("store", "export", str(home))):
            stopped = isr_command(*command)
            assert stopped.returncode == 2, (command, stopped.stderr)
            told = stopped.stderr + stopped.stdout * (command[1] == "verify")
            assert "isr store recover" in told
            assert "Traceback" not in told
            assert "permissions" not in told
        assert isr_command("store", "recover", str(home)).returncode == 0
        done = isr_command(*score)
        assert done.returncode == 0, done.stderr
        assert done.stdout == first.stdout
        assert asked <= server.stats()["calls"] <= 2 * asked  # the page may have held no answer
    assert "all digests hold" in isr_command("store", "verify", str(home)).stdout


def test_a_folder_or_a_missing_file_is_no_store(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.db"):
        for command in ("recover", "export"):
            done = isr_command("store", command, str(path))
            assert done.returncode == 2
            assert "expected an answer store; found" in done.stderr
            assert "check the path" in done.stderr

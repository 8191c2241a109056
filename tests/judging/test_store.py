"""The answer store: insert-only, shared by processes, killed at any moment, verified from the bytes up."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from isr.edits.images import ImagePolicy
from isr.errors import CardError, StoreError
from isr.judging.backends import open_judge
from isr.judging.card_sections import Decoding
from isr.judging.cards import load_card
from isr.judging.parsing import parse
from isr.judging.sending import Encoder, Prepared
from isr.judging.store import SCHEMA, Store
from isr.judging.store_format import pack, unpack
from isr.types import Answer
from tests.judging.stores import faults, filled
from tests.processes import LIMIT_S, PIPE, Popen, finish, started
from tests.samples import a_card, a_request, an_answer

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_put_is_found(tmp_path: Path) -> None:
    first, second = a_request("one"), a_request("two")
    full = an_answer(
        "ü\n\0", finish_reason="length", refusal="no", served={"model": "m"}, usage={"prompt_tokens": 1},
        sent={"edit": "sha256:x"}, received_at="2026-11-01T00:00:00+00:00", latency_s=0.25,
    )  # fmt: skip
    with Store(tmp_path / "isr.db") as store:
        assert store.put(first, 0, full).result(LIMIT_S) is None
        assert store.answers([first.key, second.key]) == {first.key: [full]}
        store.put(second, 0, an_answer("a")).result(LIMIT_S)
        store.put(second, 1, an_answer("b")).result(LIMIT_S)
        assert store.asks([second.key, first.key, b"\0" * 32]) == {first.key: 1, second.key: 2}
        assert store.answers([second.key])[second.key] == [an_answer("a"), an_answer("b")]
        assert store.count() == 3
    assert faults(tmp_path / "isr.db") == []


@pytest.mark.parametrize("word", ["", "tool_calls", "max_tokens", "eos", None, ["stop"]])
def test_answers_with_words_of_version_0_1_are_read_and_handed_on(tmp_path: Path, word: Any) -> None:
    """They counted as complete, and do; a copy of the store keeps their bytes."""
    request = a_request()
    old = an_answer()
    object.__setattr__(old, "finish_reason", word)  # which nothing refused
    with Store(tmp_path / "isr.db") as store:
        store.put(request, 0, old).result(LIMIT_S)
        (read,) = store.answers([request.key])[request.key]
        rows = list(store.export())
    served = {"finish_reason": word} if isinstance(word, str) and word else {}
    assert read == an_answer(finish_reason="other", served=served)
    assert parse(read, request.template.rubric, version=1).value == "fine"  # as it was
    assert parse(read, request.template.rubric).reason == ("aborted" if word == "tool_calls" else "")
    with Store(tmp_path / "copy.db") as copy:
        assert copy.import_rows([(str(i), row) for i, row in enumerate(rows)]) == 1
        assert list(copy.export()) == rows
    assert rows[-1]["answer"]["finish_reason"] == word
    assert faults(tmp_path / "copy.db") == []


def test_many_keys_at_once(tmp_path: Path) -> None:
    requests = [a_request(f"prompt {i}") for i in range(1201)]  # more than one statement takes
    with Store(tmp_path / "isr.db") as store:
        for future in [store.put(r, 0, an_answer(str(i))) for i, r in enumerate(requests)]:
            future.result(LIMIT_S)
        found = store.answers([r.key for r in requests])
        assert [found[r.key][0].text for r in requests] == [str(i) for i in range(1201)]
        assert set(store.asks([r.key for r in requests]).values()) == {1}
        assert store.answers([]) == {}


def test_the_first_answer_stands(tmp_path: Path) -> None:
    request = a_request()
    for text in ("first", "second"):
        with Store(tmp_path / "isr.db") as store:
            store.put(request, 0, an_answer(text)).result(LIMIT_S)
            assert store.answers([request.key])[request.key] == [an_answer("first")]
    assert faults(tmp_path / "isr.db") == []


def test_closing_waits_for_everything(tmp_path: Path) -> None:
    with Store(tmp_path / "isr.db") as store:
        futures = [store.put(a_request(f"prompt {i}"), 0, an_answer(str(i))) for i in range(300)]
    assert all(f.done() and f.exception() is None for f in futures)
    with Store(tmp_path / "isr.db", read_only=True) as store:
        assert store.count() == 300


@pytest.mark.parametrize("table", ["meta", "parts", "requests", "answers"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET {} = 'x'"])
def test_nothing_can_be_changed_or_deleted(table: str, statement: str, tmp_path: Path) -> None:
    filled(tmp_path / "isr.db")
    column = {"meta": "value"}.get(table, "body")
    with closing(sqlite3.connect(tmp_path / "isr.db")) as db:
        before = db.execute(f"SELECT * FROM {table}").fetchall()
        with pytest.raises(sqlite3.IntegrityError, match="insert-only"):
            db.execute(statement.format(table, column))
        assert before == db.execute(f"SELECT * FROM {table}").fetchall() != []


def test_every_judge_and_rubric_is_kept_once(tmp_path: Path) -> None:
    cards = [a_card(), a_card(decoding=Decoding(temperature=1.0))]
    with Store(tmp_path / "isr.db") as store:
        for i in range(4):
            for card in cards:
                for rubric in ("semantic/v1", "perceptual/v1"):
                    store.put(a_request(f"{i}", card=card, rubric=rubric), 0, an_answer())
    with closing(sqlite3.connect(tmp_path / "isr.db")) as db:
        # two judges; two rubrics in the one dialect that both judges take
        assert db.execute("SELECT COUNT(*) FROM parts").fetchone() == (4,)
        assert db.execute("SELECT COUNT(*) FROM answers").fetchone() == (16,)


def test_surrogates_in_an_answer(tmp_path: Path) -> None:
    request = a_request()
    with Store(tmp_path / "isr.db") as store:
        store.put(request, 0, an_answer("a\ud800b", served={"\udfff": "\ud800"})).result(LIMIT_S)
        (answer,) = store.answers([request.key])[request.key]
    assert answer.text.startswith("a")
    assert answer.text.endswith("b")
    answer.text.encode()  # what comes back can be written anywhere
    assert faults(tmp_path / "isr.db") == []


@pytest.mark.parametrize(
    "bad", [{"latency_s": float("nan")}, {"served": {"model": object()}}, {"usage": {1: 2, "a": 3}}]
)
def test_an_answer_that_cannot_be_kept_is_refused_and_harms_no_other(bad: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    with Store(tmp_path / "isr.db") as store:
        with pytest.raises(StoreError, match="expected an answer of texts and numbers"):
            store.put(a_request("bad"), 0, an_answer(**bad))
        store.put(a_request("good"), 0, an_answer()).result(LIMIT_S)
        assert store.count() == 1


def test_a_store_for_reading_takes_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "isr.db")
    with (
        Store(tmp_path / "isr.db", read_only=True) as store,
        pytest.raises(StoreError, match="for reading only"),
    ):
        store.put(a_request(), 0, an_answer())


def test_a_failed_commit_fails_every_answer_of_it_and_loses_no_part(tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    with Store(path) as store:
        with closing(sqlite3.connect(path)) as db:
            db.execute(
                "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )
            db.commit()
            with pytest.raises(StoreError, match=r"could not be kept \(disk full\)"):
                store.put(a_request("one"), 0, an_answer()).result(LIMIT_S)
            assert store.count() == 0
            db.execute("DROP TRIGGER full")
            db.commit()
        store.put(a_request("two"), 0, an_answer()).result(LIMIT_S)
    assert faults(path) == []


def drop_triggers(db: sqlite3.Connection) -> None:
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")


def swap_answers(db: sqlite3.Connection) -> None:
    (a, x, p), (b, y, q) = db.execute("SELECT key, body, digest FROM answers ORDER BY key LIMIT 2").fetchall()
    db.execute("UPDATE answers SET body = ?, digest = ? WHERE key = ?", (y, q, a))
    db.execute("UPDATE answers SET body = ?, digest = ? WHERE key = ?", (x, p, b))


ONE = "(SELECT MIN(key) FROM answers)"
TAMPERED: dict[str, tuple[str | Callable[[sqlite3.Connection], None], str]] = {
    "an answer's text": (
        f"UPDATE answers SET body = pack(replace(unpack(body), 'text', 'test')) WHERE key = {ONE}",
        "another digest",
    ),
    "an answer's digest": (f"UPDATE answers SET digest = zeroblob(32) WHERE key = {ONE}", "another digest"),
    "an answer's body as a blob": (f"UPDATE answers SET body = x'00ff' WHERE key = {ONE}", "another digest"),
    "an answer's body as a number": (f"UPDATE answers SET body = 5 WHERE key = {ONE}", "another digest"),
    "an answer's digest as a text": (f"UPDATE answers SET digest = 'x' WHERE key = {ONE}", "another digest"),
    "an answer's number": (f"UPDATE answers SET ask = 1 WHERE key = {ONE}", "another digest"),
    "answers exchanged": (swap_answers, "another digest"),
    "an answer under another key": (
        f"UPDATE answers SET key = randomblob(32) WHERE key = {ONE}",
        "request is missing",
    ),
    "an answer under no key": (f"UPDATE answers SET key = 'x' WHERE key = {ONE}", "request is missing"),
    "an answer deleted": (f"DELETE FROM answers WHERE key = {ONE}", "its answers are missing"),
    "a request's prompt": (
        "UPDATE requests SET body = pack(replace(unpack(body), 'prompt 1', 'prompt 9'))",
        "another key",
    ),
    "a request's key": (f"UPDATE requests SET key = randomblob(32) WHERE key = {ONE}", "another key"),
    "a request's body as a blob": ("UPDATE requests SET body = x'00'", "another key"),
    "a request deleted": (f"DELETE FROM requests WHERE key = {ONE}", "its request is missing"),
    "a rubric's text": ("UPDATE parts SET body = replace(body, 'EDIT', 'PHOTO')", "another digest"),
    "a judge's model": ("UPDATE parts SET body = replace(body, 'test-model', 'gpt-5')", "another digest"),
    "a part deleted": ("DELETE FROM parts WHERE body LIKE '%test-model%'", "its judge is missing"),
    "a rubric deleted": ("DELETE FROM parts WHERE body LIKE '%semantic/v1%'", "its rubric is missing"),
    "a part's digest": (
        "UPDATE parts SET digest = 'sha256:00' WHERE body LIKE '%test-model%'",
        "another digest",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_verify_finds_what_was_tampered_with(what: str, tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    filled(path)
    assert faults(path) == []
    change, told = TAMPERED[what]
    with closing(sqlite3.connect(path)) as db:
        drop_triggers(db)
        db.create_function("pack", 1, pack)
        db.create_function("unpack", 1, lambda body: unpack(body).decode())
        before = db.total_changes
        if callable(change):
            change(db)
        else:
            db.execute(change)
        assert db.total_changes > before
        db.commit()
    assert any(told in fault for fault in faults(path)), faults(path)


def test_verify_names_only_what_was_tampered_with(tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    keys = filled(path)
    with closing(sqlite3.connect(path)) as db:
        drop_triggers(db)
        db.execute("UPDATE answers SET body = '{}' WHERE key = ?", (keys[1],))
        db.commit()
    assert faults(path) == [f"answer {keys[1].hex()} (0): its content has another digest"]


def test_verify_finds_damaged_pages(tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    filled(path, 200)
    data = bytearray(path.read_bytes())
    page = int.from_bytes(data[16:18], "big")
    assert len(data) > 8 * page
    data[5 * page : 8 * page] = os.urandom(3 * page)
    path.write_bytes(data)
    assert any(f.startswith("database: ") for f in faults(path))


def test_what_is_exported_can_be_replayed(tmp_path: Path) -> None:
    cards = [a_card(), a_card(model="another")]
    requests = [a_request(f"p{i}", rubric=r) for i in range(3) for r in ("semantic/v1", "perceptual/v1")]
    with Store(tmp_path / "isr.db") as store:
        for i, request in enumerate(requests):
            store.put(request, 0, an_answer(f"répondu {i}", usage={"prompt_tokens": i + 1}))
        store.put(requests[0], 1, an_answer("asked again"))
        store.put(a_request("p0", card=cards[1]), 0, an_answer("another judge's"))
    with Store(tmp_path / "isr.db", read_only=True) as store:
        exported = list(store.export())
    rows = [r for r in exported if "answer" in r]
    assert len(rows) == len(requests) + 2
    assert len(exported) == len(rows) + 4  # two rubrics as sent, two judges
    by_key = {(row["key"], row["ask"]): row for row in rows}
    row = by_key[requests[2].key.hex(), 0]
    assert row["content"] == requests[2].content
    assert (row["judge"], row["model"]) == (cards[0].digest, "test-model")
    assert (row["rubric"], row["request"]["prompt"]) == (requests[2].template.rubric.name, "p1")
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in exported))
    with pytest.raises(CardError, match="expected the answers of one judge; found") as several:
        open_judge(load_card("replay", [f"engine.answers={file}"]))
    assert cards[1].digest[:19] in str(several.value)

    async def replayed() -> list[Answer]:
        card = load_card("replay", [f"engine.answers={file}", f"engine.judge={cards[0].digest[:19]}"])
        judge = open_judge(card)
        nothing = Prepared(Encoder(tmp_path, ImagePolicy()), {})
        try:
            again = [a_request(r.prompt, rubric=r.template.rubric.name, card=card) for r in requests]
            return [await judge.ask(r, nothing) for r in again]
        finally:
            await judge.close()

    expected = [an_answer(f"répondu {i}", usage={"prompt_tokens": i + 1}) for i in range(len(requests))]
    assert asyncio.run(replayed()) == expected


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    path.write_bytes(b"prompt,edit\n" * 100)
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"isr\.db: expected an answer store .* not a database"):
            Store(path, read_only=read_only)
    assert path.read_bytes() == b"prompt,edit\n" * 100


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE places (url TEXT)")
        db.commit()
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreError, match="expected a store of version"):
            Store(path, read_only=read_only)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["places.sqlite"]


def test_a_store_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    filled(path)
    with closing(sqlite3.connect(path)) as db:
        drop_triggers(db)
        db.execute("UPDATE meta SET value = 'isr.store/99'")
        db.commit()
    for read_only in (False, True):
        with pytest.raises(StoreError, match=f"expected a store of version {SCHEMA}; found isr.store/99"):
            Store(path, read_only=read_only)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() == (0,)


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "isr.db").touch()
    assert filled(tmp_path / "isr.db")
    assert faults(tmp_path / "isr.db") == []


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="found no file"):
        Store(tmp_path / "no.db", read_only=True)
    assert not (tmp_path / "no.db").exists()
    assert filled(tmp_path / "new" / "folder" / "isr.db")
    with pytest.raises(StoreError, match="can be written"):
        Store(tmp_path / "new")  # a folder
    with pytest.raises(StoreError, match="can be written"):
        Store(tmp_path / "new" / "folder" / "isr.db" / "isr.db")


WRITER = """
import sys
import zlib
from pathlib import Path
from isr.judging.store import Store
from tests.samples import a_request, an_answer
path, who, start, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Store(path) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for i in range(start, start + n):
        store.put(a_request(f"prompt {i}"), 0, an_answer(who)).result(900)
        print(i, flush=True)
"""


def writer(path: Path, who: str, start: int, n: int) -> AbstractContextManager[Popen[str]]:
    command = [sys.executable, "-c", WRITER, path, who, start, n]
    return started(command, stdin=PIPE, stderr=None, cwd=ROOT)


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    # all create the store together; their prompts overlap by half: 0-59, 30-89, 60-119
    with ExitStack() as stack:
        writers = (("a", 0), ("b", 30), ("c", 60))
        processes = [stack.enter_context(writer(path, who, start, 60)) for who, start in writers]
        for p in processes:
            assert p.stdout is not None
            assert p.stdout.readline() == "ready\n"
        for p in processes:
            assert p.stdin is not None
            p.stdin.write("go\n")
            p.stdin.flush()
        for p in processes:
            done = finish(p)
            assert done.returncode == 0
            assert len(done.stdout.split()) == 60
    keys = [a_request(f"prompt {i}").key for i in range(120)]
    with Store(path, read_only=True) as store:
        assert store.count() == 120
        by = {k: a[0].text for k, a in store.answers(keys).items()}
        assert {by[k] for k in keys[:30]} == {"a"}
        assert {by[k] for k in keys[90:]} == {"c"}
        assert list(store.verify()) == []


def test_a_reader_sees_what_a_writer_committed(tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    with Store(path) as written, Store(path) as read:
        for i in range(3):
            written.put(a_request(f"{i}"), 0, an_answer()).result(LIMIT_S)
            assert read.count() == i + 1


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9")
@pytest.mark.parametrize("after", [1, 7, 40])
def test_a_killed_writer_leaves_every_answer_that_was_done(after: int, tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    with writer(path, "a", 0, 100_000) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        for _ in range(1 + after):
            process.stdout.readline()
        process.kill()
        ended = finish(process)
    assert ended.returncode == -signal.SIGKILL
    done = after + len([line for line in ended.stdout.splitlines(keepends=True) if line.endswith("\n")])
    keys = [a_request(f"prompt {i}").key for i in range(done)]
    with Store(path, read_only=True) as store:
        assert len(store.answers(keys)) == done
        assert done <= store.count() <= done + 1  # one may have been committed and not yet told
        assert list(store.verify()) == []
    with Store(path) as store:  # and it can be gone on with
        store.put(a_request("next"), 0, an_answer()).result(LIMIT_S)
    assert faults(path) == []


def test_an_answer_is_kept_though_nobody_waits_for_it(tmp_path: Path) -> None:
    with Store(tmp_path / "isr.db") as store:
        futures = [store.put(a_request(f"p{i}"), 0, an_answer(str(i))) for i in range(5)]
        assert not futures[0].cancel()  # a paid answer cannot be taken back
    with Store(tmp_path / "isr.db", read_only=True) as store:
        assert store.count() == 5


def test_a_body_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    filled(path)
    with closing(sqlite3.connect(path)) as db:
        drop_triggers(db)
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        db.execute("UPDATE answers SET body = ?", (deflate.compress(b"0" * 2**25) + deflate.flush(),))
        db.commit()
    assert any("it is too long to be read (more than 16,777,216 bytes)" in fault for fault in faults(path))

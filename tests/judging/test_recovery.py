"""Damaged answer stores: what is not what its digest says is never used, and everything else is saved."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.errors import StoreError
from isr.judging.recovery import export_sound, recover
from isr.judging.requests import Request
from isr.judging.store import Store
from isr.judging.store_format import fields_of, pack, text_of
from tests.processes import LIMIT_S, PIPE, read_until, started
from tests.samples import a_request, an_answer

N = 60
PAGE = 4096


def requests() -> list[Request]:
    return [a_request(f"prompt {i}", rubric=("semantic/v1", "perceptual/v1")[i % 2]) for i in range(N)]


def said(i: int) -> str:
    """An answer of some hundred bytes; every tenth is longer than a page holds, also when it is compressed."""
    return random.Random(i).randbytes(9_000).hex() if i % 10 == 3 else f"the car of {i} is red " * 20


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "isr.db"
    with Store(path) as store:
        for i, request in enumerate(requests()):
            store.put(request, 0, an_answer(said(i))).result(LIMIT_S)
    return path


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sound, tmp_path / "isr.db"))


def texts(path: Path) -> dict[int, str]:
    """The answers in a store by the number of their request."""
    with Store(path, read_only=True) as store:
        found = store.answers([r.key for r in requests()])
    return {i: a[0].text for i, r in enumerate(requests()) if (a := found.get(r.key)) and a[0] is not None}


def untouched(damaged: bytes) -> set[int]:
    """The answers all of whose compressed bytes still stand together in a file; none of the longer ones does."""
    bodies = {i: pack(text_of(fields_of(an_answer(said(i))))) for i in range(N) if i % 10 != 3}
    return {i for i, body in bodies.items() if body in damaged}


def saved(path: Path) -> dict[int, str]:
    """What a recovery saves; nothing of it is other than it was."""
    before = path.read_bytes()
    done = recover(path)
    assert done.kept is not None
    assert done.kept.read_bytes() == before
    found = texts(path)
    assert done.answers == len(found)
    assert all(text == said(i) for i, text in found.items())
    assert untouched(before) <= set(found)
    return found


def test_a_sound_store_is_left_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    done = recover(path)
    assert (done.answers, done.kept, done.faults) == (N, None, ())
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*damaged*"))


def test_the_last_page_cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-PAGE])
    with pytest.raises(StoreError, match=r"`isr store recover .*isr.db` saves every answer"):
        texts(path)
    # the page that is gone held a part of one long answer or several short ones
    assert len(saved(path)) >= N - 20


def test_half_of_it_cut_off(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert len(saved(path)) >= N // 4


def test_every_page_zeroed_in_turn(sound: Path, tmp_path: Path) -> None:
    """The first page, which leads to all others, and those between the root and the leaves included."""
    data = sound.read_bytes()
    fewest = N
    for page in range(len(data) // PAGE):
        path = tmp_path / str(page) / "isr.db"
        path.parent.mkdir()
        path.write_bytes(data[: page * PAGE] + bytes(PAGE) + data[(page + 1) * PAGE :])
        if recover(path).kept is None:  # a page that nothing uses
            assert len(texts(path)) == N
            continue
        found = texts(path)
        assert untouched(path.read_bytes()) <= set(found)
        long = {i for i in range(N) if i % 10 == 3}
        assert len(long - set(found)) <= 1 or page == 0  # a page holds bytes of one long answer only
        fewest = min(fewest, len(found))
    # a leaf of 4,096 bytes holds at most 30 records: key and digest alone take 64 bytes, the shortest body 60
    assert fewest >= N - 30


def test_a_flipped_byte_anywhere_costs_one_answer_at_most(sound: Path, tmp_path: Path) -> None:
    """A byte anywhere: at most one page's rows are read otherwise by SQLite, and at most one answer is lost here."""
    data = bytearray(sound.read_bytes())
    places = random.Random(7).sample(range(len(data)), 40)
    for place in places:
        path = tmp_path / str(place) / "isr.db"
        path.parent.mkdir()
        data[place] ^= 0x10
        path.write_bytes(data)
        data[place] ^= 0x10
        recover(path)
        found = texts(path)
        assert len(found) >= N - 1, place
        assert all(text == said(i) for i, text in found.items()), place


def test_every_flipped_bit_of_an_answer_is_seen_when_it_is_used(path: Path) -> None:
    key = requests()[0].key
    with closing(sqlite3.connect(path)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        body, digest = db.execute("SELECT body, digest FROM answers WHERE key = ?", (key,)).fetchone()
        db.commit()
        with Store(path, read_only=True) as store:
            for column, value in (("body", body), ("digest", digest)):
                for bit in range(8 * len(value)):
                    flipped = bytearray(value)
                    flipped[bit // 8] ^= 1 << bit % 8
                    db.execute(f"UPDATE answers SET {column} = ? WHERE key = ?", (bytes(flipped), key))
                    db.commit()
                    (read,) = store.answers([key])[key]
                    same = (
                        column == "body" and bit // 8 == len(value) - 1
                    )  # behind the end: bits that say nothing
                    assert read is None or (same and read == an_answer(said(0))), (column, bit)
                db.execute(f"UPDATE answers SET {column} = ? WHERE key = ?", (value, key))
                db.commit()
            assert store.answers([key]) == {key: [an_answer(said(0))]}


def test_what_is_in_the_log_only_is_saved(path: Path) -> None:
    """A process was killed: its last answers lie in the write-ahead log, and the file is damaged since."""
    new = [a_request(f"late {i}") for i in range(5)]
    with Store(path) as store:
        for request in new:
            store.put(request, 0, an_answer("late " * 3000)).result(LIMIT_S)  # 15 kB, compressed to far less
        log = path.with_name("isr.db-wal").read_bytes()
        data = path.read_bytes()
    path.write_bytes(data[:-PAGE])
    path.with_name("isr.db-wal").write_bytes(log)
    recover(path)
    with Store(path, read_only=True) as store:
        assert len(store.answers([r.key for r in new])) == 5


def test_a_recovery_that_was_killed_can_be_run_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the worst moment: the log of the damaged store is gone, and the new store has not taken its name."""
    with Store(path) as store:
        store.put(a_request("late"), 0, an_answer("late")).result(LIMIT_S)
        log = path.with_name("isr.db-wal").read_bytes()
        data = path.read_bytes()
    damaged = bytearray(data)
    damaged[PAGE : 2 * PAGE] = bytes(PAGE)
    path.write_bytes(damaged)
    path.with_name("isr.db-wal").write_bytes(log)

    def killed(source: object, target: Path) -> None:
        if target == path:
            raise KeyboardInterrupt
        shutil.move(str(source), str(target))

    monkeypatch.setattr("isr.judging.recovery.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        recover(path)
    monkeypatch.undo()
    assert not path.with_name("isr.db-wal").exists()
    recover(path)
    with Store(path, read_only=True) as store:
        assert store.answers([a_request("late").key])[a_request("late").key] == [an_answer("late")]
        assert store.count() == N + 1


def test_what_a_recovered_store_lost_around_its_answers_is_added_by_a_run(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("DELETE FROM parts")
        db.execute("DELETE FROM requests")
        db.commit()
        db.execute("VACUUM")
    assert recover(path).answers == N
    with Store(path, read_only=True) as store:
        assert any("its request is missing" in fault for fault in store.verify())
    with Store(path) as store:
        assert store.is_recovered
        store.complete(requests())
        assert list(store.verify()) == []
        assert len([row for row in store.export() if "answer" in row]) == N


def zeroed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    page = bytes(data).index(pack(text_of(fields_of(an_answer(said(5)))))) // PAGE
    data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-PAGE])


def flipped_request(path: Path) -> None:
    data = bytearray(path.read_bytes())
    body = pack(text_of(requests()[5].body))
    at = bytes(data).index(body) + len(body) // 2
    data[at] ^= 0x01
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [zeroed, cut, flipped_request])
def test_an_export_skips_what_does_not_hold_and_names_it(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    faults: list[str] = []
    rows = list(export_sound(path, lambda _, fault: faults.append(fault)))
    assert faults
    answers = [row for row in rows if "answer" in row]
    assert N - 30 <= len(answers) < N
    with Store(path.with_name("again.db")) as store:
        assert store.import_rows([(str(i), row) for i, row in enumerate(rows)]) == len(answers)
        assert list(store.verify()) == []


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE birds (name TEXT)")
        db.execute("INSERT INTO birds VALUES ('wren')")
        db.commit()


def later(path: Path) -> None:
    """A store of a version to come, whose rows look as ours do."""
    with Store(path) as store:
        store.put(requests()[0], 0, an_answer()).result(LIMIT_S)
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TRIGGER meta_no_update")
        db.execute("UPDATE meta SET value = 'isr.store/2'")
        db.commit()


@pytest.mark.parametrize(
    "write",
    [lambda p: p.write_bytes(b"no store at all" * 1000), lambda p: p.write_bytes(b""), foreign, later],
)
def test_a_file_that_is_no_store_of_ours_is_left_as_it_is(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    path = tmp_path / "isr.db"
    write(path)
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=r"found nothing of one in it|expected a store of version isr\.store/1; found"
    ):
        recover(path)
    assert path.read_bytes() == before


IDLE = """
import sys
from pathlib import Path
from isr.judging.store import Store
with Store(Path(sys.argv[1])) as store:
    print("open", store.count(), flush=True)
    sys.stdin.read()
"""
WRITING = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("open", db.execute("SELECT COUNT(*) FROM answers").fetchone()[0], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("script", [IDLE, WRITING])
def test_a_store_that_another_process_has_open_is_left_alone(path: Path, script: str) -> None:
    """Though it may write nothing now: what it receives afterwards would go into a file that has no name any more."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TRIGGER answers_no_delete")
        db.execute("DROP TRIGGER answers_no_update")
        db.execute("UPDATE answers SET digest = zeroblob(32) WHERE key = ?", (requests()[0].key,))
        db.commit()
    with started([sys.executable, "-c", script, path], stdin=PIPE) as other:
        read_until(other.stdout, f"open {N}")
        before = path.read_bytes()
        with pytest.raises(StoreError, match="no other process uses"):
            recover(path)
        assert path.read_bytes() == before
        assert other.stdin is not None
        other.stdin.close()
        other.wait()
    assert recover(path).answers == N - 1


def test_nothing_is_written_into_a_store_that_was_replaced(path: Path, tmp_path: Path) -> None:
    other = shutil.copy(path, tmp_path / "other.db")
    with Store(path) as store:
        store.put(a_request("before"), 0, an_answer()).result(LIMIT_S)
        shutil.move(other, path)
        with pytest.raises(StoreError, match=r"replaced by another meanwhile\); run again"):
            store.put(a_request("after"), 0, an_answer()).result(LIMIT_S)


def test_a_link_to_a_store_is_followed_with_its_log(path: Path, tmp_path: Path) -> None:
    far = tmp_path / "far" / "store.db"
    far.parent.mkdir()
    new = [a_request(f"late {i}") for i in range(5)]
    with Store(path) as store:
        for request in new:
            store.put(request, 0, an_answer("late")).result(LIMIT_S)
        log, data = path.with_name("isr.db-wal").read_bytes(), path.read_bytes()
    damaged = bytearray(data)
    for page in range(2, len(data) // PAGE):  # all that the log does not hold
        damaged[page * PAGE : page * PAGE + 8] = bytes(8)
    far.write_bytes(damaged)
    far.with_name("store.db-wal").write_bytes(log)
    link = tmp_path / "link.db"
    link.symlink_to(far)
    done = recover(link)
    assert link.is_symlink()
    assert done.kept is not None
    assert done.kept.parent == far.parent
    with Store(link, read_only=True) as store:
        assert len(store.answers([r.key for r in new])) == 5


def test_a_commit_that_was_killed_is_rolled_back_and_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a shared file system: the journal of the commit lies beside the store."""
    monkeypatch.setattr("isr.judging.store_connection.file_system", lambda path: "nfs4")
    path, copy = tmp_path / "isr.db", tmp_path / "copy" / "isr.db"
    copy.parent.mkdir()
    with Store(path) as store:
        for i, request in enumerate(requests()):
            store.put(request, 0, an_answer(said(i))).result(LIMIT_S)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")  # pages of the open commit reach the file
        db.execute("DROP TRIGGER answers_no_update")
        db.execute("BEGIN")
        db.execute("UPDATE answers SET digest = zeroblob(32)")
        for name in ("isr.db", "isr.db-journal"):
            shutil.copy(path.with_name(name), copy.with_name(name))
    assert copy.with_name("isr.db-journal").stat().st_size
    with Store(copy, read_only=True) as store:
        assert list(store.verify()) == []
        assert store.count() == N


def test_every_bit_of_the_schema_flipped(sound: Path, tmp_path: Path) -> None:
    """SQLite quotes the broken word, which may be no text at all."""
    data = bytearray(sound.read_bytes())
    at = data.index(b"CREATE TABLE")
    for place in range(at, at + 12):
        for bit in (0, 3, 5, 7):
            path = tmp_path / f"{place}-{bit}" / "isr.db"
            path.parent.mkdir()
            data[place] ^= 1 << bit
            path.write_bytes(data)
            data[place] ^= 1 << bit
            recover(path)
            assert len(texts(path)) == N, (place, bit)


def test_a_second_answer_whose_first_was_lost_waits_for_it(path: Path) -> None:
    request = a_request("asked twice")
    with Store(path) as store:
        store.put(request, 1, an_answer("second")).result(LIMIT_S)
        assert store.asks([request.key]) == {}
        assert store.answers([request.key]) == {}
        store.put(request, 0, an_answer("first")).result(LIMIT_S)
        assert store.asks([request.key]) == {request.key: 2}
        assert store.answers([request.key]) == {request.key: [an_answer("first"), an_answer("second")]}


def test_parts_that_were_lost_are_added_and_those_that_rot_are_named(path: Path) -> None:
    templates = [r.template for r in requests()[:2]]
    with closing(sqlite3.connect(path)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("DELETE FROM parts WHERE digest = ?", (templates[0].digest,))
        db.execute("UPDATE parts SET body = 'x' WHERE digest = ?", (templates[1].digest,))
        db.commit()
    with Store(path) as store:
        (told,) = store.describe(templates)
        assert templates[1].digest in told
        assert "isr store recover" in told
        assert [f for f in store.verify() if "missing" in f] == []


@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=3 * PAGE))
def test_no_bytes_break_the_search(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "isr.db"
    path.write_bytes(data)
    with pytest.raises(StoreError, match="found nothing of one in it"):
        list(export_sound(path, lambda _, fault: None))

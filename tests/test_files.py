"""Files that are there whole or not at all."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import tempfile
from pathlib import Path

import pytest

from isr.files import (
    clear_partials,
    commit,
    file_digest,
    files_below,
    is_settled,
    partial_name,
    stage,
    temporary_folder,
    write_bytes,
    write_text,
    write_together,
)
from isr.reading import Unreadable
from isr.scoring.places import clear_killed
from tests.processes import PIPE, read_until, run, started
from tests.runs import recorded_run
from tests.test_reading import sources


def test_a_file_is_replaced_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one")
    write_text(tmp_path / "a", "zwei ä")
    assert (tmp_path / "a").read_bytes() == "zwei ä".encode()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_is_staged_is_not_there_until_it_is_committed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        stage(tmp_path / name, name.encode())
    assert not (tmp_path / "a").exists()
    commit([tmp_path / "a", tmp_path / "b"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").is_dir()
    assert not partial_name(tmp_path / "a").exists()


def test_of_files_that_belong_together_none_is_there_where_one_cannot_be_staged(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(FileNotFoundError):
        write_together({tmp_path / "a": b"new", tmp_path / "no" / "b": b"new"})
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_is_being_written_is_hidden(tmp_path: Path) -> None:
    """Whoever asks whether a folder is empty, or lists its pictures, passes over what another process just begins."""
    assert partial_name(tmp_path / "a.png").name.startswith(".a.png.")
    assert partial_name(tmp_path / "a.png").suffix == ".partial"


def test_digest(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"x" * 100_000)
    assert file_digest(tmp_path / "a") == "sha256:" + hashlib.sha256(b"x" * 100_000).hexdigest()


# ---------------------------------------------------------------------- what is left and where a disk is full

STAGES = """
import sys
from pathlib import Path
from isr.files import stage
stage(Path(sys.argv[1]), b"half")
print("staged", flush=True)
sys.stdin.read()
"""


def partials(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix == ".partial")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is removed")
def test_what_a_killed_process_left_is_removed_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    with started([sys.executable, "-c", STAGES, tmp_path / "a"], stdin=PIPE) as child:
        read_until(child.stdout, "staged")
        left = partials(tmp_path)
        clear_partials(tmp_path)
        assert partials(tmp_path) == left
        assert [n.endswith(f"-{child.pid}.partial") for n in left] == [True]
    (tmp_path / f".a.ffffffff-{child.pid}.partial").touch()  # of another machine, where it may well live
    (tmp_path / ".a.12.partial").touch()  # of nobody that is known
    write_bytes(tmp_path / "b", b"whole")  # the first in this folder by this process
    assert partials(tmp_path) == [".a.12.partial", f".a.ffffffff-{child.pid}.partial"]
    assert (tmp_path / "b").read_bytes() == b"whole"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is removed")
def test_a_run_clears_the_folders_of_all_runs_of_its_home(tmp_path: Path) -> None:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    with started([sys.executable, "-c", STAGES, tmp_path / "runs/one/edits.csv"], stdin=PIPE) as child:
        read_until(child.stdout, "staged")
    assert partials(tmp_path / "runs" / "one")
    clear_killed(tmp_path)
    assert partials(tmp_path / "runs" / "one") == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is removed")
def test_a_temporary_folder_of_a_killed_process_is_removed_and_that_of_a_living_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = temporary_folder("isr-x-")
    with started([sys.executable, "-c", "print('up', flush=True); input()"], stdin=PIPE) as child:
        read_until(child.stdout, "up")
        theirs = tmp_path / Path(held.name).name.replace(f"-{os.getpid()}-", f"-{child.pid}-")
        theirs.mkdir()
        (theirs / "picture.png").touch()
        temporary_folder("isr-x-").cleanup()
        assert theirs.is_dir()
    (tmp_path / f"isr-x-ffffffff-{child.pid}-a").mkdir()  # of another machine
    temporary_folder("isr-x-").cleanup()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [Path(held.name).name, f"isr-x-ffffffff-{child.pid}-a"]
    )
    held.cleanup()


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_an_error_of_the_disk_names_the_file(tmp_path: Path) -> None:
    """A limit on the size of files fails as a full disk does: an error of ``write``, which knows no name."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            write_bytes(tmp_path / "a", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


BOUNDED = """
import resource, sys
size, *sys.argv[1:] = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))
from isr.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_command_names_the_file_for_which_there_is_no_room_and_leaves_none_of_it(tmp_path: Path) -> None:
    """The table has two rows of 200 kB each, and no file may have more than 150 kB; the store has its answers."""
    size, long = 150_000, "x" * 200_000
    done = recorded_run(tmp_path, images=1, prompts=1, change=lambda rows: rows[0].update(note=long))
    card, out = tmp_path / "recorded.toml", tmp_path / "o"
    score = [
        "score",
        tmp_path / "edits",
        "--judge",
        card,
        "--out",
        out,
        "--store",
        done / "isr.db",
        "--quiet",
    ]
    for command, file in (
        (score, out / "edits.csv"),
        (["bundle", done, "--out", tmp_path / "b.zip"], tmp_path / "b.zip"),
    ):
        if file.name == "b.zip":  # what is packed is shorter
            size = 2_000
        ended = run([sys.executable, "-c", BOUNDED, size, *command])
        assert ended.returncode == 2
        assert f"isr: {file}: File too large; check the path, the disk" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not file.exists()
        assert partials(file.parent) == []


def test_a_file_is_settled_two_seconds_after_its_last_change() -> None:
    changed, second = 5 * 10**18, 10**9
    assert not is_settled((changed - second, changed), changed + 2 * second - 1)
    assert is_settled((changed, changed - second), changed + 2 * second)
    assert not is_settled((changed, changed), changed - second)  # a clock that was put back


def test_linked_folders_are_entered_and_loops_are_not(tmp_path: Path) -> None:
    """Two links to one folder are two folders; one that leads back is none."""
    folder, other = tmp_path / "one", tmp_path / "other"
    for file in (folder / "a" / "x", folder / ".hidden" / "h", other / "sub" / "y"):
        file.parent.mkdir(parents=True)
        file.write_text("")
    for name in ("b", "c"):
        (folder / name).symlink_to(other)
    (other / "sub" / "back").symlink_to(folder)
    (other / "sub" / "self").symlink_to("self")
    (folder / "gone").symlink_to(tmp_path / "nothing")
    expected = ["a/x", "b/sub/self", "b/sub/y", "c/sub/self", "c/sub/y", "gone"]
    assert [p.relative_to(folder).as_posix() for p in files_below(folder, hidden=False)] == expected
    assert [p.name for p in files_below(folder)] == ["h", "x", "self", "y", "self", "y", "gone"]
    with pytest.raises(Unreadable, match="expected a folder that can be listed; found No such file"):
        files_below(tmp_path / "nothing")


def test_what_lies_below_a_folder_is_found_in_one_place() -> None:
    """``rglob`` and ``**`` pass over linked folders, and say nothing."""
    found = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                starred = any(isinstance(a, ast.Constant) and "**" in str(a.value) for a in node.args)
                whole = node.func.attr == "rglob" or ast.unparse(node.func) == "os.walk"
                if whole or (node.func.attr in ("glob", "iglob") and starred):
                    found.add(path)
    assert found == set()


WRITES_ITSELF = {
    "isr/files.py": "the replacement",
    "isr/bundle/opened.py": "a temporary folder",
    "isr/bundle/rejudge.py": "a temporary folder",
    "isr/scoring/bundled.py": "a temporary folder, or one that is given its name when it is whole",
    "isr/bench/material/unseen.py": "a record that is appended to, line by line",
    "isr/scoring/metrics_cache.py": "a cache that is appended to, line by line",
    "isr/scoring/edits_csv.py": "under its partial name, as scoring.run gives it",
}


def test_files_are_written_in_one_place() -> None:
    """Whatever else writes leaves half a file when it is killed."""
    found = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            words = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            opens = name == "open" and any(set(w) <= set("wxab+t") and w for w in words)
            if opens or (name in ("write_text", "write_bytes") and isinstance(node.func, ast.Attribute)):
                found.add(path)
    assert found == set(WRITES_ITSELF)

"""Files that are there whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from isr.files import commit, file_digest, partial_name, stage, write_bytes, write_text, write_together


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

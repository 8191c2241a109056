"""Digests of whole files: read once, by all processes, and read again once anything about a file has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from isr import digests, files
from isr.digests import LARGE, cache_folder, file_sha256, telling


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own, in which also files that were written just now are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "SETTLED_NS", 0)
    digests._known.clear()
    yield
    digests._known.clear()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the large files that were read."""
    names: list[str] = []
    whole = digests._read

    def noted(path: Path, size: int) -> str:
        names.append(path.name)
        return whole(path, size)

    monkeypatch.setattr(digests, "_read", noted)
    return names


def large(path: Path, byte: bytes = b"a") -> Path:
    path.write_bytes(byte * (LARGE + 1))
    return path


def test_a_large_file_is_read_once_for_all_processes(tmp_path: Path, read: list[str]) -> None:
    file, told = large(tmp_path / "a.safetensors"), list[str]()
    expected = "sha256:" + hashlib.sha256(b"a" * (LARGE + 1)).hexdigest()
    with telling(told.append):
        assert file_sha256(file) == expected
    assert told == [f"reading {tmp_path.name}/a.safetensors: 100% of 0.00 GiB"]
    assert file_sha256(file) == expected
    digests._known.clear()  # as another process
    assert file_sha256(file) == expected
    assert read == ["a.safetensors"]


def test_another_content_of_the_same_size_and_date_is_read_again(tmp_path: Path, read: list[str]) -> None:
    file = large(tmp_path / "a.safetensors")
    before, state = file_sha256(file), file.stat()
    large(file, b"b")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    digests._known.clear()
    assert file_sha256(file) != before
    assert len(read) == 2


def test_a_file_that_was_just_written_is_not_believed_later(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SETTLED_NS", 10**18)
    file = large(tmp_path / "a.safetensors")
    assert file_sha256(file) == file_sha256(file)
    assert len(read) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe", b"null", b"[" * 10_000, b'{"path": 1}', b"x" * 10**6,
        '{{"path": "{path}", "state": {state}, "sha256": "sha256:short"}}',
        '{{"path": "{path}", "state": [0, 0, 0, 0], "sha256": "sha256:' + 64 * "0" + '"}}',
        '{{"path": "/another", "state": {state}, "sha256": "sha256:' + 64 * "0" + '"}}',
        '{{"path": "{path}", "state": 7, "sha256": {{}}}}',
    ],
)  # fmt: skip
def test_a_hostile_cache_is_not_believed(content: bytes | str, tmp_path: Path, read: list[str]) -> None:
    file = large(tmp_path / "a.safetensors")
    expected = file_sha256(file)
    folder = cache_folder()
    assert folder is not None
    (entry,) = folder.iterdir()
    state = file.stat()
    times = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
    if isinstance(content, str):
        content = content.format(path=file, state=times).encode()
    entry.write_bytes(content)
    digests._known.clear()
    assert file_sha256(file) == expected
    assert len(read) == 2


def test_a_cache_that_cannot_be_used_is_harmless(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = large(tmp_path / "a.safetensors")
    expected = file_sha256(file)
    folder = cache_folder()
    assert folder is not None
    (entry,) = folder.iterdir()
    entry.unlink()
    os.mkfifo(entry)  # which nobody waits for
    digests._known.clear()
    assert file_sha256(file) == expected
    for place in ("/proc/nowhere", str(file)):
        monkeypatch.setenv("XDG_CACHE_HOME", place)
        digests._known.clear()
        assert file_sha256(file) == expected
    assert len(read) == 4

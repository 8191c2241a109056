"""The scan: files inside the directory only, each looked at once, remembered as long as they do not change."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from collections.abc import Container
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from isr import files
from isr.canonical import sha256_bytes
from isr.edits import scan as module
from isr.edits.images import pixel_digest
from isr.edits.scan import THUMB, Scanned, Scanner
from isr.image_file import ImageProblem, decode
from isr.image_file import decoded as decoded_
from tests.directories import picture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with two pictures, beside one that is outside."""
    for name in ("root/a.png", "root/sub/b.png", "outside/secret.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture(len(name)).save(tmp_path / name)
    return tmp_path / "root"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests of the files that were really decoded."""
    seen: list[str] = []

    def counted(data: bytes):  # type: ignore[no-untyped-def]
        seen.append(hashlib.sha256(data).hexdigest())
        return decoded_(data)

    monkeypatch.setattr(module, "decoded", counted)
    monkeypatch.setattr(files, "SETTLED_NS", 0)  # also files that were written just now are kept
    return seen


def scanned(
    root: Path, *paths: str, cache: Path | None = None, compared: Container[str] = ()
) -> dict[str, Scanned | ImageProblem]:
    with closing(Scanner(root, cache)) as scanner:
        return scanner.scan(paths, compared)


def refusal(root: Path, path: str) -> str:
    problem = scanned(root, path)[path]
    assert isinstance(problem, ImageProblem)
    return f"{problem.expected}: {problem.found}"


def test_digests_of_bytes_and_pixels(root: Path) -> None:
    data = (root / "sub/b.png").read_bytes()
    image = decode(data)
    thumb = image.convert("L").resize((THUMB, THUMB), Image.Resampling.BOX, reducing_gap=1.0).tobytes()
    expected = Scanned(
        sha256=sha256_bytes(data),
        pixels=pixel_digest(image),
        width=image.width,
        height=image.height,
    )
    assert scanned(root, "sub/b.png") == {"sub/b.png": expected}
    assert scanned(root, "sub/b.png", compared={"sub/b.png"}) == {"sub/b.png": replace(expected, thumb=thumb)}


def test_a_picture_that_is_compared_later_is_looked_at_more_closely_once(
    root: Path, cache: Path, decoded: list[str]
) -> None:
    coarse = scanned(root, "a.png", "sub/b.png", cache=cache)
    close = scanned(root, "a.png", "sub/b.png", cache=cache, compared=["a.png"])
    assert len(decoded) == 3
    assert close["sub/b.png"] == coarse["sub/b.png"]
    assert close["a.png"] != coarse["a.png"]
    assert scanned(root, "a.png", "sub/b.png", cache=cache, compared=["a.png"]) == close
    assert scanned(root, "a.png", cache=cache)["a.png"] == close["a.png"]
    assert len(decoded) == 3


def test_each_path_once(root: Path, decoded: list[str]) -> None:
    assert list(scanned(root, "a.png", "sub/b.png", "a.png")) == ["a.png", "sub/b.png"]
    assert len(decoded) == 2


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.png",
        "sub/../../outside/secret.png",
        "sub/../a.png",
        "..",
        "..\\outside\\secret.png",
        "C:\\x.png",
        "c:/x",
    ],
)
def test_paths_that_climb(path: str, root: Path) -> None:
    assert refusal(root, path).startswith("a path inside the directory")


def test_absolute_paths(root: Path) -> None:
    for path in (root / "a.png", root.parent / "outside/secret.png", Path("/etc/passwd")):
        assert refusal(root, str(path)).startswith("a path inside the directory")


def test_links(root: Path) -> None:
    outside = root.parent / "outside"
    (root / "in.png").symlink_to("sub/b.png")
    (root / "in-folder").symlink_to("sub")
    (root / "out.png").symlink_to(outside / "secret.png")
    (root / "out-folder").symlink_to(outside)
    (root / "sub" / "chain.png").symlink_to("../out.png")
    (root / "loop.png").symlink_to("loop.png")
    (root / "dangling.png").symlink_to("nothing.png")
    inside = scanned(root, "sub/b.png", "in.png", "in-folder/b.png")
    assert len(set(inside.values())) == 1
    for path in ("out.png", "out-folder/secret.png", "sub/chain.png"):
        assert "leads out of it" in refusal(root, path)
    for path in ("loop.png", "dangling.png"):
        assert "cannot be opened" in refusal(root, path)


def test_a_root_that_is_itself_a_link(root: Path) -> None:
    (root.parent / "link").symlink_to("root")
    (root.parent / "root-not").mkdir()
    (root / "sibling.png").symlink_to("../root-not/x.png")  # "root-not" begins with "root"
    picture(1).save(root.parent / "root-not" / "x.png")
    assert isinstance(scanned(root.parent / "link", "sub/b.png")["sub/b.png"], Scanned)
    assert "leads out of it" in refusal(root.parent / "link", "sibling.png")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("no.png", "which cannot be opened (No such file or directory)"),
        ("a.png/b.png", "cannot be opened"),
        ("sub", "which is no file"),
        ("sub/", "which is no file"),
        (".", "which is no file"),
        ("x" * 300, "cannot be opened"),
        ("text.txt", "bytes that none of them reads"),
        ("empty.png", "an empty file"),
        ("half.png", "damaged or truncated"),
    ],
)
def test_what_is_no_image_file(path: str, told: str, root: Path) -> None:
    (root / "text.txt").write_text("words")
    (root / "empty.png").touch()
    (root / "half.png").write_bytes((root / "a.png").read_bytes()[:-100])
    assert told in refusal(root, path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "pipe.png")
    assert "which is no file" in refusal(root, "pipe.png")


# The cache


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where the cache is, in a folder that does not exist yet."""
    return tmp_path / "out" / "cache.db"


def test_a_second_scan_decodes_nothing(root: Path, cache: Path, decoded: list[str]) -> None:
    first = scanned(root, "a.png", "sub/b.png", cache=cache)
    assert len(decoded) == 2
    assert scanned(root, "a.png", "sub/b.png", cache=cache) == first
    assert len(decoded) == 2
    scanned(root, "a.png")  # without a cache everything is looked at
    assert len(decoded) == 3


def test_more_files_than_one_question_takes(root: Path, cache: Path, decoded: list[str]) -> None:
    paths = [f"n{i}.png" for i in range(520)]
    for path in paths:
        os.link(root / "a.png", root / path)
    first = scanned(root, *paths, cache=cache)
    assert len(decoded) == 520
    assert scanned(root, *paths, cache=cache) == first
    assert len(decoded) == 520


def test_a_changed_file_of_the_same_size_is_noticed(root: Path, cache: Path, decoded: list[str]) -> None:
    path = root / "a.bmp"
    picture(1).save(path)
    before = scanned(root, "a.bmp", cache=cache)["a.bmp"]
    state = path.stat()
    picture(2).save(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # as a copy with its times kept
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    after = scanned(root, "a.bmp", cache=cache)["a.bmp"]
    assert after != before
    assert len(decoded) == 2


class Coarse(Scanner):
    """On a file system whose times have a tick of two seconds, as FAT has."""

    def _stat(self, path: str) -> tuple[int, int, int] | ImageProblem:
        found = super()._stat(path)
        if isinstance(found, ImageProblem):
            return found
        return found[0], *(t - t % (2 * 10**9) for t in found[1:])  # type: ignore[return-value]


def test_a_file_that_was_just_written_is_looked_at_again(root: Path, cache: Path) -> None:
    """One that is written once more within a tick has the same size and times; where it lies is known all the same."""
    path, seen = root / "a.bmp", []
    for number in (1, 2):
        picture(number).save(path)
        with closing(Coarse(root, cache)) as scanner:
            seen.append(scanner.scan(["a.bmp"])["a.bmp"])
        with closing(sqlite3.connect(cache)) as kept:
            assert kept.execute(module.PATH_BY_DIGEST, [seen[-1].sha256]).fetchall() == [("a.bmp",)]  # type: ignore[union-attr]
    assert seen[0] != seen[1]


def test_a_file_put_in_the_place_of_another_is_noticed(root: Path, cache: Path) -> None:
    before = scanned(root, "a.png", cache=cache)["a.png"]
    picture(77).save(root / "new.png")
    os.replace(root / "new.png", root / "a.png")
    assert scanned(root, "a.png", cache=cache)["a.png"] != before


@pytest.mark.parametrize(
    "damage",
    ["thumb = x'00'", "pixels = 'sha256:x'", "sha256 = 7", "width = 'wide'", "height = 0", "colour = 1.5"],
)
def test_a_damaged_row_is_looked_at_again(damage: str, root: Path, cache: Path, decoded: list[str]) -> None:
    first = scanned(root, "a.png", cache=cache)
    with closing(sqlite3.connect(cache)) as kept:
        assert kept.execute(f"UPDATE looked_at SET {damage}").rowcount == 1
        kept.commit()
    assert scanned(root, "a.png", cache=cache) == first
    assert len(decoded) == 2


def test_problems_are_not_remembered(root: Path, cache: Path) -> None:
    (root / "late.png").write_bytes(b"")
    assert isinstance(scanned(root, "late.png", cache=cache)["late.png"], ImageProblem)
    picture(5).save(root / "late.png")
    assert isinstance(scanned(root, "late.png", cache=cache)["late.png"], Scanned)


def test_a_cached_file_that_has_gone_is_a_problem(root: Path, cache: Path) -> None:
    scanned(root, "a.png", cache=cache)
    (root / "a.png").unlink()
    assert isinstance(scanned(root, "a.png", cache=cache)["a.png"], ImageProblem)


def test_another_image_policy_looks_again(
    root: Path, cache: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned(root, "a.png", cache=cache)
    monkeypatch.setattr(module, "POLICY", "isr.images/99")
    scanned(root, "a.png", cache=cache)
    assert len(decoded) == 2


def test_a_cache_that_cannot_be_used_is_harmless(root: Path, tmp_path: Path, decoded: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "garbage.db").write_bytes(b"no database " * 500)
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as db:
        db.execute("CREATE TABLE looked_at (name TEXT)")
        db.commit()
    caches = [
        tmp_path / "folder",
        tmp_path / "file" / "cache.db",
        tmp_path / "garbage.db",
        tmp_path / "foreign.db",
    ]
    if sys.platform.startswith("linux"):
        caches.append(Path("/proc/cache.db"))
    expected = scanned(root, "a.png")
    for cache in caches:
        for _ in range(2):
            assert scanned(root, "a.png", cache=cache) == expected
    assert len(decoded) == 1 + 2 * len(caches)


def test_a_locked_cache_is_harmless(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = scanned(root, "a.png", cache=cache)
    real = sqlite3.connect
    monkeypatch.setattr(
        module.sqlite3, "connect", lambda path, **options: real(path, **{**options, "timeout": 0})
    )
    with closing(real(cache)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert scanned(root, "a.png", cache=cache) == expected


def test_a_cache_with_damaged_pages_is_harmless(root: Path, cache: Path) -> None:
    paths = [f"n{i}.png" for i in range(120)]
    for path in paths:
        os.link(root / "a.png", root / path)
    expected = scanned(root, *paths, cache=cache)
    data = bytearray(cache.read_bytes())
    assert len(data) > 4 * 4096
    data[2 * 4096 :] = os.urandom(len(data) - 2 * 4096)
    cache.write_bytes(data)
    assert scanned(root, *paths, cache=cache) == expected

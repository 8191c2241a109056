"""The reader of image files: the same for judges and for methods, whatever the files are called."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import EpsImagePlugin, Image

from isr import image_file
from isr.cli import cli
from isr.edits.scan import Scanner
from isr.errors import EditDirectoryError, InputError
from isr.image_file import FORMATS, MAX_PIXELS, ImageProblem, decode, file_end, open_image, read_file
from sifm_ref.pictures import find_pictures, read_rgb

ROOT = Path(__file__).resolve().parents[1]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nnewpath 0 0 moveto 8 8 lineto stroke\nshowpage\n%%EOF\n"


def by_scan(path: Path) -> None:
    scanner = Scanner(path.parent)
    try:
        found = scanner.scan([path.name])[path.name]
    finally:
        scanner.close()
    if isinstance(found, ImageProblem):
        raise found


READERS: dict[str, Callable[[Path], object]] = {
    "isr": lambda path: decode(read_file(path)),
    "isr validate": by_scan,
    "sifm_ref": read_rgb,
    "sifm_ref's folder": find_pictures,
}


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> Callable[[Path], object]:
    return READERS[request.param]


REFUSED = (ImageProblem, InputError, EditDirectoryError)


def within(seconds: float, work: Callable[[], object]) -> None:
    """Raises what ``work`` raises; fails where it does not come back, and leaves it behind."""
    raised: list[BaseException] = []

    def caught() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=caught, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it waits for ever"
    if raised:
        raise raised[0]


def test_a_sound_picture_is_read(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    reader(tmp_path / "a.png")


def test_no_name_makes_another_program_read_a_file(
    tmp_path: Path, reader: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow hands an EPS to Ghostscript, which runs the program that an EPS is."""
    marker = tmp_path / "ghostscript was run"
    (tmp_path / "bin").mkdir()
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.write_text(f'#!/bin/sh\necho run > "{marker}"\n')
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # what it found earlier
    (tmp_path / "evil.png").write_bytes(EPS)
    with pytest.raises(
        REFUSED, match=r"expected an image of type PNG, JPEG, WEBP, BMP, TIFF; found .*\d+ bytes"
    ):
        reader(tmp_path / "evil.png")
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["GIF", "PPM", "ICO", "TGA", "PDF"])
def test_other_kinds_are_refused_whatever_their_name(
    tmp_path: Path, reader: Callable[[Path], object], kind: str
) -> None:
    assert kind not in FORMATS
    Image.new("RGB", (16, 16)).save(tmp_path / "other", kind)
    (tmp_path / "other").rename(tmp_path / "a.png")
    with pytest.raises(REFUSED, match="expected an image of type"):
        reader(tmp_path / "a.png")


def test_a_header_of_too_many_pixels(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 8001, 8000, 8, 2, 0, 0, 0)  # 64,008,000 pixels; 64,000,000 are allowed
    assert 8001 * 8000 > MAX_PIXELS == 8000 * 8000
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(REFUSED, match=r"expected at most 64,000,000 pixels; found .*8001 x 8000"):
        reader(tmp_path / "a.png")


def test_a_file_of_too_many_bytes_is_not_read(
    tmp_path: Path, reader: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    size = (tmp_path / "a.png").stat().st_size
    monkeypatch.setattr(image_file, "MAX_BYTES", size)
    reader(tmp_path / "a.png")
    with (tmp_path / "a.png").open("ab") as file:
        file.truncate(size + 1)
    with pytest.raises(REFUSED, match=rf"expected at most {size} bytes; found .*a\.png with {size + 1}"):
        reader(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["isr", "isr validate", "sifm_ref"])
def test_a_folder_is_no_picture(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(REFUSED, match=r"expected an image file; found .*no (regular )?file"):
        READERS[name](tmp_path / "a.png")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for name in ("isr", "isr validate", "sifm_ref"):
        with pytest.raises(REFUSED, match=r"expected an image file; found .*no (regular )?file"):
            within(30, partial(READERS[name], tmp_path / "a.png"))
    with pytest.raises(InputError, match="found none"):
        within(30, lambda: find_pictures(tmp_path))


def test_a_device_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageProblem, match="no regular file"):
        within(30, lambda: read_file(Path("/dev/zero")))
    with pytest.raises(ImageProblem, match=r"cannot be read \(No such file or directory\)"):
        read_file(tmp_path / "nowhere.png")


def test_no_other_module_lets_pillow_choose_a_format() -> None:
    """``Image.open`` without ``formats`` tries every reader that Pillow has."""
    import ast

    found = []
    for folder in ("isr", "judges", "calibration", "sifm_ref"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                    found.append((file.relative_to(ROOT).as_posix(), {k.arg for k in node.keywords}))
    assert found
    assert [name for name, given in found if "formats" not in given] == []


def colours_in_floating_point() -> bytes:
    """An RGB TIFF of float32 samples, as scientific packages write it; Pillow reads none."""
    pixels = struct.pack("<12f", *[0.5] * 12)
    entries = [
        (256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 1, 32), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8),
        (277, 3, 1, 3), (278, 3, 1, 2), (279, 4, 1, len(pixels)), (339, 3, 1, 3),
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", *e) for e in entries)
    return (
        struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
        + pixels
        + struct.pack("<H", len(entries))
        + table
        + bytes(4)
    )


SAMPLES: dict[str, Callable[[], bytes]] = {
    "float.tif": lambda: tiff(Image.linear_gradient("L").convert("F").point(lambda v: v / 255)),
    "int32.tif": lambda: tiff(Image.linear_gradient("L").convert("I")),
    "colours.tif": colours_in_floating_point,
}


def tiff(image: Image.Image) -> bytes:
    held = io.BytesIO()
    image.save(held, "TIFF")
    return held.getvalue()


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_of_no_stated_range_are_refused(
    name: str, reader: Callable[[Path], object], tmp_path: Path
) -> None:
    """They became black pictures, and went on as such."""
    (tmp_path / name).write_bytes(SAMPLES[name]())
    with pytest.raises(REFUSED, match=r"expected 8-bit samples.*save it as 8-bit RGB"):
        reader(tmp_path / name)


@pytest.mark.parametrize("name", SAMPLES)
def test_validate_and_score_refuse_such_samples(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(SAMPLES[name]())
    (tmp_path / "metadata.csv").write_text(f"file_name,source_file_name,prompt\n{name},{name},make it red\n")
    for command in (
        ["validate"],
        ["score", "--judge", "shapes-oracle", "--out", f"{tmp_path}.out", "--quiet"],
    ):
        done = CliRunner().invoke(cli, [command[0], str(tmp_path), *command[1:]])
        assert isinstance(done.exception, EditDirectoryError)
        assert "expected 8-bit samples" in str(done.exception)


def saved(kind: str, image: Image.Image) -> bytes:
    held = io.BytesIO()
    image.save(held, kind)
    return held.getvalue()


KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "gif": (lambda: saved("GIF", Image.new("RGB", (8, 8))), "found a GIF; convert it to PNG, JPEG or WebP"),
    "avif": (lambda: b"\0\0\0\x1cftypavif\0\0\0\0" + b"\0" * 20, "found an AVIF image; convert it"),
    "heic": (lambda: b"\0\0\0\x18ftypheic" + b"\0" * 20, "found a HEIC image; convert it"),
    "pointer": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "found a Git LFS pointer, not the file itself; fetch the files: git lfs pull",
    ),
    "page": (lambda: b"<!doctype html><html><body>login", "found a web page (an error, or a login page?)"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_image_that_is_read_is_named(kind: str) -> None:
    data, told = KINDS[kind]
    with pytest.raises(ImageProblem) as caught:
        open_image(data())
    assert told in str(caught.value)


def test_paths_of_windows_are_told(tmp_path: Path) -> None:
    rows = "file_name,source_file_name,prompt\n" + "edits\\e.png,edits\\e.png,p\n"
    (tmp_path / "metadata.csv").write_text(rows)
    done = CliRunner().invoke(cli, ["validate", str(tmp_path)])
    assert isinstance(done.exception, EditDirectoryError)
    assert "write / in place of \\ in paths" in str(done.exception)


def test_a_files_ending_is_that_of_its_content() -> None:
    ends = []
    for kind in FORMATS:
        made = io.BytesIO()
        Image.new("RGB", (8, 8)).save(made, kind)
        ends.append(file_end(made.getvalue()))
    assert ends == [".png", ".jpg", ".webp", ".bmp", ".tif"]
    assert [file_end(data) for data in (b"", EPS, b"GIF89a", b"RIFF\0\0\0\0WAVE")] == [""] * 4

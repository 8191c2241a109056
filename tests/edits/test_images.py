"""Image files: every mode by the documented policy, nothing but ``ImageProblem`` for anything else."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from isr.canonical import sha256_bytes
from isr.edits.images import (
    GAP_PX,
    ImagePolicy,
    encode,
    encode_pixels,
    pixel_digest,
    read_checked,
    side_by_side,
)
from isr.image_file import ImageProblem, decode
from tests.edits.images_samples import PNG, RGB, pixels, saved

MAGIC = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def chunks(data: bytes) -> list[bytes]:
    """Types of the chunks of a PNG file."""
    at, found = 8, []
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.append(kind)
        at += 12 + length
    return found


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG file made by hand; ``more`` chunks stand before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return MAGIC + header + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def problem(data: bytes) -> ImageProblem:
    with pytest.raises(ImageProblem) as caught:
        decode(data)
    return caught.value


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_rgb_stays_as_it_is(kind: str) -> None:
    assert (pixels(saved(Image.fromarray(RGB), kind)) == RGB).all()


def test_lossless_webp_stays_as_it_is() -> None:
    assert (pixels(saved(Image.fromarray(RGB), "WEBP", lossless=True)) == RGB).all()


def test_jpeg_is_what_the_jpeg_holds() -> None:
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    assert abs(pixels(saved(flat, "JPEG", quality=95)) - (200, 100, 50)).max() <= 3


def test_alpha_is_composited_over_white() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [(10, 20, 30, 255), (10, 20, 30, 0), (0, 0, 0, 128)]
    # opaque: as it is; clear: white; black at 128 / 255 over white: 255 * 127 / 255 = 127
    assert pixels(saved(Image.fromarray(rgba), "PNG"))[0].tolist() == [[10, 20, 30], [255] * 3, [127] * 3]


def test_grey_with_alpha_is_composited_over_white() -> None:
    la = np.array([[(40, 255), (40, 0)]], np.uint8)
    assert pixels(saved(Image.fromarray(la, "LA"), "PNG"))[0].tolist() == [[40] * 3, [255] * 3]


def test_palette() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    assert pixels(saved(image, "PNG"))[0].tolist() == [[255, 0, 0], [0, 0, 255]]
    assert pixels(saved(image, "PNG", transparency=0))[0].tolist() == [[255, 255, 255], [0, 0, 255]]
    # one alpha for each colour: red at 0, blue at 128 over white: 0 * .5 + 255 * 127 / 255 = 127
    assert pixels(saved(image, "PNG", transparency=b"\x00\x80"))[0].tolist() == [[255] * 3, [127, 127, 255]]


def test_grey_and_bilevel() -> None:
    grey = np.array([[0, 77, 255]], np.uint8)
    assert pixels(saved(Image.fromarray(grey), "PNG"))[0].tolist() == [[0] * 3, [77] * 3, [255] * 3]
    bilevel = Image.fromarray(grey).convert("1", dither=Image.Dither.NONE)
    assert pixels(saved(bilevel, "PNG"))[0].tolist() == [[0] * 3, [0] * 3, [255] * 3]


def test_grey_and_rgb_with_a_transparent_colour() -> None:
    grey = Image.fromarray(np.array([[5, 77]], np.uint8))
    assert pixels(saved(grey, "PNG", transparency=77))[0].tolist() == [[5] * 3, [255] * 3]
    colour = Image.fromarray(np.array([[(1, 2, 3), (9, 9, 9)]], np.uint8))
    assert pixels(saved(colour, "PNG", transparency=(1, 2, 3)))[0].tolist() == [[255] * 3, [9] * 3]


def test_cmyk() -> None:
    # Pillow's formula without profiles: R = (255 - C) * (255 - K) / 255
    cmyk = Image.new("CMYK", (2, 1))
    cmyk.putdata([(0, 255, 255, 0), (0, 0, 0, 255)])
    assert pixels(saved(cmyk, "TIFF"))[0].tolist() == [[255, 0, 0], [0, 0, 0]]
    assert abs(pixels(saved(cmyk.resize((16, 16)), "JPEG", quality=100))[8, 1] - (255, 0, 0)).max() <= 6


def test_16_bit_samples_keep_their_high_byte() -> None:
    grey = np.array([[0x0000, 0x12FF, 0xFF00, 0xFFFF]], np.uint16)
    high = [[0x00] * 3, [0x12] * 3, [0xFF] * 3, [0xFF] * 3]
    assert pixels(saved(Image.fromarray(grey), "PNG"))[0].tolist() == high
    assert pixels(saved(Image.fromarray(grey), "TIFF"))[0].tolist() == high
    # 16-bit RGB, written by hand: filter byte 0, then big-endian samples
    row = b"\0" + struct.pack(">6H", 0x12FF, 0x3400, 0x56AB, 0, 0xFFFF, 0x8000)
    assert pixels(png(2, 1, 16, 2, row))[0].tolist() == [[0x12, 0x34, 0x56], [0x00, 0xFF, 0x80]]


def test_32_bit_and_float_samples_are_refused() -> None:
    """Also those that lie in 0 to 255: the high byte of 16 bits would be black."""
    for levels in ([[70_000]], [[-1]], [[0, 255]], [[0, 65_535]]):
        found = problem(saved(Image.fromarray(np.array(levels, np.int32)), "TIFF"))
        assert "32-bit or signed integer samples" in found.found
        assert "save it as 8-bit RGB" in found.fix
    for shades in ([[0.5]], [[0.0, 1.0]], [[0.0, 255.0]], [[np.nan, np.inf]]):
        found = problem(saved(Image.fromarray(np.array(shades, np.float32)), "TIFF"))
        assert "floating-point samples" in found.found
        assert "8-bit RGB" in found.fix
    assert "damaged" not in str(found)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(kind: str, orientation: int) -> None:
    # the EXIF standard's table: what the viewer must do to the stored pixels
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }[orientation]
    corners = np.zeros((16, 32, 3), np.uint8)  # four flat corners survive JPEG
    corners[:8, :16], corners[:8, 16:], corners[8:, :16], corners[8:, 16:] = (
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        0,
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = (
        {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    )
    got = pixels(saved(Image.fromarray(corners), kind, exif=exif, **lossless))
    assert got.shape == turn(corners).shape
    assert abs(got - turn(corners).astype(int)).mean() < 3


def test_orientation_beside_exif_data_that_cannot_be_written_again() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes()
    # one more entry, ImageDescription as a RATIONAL, which is legal to read; entries stand in order of their tag
    count = struct.pack("<H", 2)
    entries = struct.pack("<HHII", 0x010E, 5, 1, 8 + 2 + 24 + 4) + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    body = b"Exif\0\0II*\0\x08\0\0\0" + count + entries + b"\0\0\0\0" + struct.pack("<II", 1, 3)
    assert decode(saved(Image.fromarray(RGB), "JPEG", exif=body)).size == (7, 9)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_are_refused(kind: str) -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    found = problem(data).found
    assert found == ("a GIF" if kind == "GIF" else "2 frames")
    with pytest.raises(ImageProblem):
        encode(data, PNG)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"prompt,edit\n1,2\n", "16 bytes that none of them reads"),
        (b"\x89PNG\r\n\x1a\n", "8 bytes that none of them reads"),
        (b"\xff\xd8\xff", "3 bytes that none of them reads"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "41 bytes that none of them reads"),
    ],
)
def test_other_files(data: bytes, found: str) -> None:
    assert problem(data).found == found


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_truncated_files(kind: str) -> None:
    data = saved(Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)), kind)
    assert decode(data).size == (64, 64)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(ImageProblem):
            decode(data[: int(share * len(data))])


def test_a_corrupt_png() -> None:
    data = bytearray(saved(Image.fromarray(RGB), "PNG"))
    data[data.index(b"IDAT") + 20] ^= 0xFF
    with pytest.raises(ImageProblem):
        decode(bytes(data))


@pytest.mark.parametrize("side", [8_001, 60_000, 2**31 - 1])
def test_a_header_that_claims_too_many_pixels(side: int) -> None:
    # 8001 * 8001 = 64,016,001 > 64,000,000
    assert "bomb" in problem(png(side, side, 8, 2, b"\0")).found
    with pytest.raises(ImageProblem):
        encode(png(side, side, 8, 2, b"\0"), PNG)


def test_the_largest_allowed_header_is_not_called_a_bomb() -> None:
    # 8000 * 8000 = 64,000,000; its pixels are missing
    assert "damaged" in problem(png(8_000, 8_000, 8, 2, b"\0")).found


def test_hostile_compressed_text() -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9))  # 100 MB out of 100 kB
    data = png(2, 1, 8, 2, b"\0" + bytes(6), bomb)
    assert len(data) < 200_000
    with pytest.raises(ImageProblem):
        decode(data)
    assert encode(data, PNG).data == png(2, 1, 8, 2, b"\0" + bytes(6))  # the chunk is left out unread


def test_metadata_chunks_are_not_sent_and_pixels_are_untouched() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "prompt: SECRET", zip=False)
    info.add_text("workflow", "SECRET", zip=True)
    info.add_itxt("note", "SECRET")
    data = saved(Image.fromarray(RGB), "PNG", pnginfo=info, icc_profile=b"SECRET profile", dpi=(72, 72))
    assert {b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"pHYs"} <= set(chunks(data))
    sent = encode(data, PNG)
    assert set(chunks(sent.data)) == {b"IHDR", b"IDAT", b"IEND"}
    assert b"SECRET" not in sent.data
    assert (sent.media_type, sent.width, sent.height) == ("image/png", 9, 7)
    assert sent.sha256 == sha256_bytes(sent.data)
    assert (
        data[data.index(b"IDAT") :][:20] == sent.data[sent.data.index(b"IDAT") :][:20]
    )  # passed through as they were
    assert pixel_digest(decode(sent.data)) == pixel_digest(decode(data))


def oriented(**options: Any) -> bytes:
    return saved(Image.fromarray(RGB), "PNG", **options)


def text_chunk(keyword: str, text: str, **options: bool) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    (info.add_itxt if options.pop("international", False) else info.add_text)(keyword, text, **options)
    return info


def profile(orientation: int) -> str:
    """EXIF data in the words in which ImageMagick writes it into a text chunk."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = exif.tobytes()
    return f"\nexif\n{len(data):8}\n{data.hex()}\n"


SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6


@pytest.mark.parametrize(
    "data",
    [
        oriented(),
        oriented(exif=SIDEWAYS),
        oriented(pnginfo=text_chunk("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>', international=True)),
        oriented(pnginfo=text_chunk("Raw profile type exif", profile(6), zip=True)),
        oriented(pnginfo=text_chunk("Raw profile type exif", profile(8), zip=False)),
        oriented(transparency=tuple(RGB[0, 0].tolist())),
        saved(Image.fromarray(RGB).convert("L"), "PNG"),
        saved(Image.fromarray(RGB).convert("LA"), "PNG"),
        saved(Image.fromarray(RGB).convert("P"), "PNG"),
        saved(Image.fromarray(RGB).convert("1"), "PNG"),
        saved(Image.fromarray(RGB[..., 0].astype(np.uint16) * 257), "PNG"),
        saved(Image.fromarray(RGB), "WEBP"),
        saved(Image.fromarray(RGB), "JPEG"),
        saved(Image.fromarray(RGB), "BMP"),
    ],
    ids=lambda data: repr(data[1:4]),
)
def test_what_is_sent_shows_what_decode_shows(data: bytes) -> None:
    sent = encode(data, PNG)
    assert sent.media_type == "image/png"
    assert pixel_digest(decode(sent.data)) == pixel_digest(decode(data))
    with Image.open(io.BytesIO(sent.data)) as plain:  # also for a reader that knows nothing of EXIF
        assert (np.asarray(plain.convert("RGB")) == np.asarray(decode(data))).all()
        assert (sent.width, sent.height) == plain.size


@pytest.mark.parametrize(
    "data",
    [
        MAGIC + struct.pack(">I4s", 0xFFFFFFFF, b"IHDR") + bytes(30),
        MAGIC + struct.pack(">I4s", 0xFFFFFFFF, b"tEXt") + bytes(30),
        MAGIC + chunk(b"IHDR", b""),
        MAGIC + chunk(b"IHDR", bytes(5)),
        MAGIC + chunk(b"IHDR", struct.pack(">IIBB", 2, 1, 8, 2)),
        MAGIC + chunk(b"IEND", b"")[:-4],
        MAGIC[:-1],
    ],
)
def test_hostile_chunk_lengths(data: bytes) -> None:
    with pytest.raises(ImageProblem):
        encode(data, PNG)


def test_only_larger_images_are_resized_and_keep_their_aspect() -> None:
    wide = Image.new("RGB", (400, 100), (1, 2, 3))
    assert encode(saved(wide, "PNG"), ImagePolicy(max_side=400)).width == 400
    shrunk = encode(saved(wide, "PNG"), ImagePolicy(max_side=200))
    assert (shrunk.width, shrunk.height) == (200, 50)
    assert decode(shrunk.data).size == (200, 50)
    line = encode(saved(Image.new("RGB", (1000, 1)), "PNG"), ImagePolicy(max_side=16))
    assert (line.width, line.height) == (16, 1)


def test_resizing_leaves_the_image_alone() -> None:
    image = Image.new("RGB", (400, 100))
    encode_pixels(image, ImagePolicy(max_side=20))
    assert image.size == (400, 100)


def test_jpeg_only_where_the_card_says_so() -> None:
    data = saved(Image.fromarray(RGB), "PNG")
    low, high = (encode(data, ImagePolicy(format="jpeg", quality=q)) for q in (10, 95))
    assert low.media_type == "image/jpeg"
    assert low.data[:3] == b"\xff\xd8\xff"
    assert len(low.data) < len(high.data)
    assert abs(pixels(high.data) - RGB).mean() < abs(pixels(low.data) - RGB).mean()


def test_encoding_is_deterministic() -> None:
    data = saved(Image.fromarray(RGB), "BMP")
    assert encode(data, PNG).data == encode(data, PNG).data


def test_side_by_side() -> None:
    left, right = Image.new("RGB", (10, 20), (255, 0, 0)), Image.new("RGB", (30, 5), (0, 0, 255))
    both = np.asarray(side_by_side([left, right]))
    assert both.shape == (20, 10 + GAP_PX + 30, 3)
    assert (both[:, :10] == (255, 0, 0)).all()
    assert (both[:, 10 : 10 + GAP_PX] == 255).all()
    assert (both[:5, 10 + GAP_PX :] == (0, 0, 255)).all()
    assert (both[5:, 10 + GAP_PX :] == 255).all()


def test_pixel_digest_knows_the_shape() -> None:
    # the same 54 bytes of pixels as 9 x 2 and as 2 x 9
    assert pixel_digest(Image.new("RGB", (9, 2))) != pixel_digest(Image.new("RGB", (2, 9)))


SEEDS = [
    saved(Image.fromarray(RGB), "PNG", exif=SIDEWAYS),
    saved(Image.fromarray(RGB).convert("P"), "PNG", transparency=1),
    saved(Image.fromarray(RGB), "JPEG", exif=SIDEWAYS),
    saved(Image.fromarray(RGB), "WEBP", exif=SIDEWAYS),
    saved(Image.fromarray(RGB), "BMP"),
    saved(Image.fromarray(RGB), "TIFF", exif=SIDEWAYS),
    saved(Image.fromarray(RGB), "TIFF", save_all=True, append_images=[Image.fromarray(RGB)]),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An image file with a few bytes changed, taken out or put in, perhaps cut."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        put = draw(st.binary(max_size=4))
        data[at : at + draw(st.integers(0, 4))] = put
        if not data:
            break
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@settings(max_examples=300)
@given(st.one_of(damaged(), st.binary(max_size=80), st.binary(max_size=60).map(MAGIC.__add__)))
def test_decode_and_encode_are_total(data: bytes) -> None:
    for work in (decode, lambda d: encode(d, PNG), lambda d: encode(d, ImagePolicy(format="jpeg"))):
        with suppress(ImageProblem):
            work(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # the second frame of a TIFF without a width (tag 256), without a pixel format that exists
        (struct.pack("<HHI", 256, 4, 1), struct.pack("<HHI", 40, 4, 1)),
        (struct.pack("<HHIHH", 262, 3, 1, 2, 0), struct.pack("<HHIHH", 262, 3, 1, 99, 0)),
    ],
)
def test_a_damaged_second_frame(old: bytes, new: bytes) -> None:
    data = SEEDS[-1]
    at = data.rindex(old)
    assert at > data.index(old)
    problem(data[:at] + new + data[at + len(old) :])


def test_decoding_on_many_threads_leaves_the_warnings_alone() -> None:
    data = [saved(Image.fromarray(RGB), "TIFF"), SEEDS[2]]
    before = list(warnings.filters)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(40):
            for d in data:
                decode(d)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert list(warnings.filters) == before


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"one")
    assert read_checked(tmp_path, "x.png", sha256_bytes(b"one")) == b"one"
    (tmp_path / "x.png").write_bytes(b"two")
    with pytest.raises(ImageProblem, match=r"x\.png as it was when the run began"):
        read_checked(tmp_path, "x.png", sha256_bytes(b"one"))


def test_a_phones_jpeg_with_a_second_picture_inside_is_its_first_picture() -> None:
    first, second = Image.new("RGB", (16, 12), "red"), Image.new("RGB", (8, 6), "blue")
    buffer = io.BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[second], quality=95)
    decoded = decode(buffer.getvalue())
    assert decoded.size == (16, 12)
    assert decoded.getpixel((8, 6))[0] > 240  # type: ignore[index]

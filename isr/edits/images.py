"""Images as judges get them: normalised one documented way, encoded once.

Policy ``isr.images/1``, the same for every judge; ``isr.image_file`` does the first five:

1. PNG, JPEG, WebP, BMP and TIFF are read, still images only, at most ``image_file.MAX_PIXELS`` pixels.
2. EXIF orientation is applied.
3. 16-bit samples keep their high byte. Palettes and grey become RGB; CMYK becomes RGB by Pillow's formula.
4. Alpha is composited over white.
5. Embedded colour profiles are ignored, as the diffusion pipelines that made the edits ignore them.
6. An image is made smaller (Lanczos) only if its longer side exceeds the card's ``max_side``.
7. It is sent as PNG (lossless) unless the card says JPEG. A PNG file that is 8-bit RGB or grey without
   transparency, orientation or animation, and small enough, is sent with its own compressed pixels and
   without its metadata chunks.
"""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from isr.image_file import ImageProblem, decode, read_file

POLICY = "isr.images/1"
GAP_PX = 16  # white gap between the images of a side-by-side layout

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"IDAT", b"IEND")
_PNG_BLOCKING = (b"tRNS", b"eXIf", b"acTL")  # transparency, orientation, animation
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_PNG_TEXT_BLOCKING = (
    b"Raw profile type exif\0",
    b"XML:com.adobe.xmp\0",
)  # these can hold an orientation, too


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """What a judge card says about images; part of the judge's identity."""

    max_side: int = 1024
    format: str = "png"
    quality: int = 95
    layout: str = "separate"


@dataclass(frozen=True, slots=True)
class Encoded:
    """An image as it is sent: its bytes, media type, size in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int

    @property
    def sha256(self) -> str:
        return "sha256:" + hashlib.sha256(self.data).hexdigest()


def pixel_digest(image: Image.Image) -> str:
    """``sha256:<hex>`` of an RGB image's size and pixels, whatever file it came from."""
    digest = hashlib.sha256(struct.pack(">II", *image.size))
    digest.update(image.tobytes())
    return "sha256:" + digest.hexdigest()


def colour_of(image: Image.Image) -> str:
    """``#rrggbb`` of an RGB image all of whose pixels are alike; ``""`` for any other."""
    if image.getpixel((0, 0)) != image.getpixel((image.width // 2, image.height // 2)):
        return ""  # as of most pictures: the others need not be looked at
    ends = [band.getextrema() for band in image.split()]
    return "" if any(low != high for low, high in ends) else "#" + "".join(f"{low:02x}" for low, _ in ends)


def encode(data: bytes, policy: ImagePolicy) -> Encoded:
    """The bytes to send for the image file ``data`` under a card's policy."""
    return _passed_through(data, policy) or encode_pixels(decode(data), policy)


def fitted(image: Image.Image, policy: ImagePolicy) -> Image.Image:
    """The RGB image, made smaller only if it is larger than the policy allows."""
    if max(image.size) > policy.max_side:
        image = image.copy()
        image.thumbnail((policy.max_side, policy.max_side), Image.Resampling.LANCZOS, reducing_gap=None)
    return image


def picture(blobs: list[bytes], policy: ImagePolicy) -> Image.Image:
    """The RGB pixels that a judge gets of an image file, or of several side by side: what ``encode`` would send."""
    images = [decode(b) for b in blobs]
    image = fitted(images[0] if len(images) == 1 else side_by_side(images), policy)
    return decode(encode_pixels(image, policy).data) if policy.format == "jpeg" else image


def encode_pixels(image: Image.Image, policy: ImagePolicy) -> Encoded:
    """The bytes to send for an RGB image: resized only if too large, PNG unless the card says JPEG."""
    image = fitted(image, policy)
    buffer = io.BytesIO()
    if policy.format == "jpeg":
        image.save(buffer, "JPEG", quality=policy.quality, subsampling=0)
        return Encoded(buffer.getvalue(), "image/jpeg", *image.size)
    image.save(buffer, "PNG", compress_level=3)
    return Encoded(buffer.getvalue(), "image/png", *image.size)


def side_by_side(images: list[Image.Image]) -> Image.Image:
    """The images on one white canvas, left to right, tops aligned, ``GAP_PX`` apart."""
    width = sum(i.width for i in images) + GAP_PX * (len(images) - 1)
    canvas = Image.new("RGB", (width, max(i.height for i in images)), (255, 255, 255))
    left = 0
    for image in images:
        canvas.paste(image, (left, 0))
        left += image.width + GAP_PX
    return canvas


def _passed_through(data: bytes, policy: ImagePolicy) -> Encoded | None:
    """The file's own pixels without its metadata, if nothing has to change; else ``None``."""
    if policy.format != "png" or not data.startswith(_PNG_MAGIC):
        return None
    kept, at, size = [_PNG_MAGIC], 8, (0, 0)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in _PNG_BLOCKING or at + 12 + length > len(data):
            return None
        if kind in _PNG_TEXT and data.startswith(_PNG_TEXT_BLOCKING, at + 8):
            return None
        if kind == b"IHDR":
            if length != 13:
                return None
            width, height, depth, colour = struct.unpack_from(">IIBB", data, at + 8)
            if depth != 8 or colour not in (0, 2) or max(width, height) > policy.max_side:
                return None
            size = (width, height)
        if kind in _PNG_KEPT:
            kept.append(data[at : at + 12 + length])
        if kind == b"IEND":
            same = sum(map(len, kept)) == len(data)
            return Encoded(data if same else b"".join(kept), "image/png", *size)
        at += 12 + length
    return None


def read_checked(root: Path, path: str, expected: str) -> bytes:
    """The bytes of a file of the edit directory. Raises ``ImageProblem`` if they changed since they were digested."""
    data = read_file(root / path)
    if "sha256:" + hashlib.sha256(data).hexdigest() != expected:
        raise ImageProblem(
            f"{path} as it was when the run began", "other bytes", "let the export finish, then run again"
        )
    return data

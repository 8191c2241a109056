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

import asyncio
import base64
import hashlib
import io
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

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
            return Encoded(b"".join(kept), "image/png", *size)
        at += 12 + length
    return None


@dataclass(frozen=True, slots=True)
class Sent:
    """An image ready to be put into a request body: a ``data:`` URL in ASCII, and the digest of the image's bytes."""

    url: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as a judge in this process gets it: its pixels, and their digest."""

    image: Image.Image
    sha256: str


T = TypeVar("T")


class _Kept(Generic[T]):
    """Values made on worker threads, each once while it is in use; the longest unused go first beyond ``budget`` bytes."""

    def __init__(
        self, make: Callable[[tuple[tuple[str, str], ...]], T], size: Callable[[T], int], budget: int
    ) -> None:
        self._make, self._size, self._budget = make, size, budget
        self._held: OrderedDict[tuple[str, ...], asyncio.Future[T]] = OrderedDict()
        self._bytes = 0

    async def get(self, files: tuple[tuple[str, str], ...]) -> T:
        key = tuple(digest for _, digest in files)
        future = self._held.get(key)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._held[key] = future
            try:
                result = await asyncio.to_thread(self._make, files)
            except BaseException as error:
                del self._held[key]
                future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
                future.exception()  # seen: nobody else may be waiting
                raise
            self._bytes += self._size(result)
            future.set_result(result)
            self._forget_oldest()
        else:
            self._held.move_to_end(key)
        return await asyncio.shield(future)

    def _forget_oldest(self) -> None:
        while self._bytes > self._budget and len(self._held) > 1:
            key, future = next(iter(self._held.items()))
            if not future.done():
                return
            del self._held[key]
            self._bytes -= self._size(future.result())


class Encoder:
    """Prepares images for one policy: encoded for judges behind an endpoint, as pixels for judges in this process.

    Both questions, all repeats and the other arms of a source reuse them, and memory stays bounded by ``budget``
    bytes of each kind.
    """

    def __init__(self, root: Path, policy: ImagePolicy, budget: int = 64 * 2**20) -> None:
        self.root, self.policy = root, policy
        self._sent = _Kept(self._encode, lambda sent: len(sent.url), budget)
        self._pictures = _Kept(self._picture, lambda p: 3 * p.image.width * p.image.height, budget)

    async def sent(self, files: tuple[tuple[str, str], ...]) -> Sent:
        """One image, or several side by side, as it is sent. Raises ``ImageProblem``."""
        return await self._sent.get(files)

    async def picture(self, files: tuple[tuple[str, str], ...]) -> Picture:
        """The pixels of one image, or of several side by side, under the policy. Raises ``ImageProblem``."""
        return await self._pictures.get(files)

    def _read(self, files: tuple[tuple[str, str], ...]) -> list[bytes]:
        return [read_checked(self.root, path, digest) for path, digest in files]

    def _picture(self, files: tuple[tuple[str, str], ...]) -> Picture:
        image = picture(self._read(files), self.policy)
        return Picture(image, pixel_digest(image))

    def _encode(self, files: tuple[tuple[str, str], ...]) -> Sent:
        blobs = self._read(files)
        if len(blobs) == 1:
            image = encode(blobs[0], self.policy)
        else:
            image = encode_pixels(side_by_side([decode(b) for b in blobs]), self.policy)
        head = f"data:{image.media_type};base64,".encode()
        return Sent(head + base64.b64encode(image.data), image.sha256)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The images of one request, by role, prepared when a judge asks for them."""

    encoder: Encoder
    files: Mapping[str, tuple[str, str]]  # role -> (relative path, digest of the file)

    async def sent(self, *roles: str) -> Sent:
        """The image of a role as it is sent; several roles are put side by side."""
        return await self.encoder.sent(tuple(self.files[role] for role in roles))

    async def picture(self, *roles: str) -> Picture:
        """The pixels of a role as the card's policy has them; several roles are put side by side."""
        return await self.encoder.picture(tuple(self.files[role] for role in roles))

    def pixels(self, role: str) -> Image.Image:
        """The normalised RGB pixels of a role, for judges that look at pixels themselves."""
        return decode(read_checked(self.encoder.root, *self.files[role]))


def read_checked(root: Path, path: str, expected: str) -> bytes:
    """The bytes of a file of the edit directory. Raises ``ImageProblem`` if they changed since they were digested."""
    data = read_file(root / path)
    if "sha256:" + hashlib.sha256(data).hexdigest() != expected:
        raise ImageProblem(
            f"{path} as it was when the run began", "other bytes", "let the export finish, then run again"
        )
    return data

"""Image files: decoded safely, normalised one documented way, encoded once.

Policy ``isr.images/1``, the same for every judge:

1. PNG, JPEG, WebP, BMP and TIFF are read, still images only, at most ``MAX_PIXELS`` pixels.
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
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from PIL import ExifTags, Image

POLICY = "isr.images/1"
MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
GAP_PX = 16  # white gap between the images of a side-by-side layout

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"IDAT", b"IEND")
_PNG_BLOCKING = (b"tRNS", b"eXIf", b"acTL")  # transparency, orientation, animation
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_PNG_TEXT_BLOCKING = (
    b"Raw profile type exif\0",
    b"XML:com.adobe.xmp\0",
)  # these can hold an orientation, too
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's orientation


class ImageProblem(ValueError):
    """A file that cannot be used as an image: ``expected``, ``found`` and ``fix`` for the message."""

    def __init__(self, expected: str, found: str, fix: str) -> None:
        self.expected, self.found, self.fix = expected, found, fix
        super().__init__(f"expected {expected}; found {found}; {fix}")


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


def open_image(data: bytes) -> Image.Image:
    """The image in ``data``, its header read and its size checked, its pixels not yet decoded.

    Raises ``ImageProblem`` for anything that is not one still image of a known type and sane size.
    """
    try:
        with _quiet:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _bomb(str(error)) from error
    except Exception as error:
        raise ImageProblem(
            f"an image of type {', '.join(FORMATS)}",
            f"{len(data)} bytes that none of them reads" if data else "an empty file",
            "export it again or drop the row",
        ) from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _bomb(f"{width} x {height}")
    try:
        with _quiet:
            frames = getattr(image, "n_frames", 1)  # reads the headers of all frames
    except Exception as error:
        raise _damaged(error) from error
    if (
        frames > 1 and image.format != "MPO"
    ):  # a phone's JPEG that carries a preview or a depth map beside the picture
        raise ImageProblem("a still image", f"{frames} frames", "export the one frame that was edited")
    return image


def decode(data: bytes) -> Image.Image:
    """The image in ``data`` as 8-bit RGB by the policy above. Raises ``ImageProblem``."""
    image = open_image(data)
    try:
        with _quiet:
            image.load()
            return _to_rgb(_upright(image))
    except Image.DecompressionBombError as error:
        raise _bomb(str(error)) from error
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(error) from error


def _upright(image: Image.Image) -> Image.Image:
    """The image with its EXIF orientation applied; the rest of the EXIF data is not touched, however odd it is."""
    method = _TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if method is None else image.transpose(method)


class _Quiet:
    """Silences Pillow's warnings while any thread decodes. ``warnings.catch_warnings`` by itself is not for threads:
    two that overlap can leave the whole process silenced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._caught is None:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._caught is not None:
                self._caught.__exit__(None, None, None)
                self._caught = None


_quiet = _Quiet()


def _damaged(error: Exception) -> ImageProblem:
    return ImageProblem(
        "a complete image", f"damaged or truncated data ({error})", "export it again or drop the row"
    )


def _bomb(found: str) -> ImageProblem:
    return ImageProblem(
        f"at most {MAX_PIXELS:,} pixels",
        f"{found} (a decompression bomb?)",
        "shrink the image or drop the row",
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        samples = np.asarray(image).astype(np.int64)
        if samples.min() < 0 or samples.max() > 0xFFFF:
            raise ValueError("32-bit samples")
        return Image.fromarray((samples >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point samples")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


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
    data = (root / path).read_bytes()
    if "sha256:" + hashlib.sha256(data).hexdigest() != expected:
        raise ImageProblem(
            f"{path} as it was when the run began", "other bytes", "let the export finish, then run again"
        )
    return data

"""Image files: the one reader of both packages, with one list of formats and one set of limits.

What a file is called decides nothing: only Pillow's readers of ``FORMATS`` are ever tried on its bytes, so that no
name makes Pillow hand a file to another program (as it does with EPS). Nothing but regular files is read.
"""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from isr.errors import IsrError
from isr.reading import MAX_FILE, TooLarge, Unreadable, known_kind, read_bytes

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 64_000_000
MAX_BYTES = MAX_FILE  # of a file: 8-bit RGBA of the most pixels, uncompressed, fits

_TIFF = (b"II*\0", b"MM\0*")
_ENDS = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"BM", ".bmp"),
    *((start, ".tif") for start in _TIFF),
)
_RANGELESS = {"I": "32-bit or signed integer samples", "F": "floating-point samples"}  # by Pillow's mode
_SAMPLES = "8-bit samples, or 16-bit grey ones without a sign"
_AS_RGB = "save it as 8-bit RGB, with the range that is meant"

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's orientation


class ImageProblem(IsrError):
    """A file that cannot be used as an image: ``expected``, ``found`` and ``fix`` for the message."""

    def __init__(self, expected: str, found: str, fix: str) -> None:
        self.expected, self.found, self.fix = expected, found, fix
        super().__init__(f"expected {expected}; found {found}; {fix}")


def read_file(path: Path) -> bytes:
    """The bytes of a regular file of at most ``MAX_BYTES``. Raises ``ImageProblem``; waits for no pipe or device."""
    try:
        return read_bytes(path, MAX_BYTES)
    except TooLarge as error:
        fix = "shrink the image or drop it"
        raise ImageProblem(error.expected, f"{path} with {error.found}", fix) from error
    except Unreadable as error:
        raise ImageProblem(
            "an image file", f"{path}, which cannot be read ({error.found})", "check the file"
        ) from error


def file_end(data: bytes) -> str:
    """The ending of a file's name by what is in it: ``.png``, ``.jpg``, ...; ``""`` for none of the known formats."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((end for start, end in _ENDS if data.startswith(start)), "")


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
        if data.startswith(_TIFF):
            found = "a TIFF with other samples (colours in floating point, or of more than 8 bits), or a damaged one"
            raise ImageProblem(_SAMPLES, found, _AS_RGB) from error
        unknown = f"{len(data)} bytes that none of them reads" if data else "an empty file"
        found, fix = known_kind(data) or (unknown, "export it again or drop the row")
        raise ImageProblem(f"an image of type {', '.join(FORMATS)}", found, fix) from error
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
    return decoded(data)[0]


def decoded(data: bytes) -> tuple[Image.Image, bool]:
    """The image in ``data`` as 8-bit RGB, and whether it was transparent anywhere. Raises ``ImageProblem``."""
    image = open_image(data)
    try:
        with _quiet:
            image.load()
            return _to_rgb(_upright(image))
    except Image.DecompressionBombError as error:
        raise _bomb(str(error)) from error
    except (MemoryError, ImageProblem):
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


def _to_rgb(image: Image.Image) -> tuple[Image.Image, bool]:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image, False
    if image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.int64)
        if 0 < samples.max() < 256:
            found = f"16-bit samples of which none is above {samples.max()}: all black"
            raise ImageProblem(
                "16-bit samples that use their range", found, "save it as 8-bit, as it is meant"
            )
        return Image.fromarray((samples >> 8).astype(np.uint8)).convert("RGB"), False
    if image.mode in _RANGELESS:
        raise ImageProblem(
            _SAMPLES, f"{_RANGELESS[image.mode]}, of which no file says what is white", _AS_RGB
        )
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        transparent = bool(np.asarray(rgba.getchannel("A")).min() < 255)
        return Image.alpha_composite(white, rgba).convert("RGB"), transparent
    return image.convert("RGB"), False

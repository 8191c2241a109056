"""Pictures in and out: EXIF applied, brought to the working resolution, quantised to 8 bits, written whole or not at all."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps

from isr.canonical import sha256_bytes
from isr.errors import InputError, Problem, UsageError
from isr.files import files_below, write_bytes
from isr.image_file import ImageProblem, decode, read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
OTHER_SUFFIXES = (".avif", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl")  # pictures that are not taken
Policy = Literal["fit", "crop", "keep"]
LONGEST = 48  # characters of a part of a name, so that five of them make a file name that every disk takes
POLICIES = ("fit", "crop", "keep")


@dataclass(frozen=True, slots=True)
class Resize:
    """How a photograph comes to the working resolution.

    ``fit``: its longer side becomes ``resolution``, both sides the nearest multiple of what the editor needs (the
    aspect changes by less than that). ``crop``: the central square, ``resolution`` wide. ``keep``: its own size, cut
    centrally to multiples. Lanczos.
    """

    resolution: int = 512
    policy: Policy = "fit"

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise UsageError(f"resize: expected one of {', '.join(POLICIES)}; found {self.policy!r}")
        if self.resolution < 1:
            raise UsageError(f"resolution: expected a number of pixels above 0; found {self.resolution}")

    def size(self, width: int, height: int, multiple: int) -> tuple[int, int]:
        """Width and height at working resolution."""
        if self.policy == "crop":
            return (_near(self.resolution, multiple),) * 2
        if self.policy == "keep":
            return max(multiple, width // multiple * multiple), max(multiple, height // multiple * multiple)
        scale = self.resolution / max(width, height)
        return _near(width * scale, multiple), _near(height * scale, multiple)

    def apply(self, image: Image.Image, multiple: int) -> Image.Image:
        """The image at working resolution."""
        size = self.size(image.width, image.height, multiple)
        if self.policy == "fit":
            return image.resize(size, Image.Resampling.LANCZOS)
        if self.policy == "crop" or image.width < size[0] or image.height < size[1]:
            return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
        left, top = (image.width - size[0]) // 2, (image.height - size[1]) // 2
        return image.crop((left, top, left + size[0], top + size[1]))


def _near(value: float, multiple: int) -> int:
    return max(multiple, round(value / multiple) * multiple)


@dataclass(frozen=True, slots=True)
class Picture:
    """A photograph on disk with the name that it has everywhere else."""

    image_id: str
    path: Path
    size: tuple[int, int]  # width and height, EXIF orientation applied


def find_pictures(place: Path, without: Path | None = None) -> list[Picture]:
    """The photographs of a folder and the folders in it, in order of name; or the one file.

    Hidden files and what lies in ``without`` (the output of a run, which may be in the folder) are left out.

    Raises ``InputError`` that lists every file that should be a picture and cannot be read, or if there is none.
    """
    if place.is_file():
        files, root = [place], place.parent
    elif place.is_dir():
        root = place
        files = _files(place, without, SUFFIXES)
    else:
        raise InputError(f"{place}: expected a folder of images; found nothing there; check the path")
    if not files:
        raise InputError(f"{place}: expected images ({', '.join(SUFFIXES)}); found none; check the path")
    stems = [_slug(f.relative_to(root).with_suffix("").as_posix()) for f in files]
    times = Counter(stems)
    names = [s if times[s] == 1 else f"{s}-{f.suffix[1:].lower()}" for s, f in zip(stems, files, strict=True)]
    times = Counter(names)
    names = [n if times[n] == 1 else f"{n}-{i}" for i, n in enumerate(names)]
    found, problems = [], []
    for name, file in zip(names, files, strict=True):
        try:
            found.append(Picture(name, file, decode(read_file(file)).size))
        except ImageProblem as error:
            problems.append(Problem(str(file), "", error.expected, error.found, _own_fix(error.fix)))
    if problems:
        raise InputError(f"{place}: {len(problems)} file(s) that cannot be used as images", problems)
    return found


def _own_fix(fix: str) -> str:
    """What to do about a photograph: there is no row of a table that could be dropped."""
    return "repair it or take it away" if "row" in fix else f"{fix}; or take it away"


def passed_over(place: Path, without: Path | None = None) -> list[Path]:
    """Pictures of the folder that ``find_pictures`` does not take, as their kind is another (HEIC, GIF, AVIF ...)."""
    return _files(place, without, OTHER_SUFFIXES) if place.is_dir() else []


def _files(place: Path, without: Path | None, suffixes: Sequence[str]) -> list[Path]:
    """Files of these kinds, in order of name; none that is hidden or lies in ``without``."""
    apart = without.resolve() if without else None
    return sorted(
        p
        for p in files_below(place, hidden=False)
        if p.suffix.lower() in suffixes and p.is_file() and not (apart and p.resolve().is_relative_to(apart))
    )


def _slug(text: str) -> str:
    return _short(re.sub(r"[^\w.-]+", "_", text.replace("/", "__")).strip("._-") or "image")


def slug(*parts: str) -> str:
    """Parts as a piece of a file name; of a long one the beginning and a digest."""
    return "_".join(_short(re.sub(r"[^\w.-]+", "-", p).strip("-.")) for p in parts if p)


def _short(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 9]}-{sha256_bytes(text.encode())[7:15]}"


def read_rgb(path: Path) -> Image.Image:
    """The picture as 8-bit RGB, by ``isr.image_file``: EXIF orientation applied, alpha over white, high byte of 16-bit
    samples. Raises ``InputError`` for a file that is no picture."""
    try:
        return decode(read_file(path))
    except ImageProblem as error:
        raise InputError(f"{path}: {error}") from error


def to_tensor(images: Sequence[Image.Image], device: object, dtype: object) -> Tensor:
    """Images of one size as (B, 3, H, W) in [0, 1]."""
    import torch

    arrays = np.stack([np.asarray(i, np.uint8) for i in images])
    found = torch.from_numpy(arrays).permute(0, 3, 1, 2).to(device=device, dtype=dtype)  # type: ignore[call-overload]
    return found / 255


def to_array(images: Tensor) -> NDArray[np.float64]:
    """(B, 3, H, W) as float64 (B, H, W, 3)."""
    out: NDArray[np.float64] = images.detach().cpu().double().permute(0, 2, 3, 1).numpy()
    return out


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file, and its folder if need be, so that it is there whole or not at all, after a power cut too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)


def write_png(path: Path, image: Image.Image | NDArray[np.uint8]) -> str:
    """``sha256:<hex>`` of the PNG that it writes, without metadata; equal pixels, equal bytes."""
    held = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(held, "PNG")
    data = held.getvalue()
    write_whole(path, data)
    return sha256_bytes(data)


def central_mask(size: tuple[int, int]) -> Image.Image:
    """White on the central half of each side: what an inpainting editor repaints where no mask is given."""
    mask = Image.new("L", size, 0)
    width, height = size
    mask.paste(255, (width // 4, height // 4, width - width // 4, height - height // 4))
    return mask

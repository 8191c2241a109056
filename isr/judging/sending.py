"""Pictures as a judge gets them: encoded once, kept for both questions and all repeats."""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image

from isr.edits.images import (
    ImagePolicy,
    encode,
    encode_pixels,
    picture,
    pixel_digest,
    read_checked,
    side_by_side,
)
from isr.image_file import decode


@dataclass(frozen=True, slots=True)
class Sent:
    """An image ready to be put into a request body: a ``data:`` URL in ASCII, and the digest of the image's bytes."""

    url: bytes
    sha256: str

    @property
    def media_type(self) -> str:
        """``image/png`` or ``image/jpeg``."""
        return self.url[5 : self.url.index(b";")].decode()

    @property
    def base64(self) -> str:
        """The image's bytes in base64, as most hosts take them."""
        return self.url[self.url.index(b",") + 1 :].decode()

    @property
    def data(self) -> bytes:
        """The bytes of the image file, whose digest ``sha256`` is."""
        return base64.b64decode(self.url[self.url.index(b",") + 1 :])


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
        self.made = 0

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
            self.made += 1
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

    @property
    def sends(self) -> bool:
        """Whether images were asked for as they are sent."""
        return bool(self._sent.made)

    async def picture(self, files: tuple[tuple[str, str], ...]) -> Picture:
        """The pixels of one image, or of several side by side, under the policy. Raises ``ImageProblem``."""
        return await self._pictures.get(files)

    def read(self, files: tuple[tuple[str, str], ...]) -> list[bytes]:
        """The bytes of the files of pictures. Raises ``ImageProblem`` for one that changed."""
        return [read_checked(self.root, path, digest) for path, digest in files]

    def _picture(self, files: tuple[tuple[str, str], ...]) -> Picture:
        image = picture(self.read(files), self.policy)
        return Picture(image, pixel_digest(image))

    def _encode(self, files: tuple[tuple[str, str], ...]) -> Sent:
        blobs = self.read(files)
        if len(blobs) == 1:
            image = encode(blobs[0], self.policy)
        else:
            image = encode_pixels(side_by_side([decode(b) for b in blobs]), self.policy)
        head = f"data:{image.media_type};base64,".encode()
        digest = files[0][1] if image.data is blobs[0] else image.sha256
        return Sent(head + base64.b64encode(image.data), digest)


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
        return decode(self.encoder.read((self.files[role],))[0])

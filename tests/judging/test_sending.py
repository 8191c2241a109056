"""Pictures are encoded once, and what is sent is what was digested."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isr.canonical import sha256_bytes
from isr.edits import images
from isr.edits.images import GAP_PX, Encoded, ImagePolicy, encode_pixels
from isr.image_file import ImageProblem
from isr.judging.sending import Encoder, Prepared, Sent
from tests.edits.images_samples import PNG, RGB, pixels, saved


def folder_with(root: Path, **files: Image.Image) -> dict[str, tuple[str, str]]:
    """Saved images by name, as (path, digest)."""
    out = {}
    for name, image in files.items():
        data = saved(image, "BMP")
        (root / f"{name}.bmp").write_bytes(data)
        out[name] = (f"{name}.bmp", sha256_bytes(data))
    return out


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts real encodings."""
    calls: list[int] = []
    real = encode_pixels

    def counted(image: Image.Image, policy: ImagePolicy) -> Encoded:
        calls.append(1)
        return real(image, policy)

    monkeypatch.setattr(images, "encode_pixels", counted)
    return calls


def test_an_image_is_encoded_once_for_all_who_ask(tmp_path: Path, encodings: list[int]) -> None:
    files = folder_with(tmp_path, a=Image.fromarray(RGB), b=Image.fromarray(255 - RGB))

    async def ask() -> list[Sent]:
        encoder = Encoder(tmp_path, PNG)
        prepared = Prepared(encoder, {"source": files["a"], "edit": files["b"]})
        together = await asyncio.gather(*(prepared.sent(r) for r in ("source", "edit") * 10))
        return [*together, await prepared.sent("source")]

    sent = asyncio.run(ask())
    assert len(encodings) == 2
    assert all(s is sent[0] for s in sent[::2])
    head, _, body = sent[0].url.partition(b",")
    assert head == b"data:image/png;base64"
    assert (pixels(base64.b64decode(body)) == RGB).all()
    assert sha256_bytes(base64.b64decode(body)) == sent[0].sha256


def test_several_roles_are_put_side_by_side(tmp_path: Path) -> None:
    files = folder_with(tmp_path, a=Image.fromarray(RGB), b=Image.fromarray(255 - RGB))
    prepared = Prepared(Encoder(tmp_path, PNG), {"source": files["a"], "edit": files["b"]})
    sent = asyncio.run(prepared.sent("source", "edit"))
    got = pixels(base64.b64decode(sent.url.partition(b",")[2]))
    assert (got[:, :9] == RGB).all()
    assert (got[:, 9 + GAP_PX :] == 255 - RGB).all()
    assert (np.asarray(prepared.pixels("edit")) == 255 - RGB).all()


def test_the_memory_budget_is_kept_and_the_longest_unused_goes_first(
    tmp_path: Path, encodings: list[int]
) -> None:
    rng = np.random.default_rng(3)
    noise = {f"n{i}": Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)) for i in range(6)}
    files = folder_with(tmp_path, **noise)

    async def ask() -> Encoder:
        one = len((await Encoder(tmp_path, PNG).sent((files["n0"],))).url)
        encodings.clear()
        encoder = Encoder(tmp_path, PNG, budget=int(3.5 * one))  # room for three
        for name in ("n0", "n1", "n2", "n0", "n3"):  # n1 is the longest unused when n3 comes
            await encoder.sent((files[name],))
        assert len(encodings) == 4
        await encoder.sent((files["n0"],))
        assert len(encodings) == 4
        await encoder.sent((files["n1"],))
        assert len(encodings) == 5
        for name in files:
            await encoder.sent((files[name],))
            held = sum(len(f.result().url) for f in encoder._sent._held.values())
            assert held == encoder._sent._bytes <= encoder._sent._budget
        return encoder

    asyncio.run(ask())


def test_an_image_over_the_budget_is_still_sent(tmp_path: Path) -> None:
    files = folder_with(tmp_path, a=Image.fromarray(RGB), b=Image.fromarray(255 - RGB))

    async def ask() -> int:
        encoder = Encoder(tmp_path, PNG, budget=1)
        for name in ("a", "b", "a"):
            assert (await encoder.sent((files[name],))).url
        return len(encoder._sent._held)

    assert asyncio.run(ask()) == 1


def test_a_failed_encoding_does_not_poison(tmp_path: Path) -> None:
    files = folder_with(tmp_path, a=Image.fromarray(RGB))
    data = (tmp_path / "a.bmp").read_bytes()

    async def ask() -> Sent:
        encoder = Encoder(tmp_path, PNG)
        (tmp_path / "a.bmp").write_bytes(data + b"!")
        failed = await asyncio.gather(
            *(encoder.sent((files["a"],)) for _ in range(3)), return_exceptions=True
        )
        assert [type(f) for f in failed] == [ImageProblem] * 3
        (tmp_path / "a.bmp").write_bytes(data)
        return await encoder.sent((files["a"],))

    assert asyncio.run(ask()).url.startswith(b"data:image/png;base64,")

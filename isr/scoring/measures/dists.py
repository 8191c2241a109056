"""DISTS (Ding et al. 2020) by ``piq``: VGG16 from the file of LPIPS-VGG, its own weights from a file of their own."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isr.canonical import sha256_bytes
from isr.errors import UsageError
from isr.foreign import ForeignCodeError, loaded
from isr.reading import Unreadable, read_bytes
from isr.scoring.measures import DOWNLOAD, Given, Measure, Wanted
from isr.scoring.measures._networks import NETWORKS, Weights, read_weights, tensors_of
from isr.scoring.measures.lpips import OPTION as BACKBONE
from isr.scoring.measures.lpips import downloaded

if TYPE_CHECKING:
    from torch import Tensor

OPTION = "--dists-weights"
CHANNELS = (3, 64, 128, 256, 512, 512)  # of the picture itself and of VGG16's five layers
MAX_BYTES = 2**20
SIDE = 256


def measures(wanted: Wanted) -> Iterator[Measure]:
    if not wanted.dists_weights:
        return
    weights, digest = _weights(wanted.dists_weights)
    if DOWNLOAD in wanted.lpips_weights and not wanted.fetch:
        return
    yield dists(_backbone(wanted), weights, digest)


def dists(backbone: Weights, weights: Mapping[str, Tensor], digest: str) -> Measure:
    """DISTS with these weights, which are divided by their sum as the authors' code does."""
    import piq
    from piq.perceptual import ContentLoss
    from torch import split

    total = weights["alpha"].sum() + weights["beta"].sum()
    parts = [p for name in ("alpha", "beta") for p in split(weights[name] / total, list(CHANNELS), dim=1)]
    loss = piq.DISTS.__new__(piq.DISTS)  # its own __init__ asks the network for both files
    ContentLoss.__init__(
        loss,
        backbone.features(),
        list(backbone.network.layers),
        parts,
        replace_pooling=True,
        allow_layers_weights_mismatch=True,
    )
    return Measure(
        name="dists",
        value=lambda given: loss(*smaller(given)),
        mark=f"piq={piq.__version__},dists={digest},{backbone.digest}",
        title="DISTS",
        orientation=1,
        definition=f"DISTS with VGG16, piq {piq.__version__}, a shorter side above 256 made 256 first (bilinear with antialiasing, as the authors' prepare_image); "
        f"alpha and beta from a file ({digest}), VGG16 from {backbone.source}",
    )


def smaller(given: Given) -> tuple[Any, ...]:
    """The pictures as the authors' ``prepare_image`` makes them with ``resize``: a shorter side above 256 becomes 256."""
    from torchvision.transforms.functional import resize, to_tensor

    if min(given.tensors[0].shape[-2:]) <= SIDE:
        return given.tensors
    return tuple(to_tensor(resize(given.picture(i), [SIDE]))[None] for i in given.images)


def _backbone(wanted: Wanted) -> Weights:
    for place in wanted.lpips_weights:
        found = downloaded() if place == DOWNLOAD else read_weights(place, BACKBONE)
        if found.network is NETWORKS[0]:
            return found
    raise UsageError(
        f"{OPTION}: expected {BACKBONE} with the file of VGG16 beside it, whose layers DISTS looks at; found none; add it"
    )


def _require_small(data: bytes, where: str) -> None:
    """Raises ``UsageError`` for a zip file that unpacks to more than such a file may hold: torch unpacks it whole."""
    try:
        sizes = (
            [i.file_size for i in zipfile.ZipFile(io.BytesIO(data)).infolist()] if data[:2] == b"PK" else []
        )
    except zipfile.BadZipFile:
        return  # torch says what is wrong with it
    if sum(sizes) > MAX_BYTES:
        raise UsageError(
            f"{where}: expected at most {MAX_BYTES:,} bytes when unpacked; found {sum(sizes):,}; give weights.pt of the package "
            "DISTS_pytorch 0.1"
        )


def _weights(place: str) -> tuple[dict[str, Tensor], str]:
    """alpha and beta, each (1, 1475, 1, 1), and the file's digest: a file of ``torch.save`` read as weights alone, or safetensors."""
    where = f"{OPTION} {place}"
    try:
        data = read_bytes(Path(place), MAX_BYTES)
    except Unreadable as error:
        raise UsageError(f"{where}: expected {error.expected}; found {error.found}") from error
    if data[:2] == b"PK" or data[:1] == b"\x80":
        import torch

        _require_small(data, where)
        try:
            named = loaded(lambda: torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
        except ForeignCodeError as error:
            raise UsageError(
                f"{where}: expected alpha and beta alone, saved by torch; found a file that torch does not read so "
                f"({str(error)[:150]}); nothing in it was run"
            ) from error
    else:
        named = tensors_of(data, place, OPTION)
    for name in ("alpha", "beta"):
        shape = tuple(getattr(named.get(name) if isinstance(named, dict) else None, "shape", ()))
        if shape != (1, sum(CHANNELS), 1, 1):
            raise UsageError(
                f"{where}: expected '{name}' of 1x{sum(CHANNELS)}x1x1 numbers; found "
                f"{'x'.join(map(str, shape)) or 'none'}; give weights.pt of the package DISTS_pytorch 0.1"
            )
    found = {n: named[n].detach().float() for n in ("alpha", "beta")}
    total = float(found["alpha"].sum() + found["beta"].sum())
    if not (all(bool(t.isfinite().all()) for t in found.values()) and total > 0):
        raise UsageError(
            f"{where}: expected finite weights whose sum is above 0; found a sum of {total:g}; give weights.pt of the package "
            "DISTS_pytorch 0.1"
        )
    return found, sha256_bytes(data)

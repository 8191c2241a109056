"""The target picture to whose latent Mist and ACE draw an image: one from a file, or a pattern of our own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from isr.errors import UsageError
from isr.files import file_digest
from sifm_ref.pictures import read_rgb, to_tensor
from sifm_ref.registry import PLACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``target``: a picture's file, brought to the size of each image (bicubic), as released code does with its own, which
    is not ours to ship; empty: a pattern of the same kind (small, high contrast, repeated) with tiles of ``period`` pixels.
    A configuration is known by the file's bytes (``target_sha256``), not by its place.
    """

    period: int = 32
    target: str = field(default="", metadata=PLACE)
    target_sha256: str = field(default="", init=False)

    def __post_init__(self) -> None:
        if self.target and not Path(self.target).is_file():
            raise UsageError(
                f"target: expected a picture's file; found none at {self.target!r}; give its path from where the command "
                "runs, or a whole one"
            )
        if self.period < 1:
            raise UsageError(f"period: expected at least 1 pixel; found {self.period}")
        object.__setattr__(self, "target_sha256", file_digest(Path(self.target)) if self.target else "")


def target_picture(like: Tensor, config: Target) -> Tensor:
    """The target picture (B, 3, H, W) in [0, 1] for images like these."""
    if not config.target:
        return pattern(like, config.period)
    height, width = like.shape[-2:]
    picture = read_rgb(Path(config.target)).resize((width, height), Image.Resampling.BICUBIC)
    return to_tensor([picture], like.device, like.dtype).expand_as(like)


def pattern(like: Tensor, period: int) -> Tensor:
    """A repeated high-contrast glyph, (B, 3, H, W) in {0, 1}: rings crossed by diagonals."""
    height, width = like.shape[-2:]
    y = torch.arange(height, device=like.device).view(-1, 1) % period - period / 2
    x = torch.arange(width, device=like.device).view(1, -1) % period - period / 2
    rings = ((x.square() + y.square()).sqrt() // max(1, period // 8)) % 2
    stripes = ((x + y) // max(1, period // 8)) % 2
    return torch.logical_xor(rings > 0, stripes > 0).to(like).expand_as(like)

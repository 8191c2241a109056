"""Mist (Liang and Wu 2023): the latent is drawn to that of a pattern while the editor's denoising loss grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from isr.errors import UsageError
from isr.files import file_digest
from sifm_ref.attack import attack
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Loss
from sifm_ref.editor import WhiteBox
from sifm_ref.features import accumulating
from sifm_ref.noise import Noise
from sifm_ref.pictures import read_rgb, to_tensor
from sifm_ref.registry import PLACE
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``weight``: of the denoising loss (a mean) beside the textural one (a sum). ``prompt`` of the denoiser.

    ``target``: a picture's file, brought to the size of each image (bicubic), as the release does with its ``MIST.png``,
    which is not ours to ship; empty: a pattern of the same kind (small, high contrast, repeated) with tiles of ``period``
    pixels. A configuration is known by the file's bytes (``target_sha256``), not by its place.
    """

    weight: float = 1e4
    prompt: str = "a painting"
    period: int = 32
    target: str = field(default="", metadata=PLACE)
    target_sha256: str = field(default="", init=False)
    descent: Descent = field(default_factory=lambda: Descent(start="uniform"))

    def __post_init__(self) -> None:
        if self.target and not Path(self.target).is_file():
            raise UsageError(
                f"mist: target: expected a picture's file; found none at {self.target!r}; give its path from where the command "
                "runs, or a whole one"
            )
        object.__setattr__(self, "target_sha256", file_digest(Path(self.target)) if self.target else "")


PRESETS = {
    "shared": Config(),
    "textural": Config(weight=0.0),
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, on this editor, beside the released attack."""
    said = [] if config.target else ["a target pattern of our own"]
    if not editor.stock:
        said.append("released for Stable Diffusion 1.x, here through this editor")
    return "Mist's losses with " + "; ".join(said) if said else ""


def mist(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that minimise ``sum (z - z_target)^2 - w * L_denoise`` in the budget.

    Liang and Wu 2023 and ``mist_v3.py``: ``z`` a scaled sample of the VAE's posterior, ``L_denoise`` at one fresh
    timestep and noise for each gradient. An ADAPTATION in its target picture unless that is given, and in its editor.
    """
    loss = mist_loss(editor, scene, config)
    return attack(editor, scene, loss, budget=budget, descent=config.descent, noise=noise, callback=callback)


def mist_loss(editor: WhiteBox, scene: Scene, config: Config) -> Loss:
    """The loss ``(x, noise) -> (B,)`` that is minimised; it draws a timestep and noise from ``noise``."""
    text = editor.text([config.prompt] * len(scene.prompts))
    with torch.no_grad():
        goal = accumulating(editor.look(_target(scene.source, config), scene.mask).latents)

    def loss(x: Tensor, noise: Noise) -> Tensor:
        look = editor.look(x, scene.mask, noise)
        textural = (accumulating(look.latents) - goal).square().flatten(1).sum(dim=1)
        if config.weight == 0:
            return textural
        t = noise.integers(0, editor.timesteps, x.device)
        drawn = noise.normal(look.latents.shape[1:], look.latents)
        answer = editor.predict(editor.noised(look.latents, drawn, t), t, text, look.condition)
        error = accumulating(answer - editor.target(look.latents, drawn, t)).square().flatten(1).mean(dim=1)
        return textural - config.weight * error

    return loss


def _target(like: Tensor, config: Config) -> Tensor:
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

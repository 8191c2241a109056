"""Mist (Liang and Wu 2023): the latent is drawn to that of a pattern while the editor's denoising loss grows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from isr.errors import UsageError
from sifm_ref.attack import attack
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Loss
from sifm_ref.editor import WhiteBox
from sifm_ref.features import accumulating
from sifm_ref.methods._denoise import denoising_error
from sifm_ref.methods._target import Target, target_picture
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Target):
    """``weight``: of the denoising loss (a mean) beside the textural one (a sum). ``prompt`` of the denoiser. ``target``,
    ``period``: see ``Target``; the release has its ``MIST.png``."""

    weight: float = 1e4
    prompt: str = "a painting"
    descent: Descent = field(default_factory=lambda: Descent(start="uniform"))

    def __post_init__(self) -> None:
        Target.__post_init__(self)
        if self.weight < 0:
            raise UsageError(f"mist: weight: expected 0 or more; found {self.weight:g}")


PRESETS = {
    "shared": Config(),
    "textural": Config(weight=0.0),
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, on this editor, beside the released attack."""
    said = ["one sample of the latent for both terms and the target's mode, released: three samples"]
    if config.weight == 0:
        said = ["the textural term alone, of one sample and the target's mode, released: two samples"]
    if not config.target:
        said.append("a target pattern of our own")
    if not editor.stock:
        said.append("released for Stable Diffusion 1.x, here through this editor")
    return "Mist's losses with " + "; ".join(said)


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
        goal = accumulating(editor.look(target_picture(scene.source, config), scene.mask).latents)

    def loss(x: Tensor, noise: Noise) -> Tensor:
        look = editor.look(x, scene.mask, noise)
        textural = (accumulating(look.latents) - goal).square().flatten(1).sum(dim=1)
        if config.weight == 0:
            return textural
        return textural - config.weight * denoising_error(editor, look, text, noise)

    return loss

"""PhotoGuard's encoder attack (Salman et al. 2023): the image's latent is drawn to a target latent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from sifm_ref.attack import attack
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Loss
from sifm_ref.editor import WhiteBox
from sifm_ref.features import accumulating
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True)
class Config:
    """``target``: what the latent is drawn to, ``zero`` or that of a mid-``grey`` picture. ``loss``: Euclidean norm
    (released code) or its square (paper, eq. 2). Latents are the posterior's mode without the scaling factor."""

    target: Literal["zero", "grey"] = "zero"
    loss: Literal["norm", "square"] = "norm"
    descent: Descent = field(default_factory=lambda: Descent(start="uniform"))


PRESETS = {
    "shared": Config(),
    # demo_simple_attack_img2img.ipynb: 1000 steps of 0.02 on [-1, 1], linear decay, from uniform noise
    "released": Config(descent=Descent(steps=1000, step_size=0.01, schedule="linear", start="uniform")),
    # Table 9 of the paper, which no released code matches: 200 steps of 2/255 on [-1, 1], squared norm
    "published": Config(loss="square", descent=Descent(steps=200, step_size=1 / 255, start="uniform")),
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, on this editor, beside the released attack."""
    if editor.masked:
        return "PhotoGuard's inpainting notebook draws the latent to that of a picture; " + (
            "here to zero, as its image-to-image one" if config.target == "zero" else "here of a grey one"
        )
    if editor.stock:
        return ""
    return "PhotoGuard's encoder attack is released for Stable Diffusion 1.5; here on this editor's VAE"


def photoguard_encoder(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that minimise ``|| E(x) - z_target ||_2`` in the budget.

    Salman et al. 2023, eq. 2 and ``photoguard`` 686bea7. For an inpainting editor the encoded picture is the masked
    one and the repainted area stays free of noise, as in its notebook.
    """
    loss = encoder_loss(editor, scene, config)
    return attack(editor, scene, loss, budget=budget, descent=config.descent, noise=noise, callback=callback)


def encoder_loss(editor: WhiteBox, scene: Scene, config: Config) -> Loss:
    """The loss ``(x, noise) -> (B,)`` that the attack minimises."""

    def latent(x: Tensor) -> Tensor:
        return accumulating(editor.encode(_masked(x, scene.mask))).flatten(1)

    with torch.no_grad():
        grey = latent(torch.full_like(scene.source, 0.5)) if config.target == "grey" else 0.0

    def loss(x: Tensor, noise: Noise) -> Tensor:
        length = (latent(x) - grey).norm(dim=1)
        return length if config.loss == "norm" else length**2

    return loss


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * (1 - mask) + 0.5 * mask

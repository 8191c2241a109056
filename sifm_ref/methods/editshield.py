"""EditShield (Chen et al. 2024): the latent is driven away from the clean one, also under small transformations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate, pad

from isr.errors import UsageError
from sifm_ref.attack import attack
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Loss
from sifm_ref.editor import WhiteBox
from sifm_ref.features import accumulating
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent

TRANSFORMS = ("none", "center_crop", "gaussian", "rotation")


@dataclass(frozen=True, slots=True)
class Config:
    """``penalty``: weight of the pixel MSE. ``transform``: expectation over ``none``, ``center_crop`` (10 % off),
    ``gaussian`` (blur of 1 pixel) or ``rotation`` (up to 5 degrees), drawn afresh in each iteration."""

    penalty: float = 0.1
    transform: Literal["none", "center_crop", "gaussian", "rotation"] = "none"
    descent: Descent = field(default_factory=lambda: Descent(start="uniform"))

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            raise UsageError(f"editshield: transform: expected one of {TRANSFORMS}; found {self.transform!r}")


PRESETS = {
    "adaptation": Config(),
    "adaptation_center_crop": Config(transform="center_crop"),
    "adaptation_gaussian": Config(transform="gaussian"),
    "adaptation_rotation": Config(transform="rotation"),
    # what EOT_Center.py declares and does not use (its loop is Adam without projection): 30 steps of 1/255, eps .05;
    # its images are on [-1, 1], so here the step is half of that, and the budget is --eps 0.025
    "declared": Config(
        transform="center_crop", descent=Descent(steps=30, step_size=0.5 / 255, start="uniform")
    ),
}


def adaptation(editor: WhiteBox) -> str:
    """What is ours beside the released attack."""
    return "EditShield's loss by projected gradients; the released loop is Adam without projection"


def editshield(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that maximise ``MSE(E(T(x)), E(x0)) - penalty * MSE(x, x0)`` in the budget.

    Chen et al. 2024 and ``Editshield`` ``EOT_Center.py``. An ADAPTATION: the released loop is Adam (rate .001) for 30
    steps with no projection, so it obeys no budget; here the same loss goes through the shared loop. It starts from
    uniform noise, as the squared distance has no gradient at the source.
    """
    loss = editshield_loss(editor, scene, config)
    return attack(editor, scene, loss, budget=budget, descent=config.descent, noise=noise, callback=callback)


def editshield_loss(editor: WhiteBox, scene: Scene, config: Config) -> Loss:
    """The loss ``(x, noise) -> (B,)`` that is minimised: the negative of the paper's."""
    with torch.no_grad():
        clean = accumulating(editor.encode(scene.source))

    def loss(x: Tensor, noise: Noise) -> Tensor:
        latent = accumulating(editor.encode(transformed(x, config.transform, noise)))
        away = (latent - clean).square().flatten(1).mean(dim=1)
        change = (2 * (x - scene.source)).square().flatten(1).mean(dim=1)  # released code: on [-1, 1]
        return config.penalty * change - away

    return loss


def transformed(x: Tensor, name: str, noise: Noise) -> Tensor:
    """Images (B, 3, H, W) after one of ``TRANSFORMS``, which can be differentiated."""
    if name == "center_crop":
        height, width = x.shape[-2:]
        dy, dx = max(1, height // 20), max(1, width // 20)
        return interpolate(
            x[..., dy : height - dy, dx : width - dx], (height, width), mode="bilinear", align_corners=False
        )
    if name == "gaussian":
        place = torch.arange(-3.0, 4.0).to(x)
        kernel = torch.exp(-place.square() / 2)
        kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, 7)
        blurred = conv2d(pad(x, (3, 3, 0, 0), "replicate"), kernel, groups=x.shape[1])
        return conv2d(pad(blurred, (0, 0, 3, 3), "replicate"), kernel.transpose(2, 3), groups=x.shape[1])
    if name == "rotation":
        angle = noise.uniform((1,), x)[:, 0] * (5 * torch.pi / 180)
        zero, ratio = torch.zeros_like(angle), x.shape[-2] / x.shape[-1]
        rows = [angle.cos(), -angle.sin() * ratio, zero, angle.sin() / ratio, angle.cos(), zero]
        grid = affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(x.shape), align_corners=False)
        return grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    return x

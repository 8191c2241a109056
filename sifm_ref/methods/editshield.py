"""EditShield (Chen et al. 2024): the latent is driven away from the clean one, also under small transformations."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate, pad

from isr.errors import UsageError
from sifm_ref.attack import attack
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Loss, free_adam
from sifm_ref.editor import WhiteBox
from sifm_ref.features import accumulating
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent

TRANSFORMS = ("none", "center_crop", "gaussian", "rotation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``compare``: what is driven away from that of the source, the ``latent`` (the posterior's mode) or the
    ``embedding`` of the released code (a scaled sample with noise of a random timestep, beside a second, raw sample).

    ``shown``: the range on which the VAE is shown the picture, ``signed`` [-1, 1] as by the editor, or ``unit`` [0, 1] as
    by the released code, which has ``ToTensor`` and no ``Normalize``. ``penalty``: weight of the mean squared change of
    pixels, in [0, 1] units. ``smooth``: weight of the mean squared difference of smoothed pictures, which is all that
    ``EOT_Gaussion.py`` does with its Gaussian. ``transform``: ours, an expectation over ``none``, ``center_crop`` (10 % off),
    ``gaussian`` (blur of 1 pixel) or ``rotation`` (up to 5 degrees), drawn afresh in each iteration. ``loop``: the shared
    ``projected`` one, or ``adam``: the released one, which knows no budget, brought into it at its end.
    """

    compare: Literal["latent", "embedding"] = "latent"
    shown: Literal["signed", "unit"] = "signed"
    penalty: float = 0.1
    smooth: float = 0.0
    transform: Literal["none", "center_crop", "gaussian", "rotation"] = "none"
    loop: Literal["projected", "adam"] = "projected"
    descent: Descent = field(default_factory=lambda: Descent(start="uniform"))

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(
                    f"editshield: {name}: expected one of {', '.join(known)}; found {getattr(self, name)!r}"
                )


_CHOICES = {
    "compare": ("latent", "embedding"),
    "shown": ("signed", "unit"),
    "transform": TRANSFORMS,
    "loop": ("projected", "adam"),
}

# EOT_Center.py: Adam with its default rate, 30 steps; its centre crop of a 512 picture to 512 changes nothing
_RELEASED = Config(compare="embedding", shown="unit", loop="adam", descent=Descent(steps=30, step_size=1e-3))

PRESETS = {
    "adaptation": Config(),
    "adaptation_center_crop": Config(transform="center_crop"),
    "adaptation_gaussian": Config(transform="gaussian"),
    "adaptation_rotation": Config(transform="rotation"),
    "released": _RELEASED,
    "released_gaussian": replace(_RELEASED, smooth=0.1),
    # what the release declares and does not use (pgd_alpha, pgd_eps), on its [0, 1] pictures; its budget is --eps 0.05
    "declared": Config(
        compare="embedding", shown="unit", descent=Descent(steps=30, step_size=1 / 255, start="uniform")
    ),
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours beside the released attack."""
    if config.loop == "adam":
        said = "EditShield's released loop (Adam, which knows no budget), brought into the budget at its end"
    else:
        said = "EditShield by projected gradients; the released loop is Adam without projection"
    if config.compare == "latent":
        said += "; of the VAE's mode, where the release has two samples, one of them noised"
    if config.shown == "signed":
        said += "; the VAE is shown [-1, 1] as by the editor, where the release shows it [0, 1]"
    if config.transform != "none":
        said += f"; {config.transform} in each iteration, which no released file does"
    return said if _is_its_editor(editor) else f"{said}; released for InstructPix2Pix"


def _is_its_editor(editor: WhiteBox) -> bool:
    return "StableDiffusionInstructPix2PixPipeline" in (*editor.pipelines, getattr(editor, "loads", ""))


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

    Chen et al. 2024 and ``Editshield`` 3b90e2b. ``released``: the released loss in the released loop, which starts at the
    source (its samples break the tie there) and obeys no budget until its end. ``adaptation``: the mode's latent in the
    shared loop, from uniform noise, as the squared distance has no gradient at the source.
    """
    loss = editshield_loss(editor, scene, config, noise)
    loop = {"loop": free_adam} if config.loop == "adam" else {}
    return attack(
        editor, scene, loss, budget=budget, descent=config.descent, noise=noise, callback=callback, **loop
    )


def editshield_loss(editor: WhiteBox, scene: Scene, config: Config, noise: Noise) -> Loss:
    """The loss ``(x, noise) -> (B,)`` that is minimised: the negative of the paper's."""
    with torch.no_grad():
        clean = _seen(editor, scene.source, config, noise.fork("editshield"))
        plain = _smoothed(scene.source).clamp(0, 1)

    def loss(x: Tensor, noise: Noise) -> Tensor:
        away = _mean_square(_seen(editor, transformed(x, config.transform, noise), config, noise) - clean)
        cost = config.penalty * _mean_square(x - scene.source)
        if config.smooth:
            cost = cost + config.smooth * _mean_square(_smoothed(x) - plain)
        return cost - away

    return loss


def _seen(editor: WhiteBox, x: Tensor, config: Config, noise: Noise) -> Tensor:
    """What is compared: (B, C, h, w). ``embedding``: ``get_emb`` of the release's ``Functions.py``."""
    shown = x if config.shown == "signed" else (x + 1) / 2  # ``encode`` takes [0, 1] to [-1, 1]
    if config.compare == "latent":
        return accumulating(editor.encode(shown))
    latents = editor.scaled(editor.encode(shown, noise))
    drawn = noise.normal(latents.shape[1:], latents)
    t = noise.integers(0, editor.timesteps, latents.device)
    return accumulating(torch.cat([editor.noised(latents, drawn, t), editor.encode(shown, noise)], dim=1))


def _smoothed(x: Tensor) -> Tensor:
    """Images under the release's Gaussian: 5 wide, sigma 1.5, zeros beyond the border, and a sum of 11.7, not 1."""
    place = torch.arange(-2.0, 3.0).to(x)
    kernel = torch.exp(-place.square() / (2 * 1.5**2))
    square = torch.outer(kernel, kernel).expand(x.shape[1], 1, 5, 5)
    return conv2d(x, square, padding=2, groups=x.shape[1])


def _mean_square(x: Tensor) -> Tensor:
    return x.square().flatten(1).mean(dim=1)


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

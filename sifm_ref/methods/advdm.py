"""AdvDM, of "Adversarial Example Does Good: Preventing Painting Imitation from Diffusion Models via Adversarial Examples"
(Liang, Wu et al. 2023): the editor's denoising loss grows."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from sifm_ref.attack import attack
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Loss
from sifm_ref.editor import WhiteBox
from sifm_ref.methods._denoise import denoising_error
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``prompt`` of the denoiser."""

    prompt: str = "a painting"
    descent: Descent = field(default_factory=lambda: Descent(start="uniform"))


# the loop of mist_v3.py too: 100 steps of 2/255 on [-1, 1], from uniform noise; its 16/255 are of [0, 1]: --eps 0.0628
PRESETS = {"shared": Config()}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, on this editor, beside the released attack."""
    return "" if editor.stock else "AdvDM released for Stable Diffusion 1.x, here through this editor"


def advdm(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that maximise ``|| eps_theta(z_t, t) - eps ||^2`` in the budget.

    Liang, Wu et al. 2023 and the code that their abstract names, ``mist`` 7bd1aef, ``mist_v3.py`` mode 0: ``z`` a scaled sample of
    the VAE's posterior, one fresh timestep and noise for each gradient. It is Mist without its textural term.
    """
    loss = advdm_loss(editor, scene, config)
    return attack(editor, scene, loss, budget=budget, descent=config.descent, noise=noise, callback=callback)


def advdm_loss(editor: WhiteBox, scene: Scene, config: Config) -> Loss:
    """The loss ``(x, noise) -> (B,)`` that is minimised: the negative of the denoising loss."""
    text = editor.text([config.prompt] * len(scene.prompts))

    def loss(x: Tensor, noise: Noise) -> Tensor:
        return -denoising_error(editor, editor.look(x, scene.mask, noise), text, noise)

    return loss

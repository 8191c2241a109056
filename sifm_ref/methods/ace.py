"""ACE and ACE+, of "Understanding and improving adversarial attacks on latent diffusion model": the denoiser's answer is drawn
to the latent of a target picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from isr.errors import UsageError
from sifm_ref.attack import attack
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Loss
from sifm_ref.editor import WhiteBox
from sifm_ref.features import accumulating
from sifm_ref.methods._target import Target, target_picture
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Target):
    """``weight``: of the latent's distance to the target's beside the answer's, both means: 0 is ACE, 100 ACE+.

    ``prompt`` of the denoiser. ``low``, ``high``: the range from which one timestep is drawn for each gradient. ``goal``: what
    is taken for the target's latent, one ``sample`` of the posterior, drawn once, or its ``mode``. ``target``, ``period``: see
    ``Target``; the release has its ``data/NIPS.png``.
    """

    weight: float = 0.0
    prompt: str = "a photo"
    low: int = 600
    high: int = 1000
    goal: Literal["sample", "mode"] = "sample"
    descent: Descent = field(default_factory=lambda: Descent(start="zero"))

    def __post_init__(self) -> None:
        Target.__post_init__(self)
        if not 0 <= self.low < self.high <= 1000:
            raise UsageError(f"ace: expected 0 <= low < high <= 1000; found {self.low} and {self.high}")
        if self.goal not in ("sample", "mode"):
            raise UsageError(f"ace: goal: expected sample or mode; found {self.goal!r}")
        if self.weight < 0:
            raise UsageError(f"ace: weight: expected 0 (ACE) or more (ACE+: 100); found {self.weight:g}")


PLUS = 1e2
PROMPT = "a photo of sks person"
# attacks/aspl_lora_m.py: 5 rounds of 50 steps of 5e-3 on [-1, 1], from the source; its 8/255 there are --eps 0.0157 here
_LOOP = Descent(steps=250, step_size=2.5e-3)

PRESETS = {
    "shared": Config(),
    "plus": Config(weight=PLUS),
    "released": Config(prompt=PROMPT, descent=_LOOP),
    "released_plus": Config(weight=PLUS, prompt=PROMPT, descent=_LOOP),
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, on this editor, beside the released attack."""
    said = ["a fixed model, where the release fine-tunes its own on the images between rounds of 50 steps"]
    if not config.target:
        said.append("a target pattern of our own")
    if config.prompt != PROMPT:
        said.append(f"the text {config.prompt!r}, released: {PROMPT!r}")
    if (config.low, config.high) != (600, 1000):
        said.append(f"timesteps from [{config.low}, {config.high}), released: [600, 1000)")
    if config.goal == "mode":
        said.append("the mode of the target's posterior, released: a sample")
    if not editor.stock:
        said.append("released for Stable Diffusion 1.x, here by the answer of this editor's noise predictor")
    return f"{'ACE+' if config.weight else 'ACE'} with " + "; ".join(said)


def ace(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that minimise ``MSE(eps_theta(z_t, t), z_target) + w * MSE(z, z_target)`` in the budget.

    ``ACE`` 4413f6a, ``attacks/aspl_lora_m.py``: mode ``lunet`` (ACE, w = 0) and ``fused`` (ACE+, w = 100). ``z`` is a scaled sample
    of the posterior; timestep and noise are fresh for each gradient. The release trains its model on the images between
    rounds (LoRA), which is for models that will be fine-tuned; here, as in its ``exp_no_training.sh``, the model stays.
    """
    loss = ace_loss(editor, scene, config, noise)
    return attack(editor, scene, loss, budget=budget, descent=config.descent, noise=noise, callback=callback)


def ace_loss(editor: WhiteBox, scene: Scene, config: Config, noise: Noise) -> Loss:
    """The loss ``(x, noise) -> (B,)`` that is minimised; ``noise`` draws the target's latent once, and the rest each time."""
    text = editor.text([config.prompt] * len(scene.prompts))
    once = noise.fork("ace") if config.goal == "sample" else None
    with torch.no_grad():
        picture = target_picture(scene.source, config)
        goal = accumulating(editor.look(picture, scene.mask, once).latents)

    def distance(x: Tensor) -> Tensor:
        return (accumulating(x) - goal).square().flatten(1).mean(dim=1)

    def loss(x: Tensor, noise: Noise) -> Tensor:
        look = editor.look(x, scene.mask, noise)
        drawn = noise.normal(look.latents.shape[1:], look.latents)
        t = noise.integers(config.low, config.high, x.device)
        answer = editor.predict(editor.noised(look.latents, drawn, t), t, text, look.condition)
        total = distance(answer)
        return total + config.weight * distance(look.latents) if config.weight else total

    return loss

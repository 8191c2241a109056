"""SDS, of "Toward effective protection against diffusion-based mimicry through score distillation" (Xue et al. 2024):
the cheap latent direction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from isr.errors import UsageError
from sifm_ref.attack import follow
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Gradient
from sifm_ref.editor import WhiteBox
from sifm_ref.features import accumulating
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``mode``: ``-`` descends the denoising loss (the paper's finding: smoother, stronger), ``+`` ascends it.
    ``low``, ``high``: the range from which one timestep is drawn for each gradient. ``latent``: the VAE posterior's
    ``mode``, or a ``sample`` of it, drawn for each gradient."""

    mode: str = "-"
    prompt: str = "a photo"
    low: int = 20
    high: int = 980
    latent: Literal["mode", "sample"] = "mode"
    descent: Descent = field(default_factory=lambda: Descent(start="zero"))

    def __post_init__(self) -> None:
        if self.mode not in ("+", "-") or not 0 <= self.low < self.high <= 1000:
            raise UsageError(
                "sds: expected mode + or - and 0 <= low < high <= 1000; "
                f"found {self.mode!r}, {self.low} and {self.high}"
            )
        if self.latent not in ("mode", "sample"):
            raise UsageError(f"sds: latent: expected mode or sample; found {self.latent!r}")


_RELEASED = Config(low=0, high=1000, latent="sample")  # code/attacks.py, pgd_sds: randint(0, T), a sampled z

PRESETS = {
    "descend": Config(),
    "ascend": Config(mode="+"),
    "released": _RELEASED,
    "released_ascend": replace(_RELEASED, mode="+"),
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, on this editor, beside the released attack."""
    said = []
    if (config.low, config.high) != (0, 1000):
        said.append(f"timesteps from [{config.low}, {config.high}), released: [0, 1000)")
    if config.latent == "mode":
        said.append("the VAE posterior's mode, released: a sample")
    if not editor.stock:
        said.append(
            "released for Stable Diffusion 1.x, here by what this editor's noise predictor was trained to answer"
        )
    return "SDS with " + "; ".join(said) if said else ""


def sds(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that follow ``(eps_theta(z_t) - eps)^T dz/dx`` in the budget; the trace is ``||eps_theta - eps||^2``.

    Xue et al. 2024 and ``Diff-Protect`` ac5ffdb (``configs/attack/base.yaml``): the denoising loss's gradient without the
    noise predictor's Jacobian, so only the VAE is differentiated. It is the gradient of no function.
    """
    gradient = sds_direction(editor, scene, config)
    return follow(scene, gradient, budget=budget, descent=config.descent, noise=noise, callback=callback)


def sds_direction(editor: WhiteBox, scene: Scene, config: Config) -> Gradient:
    """``(x, noise)`` to the trace (B,) and the direction (B, 3, H, W) of the inner product ``<answer - target, z(x)>``.

    An editor that sees the image beside the noisy latents is shown ``x`` there, undifferentiated as the rest of it.
    """
    text = editor.text([config.prompt] * len(scene.prompts))
    sign = 1.0 if config.mode == "-" else -1.0

    def direction(x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            look = editor.look(x, scene.mask, noise if config.latent == "sample" else None)
            with torch.no_grad():
                t = noise.integers(config.low, config.high, x.device)
                drawn = noise.normal(look.latents.shape[1:], look.latents)
                answer = editor.predict(editor.noised(look.latents, drawn, t), t, text, look.condition)
                error = answer - editor.target(look.latents, drawn, t)
            (found,) = torch.autograd.grad(look.latents, x, sign * error)
        trace: Tensor = sign * accumulating(error).square().flatten(1).mean(dim=1)
        return trace, found

    return direction

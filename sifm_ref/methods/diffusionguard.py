"""DiffusionGuard, of "DiffusionGuard: A Robust Defense Against Malicious Diffusion-based Image Editing" (Choi et al., ICLR
2025): the noise that the editor predicts first grows, under masks whose outline is moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from isr.errors import UsageError
from sifm_ref.attack import attack
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Loss
from sifm_ref.editor import WhiteBox, at_timestep
from sifm_ref.features import accumulating
from sifm_ref.methods._contour import shrunk
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``schedule``: steps of the short edit whose first timestep is taken; ``prompt`` of that edit.

    ``masks``: what an inpainting editor is shown as to be repainted, its mask with the outline of what is kept moved inwards
    afresh for each gradient (``contour_shrink``), or its mask (``single``). ``strength``, ``iterations``, ``smoothness``: see
    ``shrunk``. ``holes``: what of the mask lies inside that outline (it is the largest one, and all inside it) is ``filled`` as by
    the release, that is shown as kept, or remains a hole, as it will be repainted (``repainted``).
    """

    schedule: int = 4
    prompt: str = ""
    masks: Literal["contour_shrink", "single"] = "contour_shrink"
    strength: float = 1.1
    iterations: int = 15
    smoothness: float = 0.1
    holes: Literal["repainted", "filled"] = "repainted"
    descent: Descent = field(default_factory=lambda: Descent(start="zero"))

    def __post_init__(self) -> None:
        for name, known in (("masks", ("contour_shrink", "single")), ("holes", ("repainted", "filled"))):
            if getattr(self, name) not in known:
                raise UsageError(
                    f"diffusionguard: {name}: expected one of {', '.join(known)}; found {getattr(self, name)!r}"
                )
        if self.schedule < 1 or self.iterations < 2 or self.strength < 0 or self.smoothness < 0:
            raise UsageError(
                "diffusionguard: expected schedule of at least 1, iterations of at least 2, strength and smoothness of 0 or "
                f"more; found {self.schedule}, {self.iterations}, {self.strength} and {self.smoothness}"
            )


PRESETS = {
    "shared": Config(),
    "single": Config(masks="single"),
    # config/diffusionguard.yaml: 800 steps of 1/255 on [-1, 1], from the source; its 16/255 there are --eps 0.0314 here
    "released": Config(holes="filled", descent=Descent(steps=800, step_size=0.5 / 255)),
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, on this editor, beside the released attack."""
    if not editor.masked:
        return "DiffusionGuard's loss at the first timestep of this editor's own edit, without masks; released for inpainting"
    said = []
    if config.masks == "single":
        said.append("the mask as it is, released: contour_shrink")
    elif config.holes == "repainted":
        said.append("holes of what is kept remain to be repainted, released: filled")
    if float(editor.settings.get("strength", 1.0)) < 1:
        said.append("the first timestep at this editor's strength, released: at strength 1")
    return "DiffusionGuard with " + "; ".join(said) if said else ""


def diffusionguard(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that maximise ``|| eps_theta(z_T, T) ||_2`` in the budget, ``T`` the first of four timesteps.

    Choi et al. 2025 and ``DiffusionGuard`` 96e28c1: an empty prompt, no guidance, latents of pure noise and a sample of the
    masked image's latent, drawn for each gradient; on the image to inpaint, noise stays off what is repainted. On other
    editors this is an ADAPTATION: ``z_T`` is what their edit begins with, and there are no masks.
    """
    loss = diffusionguard_loss(editor, scene, config)
    return attack(editor, scene, loss, budget=budget, descent=config.descent, noise=noise, callback=callback)


def diffusionguard_loss(editor: WhiteBox, scene: Scene, config: Config) -> Loss:
    """The loss ``(x, noise) -> (B,)`` that is minimised: the negative norm; masks and latents are drawn from ``noise``."""
    text = editor.text([config.prompt] * len(scene.prompts))

    def loss(x: Tensor, noise: Noise) -> Tensor:
        look = editor.look(x, augmented(scene.mask, config, noise), noise)
        t = editor.schedule(config.schedule, look.latents)[0]
        at = at_timestep(t, look.latents)
        drawn = noise.normal(look.latents.shape[1:], look.latents)
        answer = editor.predict(editor.start(look, drawn, at), at, text, look.condition)
        return -accumulating(answer).flatten(1).norm(dim=1)

    return loss


def augmented(mask: Tensor | None, config: Config, noise: Noise) -> Tensor | None:
    """Masks (B, 1, H, W) that keep less: ``contour_shrink`` of the release, on what each mask keeps."""
    if mask is None or config.masks == "single":
        return mask
    seeds = noise.integers(0, 2**31 - 1, torch.device("cpu")).tolist()
    out = []
    for one, seed in zip(mask.cpu(), seeds, strict=True):
        kept = (one[0] < 0.5).numpy()
        less = shrunk(
            kept,
            torch.Generator().manual_seed(seed),
            strength=config.strength,
            iterations=config.iterations,
            smoothness=config.smoothness,
        )
        out.append(torch.from_numpy(~less | ~kept if config.holes == "repainted" else ~less))
    return torch.stack(out).unsqueeze(1).to(mask)

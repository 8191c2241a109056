"""AdvPaint, of "AdvPaint: Protecting Images from Inpainting Manipulation via Adversarial Attention Disruption" (Jeon et al.,
ICLR 2025): what the editor's attention is made of is driven away from that of the source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from isr.errors import UsageError
from sifm_ref.attack import attack
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Loss
from sifm_ref.editor import WhiteBox, at_timestep
from sifm_ref.features import accumulating, outputs
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``content``: the text that says what the image shows; empty: the image's own prompt.

    ``stages``: for an inpainting editor, ``mask``: what its mask keeps is protected; ``both``: then, in a second run of as many
    steps, the rest, under the mask that repaints all but that. The release takes both masks from files: a box that is larger
    than the object, and its reverse. ``latents``: where an editor sees the image beside noisy latents, those are of the image
    too, and ``held`` as a number (released) or differentiated (``moved``).
    """

    content: str = ""
    stages: Literal["mask", "both"] = "mask"
    latents: Literal["held", "moved"] = "held"
    descent: Descent = field(default_factory=lambda: Descent(start="uniform"))

    def __post_init__(self) -> None:
        if self.stages not in ("mask", "both"):
            raise UsageError(f"advpaint: stages: expected mask or both; found {self.stages!r}")
        if self.latents not in ("held", "moved"):
            raise UsageError(f"advpaint: latents: expected held or moved; found {self.latents!r}")


PRESETS = {
    "shared": Config(),
    # README.md: 250 steps of .03 on [-1, 1] for each mask, linear decay, from uniform noise; its .06 there is --eps 0.03 here
    "released": Config(
        stages="both", descent=Descent(steps=250, step_size=0.015, schedule="linear", start="uniform")
    ),
}

READS = "content"  # its text names what the image shows: a caption, no instruction


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, on this editor, beside the released attack."""
    if not editor.masked:
        said = ["at the first timestep of this editor's own edit, without masks; released for inpainting"]
    elif config.stages == "mask":
        said = [
            "under the mask that is given, released: under a box about the object, then under its reverse"
        ]
    else:
        said = [
            "under the mask that is given and its reverse, released: a box about the object and its reverse",
            "the noise of either part begins with its own stage, released: with the first",
        ]
    if not editor.sees_condition or config.latents == "moved":
        said.append("through the noisy latents, which the release holds")
    if not _has_cross_attention(editor):
        said.append("Q, K and V of the image in a joint attention, where the release has two kinds")
    if editor.masked and float(editor.settings.get("strength", 1.0)) < 1:
        said.append("the first timestep at this editor's strength, released: at strength 1")
    return "AdvPaint " + "; ".join(said)


def advpaint(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that maximise the L2 change of self-attention's Q, K and V and cross-attention's Q in the budget.

    Jeon et al. 2025 and ``AdvPaint`` aa2a642: one sum over layers, over their number, at the edit's first timestep, of an empty
    prompt and of the image's; the clean one is drawn once, latents and noise anew for each gradient. With ``both``, the loss
    of the trace is the sum of the two stages', and what is repainted gets noise as well. On other editors an ADAPTATION.
    """

    def stage(scene: Scene, clean: Tensor, noise: Noise, callback: Callback) -> Immunized:
        loss = advpaint_loss(editor, scene, clean, config, noise)
        return attack(
            editor, scene, loss, budget=budget, descent=config.descent, noise=noise, callback=callback
        )

    first = stage(scene, scene.source, noise, callback)
    if config.stages == "mask" or scene.mask is None:
        return first
    if budget.norm != "linf":
        raise UsageError(
            f"advpaint: stages=both: expected an L-inf budget, which two parts of an image can share; found {budget.norm}; "
            "use stages=mask"
        )
    reverse = replace(scene, source=first.image, mask=1 - scene.mask)
    second = stage(
        reverse,
        scene.source,
        noise.fork("second"),
        lambda step, loss: callback(config.descent.steps + step, loss),
    )
    return Immunized(second.image, tuple(a + b for a, b in zip(first.losses, second.losses, strict=True)))


def advpaint_loss(editor: WhiteBox, scene: Scene, clean: Tensor, config: Config, noise: Noise) -> Loss:
    """The loss ``(x, noise) -> (B,)`` that is minimised; ``clean``: images (B, 3, H, W) that it drives ``x`` away from."""
    size = len(scene.prompts)
    words = editor.text([config.content or prompt for prompt in scene.prompts])
    empty = editor.text([""] * size)
    text = {name: torch.cat([empty[name], words[name]]) for name in words}
    layers, count = _projections(editor)

    def found(x: Tensor, noise: Noise) -> list[Tensor]:
        """Outputs (2 B, ...) of the projections, without and with the words."""
        if editor.sees_condition:
            latents = editor.scaled(editor.encode(x, noise))
            latents = latents.detach() if config.latents == "held" else latents
            drawn = noise.normal(latents.shape[1:], latents)
            look = editor.look(x, scene.mask, noise)
        else:
            look = editor.look(x, scene.mask, noise)
            latents = look.latents
            drawn = noise.normal(latents.shape[1:], latents)
        at = _first(editor, latents)
        noisy = editor.noised(latents, drawn, at)
        condition = None if look.condition is None else torch.cat([look.condition] * 2)

        def run() -> Any:
            return editor.predict(torch.cat([noisy] * 2), torch.cat([at] * 2), text, condition)

        return outputs(editor.predictor, layers, lambda module, output: output, run)

    with torch.no_grad():
        goals = [accumulating(goal) for goal in found(clean, noise.fork("advpaint"))]

    def loss(x: Tensor, noise: Noise) -> Tensor:
        total = x.new_zeros(size)
        for value, goal in zip(found(x, noise), goals, strict=True):
            away = (accumulating(value) - goal).unflatten(0, (2, size)).transpose(0, 1)
            total = total - away.flatten(1).norm(dim=1)
        return total / count

    return loss


def _first(editor: WhiteBox, latents: Tensor) -> Tensor:
    """The timestep (B,) with which an edit of this editor begins."""
    steps, strength = int(editor.settings["steps"]), float(editor.settings.get("strength", 1.0))
    t = editor.schedule(editor.steps_made(steps, strength), latents)[0]
    return at_timestep(t, latents)


def _has_cross_attention(editor: WhiteBox) -> bool:
    return all(name.endswith(".attn2") for name in editor.attention_layers())


def _projections(editor: WhiteBox) -> tuple[list[str], int]:
    """Names of the projections to Q, K and V of the image, and the number of layers that look at it."""
    layers = editor.attention_layers()
    if not _has_cross_attention(editor):
        return [f"{name}.{part}" for name in layers for part in ("to_q", "to_k", "to_v")], len(layers)
    names = []
    for name in layers:
        own = f"{name[:-1]}1"
        names += [f"{own}.to_q", f"{own}.to_k", f"{own}.to_v", f"{name}.to_q"]
    return names, len(layers)

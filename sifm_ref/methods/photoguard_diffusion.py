"""PhotoGuard's diffusion attack (Salman et al. 2023): a short edit is unrolled, and its result drawn to a target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from isr.errors import UsageError
from sifm_ref.attack import attack
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Loss
from sifm_ref.editor import Look, Text, WhiteBox, at_timestep
from sifm_ref.features import accumulating
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``unrolled``: steps of the short edit; ``eta`` of DDIM; ``prompt`` of that edit; ``target``: value of the flat
    picture in [0, 1] (0.5: the zero tensor of the released code). ``schedule``: whose timesteps are unrolled, those that
    the ``pipeline`` takes from its scheduler; there is no other choice, and configurations of before did not say it."""

    unrolled: int = 4
    eta: float = 1.0
    prompt: str = ""
    target: float = 0.5
    schedule: Literal["pipeline"] = "pipeline"
    descent: Descent = field(default_factory=lambda: Descent(repeats=1))

    def __post_init__(self) -> None:
        if self.schedule != "pipeline":
            raise UsageError(f"photoguard_diffusion: schedule: expected pipeline; found {self.schedule!r}")


PRESETS = {
    "shared": Config(),
    # demo_complex_attack_inpainting.ipynb: 200 steps of length 1 on [-1, 1], ten fresh-noise gradients each;
    # its budget is --norm l2 --eps 8
    "released": Config(descent=Descent(steps=200, step_size=0.5, repeats=10)),
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, on this editor, beside the released attack."""
    return (
        ""
        if editor.masked
        else "PhotoGuard's diffusion attack is released for inpainting; here through this edit"
    )


def photoguard_diffusion(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that minimise ``|| f(x) - target ||_2`` in the budget, ``f`` a short edit of ``x``.

    Salman et al. 2023, eq. 4 and ``photoguard`` 686bea7, which have it for inpainting only; there, noise is kept off
    the repainted area. On instruction and image-to-image editors this is an ADAPTATION: the same loss through the
    edit that those editors make. Every gradient draws fresh noise.
    """
    loss = diffusion_loss(editor, scene, config)
    return attack(editor, scene, loss, budget=budget, descent=config.descent, noise=noise, callback=callback)


def diffusion_loss(editor: WhiteBox, scene: Scene, config: Config) -> Loss:
    """The loss ``(x, noise) -> (B,)`` that the attack minimises."""
    size = len(scene.prompts)
    empty = editor.text([""] * size)
    text = editor.text([config.prompt] * size) if config.prompt else empty

    def loss(x: Tensor, noise: Noise) -> Tensor:
        look = editor.look(x, scene.mask, noise)
        edit = unrolled(editor, look, text, empty, config, noise)
        return (2 * accumulating(edit - config.target)).flatten(1).norm(dim=1)

    return loss


def unrolled(editor: WhiteBox, look: Look, text: Text, empty: Text, config: Config, noise: Noise) -> Tensor:
    """The result (B, 3, H, W) in [0, 1] of an edit of ``config.unrolled`` steps that can be differentiated."""
    times = editor.schedule(config.unrolled, look.latents)
    shape, like = look.latents.shape[1:], look.latents
    begin = at_timestep(times[0], like)
    z = editor.start(look, noise.normal(shape, like), begin)
    for number, t in enumerate(times):
        after = times[number + 1] if number + 1 < len(times) else -1
        fresh = noise.normal(shape, like)

        def step(
            z: Tensor, *parts: Tensor, t: float = t, after: float = after, fresh: Tensor = fresh
        ) -> Tensor:
            answer = editor.guided(z, at_timestep(t, z), text, empty, Look(*parts))
            return editor.advance(z, answer, t, after, config.eta, fresh)

        if editor.memory.checkpoint:
            z = checkpoint(step, z, *look.parts, use_reentrant=False, preserve_rng_state=False)
        else:
            z = step(z, *look.parts)
    return editor.decode(z)

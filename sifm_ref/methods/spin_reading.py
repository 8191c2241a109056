"""Our reading of the abstract of SPIN (Gu et al., arXiv 2610.06334), whose equations are not public: no implementation of SPIN.

The abstract names an early denoising state, stochastic neighbouring states under the same instruction, a one-step projection of
each to a clean latent, and a bounded perturbation that maximises their mean deviation from a clean-edit reference. How each
is done is a choice of ours. No figure of this method is one of SPIN's, or stands beside one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
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
    """Every gap of the abstract, each a choice of ours.

    ``steps``: of the edit whose beginning is looked at; ``prefix``: how many of them lead to the early state, differentiated
    through. ``neighbours``: states around it, each with ``spread`` times fresh standard noise on its latents. The projection is one
    step of the sampler from the state's timestep to the end. ``reference``: the latents of the source's whole ``edit`` in
    ``reference_steps`` steps with the same first noise, or the one-step ``projection`` of the source's early state.
    The deviation is a mean square over latents.
    """

    steps: int = 50
    prefix: int = 1
    neighbours: int = 4
    spread: float = 0.1
    reference: Literal["edit", "projection"] = "edit"
    reference_steps: int = 20
    descent: Descent = field(default_factory=lambda: Descent(start="tiny"))

    def __post_init__(self) -> None:
        if self.reference not in ("edit", "projection"):
            raise UsageError(
                f"spin_reading: reference: expected edit or projection; found {self.reference!r}"
            )
        if not (
            0 <= self.prefix < self.steps
            and self.neighbours >= 1
            and self.spread >= 0
            and self.reference_steps >= 1
        ):
            raise UsageError(
                "spin_reading: expected prefix from 0 to below steps, neighbours and reference_steps of at least 1 and spread "
                f"of at least 0; found {self.prefix}, {self.steps}, {self.neighbours}, {self.reference_steps} and {self.spread}"
            )


PRESETS = {"reading": Config()}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """That it is a reading of an abstract, on every editor."""
    return (
        "our reading of SPIN's abstract, whose equations are not public; not SPIN: every step of it is ours"
    )


def spin_reading(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that maximise the mean deviation of one-step clean latents from a clean edit, in the budget."""
    loss = spin_loss(editor, scene, config, noise)
    return attack(editor, scene, loss, budget=budget, descent=config.descent, noise=noise, callback=callback)


def spin_loss(editor: WhiteBox, scene: Scene, config: Config, noise: Noise) -> Loss:
    """The loss ``(x, noise) -> (B,)`` that is minimised; it draws the neighbours from ``noise``."""
    text, empty = editor.text(scene.prompts), editor.text([""] * len(scene.prompts))
    with torch.no_grad():
        look = editor.look(scene.source, scene.mask)
        first = noise.fork("spin").normal(look.latents.shape[1:], look.latents)
        if config.reference == "edit":
            times = editor.schedule(config.reference_steps, look.latents)
            goal = _walked(editor, look, first, times, len(times), text, empty)
        else:
            times = editor.schedule(config.steps, look.latents)
            state = _walked(editor, look, first, times, config.prefix, text, empty)
            goal = _step(editor, state, times[config.prefix], -1, text, empty, look)
        goal = accumulating(goal)

    def loss(x: Tensor, noise: Noise) -> Tensor:
        look = editor.look(x, scene.mask)
        times = editor.schedule(config.steps, look.latents)
        state = _walked(editor, look, first, times, config.prefix, text, empty)
        away: list[Tensor] = []
        for _ in range(config.neighbours):
            near = state + config.spread * noise.normal(state.shape[1:], state)
            end = _step(editor, near, times[config.prefix], -1, text, empty, look)
            away.append((accumulating(end) - goal).square().flatten(1).mean(dim=1))
        return -torch.stack(away).mean(dim=0)

    return loss


def _walked(
    editor: WhiteBox, look: Look, first: Tensor, times: list[float], count: int, text: Text, empty: Text
) -> Tensor:
    """Latents after ``count`` steps of an edit at ``times``, without fresh noise."""
    z = editor.start(look, first, at_timestep(times[0], first))
    for number in range(count):
        after = times[number + 1] if number + 1 < len(times) else -1
        z = _step(editor, z, times[number], after, text, empty, look)
    return z


def _step(editor: WhiteBox, z: Tensor, t: float, after: float, text: Text, empty: Text, look: Look) -> Tensor:
    """Latents at ``after`` from those at ``t``, in one step of the guided editor; -1: the clean ones."""

    def step(z: Tensor, *parts: Tensor) -> Tensor:
        answer = editor.guided(z, at_timestep(t, z), text, empty, Look(*parts))
        return editor.advance(z, answer, t, after, 0.0, torch.zeros_like(z))

    if not editor.memory.checkpoint:
        return step(z, *look.parts)
    found: Tensor = checkpoint(step, z, *look.parts, use_reentrant=False, preserve_rng_state=False)
    return found

"""The attack that all optimised methods are: their loss, or their direction, descended from a scene within a budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from isr.errors import UsageError
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent, Gradient, Loss, gradient_of
from sifm_ref.editor import WhiteBox
from sifm_ref.features import loss_scale
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent

OWN_LOOP = "expected a loop that can be exchanged; found one of its own; wrap another method or preset"


def attack(
    editor: WhiteBox,
    scene: Scene,
    loss: Loss,
    *,
    budget: Budget,
    descent: Descent,
    noise: Noise,
    callback: Callback = silent,
    loop: Callable[..., Immunized] | None = None,
) -> Immunized:
    """Images (B, 3, H, W) that minimise ``loss(x, noise) -> (B,)`` in the budget, by its gradient through the editor."""
    gradient = gradient_of(loss, loss_scale(editor))
    return follow(scene, gradient, budget=budget, descent=descent, noise=noise, callback=callback, loop=loop)


def follow(
    scene: Scene,
    gradient: Gradient,
    *,
    budget: Budget,
    descent: Descent,
    noise: Noise,
    callback: Callback = silent,
    loop: Callable[..., Immunized] | None = None,
) -> Immunized:
    """Images (B, 3, H, W) that go against ``gradient(x, noise)`` in the budget: for methods that make one of their own.

    What an inpainting editor repaints is left as it is. ``loop``: another than that of the descent, of its arguments.
    """
    if loop is not None and type(descent) is not Descent:
        raise UsageError(f"method: {OWN_LOOP}")
    run = descent.run if loop is None else partial(loop, descent=descent)
    return run(
        gradient,
        scene.source,
        budget=budget,
        noise=noise,
        callback=callback,
        where=None if scene.mask is None else 1 - scene.mask,
    )

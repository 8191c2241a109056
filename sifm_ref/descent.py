"""The projected-gradient loop that all optimised methods share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from isr.errors import UsageError
from sifm_ref.budget import Budget, project
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, silent

TINY = 0.1 / 255
DECAYED = 1 / 100  # PhotoGuard's released schedule ends at a hundredth of its first step

Gradient = Callable[[Tensor, Noise], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Noise], Tensor]


@dataclass(frozen=True, slots=True)
class Descent:
    """How the loop goes.

    ``step_size``: L-inf: the change of a sample in one step; L2: the length of one step; both in [0, 1] units.
    ``schedule``: ``constant``, or ``linear`` down to a hundredth of the first step.
    ``start``: ``zero``; ``uniform`` in the budget (L2: a random direction, at its full length); ``tiny`` uniform noise of
    a tenth of an 8-bit level, which only breaks the tie at the source. ``repeats``: gradients (of fresh noise, where a
    method draws any) averaged in a step.
    """

    steps: int = 100
    step_size: float = 1 / 255
    schedule: Literal["constant", "linear"] = "constant"
    start: Literal["zero", "uniform", "tiny"] = "zero"
    repeats: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1 or self.repeats < 1 or not self.step_size > 0:
            raise UsageError(
                f"descent: expected steps and repeats of at least 1 and a step_size above 0; found {self}"
            )
        if self.schedule not in ("constant", "linear") or self.start not in ("zero", "uniform", "tiny"):
            raise UsageError(
                "descent: expected schedule constant or linear and start zero, uniform or tiny; "
                f"found {self.schedule!r} and {self.start!r}"
            )

    @property
    def text(self) -> str:
        """The loop in words: ``100 steps of 1/255``, with what is not the default."""
        levels = self.step_size * 255
        size = f"{levels:.3g}/255" if levels < 26 else f"{self.step_size:g}"
        more = [f"{self.schedule} decay"] if self.schedule != "constant" else []
        more += [f"{self.start} start"] if self.start != "zero" else []
        more += [f"{self.repeats} gradients each"] if self.repeats > 1 else []
        return ", ".join([f"{self.steps} steps of {size}", *more])

    def step(self, number: int) -> float:
        """The size of step ``number``, counted from 0."""
        if self.schedule == "constant":
            return self.step_size
        return self.step_size * (1 - (1 - DECAYED) * number / self.steps)

    def run(
        self,
        gradient: Gradient,
        source: Tensor,
        *,
        budget: Budget,
        noise: Noise,
        callback: Callback = silent,
        where: Tensor | None = None,
    ) -> Immunized:
        """``projected_gradient`` of this descent. A descent of another kind has its own loop, of the same arguments."""
        return projected_gradient(
            gradient, source, budget=budget, descent=self, noise=noise, callback=callback, where=where
        )


def gradient_of(loss: Loss, scale: float = 1.0) -> Gradient:
    """The gradient of a differentiable ``loss(x, noise) -> (B,)``, image by image. ``scale``: ``features.loss_scale``."""

    def gradient(x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = loss(x, noise)
            (found,) = torch.autograd.grad(scale * value.sum(), x)
        return value.detach(), found / scale if scale != 1 else found

    return gradient


def projected_gradient(
    gradient: Gradient,
    source: Tensor,
    *,
    budget: Budget,
    descent: Descent,
    noise: Noise,
    callback: Callback = silent,
    where: Tensor | None = None,
) -> Immunized:
    """Images (B, 3, H, W) in [0, 1] that descend a loss within the budget (Madry et al. 2018, eq. 2, as descent).

    ``gradient(x, noise)`` gives the loss (B,) and its gradient (B, 3, H, W). L-inf takes the sign of it, L2 its
    direction. Each step is projected on the budget, then on [0, 1]; ``where`` (B, 1, H, W) keeps the perturbation
    off the rest. The trace has ``steps + 1`` values: the loss at every iterate, the last one included.
    """
    delta = started(source, budget, descent, noise.fork("start"))
    draws = noise.fork("draws")
    losses = []
    for number in range(descent.steps):
        x = valid(source, delta, where)
        loss, found = averaged(gradient, x, draws, descent.repeats)
        losses.append(loss)
        delta = project(x - source - descent.step(number) * direction_of(found, budget), budget)
        callback(number + 1, loss)
    x = valid(source, delta, where)
    losses.append(gradient(x, draws)[0])
    return Immunized(x, tuple(losses))


def free_adam(
    gradient: Gradient,
    source: Tensor,
    *,
    budget: Budget,
    descent: Descent,
    noise: Noise,
    callback: Callback = silent,
    where: Tensor | None = None,
) -> Immunized:
    """Images (B, 3, H, W) in [0, 1]: ``descent.steps`` steps of Adam (rate ``step_size``) that know no budget, from the
    source, and the result brought into the budget once, at the end.

    For methods whose released loop is this one (EditShield). Trace as in ``projected_gradient``; the last value is that of
    the image in the budget. Start, schedule and repeats have no meaning here.
    """
    draws = noise.fork("draws")
    x = source.detach().clone().requires_grad_()
    adam = torch.optim.Adam([x], lr=descent.step_size)
    losses = []
    for number in range(descent.steps):
        loss, x.grad = averaged(gradient, x.detach(), draws, 1)
        losses.append(loss)
        adam.step()
        callback(number + 1, loss)
    image = valid(source, project(x.detach() - source, budget), where)
    losses.append(gradient(image, draws)[0])
    return Immunized(image, tuple(losses))


def started(source: Tensor, budget: Budget, descent: Descent, noise: Noise) -> Tensor:
    """The perturbation (B, 3, H, W) with which a descent begins."""
    if descent.start == "zero":
        return torch.zeros_like(source)
    radius = TINY if descent.start == "tiny" else budget.eps
    return project(noise.uniform(source.shape[1:], source) * radius, budget)


def valid(source: Tensor, delta: Tensor, where: Tensor | None) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] with the perturbation where ``where`` (B, 1, H, W) lets it be."""
    return (source + (delta if where is None else delta * where)).clamp(0, 1)


def averaged(gradient: Gradient, x: Tensor, noise: Noise, repeats: int) -> tuple[Tensor, Tensor]:
    """Mean loss (B,) and gradient (B, 3, H, W) of ``repeats`` draws. Raises ``UsageError`` for NaN and infinity."""
    loss, found = gradient(x, noise)
    for _ in range(repeats - 1):
        further = gradient(x, noise)
        loss, found = loss + further[0], found + further[1]
    if not bool(torch.isfinite(found).all()):
        raise UsageError(
            "gradient: expected finite numbers; found overflow or NaN; use --dtype bf16 or fp32 for this editor"
        )
    return loss / repeats, found / repeats


def direction_of(gradient: Tensor, budget: Budget) -> Tensor:
    """A step's direction (B, 3, H, W): the gradient's signs (L-inf), or the gradient at length 1 (L2)."""
    if budget.norm == "linf":
        return gradient.sign()
    length = gradient.flatten(1).norm(dim=1).clamp_min(1e-30)
    return gradient / length[:, None, None, None]

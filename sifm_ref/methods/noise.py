"""Noise in the same budget: the control that any optimised method has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from isr.errors import UsageError
from sifm_ref.budget import LEVELS, Budget, project
from sifm_ref.editor import Editor
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True)
class Config:
    """``kind``: ``sign``, the whole budget at every sample with a random sign, as a signed gradient leaves it; or
    ``uniform`` in the budget, which has about half of that L1 and two fifths of its energy."""

    kind: Literal["sign", "uniform"] = "sign"

    def __post_init__(self) -> None:
        if self.kind not in ("sign", "uniform"):
            raise UsageError(f"noise: kind: expected sign or uniform; found {self.kind!r}")


PRESETS = {"sign": Config(), "uniform": Config("uniform")}


def noise(
    editor: Editor,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) with independent noise: whole levels in [-eps, eps] (L-inf), or a direction of length eps (L2).

    Whole levels are saved as they are, so that rounding takes nothing from the control. A sign that would leave [0, 1] is
    turned. As by every method, what an inpainting editor repaints is left as it is.
    """
    source = scene.source
    draw = noise.uniform(source.shape[1:], source)
    if config.kind == "sign":
        draw = _inside(torch.where(draw < 0, -1.0, 1.0).to(source), source, budget)
    elif budget.norm == "linf":
        draw = _whole(draw, budget)
    if scene.mask is not None:
        draw = draw * (1 - scene.mask)
    delta = draw * (budget.levels / LEVELS) if budget.norm == "linf" else project(draw * 1e6, budget)
    callback(1, None)
    return Immunized((source + delta).clamp(0, 1))


def _whole(draw: Tensor, budget: Budget) -> Tensor:
    """Uniform numbers in [-1, 1) as whole levels from -n to n, each as likely, over n."""
    count = 2 * budget.levels + 1
    return (((draw + 1) / 2 * count).floor().clamp(0, count - 1) - budget.levels) / budget.levels


def _inside(signs: Tensor, source: Tensor, budget: Budget) -> Tensor:
    """Signs, turned where a step of the budget would leave [0, 1]."""
    values = source[0].numel()
    step = budget.levels / LEVELS if budget.norm == "linf" else budget.eps / values**0.5
    out = source + step * signs
    return torch.where((out < 0) | (out > 1), -signs, signs)

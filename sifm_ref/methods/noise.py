"""Uniform noise in the same budget: the control that any optimised method has to beat."""

from __future__ import annotations

from dataclasses import dataclass

from sifm_ref.budget import Budget, project
from sifm_ref.editor import Editor
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True)
class Config:
    """It has nothing to set."""


PRESETS = {"uniform": Config()}


def noise(
    editor: Editor,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) with independent uniform noise: in [-eps, eps] (L-inf), or of length eps (L2).

    As by every method, what an inpainting editor repaints is left as it is.
    """
    draw = noise.uniform(scene.source.shape[1:], scene.source)
    if scene.mask is not None:
        draw = draw * (1 - scene.mask)
    delta = draw * budget.eps if budget.norm == "linf" else project(draw * 1e6, budget)
    callback(1, None)
    return Immunized((scene.source + delta).clamp(0, 1))

"""Semantic Attack, SA, of "Distraction is All You Need: Memory-Efficient Image Immunization against Diffusion-Based
Image Editing" (Lo et al. 2024): attention to the content's words vanishes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from isr.errors import UsageError
from sifm_ref.attack import follow
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent
from sifm_ref.editor import Look, Text, WhiteBox, at_timestep
from sifm_ref.features import accumulating, loss_scale, split_gradient
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``content``: the text c_a that names what to protect; empty: the image's own prompt, or "a photo" without one.

    ``timesteps``: the paper gives their number (10), the even grid is ours. ``tau``: the mask's threshold, on maps
    scaled to [0, 1] image by image (not in the paper; .5 is the public re-implementation's). ``size``: side of the
    maps, as a share of the latent's. ``mask``: what M is laid on, the ``image`` before the editor sees it (the paper's
    formula) or the ``map``, which then sees the whole image. ``outside``: what ``M`` leaves of the image, mid-``grey`` (the
    public re-implementation multiplies on [-1, 1]) or ``black`` (on [0, 1]); the paper does not say on which.
    """

    content: str = ""
    timesteps: tuple[int, ...] = (50, 150, 250, 350, 450, 550, 650, 750, 850, 950)
    tau: float = 0.5
    size: float = 1.0
    mask: Literal["image", "map"] = "image"
    outside: Literal["grey", "black"] = "grey"
    descent: Descent = field(default_factory=lambda: Descent())

    def __post_init__(self) -> None:
        if self.mask not in ("image", "map"):
            raise UsageError(f"semantic_attack: mask: expected image or map; found {self.mask!r}")
        if self.outside not in ("grey", "black"):
            raise UsageError(f"semantic_attack: outside: expected grey or black; found {self.outside!r}")


PRESETS = {"shared": Config()}

READS = "content"  # its text names what the image shows: a caption, no instruction


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours beside the paper, which came without code."""
    said = "Semantic Attack without official code: step, timesteps, threshold and the scale of maps are ours"
    if config.mask == "map":
        return f"{said}; M laid on the map, where the formula has the image"
    return said if config.outside == "grey" else f"{said}; black where M leaves out, public code: grey"


class _Reached(Exception):
    pass


def semantic_attack(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that minimise ``|| Att(M * x, c_a) ||_1`` in the budget.

    Lo et al. 2024: ``Att`` is the sum over layers of the attention of image positions to the words of ``c_a``,
    enlarged bicubically; ``M`` is where the clean image's map exceeds ``tau``; gradients are averaged over timesteps.
    ``mask=map`` lays ``M`` on the map instead. A transformer's map is, in our reading, the text's part of its joint
    attention.
    """
    gradient = Objective(editor, scene, config, noise).gradient
    return follow(scene, gradient, budget=budget, descent=config.descent, noise=noise, callback=callback)


class Objective:
    """The attention loss and its gradient for one scene; the noise of every timestep is drawn once."""

    def __init__(self, editor: WhiteBox, scene: Scene, config: Config, noise: Noise) -> None:
        self.editor, self.scene, self.config = editor, scene, config
        words = [config.content or prompt or "a photo" for prompt in scene.prompts]
        self.text = editor.text(words)
        self._rows = [editor.token_rows(w) for w in words]
        self._layers = editor.attention_layers()
        fixed = noise.fork("sa")
        with torch.no_grad():
            look = editor.look(scene.source, scene.mask)
            self._draws = {t: fixed.normal(look.latents.shape[1:], look.latents) for t in config.timesteps}
            maps = sum(self._map(look, t) for t in config.timesteps)
            assert isinstance(maps, Tensor)
            low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
            self.mask = ((maps - low) / (high - low).clamp_min(1e-12) > config.tau).to(maps.dtype)
            enlarged = interpolate(self.mask.unsqueeze(1), size=scene.source.shape[-2:])
            self._kept = enlarged.to(scene.source.dtype)

    def gradient(self, x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """The loss (B,) and its gradient (B, 3, H, W) at images ``x``."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            look = self.editor.look(self._seen(x), self.scene.mask)
            return split_gradient(
                x,
                look.parts,
                (partial(self._loss, t) for t in self.config.timesteps),
                loss_scale(self.editor),
            )

    def _seen(self, x: Tensor) -> Tensor:
        """``M * x``, as the editor is shown it."""
        if self.config.mask == "map":
            return x
        flat = 0.5 if self.config.outside == "grey" else 0.0
        return flat + (x - flat) * self._kept

    def _loss(self, t: int, parts: Any) -> Tensor:
        found = self._map(Look(*parts), t)
        masked = found * self.mask if self.config.mask == "map" else found
        return masked.abs().mean(dim=(1, 2)) / len(self.config.timesteps)

    def _map(self, look: Look, t: int) -> Tensor:
        """``Att`` at one timestep: (B, h, w)."""
        at = at_timestep(t, look.latents)
        noisy = self.editor.noised(look.latents, self._draws[t], at)
        height, width = (max(1, round(s * self.config.size)) for s in look.latents.shape[-2:])
        total: Tensor | None = None
        for found in attention_maps(self.editor, self._layers, noisy, at, self.text, look.condition):
            heads = accumulating(found).mean(dim=1)  # (B, positions, tokens)
            words = torch.stack([h[:, rows].sum(dim=1) for h, rows in zip(heads, self._rows, strict=True)])
            grid = words.unflatten(1, _grid(words.shape[1], height / width)).unsqueeze(1)
            large = interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)[:, 0]
            total = large if total is None else total + large
        assert total is not None
        return total


def attention_maps(
    editor: WhiteBox, layers: list[str], noisy: Tensor, t: Tensor, text: Text, condition: Tensor | None
) -> list[Tensor]:
    """Attention probabilities (B, heads, positions, tokens) of each layer; the network stops at the deepest."""
    found: list[Tensor] = []

    def keep(module: Any, args: Any, kwargs: Any) -> None:
        found.append(editor.attention(module, args, kwargs))
        if len(found) == len(layers):
            raise _Reached

    places = [editor.predictor.get_submodule(n) for n in layers]
    handles = [place.register_forward_pre_hook(keep, with_kwargs=True) for place in places]
    try:
        editor.predict(noisy, t, text, condition)
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found


def _grid(positions: int, ratio: float) -> tuple[int, int]:
    """(height, width) of a map with so many positions whose height is ``ratio`` times its width."""
    guess = (positions * ratio) ** 0.5
    height = min((h for h in range(1, positions + 1) if positions % h == 0), key=lambda h: abs(h - guess))
    return height, positions // height

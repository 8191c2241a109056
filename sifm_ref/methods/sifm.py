"""SIFM, Synergistic Intermediate Feature Manipulation (Dong et al., arXiv 2512.14320, section V): features at several
timesteps diverge from the clean ones and shrink."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from isr.errors import UsageError
from sifm_ref.attack import follow
from sifm_ref.budget import Budget
from sifm_ref.descent import Descent
from sifm_ref.editor import Look, Text, WhiteBox, repeated
from sifm_ref.features import (
    accumulating,
    checkpointed,
    layer_names,
    loss_scale,
    outputs,
    split_gradient,
)
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every choice in the algorithm; the README's table says which values the paper gives.

    ``layers``: names or patterns in the noise predictor; empty: the editor's own (U-Net: ``mid_block``).
    ``combine``: features of several layers are averaged (eq. 3, needs equal shapes), or their ``terms`` are.
    ``canvas``: what the noisy latents are made of: the ``protected`` image (eq. 3), its ``source``, or pure ``noise``.
    ``auto`` (ours): the ``source`` where the editor sees the image as its condition, and never as its canvas when it edits;
    else (also where ``condition`` is ``source``) ``protected``.
    ``condition``: what an instruction or inpainting editor sees beside them: ``protected`` or ``source``.
    ``divergence``, ``norm``: the terms of eq. 4 and 5. ``divergence_reduction``, ``norm_reduction``: over a layer's
    values, where that is a choice (mse, l1; ``l2`` with ``mean`` is a root mean square).
    ``scale``: ``clean`` divides each term by the same quantity of the clean features; cosine has no scale.
    ``weight_norm``: 1, or 0 to leave the norm term out. ``lam``: lambda of eq. 6; 0 leaves the divergence out.
    ``noise``: ``fixed`` for each timestep, or ``fresh`` in each iteration (clean features are then computed again).
    ``latent``: the VAE posterior's ``mode``, or a ``sample`` of it.
    """

    layers: tuple[str, ...] = ()
    timesteps: tuple[int, ...] = (200, 400, 600, 800)
    combine: Literal["features", "terms"] = "features"
    canvas: Literal["auto", "protected", "source", "noise"] = "auto"
    condition: Literal["protected", "source"] = "protected"
    divergence: Literal["mse", "l2", "cosine"] = "mse"
    divergence_reduction: Literal["mean", "sum"] = "mean"
    norm: Literal["l1", "l2"] = "l1"
    norm_reduction: Literal["mean", "sum"] = "mean"
    scale: Literal["none", "clean"] = "none"
    weight_norm: float = 1.0
    lam: float = 0.1
    noise: Literal["fixed", "fresh"] = "fixed"
    latent: Literal["mode", "sample"] = "mode"
    descent: Descent = field(default_factory=lambda: Descent(start="tiny"))

    def __post_init__(self) -> None:
        if not self.timesteps or any(not 0 <= t < 1000 for t in self.timesteps):
            raise UsageError(f"sifm: expected timesteps from 0 to 999; found {self.timesteps}")
        if self.weight_norm == 0 and self.lam == 0:
            raise UsageError(
                "sifm: expected lam or weight_norm above 0; found both 0: nothing is left to optimise"
            )
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(
                    f"sifm: {name}: expected one of {', '.join(known)}; found {getattr(self, name)!r}"
                )


_CHOICES = {
    "combine": ("features", "terms"),
    "canvas": ("auto", "protected", "source", "noise"),
    "condition": ("protected", "source"),
    "divergence": ("mse", "l2", "cosine"),
    "divergence_reduction": ("mean", "sum"),
    "norm": ("l1", "l2"),
    "norm_reduction": ("mean", "sum"),
    "scale": ("none", "clean"),
    "noise": ("fixed", "fresh"),
    "latent": ("mode", "sample"),
}

_PAPER = Config(canvas="protected")  # eq. 3: the noisy latents are the protected image's, whatever the editor

PRESETS = {
    "paper": _PAPER,
    "balanced": Config(combine="terms", scale="clean", lam=1.0),
    "divergence_only": replace(_PAPER, weight_norm=0.0, lam=1.0),
    "norm_only": replace(_PAPER, lam=0.0),
    "lambda_0.001": replace(_PAPER, lam=0.001),
    "lambda_0.01": replace(_PAPER, lam=0.01),
    "lambda_0.1": _PAPER,
    "lambda_1": replace(_PAPER, lam=1.0),
    "auto": Config(),
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours: its authors published no code, and their text leaves these open."""
    said = [
        "SIFM rebuilt from its text, no code being published: layers, timesteps, step, reductions and latent are ours"
    ]
    if config.descent.start != "zero":
        said.append(f"start {config.descent.start} (Algorithm 1: zero)")
    if canvas_of(editor, config) != "protected":
        said.append(f"canvas {canvas_of(editor, config)} (eq. 3: the protected image)")
    if config.condition != "protected" and editor.sees_condition:
        said.append("condition source")
    if config.scale != "none":
        said.append("terms over those of the clean features")
    if editor.edits_by_reading:
        said.append(editor.edits_by_reading)
    return "; ".join(said)


def sifm(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that minimise ``L_total`` (eq. 7) in the budget, by Algorithm 1.

    The loss of one timestep is ``||phi_t(x)|| - lam * Dist(phi_t(x), phi_t(x0))`` (eq. 4 to 6), with ``phi_t`` of
    eq. 3. Algorithm 1 starts from zero, where the divergence has no gradient; the presets start from ``tiny`` noise.
    Raises ``UsageError`` if the noise predictor would not see the protected image at all.
    """
    gradient = Objective(editor, scene, config, noise).gradient
    return follow(scene, gradient, budget=budget, descent=config.descent, noise=noise, callback=callback)


@dataclass(slots=True)
class _Given:
    """Timesteps, noise, text and clean features of one pass."""

    t: Tensor
    drawn: Tensor
    text: Text
    clean: list[Tensor] = field(default_factory=list)


class Objective:
    """``L_total`` of eq. 7 and its gradient for one scene, with what is the same in all iterations computed once."""

    def __init__(self, editor: WhiteBox, scene: Scene, config: Config, noise: Noise) -> None:
        config = replace(config, canvas=canvas_of(editor, config))
        _require_sight(editor, config)
        self.editor, self.scene, self.config = editor, scene, config
        self.layers = layer_names(editor.predictor, config.layers or editor.layers)
        self.text = editor.text(scene.prompts)
        self._fixed = noise.fork("sifm")
        self._clean_look = self._look(scene.source)
        shape = self._clean_look.latents.shape[1:]
        like = self._clean_look.latents
        self._draws = {t: self._fixed.normal(shape, like) for t in config.timesteps}
        self._given: dict[tuple[int, ...], _Given] = {}
        self._clean = {} if config.noise == "fresh" else self._clean_features()

    def gradient(self, x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """The loss (B,) and its gradient (B, 3, H, W) at images ``x``."""
        if self.config.noise == "fresh":
            like = self._clean_look.latents
            self._draws = {t: noise.normal(like.shape[1:], like) for t in self.config.timesteps}
            self._given.clear()
            self._clean = self._clean_features()
        while True:
            try:
                with torch.enable_grad():
                    x = x.detach().requires_grad_()
                    look = self._look(x)
                    return split_gradient(x, look.parts, self._losses(look), loss_scale(self.editor))
            except torch.OutOfMemoryError:
                if self._batch() == 1:
                    raise
                self.editor.memory.timestep_batch = self._batch() // 2

    def _batch(self) -> int:
        """Timesteps in one pass. Not said: all on a GPU (halved until they fit), one on a CPU, where none is faster."""
        most = len(self.config.timesteps)
        free = 1 if self.scene.source.device.type == "cpu" else most
        return min(self.editor.memory.timestep_batch or free, most)

    def _losses(self, look: Look) -> Iterator[Callable[[Sequence[Tensor]], Tensor]]:
        size = self._batch()
        for begin in range(0, len(self.config.timesteps), size):
            some = self.config.timesteps[begin : begin + size]
            yield lambda parts, some=some: self._loss(Look(*parts), some)  # type: ignore[misc]

    def _look(self, x: Tensor) -> Look:
        sample = self._fixed.fork("latent") if self.config.latent == "sample" else None
        return self.editor.look(x, self.scene.mask, sample)

    def _loss(self, look: Look, timesteps: Sequence[int]) -> Tensor:
        """The share of some timesteps in eq. 7: (B,)."""
        features, clean = self._phi(look, timesteps), self._at(timesteps).clean
        terms = [self._terms(f, c) for f, c in zip(features, clean, strict=True)]
        total = sum(terms[1:], terms[0]) / len(terms)
        by_timestep: Tensor = total.unflatten(0, (len(timesteps), -1))
        return by_timestep.sum(dim=0) / len(self.config.timesteps)

    def _terms(self, features: Tensor, clean: Tensor) -> Tensor:
        """Eq. 6 for features (N, values) of one layer: (N,)."""
        norm = norm_of(features, self.config)
        divergence = divergence_of(features, clean, self.config)
        if self.config.scale == "clean":
            norm = norm / norm_of(clean, self.config)
            if self.config.divergence != "cosine":
                divergence = divergence / divergence_of(clean, torch.zeros_like(clean), self.config)
        return self.config.weight_norm * norm - self.config.lam * divergence

    def _at(self, timesteps: Sequence[int]) -> _Given:
        """What a pass at these timesteps is given, made once."""
        key = tuple(timesteps)
        if key not in self._given:
            drawn = torch.cat([self._draws[t] for t in key])
            t = torch.tensor(key, device=drawn.device).repeat_interleave(len(drawn) // len(key))
            self._given[key] = _Given(t, drawn, repeated(self.text, len(key)))
        given = self._given[key]
        if not given.clean and all(t in self._clean for t in key):
            given.clean = [torch.cat(some) for some in zip(*(self._clean[t] for t in key), strict=True)]
        return given

    @torch.no_grad()
    def _clean_features(self) -> dict[int, list[Tensor]]:
        self._clean = {}
        return {t: self._phi(self._clean_look, [t]) for t in self.config.timesteps}

    def _phi(self, look: Look, timesteps: Sequence[int]) -> list[Tensor]:
        """Eq. 3 at several timesteps: one tensor (len(timesteps) * B, values) for each layer, or their mean."""
        found = self._features(look, timesteps)
        flat = [accumulating(f).flatten(1) for f in found]
        if self.config.combine == "terms" or len(flat) == 1:
            return flat
        if len({f.shape for f in flat}) > 1:
            shapes = ", ".join(f"{n} {tuple(f.shape[1:])}" for n, f in zip(self.layers, found, strict=True))
            raise UsageError(
                f"sifm: combine=features: expected layers of one shape; found {shapes}; use combine=terms"
            )
        return [sum(flat[1:], flat[0]) / len(flat)]

    def _features(self, look: Look, timesteps: Sequence[int]) -> list[Tensor]:
        config, editor, times = self.config, self.editor, len(timesteps)
        given = self._at(timesteps)
        t, drawn, text = given.t, given.drawn, given.text
        canvas = look.latents if config.canvas == "protected" else self._clean_look.latents
        noisy = drawn if config.canvas == "noise" else editor.noised(canvas.repeat(times, 1, 1, 1), drawn, t)
        condition = look.condition if config.condition == "protected" else self._clean_look.condition
        if condition is not None:
            condition = condition.repeat(times, 1, 1, 1)

        def run() -> Tensor:
            return editor.predict(noisy, t, text, condition)

        if not editor.memory.checkpoint:
            return outputs(editor.predictor, self.layers, editor.feature, run)
        with checkpointed(editor.units(), self.layers):
            return outputs(editor.predictor, self.layers, editor.feature, run)


def divergence_of(features: Tensor, clean: Tensor, config: Config) -> Tensor:
    """``Dist`` of eq. 4 for (N, values): (N,). The paper says "e.g. MSE"."""
    difference = features - clean
    if config.divergence == "mse":
        squares = difference.square()
        return squares.mean(dim=1) if config.divergence_reduction == "mean" else squares.sum(dim=1)
    if config.divergence == "l2":
        length = torch.linalg.vector_norm(difference, dim=1)
        values = difference.shape[1]
        return length / values**0.5 if config.divergence_reduction == "mean" else length
    return 1 - torch.nn.functional.cosine_similarity(features, clean, dim=1)


def norm_of(features: Tensor, config: Config) -> Tensor:
    """The norm of eq. 5 for (N, values): (N,)."""
    if config.norm == "l1":
        sizes = features.abs()
        return sizes.mean(dim=1) if config.norm_reduction == "mean" else sizes.sum(dim=1)
    length = torch.linalg.vector_norm(features, dim=1)
    return length / features.shape[1] ** 0.5 if config.norm_reduction == "mean" else length


def canvas_of(editor: WhiteBox, config: Config) -> Literal["protected", "source", "noise"]:
    """What ``canvas`` means for an editor: itself, or what ``auto`` stands for there."""
    if config.canvas != "auto":
        return config.canvas
    return "source" if editor.sees_condition and config.condition == "protected" else "protected"


def _require_sight(editor: WhiteBox, config: Config) -> None:
    sees = config.canvas == "protected" or (editor.sees_condition and config.condition == "protected")
    if not sees:
        raise UsageError(
            f"sifm: expected the noise predictor of {editor.name} to see the protected image; found "
            f"canvas={config.canvas} and condition={config.condition}; set canvas or condition to protected"
        )

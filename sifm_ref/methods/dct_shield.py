"""DCT-Shield, of "DCT-Shield: A Robust Frequency Domain Defense against Malicious Image Editing" (Bala et al., ICCV 2025):
the latent vanishes, by what is added to a JPEG's quantised coefficients."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from isr.errors import UsageError
from sifm_ref.budget import Budget, project
from sifm_ref.descent import Descent
from sifm_ref.editor import WhiteBox
from sifm_ref.features import loss_scale
from sifm_ref.methods._jpeg import CHANNELS, Codec
from sifm_ref.methods.photoguard_encoder import Config as Encoder
from sifm_ref.methods.photoguard_encoder import encoder_loss
from sifm_ref.noise import Noise
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``quality`` of the JPEG (1 to 100) whose coefficients are changed; ``reach``: by how many of its steps at most, each;
    ``channels``: of which. ``chroma``: ``halved`` (4:2:0) or ``whole``, which is ours to choose.

    ``bound``: the pixel budget, which the paper's algorithm does not know, is kept at ``each`` step, so that the loss is of
    what is saved, or brought about once, at the ``end``. ``descent.step_size`` is in steps of the JPEG; ``linear`` goes to 0, as
    in the paper; start and repeats have no meaning here.
    """

    quality: int = 95
    reach: float = 1.0
    channels: tuple[str, ...] = CHANNELS
    chroma: Literal["halved", "whole"] = "halved"
    bound: Literal["each", "end"] = "each"
    descent: Descent = field(default_factory=lambda: Descent(step_size=0.1, schedule="linear"))

    def __post_init__(self) -> None:
        for name, known in (("chroma", ("halved", "whole")), ("bound", ("each", "end"))):
            if getattr(self, name) not in known:
                raise UsageError(
                    f"dct_shield: {name}: expected one of {', '.join(known)}; found {getattr(self, name)!r}"
                )
        if not 1 <= self.quality <= 100 or not self.reach > 0:
            raise UsageError(
                f"dct_shield: expected a quality of 1 to 100 and a reach above 0; found {self.quality} and {self.reach}"
            )
        if not self.channels or not set(self.channels) <= set(CHANNELS):
            raise UsageError(
                f"dct_shield: channels: expected some of {', '.join(CHANNELS)}; found {', '.join(self.channels) or 'none'}"
            )


_PUBLISHED = Config(
    bound="end", descent=Descent(steps=1000, step_size=0.1, schedule="linear")
)  # its section 5.4

PRESETS = {
    "shared": Config(),
    "published": _PUBLISHED,
    "published_y": replace(_PUBLISHED, quality=85, channels=("Y",)),  # its section 6.3
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, beside a paper without code."""
    when = "at each step" if config.bound == "each" else "at the end"
    said = (
        "DCT-Shield rebuilt from a transcription of its Algorithm 1, no code being published: brought into the pixel budget "
        f"{when}, of which its own knows nothing; chroma {config.chroma} is ours"
    )
    if config.reach < 1:
        said += "; a reach below 1, with which its argument against JPEG does not hold"
    return f"{said}; the repainted area grey before the encoder, and left as it is" if editor.masked else said


def dct_shield(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) that minimise ``|| E(JPEG_D(alpha + delta)) ||_2``, ``|delta| <= reach``, and are in the budget.

    Bala et al. 2025, Algorithm 1, as transcribed line by line in ``AUDIT_DCT_SHIELD.md`` of
    ``Nelson0314/Non-Additive-Adversarial-Image-Editing-Defense`` 74cce42; the paper's own text was not at hand, and its
    repository is empty. ``alpha``: the whole coefficients of the source. Signed steps from 0. At ``delta`` = 0 the image is a
    JPEG of the source, no source; the paper's reach takes an ``--eps`` of 0.2 to 0.3.
    """
    shield = Shield(editor, scene, budget, config)
    scale = loss_scale(editor)
    delta = [torch.zeros_like(a) for a in shield.changed]
    losses = []
    for number in range(config.descent.steps):
        with torch.enable_grad():
            leaves = [d.detach().requires_grad_() for d in delta]
            value = shield.loss(leaves)
            found = torch.autograd.grad(scale * value.sum(), leaves)
        losses.append(value.detach())
        step = _step(config.descent, number)
        delta = [
            (d - step * g.sign()).clamp(-config.reach, config.reach)
            for d, g in zip(delta, found, strict=True)
        ]
        callback(number + 1, losses[-1])
    with torch.no_grad():
        image = shield.bounded(shield.image(delta))
        losses.append(shield.of(image))
    return Immunized(image, tuple(losses))


class Shield:
    """The image that coefficients make, and its loss."""

    def __init__(self, editor: WhiteBox, scene: Scene, budget: Budget, config: Config) -> None:
        self._scene, self._budget, self._config = scene, budget, config
        self._codec = Codec(scene.source, config.quality, config.chroma == "halved")
        self._alpha = self._codec.encode(scene.source)
        self._loss = encoder_loss(editor, scene, Encoder())
        self._noise = Noise([0] * len(scene.prompts))  # the encoder's loss draws none

    @property
    def changed(self) -> list[Tensor]:
        """The coefficients that may be changed."""
        return [a for name, a in zip(CHANNELS, self._alpha, strict=True) if name in self._config.channels]

    def image(self, delta: list[Tensor]) -> Tensor:
        """Images (B, 3, H, W), clipped to [0, 1]; with ``bound=each`` in the budget."""
        rest = iter(delta)
        names = zip(CHANNELS, self._alpha, strict=True)
        moved = [a + next(rest) if name in self._config.channels else a for name, a in names]
        image = self._codec.decode(moved).clamp(0, 1)
        return self.bounded(image) if self._config.bound == "each" else image

    def bounded(self, image: Tensor) -> Tensor:
        """The image in the budget, and the source where an inpainting editor repaints."""
        change = image - self._scene.source
        if self._scene.mask is not None:
            change = change * (1 - self._scene.mask)
        return (self._scene.source + project(change, self._budget)).clamp(0, 1)

    def of(self, image: Tensor) -> Tensor:
        """The loss (B,) of images."""
        return self._loss(image, self._noise)

    def loss(self, delta: list[Tensor]) -> Tensor:
        """The loss (B,) of changes of the coefficients."""
        return self.of(self.image(delta))


def _step(descent: Descent, number: int) -> float:
    return descent.step_size * (1 - number / descent.steps if descent.schedule == "linear" else 1)

"""What an editor is: a diffusion pipeline that edits, and for white boxes the differentiable steps inside it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from isr.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from sifm_ref.noise import Noise

Text = Mapping[str, "Tensor"]


@dataclass
class Memory:
    """How memory is traded for time; nothing here changes what is computed.

    ``timestep_batch``: timesteps in one pass of the noise predictor; 0: as many as fit. ``checkpoint``: activations
    are computed again in the backward pass instead of being kept.
    """

    timestep_batch: int = 0
    checkpoint: bool = False


@dataclass(frozen=True)
class Look:
    """What an editor makes of images once: ``latents`` (B, C, h, w), scaled, and its ``condition``, where it has one."""

    latents: Tensor
    condition: Tensor | None = None

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The tensors through which everything later sees the images."""
        return (self.latents,) if self.condition is None else (self.latents, self.condition)


class Editor(ABC):
    """A loaded pipeline behind one interface. ``name`` goes into the metadata, ``settings`` with it.

    ``checkpoint`` tells the weights apart, whatever the editor is called; ``""``: not known.

    Class fields of an adapter: ``pipelines``, the diffusers classes it adapts; ``default``, the hub id that its bare
    name means; ``defaults``, its settings for an edit with their values.
    """

    pipelines: ClassVar[tuple[str, ...]]
    default: ClassVar[str]
    defaults: ClassVar[Mapping[str, Any]] = {}
    dropped: ClassVar[tuple[str, ...]] = ()  # components that are left out when the pipeline is loaded
    masked: ClassVar[bool] = False  # whether it needs a mask of what to repaint
    reads: ClassVar[str] = (
        "instruction"  # what its prompts are: an instruction, or the caption of what is to be made
    )
    long_reader: ClassVar[str] = ""  # the tokenizer of which the setting ``max_tokens`` says how far it reads

    def __init__(self, pipe: Any, *, name: str, settings: Mapping[str, Any] | None = None) -> None:
        self.pipe = pipe
        self.name = name
        self.settings = {**self.defaults, **(settings or {})}
        self.identity: dict[str, Any] = {}
        self.checkpoint = ""
        unknown = sorted(set(self.settings) - set(self.defaults))
        if unknown:
            raise UsageError(
                f"editor {name}: expected settings out of {', '.join(self.defaults)}; found {', '.join(unknown)}"
            )
        self.check_settings(self.settings, f"editor {name}")

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any], where: str) -> None:
        """Raises ``UsageError`` for settings with which no step would be made, or that no pipeline takes."""
        steps, strength = settings.get("steps", 1), settings.get("strength", 1.0)
        if steps < 1:
            raise UsageError(f"{where}: steps: expected at least 1; found {steps}")
        if not 0 < strength <= 1:
            raise UsageError(f"{where}: strength: expected above 0 and at most 1; found {strength}")
        if cls.steps_made(steps, strength) < 1:
            raise UsageError(
                f"{where}: steps: expected one step at least that is made, steps x strength of 1 or more; found {steps} "
                f"x {strength}; give steps={math.ceil(1 / strength)} or more"
            )

    @staticmethod
    def steps_made(steps: int, strength: float) -> int:
        """How many of ``steps`` an edit makes at a strength."""
        return min(int(steps * strength), steps)

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Sides of images must be multiples of this number of pixels."""

    @abstractmethod
    def edit(self, image: Image, prompt: str, seed: int, mask: Image | None = None) -> Image:
        """The edit of an RGB image; equal arguments, equal edit. ``mask``: white where it is repainted."""

    @property
    def device(self) -> Any:
        return self.pipe._execution_device

    def readers(self) -> list[tuple[Any, int]]:
        """The tokenizers of its text encoders, each with the number of tokens that are read of a prompt."""
        parts = getattr(self.pipe, "components", {})
        found = []
        for name, part in parts.items():
            encoder = parts.get(name.replace("tokenizer", "text_encoder"))
            if name.startswith("tokenizer") and part is not None and encoder is not None:
                most = self.settings["max_tokens"] if name == self.long_reader else part.model_max_length
                found.append((part, int(most)))
        return found


class WhiteBox(Editor):
    """An editor whose steps can be differentiated. All tensors are in the type of its weights."""

    sees_condition: ClassVar[bool] = (
        False  # whether the noise predictor sees the image beside the noisy latents
    )
    stock: ClassVar[bool] = False  # whether it is Stable Diffusion's own text-to-image model
    edits_by_reading: ClassVar[str] = ""  # what of its way of editing SIFM's paper leaves open, in words
    timesteps: ClassVar[int] = 1000

    def __init__(self, pipe: Any, *, name: str, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(pipe, name=name, settings=settings)
        self.memory = Memory()

    @property
    @abstractmethod
    def predictor(self) -> Any:
        """The noise predictor (U-Net or transformer): the network whose layers have names."""

    @property
    def vae(self) -> Any:
        return self.pipe.vae

    @property
    def dtype(self) -> Any:
        return self.vae.dtype

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """The layers that a method uses if nothing else is said."""

    @staticmethod
    @abstractmethod
    def feature(module: Any, output: Any) -> Tensor:
        """The image's features in what a layer returns; which place they have depends on its kind."""

    @abstractmethod
    def attention_layers(self) -> list[str]:
        """Names of the layers in which the image attends to the text."""

    @abstractmethod
    def attention(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> Tensor:
        """Attention probabilities (B, heads, image positions, text tokens) from the inputs of such a layer."""

    @abstractmethod
    def units(self) -> Iterator[tuple[str, Any]]:
        """Modules of the noise predictor that checkpointing may run again."""

    def vae_units(self) -> Iterator[tuple[str, Any]]:
        """Modules of the VAE's encoder that checkpointing may run again."""
        for name, module in self.vae.encoder.named_modules():
            if name.count(".") == 3 and ".resnets." in name:
                yield name, module

    def encode(self, images: Tensor, noise: Noise | None = None) -> Tensor:
        """Raw latents of images (B, 3, H, W) in [0, 1]: the posterior's mode, or a sample drawn with ``noise``."""
        from sifm_ref.features import checkpointed

        with checkpointed(self.vae_units()) if self.memory.checkpoint else nullcontext():
            posterior = self.vae.encode((2 * images - 1).to(self.dtype)).latent_dist
        if noise is None:
            mode: Tensor = posterior.mode()
            return mode
        mean: Tensor = posterior.mean
        return mean + posterior.std * noise.normal(mean.shape[1:], mean)

    @abstractmethod
    def scaled(self, raw: Tensor) -> Tensor:
        """Raw latents on the scale on which noise is added."""

    @abstractmethod
    def unscaled(self, latents: Tensor) -> Tensor:
        """The inverse of ``scaled``."""

    def decode(self, latents: Tensor) -> Tensor:
        """Images in [0, 1] (not clipped) from scaled latents."""
        return (self.vae.decode(self.unscaled(latents).to(self.dtype)).sample + 1) / 2

    def look(self, images: Tensor, mask: Tensor | None = None, noise: Noise | None = None) -> Look:
        """What the editor makes of images, one VAE encode for all timesteps; ``noise`` as in ``encode``."""
        return Look(self.scaled(self.encode(images, noise)))

    @abstractmethod
    def text(self, prompts: Sequence[str]) -> Text:
        """Embeddings of prompts, the batch in front of every tensor."""

    @abstractmethod
    def token_rows(self, prompt: str) -> list[int]:
        """Places, among the text tokens of ``text``, of the prompt's own words."""

    @abstractmethod
    def noised(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Latents at timestep ``t`` (B,) in [0, 1000): ``latents`` with ``noise`` mixed in as in training."""

    @abstractmethod
    def target(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the noise predictor was trained to answer at ``t``."""

    @abstractmethod
    def predict(self, noisy: Tensor, t: Tensor, text: Text, condition: Tensor | None) -> Tensor:
        """The noise predictor's answer (B, C, h, w); no guidance."""

    @abstractmethod
    def guided(self, noisy: Tensor, t: Tensor, text: Text, empty: Text, look: Look) -> Tensor:
        """The answer with the editor's guidance, as in an edit; one pass less where ``text`` is ``empty`` itself."""

    def schedule(self, steps: int, latents: Tensor) -> list[float]:
        """Descending timesteps of a short edit, as the pipeline takes them from its scheduler for so many steps.

        They are those of the edit nearest to ``steps`` / strength steps of which so many are made.
        """
        strength = float(self.settings.get("strength", 1.0))
        fit = [
            n for n in range(steps, math.ceil(steps / strength) + 2) if self.steps_made(n, strength) == steps
        ]
        asked = min(fit, key=lambda n: abs(n - steps / strength))
        scheduler = type(self.pipe.scheduler).from_config(
            self.pipe.scheduler.config
        )  # the pipeline's stays as it is
        scheduler.set_timesteps(asked, **self.schedule_options(latents))
        times = [float(t) for t in scheduler.timesteps[(asked - steps) * scheduler.order :]]
        return list(dict.fromkeys(times))  # some schedulers ask twice at one timestep

    def schedule_options(self, latents: Tensor) -> dict[str, Any]:
        """What the pipeline tells its scheduler beside the number of steps."""
        return {}

    @abstractmethod
    def advance(
        self, noisy: Tensor, answer: Tensor, t: float, after: float, eta: float, noise: Tensor
    ) -> Tensor:
        """Latents one step later: at timestep ``after`` (-1: the end), by DDIM or Euler."""

    def start(self, look: Look, noise: Tensor, t: Tensor) -> Tensor:
        """Latents with which an edit begins at timestep ``t``: noised ones, or pure noise."""
        return noise if self.sees_condition else self.noised(look.latents, noise, t)


def repeated(text: Text, times: int) -> Text:
    """A text's embeddings for ``times`` copies of a batch, one after the other."""
    return text if times == 1 else {k: v.repeat(times, *[1] * (v.dim() - 1)) for k, v in text.items()}


def at_timestep(t: float, like: Tensor) -> Tensor:
    """A timestep for every image of a batch (B,): whole ones as whole numbers, which tables are looked up by."""
    import torch

    return torch.full((len(like),), int(t) if t == int(t) else t, device=like.device)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an editor is loaded. ``dtype``: fp32, fp16 or bf16. ``settings``: its own, for an edit. ``variant``: of files
    that are there in several, such as fp16. ``code``: whether the code of a file of one's own may be run (``path.py:NAME``)."""

    dtype: str = "fp32"
    device: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    revision: str | None = None
    variant: str | None = None
    memory: Memory = field(default_factory=Memory)
    name: str = ""
    code: bool = False

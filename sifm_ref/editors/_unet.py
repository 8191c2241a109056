"""What the Stable Diffusion 1.x and 2.x pipelines have in common: U-Net, one CLIP text encoder, DDPM noise."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from isr.errors import InputError
from sifm_ref.editor import Look, Text, WhiteBox


class UNetEditor(WhiteBox):
    """The white box of a U-Net pipeline; what it sees beside the noisy latents is left to the adapter."""

    dropped: ClassVar[tuple[str, ...]] = ("safety_checker", "feature_extractor", "image_encoder")

    seen_latents: ClassVar[int] = 1  # how often the U-Net sees as many channels as the latents have
    seen_masks: ClassVar[int] = 0

    def __init__(self, pipe: Any, *, name: str, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(pipe, name=name, settings=settings)
        has, latents = self.predictor.config.in_channels, self.vae.config.latent_channels
        wants = self.seen_latents * latents + self.seen_masks
        encoder, reads = getattr(self.pipe, "text_encoder", None), self.predictor.config.cross_attention_dim
        text = reads if encoder is None else encoder.config.hidden_size
        fix = "take a checkpoint of this kind of editor, or the adapter of that checkpoint (--editor NAME=PLACE)"
        if has != wants:
            raise InputError(
                f"editor {name}: expected a U-Net that sees {wants} channels; found one of {has}; {fix}"
            )
        if isinstance(reads, int) and reads != text:
            raise InputError(
                f"editor {name}: expected a U-Net for texts of width {text}; found one for {reads}; {fix}"
            )

    @property
    def predictor(self) -> Any:
        return self.pipe.unet

    @property
    def multiple(self) -> int:
        halvings = len(self.predictor.config.block_out_channels) - 1
        return int(self.pipe.vae_scale_factor * 2**halvings)

    @property
    def layers(self) -> tuple[str, ...]:
        return ("mid_block",)

    @staticmethod
    def feature(module: Any, output: Any) -> Tensor:
        picked: Tensor = output[0] if isinstance(output, tuple) else getattr(output, "sample", output)
        return picked

    def units(self) -> Iterator[tuple[str, Any]]:
        for name, module in self.predictor.named_modules():
            parts = name.split(".")
            if parts[-1].isdigit() and len(parts) in (3, 4) and parts[-2] in ("resnets", "attentions"):
                yield name, module

    def attention_layers(self) -> list[str]:
        return [name for name, _ in self.predictor.named_modules() if name.endswith(".attn2")]

    def attention(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> Tensor:
        image = args[0] if args else kwargs["hidden_states"]
        text = kwargs["encoder_hidden_states"]
        q, k = _heads(module.to_q(image), module.heads), _heads(module.to_k(text), module.heads)
        return (q @ k.transpose(-1, -2) * module.scale).softmax(dim=-1)

    def scaled(self, raw: Tensor) -> Tensor:
        return raw * self.vae.config.scaling_factor

    def unscaled(self, latents: Tensor) -> Tensor:
        return latents / self.vae.config.scaling_factor

    @torch.no_grad()
    def text(self, prompts: Sequence[str]) -> Text:
        encode = getattr(self.pipe, "encode_prompt", None) or self.pipe._encode_prompt
        found = encode(list(prompts), self.device, 1, False)
        return {"encoder_hidden_states": found[0] if isinstance(found, tuple) else found}

    def token_rows(self, prompt: str) -> list[int]:
        tokenizer = self.pipe.tokenizer
        ids = tokenizer(prompt, truncation=True, max_length=tokenizer.model_max_length).input_ids
        special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
        return [place for place, token in enumerate(ids) if token not in special]

    def _signal(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(alpha-bar) and sqrt(1 - alpha-bar) at ``t``; at -1, what the scheduler ends with (1: clean)."""
        bars = self.pipe.scheduler.alphas_cumprod.cpu().double()  # not every device has float64
        last = float(getattr(self.pipe.scheduler, "final_alpha_cumprod", 1.0))
        bars = torch.cat([bars, bars.new_full((1,), last)])
        place = t.round().long()
        signal, spread = (table.sqrt().to(like.dtype).to(like.device)[place] for table in (bars, 1 - bars))
        return signal[:, None, None, None], spread[:, None, None, None]

    def noised(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        signal, spread = self._signal(t, latents)
        return signal * latents + spread * noise

    def target(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        if self.pipe.scheduler.config.prediction_type == "v_prediction":
            signal, spread = self._signal(t, latents)
            return signal * noise - spread * latents
        return noise

    def predict(self, noisy: Tensor, t: Tensor, text: Text, condition: Tensor | None) -> Tensor:
        seen = noisy if condition is None else torch.cat([noisy, condition], dim=1)
        answer: Tensor = self.predictor(seen, t, **text, return_dict=False)[0]
        return answer

    def guided(self, noisy: Tensor, t: Tensor, text: Text, empty: Text, look: Look) -> Tensor:
        weight = self.settings["guidance"]
        with_text = self.predict(noisy, t, text, look.condition)
        if weight <= 1 or text is empty:
            return with_text
        without = self.predict(noisy, t, empty, look.condition)
        return without + weight * (with_text - without)

    def advance(
        self, noisy: Tensor, answer: Tensor, t: float, after: float, eta: float, noise: Tensor
    ) -> Tensor:
        """DDIM (Song et al. 2021, eq. 12 and 16), whatever the sampler is; timesteps between two are rounded."""
        steps = torch.tensor([round(t), round(after)], device=noisy.device)
        (signal, next_signal), (spread, next_spread) = (x.unbind() for x in self._signal(steps, noisy))
        if self.pipe.scheduler.config.prediction_type == "v_prediction":
            clean, eps = signal * noisy - spread * answer, signal * answer + spread * noisy
        else:
            clean, eps = (noisy - spread * answer) / signal, answer
        sigma = eta * (next_spread / spread) * (1 - (signal / next_signal) ** 2).clamp_min(0).sqrt()
        drift = (next_spread**2 - sigma**2).clamp_min(0).sqrt()
        return next_signal * clean + drift * eps + sigma * noise

    @abstractmethod
    def look(self, images: Tensor, mask: Tensor | None = None, noise: Any = None) -> Look: ...


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads * d) as (B, heads, N, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)

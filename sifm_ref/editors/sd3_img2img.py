"""Stable Diffusion 3 image to image (Esser et al. 2024): a transformer (MMDiT) trained on rectified flows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from PIL.Image import Image
from torch import Tensor

from sifm_ref.editor import Look, Text, WhiteBox
from sifm_ref.editors._unet import _heads


class Adapter(WhiteBox):
    """``StableDiffusion3Img2ImgPipeline``. The paper does not say how SD3 edits; image to image is our reading."""

    pipelines: ClassVar[tuple[str, ...]] = ("StableDiffusion3Img2ImgPipeline", "StableDiffusion3Pipeline")
    default: ClassVar[str] = "stabilityai/stable-diffusion-3-medium-diffusers"
    defaults: ClassVar[Mapping[str, Any]] = {
        "steps": 50,
        "guidance": 7.0,
        "strength": 0.6,
        "max_tokens": 256,
    }

    long_reader: ClassVar[str] = "tokenizer_3"
    reads: ClassVar[str] = "caption"
    edits_by_reading: ClassVar[str] = "SD3 edits image to image, which the paper does not say"

    @staticmethod
    def steps_made(steps: int, strength: float) -> int:
        """The pipeline rounds up: it leaves out the whole steps above the strength."""
        return steps - int(max(steps - steps * strength, 0))

    @property
    def predictor(self) -> Any:
        return self.pipe.transformer

    @property
    def multiple(self) -> int:
        return int(self.pipe.vae_scale_factor * self.predictor.config.patch_size)

    @property
    def layers(self) -> tuple[str, ...]:
        """The block three quarters down: a transformer has no narrowest place, and the paper says "deeper"."""
        return (f"transformer_blocks.{len(self.predictor.transformer_blocks) * 3 // 4}",)

    @staticmethod
    def feature(module: Any, output: Any) -> Tensor:
        """A block returns (text, image), its attention (image, text), any other layer its own first."""
        from diffusers.models.attention import JointTransformerBlock

        if not isinstance(output, tuple):
            return getattr(output, "sample", output)
        picked: Tensor = output[1 if isinstance(module, JointTransformerBlock) else 0]
        return picked

    def units(self) -> Iterator[tuple[str, Any]]:
        for number, block in enumerate(self.predictor.transformer_blocks):
            yield f"transformer_blocks.{number}", block

    def attention_layers(self) -> list[str]:
        return [f"transformer_blocks.{n}.attn" for n in range(len(self.predictor.transformer_blocks))]

    def attention(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> Tensor:
        """The part of the joint attention in which image positions look at text tokens."""
        image = args[0] if args else kwargs["hidden_states"]
        q, own = _heads(module.to_q(image), module.heads), _heads(module.to_k(image), module.heads)
        text = _heads(module.add_k_proj(kwargs["encoder_hidden_states"]), module.heads)
        if module.norm_q is not None:
            q, own = module.norm_q(q), module.norm_k(own)
        if module.norm_added_k is not None:
            text = module.norm_added_k(text)
        keys = torch.cat([own, text], dim=2)
        joint = (q @ keys.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
        return joint[..., own.shape[2] :]

    def scaled(self, raw: Tensor) -> Tensor:
        config = self.vae.config
        return (raw - (config.shift_factor or 0.0)) * config.scaling_factor

    def unscaled(self, latents: Tensor) -> Tensor:
        config = self.vae.config
        return latents / config.scaling_factor + (config.shift_factor or 0.0)

    @torch.no_grad()
    def text(self, prompts: Sequence[str]) -> Text:
        texts = list(prompts)
        found, _, pooled, _ = self.pipe.encode_prompt(
            texts,
            texts,
            texts,
            device=self.device,
            do_classifier_free_guidance=False,
            max_sequence_length=int(self.settings["max_tokens"]),
        )
        return {"encoder_hidden_states": found, "pooled_projections": pooled}

    def token_rows(self, prompt: str) -> list[int]:
        """Of the CLIP tokens, which stand first; T5's follow them and are left out."""
        tokenizer = self.pipe.tokenizer
        ids = tokenizer(prompt, truncation=True, max_length=tokenizer.model_max_length).input_ids
        special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
        return [place for place, token in enumerate(ids) if token not in special]

    def noised(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        share = t.cpu().double() / self.timesteps  # not every device has float64
        sigma = share.to(latents.dtype).to(latents.device)[:, None, None, None]
        return (1 - sigma) * latents + sigma * noise

    def target(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return noise - latents

    def predict(self, noisy: Tensor, t: Tensor, text: Text, condition: Tensor | None) -> Tensor:
        answer: Tensor = self.predictor(
            hidden_states=noisy, timestep=t.to(noisy.dtype), **text, return_dict=False
        )[0]
        return answer

    def guided(self, noisy: Tensor, t: Tensor, text: Text, empty: Text, look: Look) -> Tensor:
        weight = self.settings["guidance"]
        with_text = self.predict(noisy, t, text, None)
        if weight <= 1 or text is empty:
            return with_text
        without = self.predict(noisy, t, empty, None)
        return without + weight * (with_text - without)

    def schedule_options(self, latents: Tensor) -> dict[str, Any]:
        """A shift that grows with the picture, where the checkpoint's scheduler has one."""
        from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3_img2img import calculate_shift

        said = self.pipe.scheduler.config
        if not said.get("use_dynamic_shifting"):
            return {}
        places = math.prod(side // self.predictor.config.patch_size for side in latents.shape[-2:])
        known = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.16}
        return {"mu": calculate_shift(places, *(said.get(name, value) for name, value in known.items()))}

    def advance(
        self, noisy: Tensor, answer: Tensor, t: float, after: float, eta: float, noise: Tensor
    ) -> Tensor:
        """One step of Euler's method along the flow; ``eta`` has no meaning here."""
        return noisy + (max(after, 0.0) - t) / self.timesteps * answer

    def edit(self, image: Image, prompt: str, seed: int, mask: Image | None = None) -> Image:
        out: Image = self.pipe(
            prompt=prompt,
            image=image,
            width=image.width,
            height=image.height,
            strength=float(self.settings["strength"]),
            num_inference_steps=int(self.settings["steps"]),
            guidance_scale=float(self.settings["guidance"]),
            max_sequence_length=int(self.settings["max_tokens"]),
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        return out

"""Stable Diffusion 1.x and 2.x image to image (Meng et al. 2022, SDEdit)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from PIL.Image import Image
from torch import Tensor

from sifm_ref.editor import Look
from sifm_ref.editors._unet import UNetEditor


class Adapter(UNetEditor):
    """``StableDiffusionImg2ImgPipeline``: the image is seen through its noised latents only."""

    pipelines: ClassVar[tuple[str, ...]] = ("StableDiffusionImg2ImgPipeline", "StableDiffusionPipeline")
    default: ClassVar[str] = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    defaults: ClassVar[Mapping[str, Any]] = {"steps": 50, "guidance": 7.5, "strength": 0.5}
    stock: ClassVar[bool] = True
    reads: ClassVar[str] = "caption"

    def look(self, images: Tensor, mask: Tensor | None = None, noise: Any = None) -> Look:
        return Look(self.scaled(self.encode(images, noise)))

    def edit(self, image: Image, prompt: str, seed: int, mask: Image | None = None) -> Image:
        out: Image = self.pipe(
            prompt=prompt,
            image=image,
            strength=float(self.settings["strength"]),
            num_inference_steps=int(self.settings["steps"]),
            guidance_scale=float(self.settings["guidance"]),
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        return out

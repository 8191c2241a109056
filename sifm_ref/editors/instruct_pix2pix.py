"""InstructPix2Pix (Brooks et al. 2023): an instruction editor that sees the image beside the noisy latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from PIL.Image import Image
from torch import Tensor

from sifm_ref.editor import Look, Text
from sifm_ref.editors._unet import UNetEditor


class Adapter(UNetEditor):
    """``StableDiffusionInstructPix2PixPipeline``. The condition is the posterior's mode, NOT scaled, as in the edit."""

    pipelines: ClassVar[tuple[str, ...]] = ("StableDiffusionInstructPix2PixPipeline",)
    default: ClassVar[str] = "timbrooks/instruct-pix2pix"
    defaults: ClassVar[Mapping[str, Any]] = {"steps": 100, "guidance": 7.5, "image_guidance": 1.5}
    sees_condition: ClassVar[bool] = True
    seen_latents: ClassVar[int] = 2

    def look(self, images: Tensor, mask: Tensor | None = None, noise: Any = None) -> Look:
        raw = self.encode(images, noise)
        return Look(self.scaled(raw), raw)

    def guided(self, noisy: Tensor, t: Tensor, text: Text, empty: Text, look: Look) -> Tensor:
        """Classifier-free guidance on text and image (Brooks et al. 2023, eq. 3), where the pipeline guides at all."""
        assert look.condition is not None
        s_text, s_image = self.settings["guidance"], self.settings["image_guidance"]
        full = self.predict(noisy, t, text, look.condition)
        if s_text <= 1 or s_image < 1:
            return full
        image = full if text is empty else self.predict(noisy, t, empty, look.condition)
        none = self.predict(noisy, t, empty, torch.zeros_like(look.condition))
        return none + s_text * (full - image) + s_image * (image - none)

    def edit(self, image: Image, prompt: str, seed: int, mask: Image | None = None) -> Image:
        out: Image = self.pipe(
            prompt=prompt,
            image=image,
            num_inference_steps=int(self.settings["steps"]),
            guidance_scale=float(self.settings["guidance"]),
            image_guidance_scale=float(self.settings["image_guidance"]),
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        return out

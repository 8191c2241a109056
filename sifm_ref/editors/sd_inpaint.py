"""Stable Diffusion inpainting (Rombach et al. 2022): the setting of PhotoGuard's released attacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from PIL import Image as Pillow
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import interpolate

from isr.errors import UsageError
from sifm_ref.editor import Look
from sifm_ref.editors._unet import UNetEditor


class Adapter(UNetEditor):
    """``StableDiffusionInpaintPipeline``: it sees the mask, and the image with mid-grey where it will repaint.

    What is not repainted is pasted back after the edit (``paste = true``), as PhotoGuard's ``recover_image`` does.
    """

    pipelines: ClassVar[tuple[str, ...]] = ("StableDiffusionInpaintPipeline",)
    default: ClassVar[str] = "stable-diffusion-v1-5/stable-diffusion-inpainting"
    defaults: ClassVar[Mapping[str, Any]] = {"steps": 50, "guidance": 7.5, "strength": 1.0, "paste": True}
    sees_condition: ClassVar[bool] = True
    seen_latents: ClassVar[int] = 2
    seen_masks: ClassVar[int] = 1
    masked: ClassVar[bool] = True
    reads: ClassVar[str] = "caption"

    def look(self, images: Tensor, mask: Tensor | None = None, noise: Any = None) -> Look:
        if mask is None:
            raise UsageError("editor sd_inpaint: expected a mask for every image; found none; pass --masks")
        kept = (mask < 0.5).to(images.dtype)
        seen = self.scaled(self.encode(images * kept + 0.5 * (1 - kept), noise))
        small = interpolate(1 - kept, size=seen.shape[-2:]).to(seen.dtype)
        return Look(seen, torch.cat([small, seen], dim=1))

    def edit(self, image: Image, prompt: str, seed: int, mask: Image | None = None) -> Image:
        if mask is None:
            raise UsageError("editor sd_inpaint: expected a mask for every image; found none; pass --masks")
        out: Image = self.pipe(
            prompt=prompt,
            image=image,
            mask_image=mask.convert("L"),
            width=image.width,
            height=image.height,
            strength=float(self.settings["strength"]),
            num_inference_steps=int(self.settings["steps"]),
            guidance_scale=float(self.settings["guidance"]),
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        if self.settings["paste"]:
            out = Pillow.composite(
                out.convert("RGB"), image, mask.convert("L").point(lambda v: 255 * (v >= 128))
            )
        return out

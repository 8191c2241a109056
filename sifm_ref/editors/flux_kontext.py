"""FLUX.1 Kontext (Black Forest Labs 2025): for editing only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from PIL.Image import Image

from sifm_ref.editor import Editor


class Adapter(Editor):
    """``FluxKontextPipeline``.

    ``native = true`` lets it work at the size that it prefers for the aspect (about a megapixel), and the edit is
    brought back to the picture's; ``false`` keeps the picture's size.
    """

    pipelines: ClassVar[tuple[str, ...]] = ("FluxKontextPipeline",)
    default: ClassVar[str] = "black-forest-labs/FLUX.1-Kontext-dev"
    defaults: ClassVar[Mapping[str, Any]] = {
        "steps": 28,
        "guidance": 3.5,
        "true_cfg": 1.0,
        "max_tokens": 512,
        "native": True,
    }

    long_reader: ClassVar[str] = "tokenizer_2"

    @property
    def multiple(self) -> int:
        return int(self.pipe.vae_scale_factor * 2)

    def edit(self, image: Image, prompt: str, seed: int, mask: Image | None = None) -> Image:
        area = 1024**2 if self.settings["native"] else image.width * image.height
        out: Image = self.pipe(
            image=image,
            prompt=prompt,
            width=image.width,
            height=image.height,
            max_area=area,
            _auto_resize=bool(self.settings["native"]),
            num_inference_steps=int(self.settings["steps"]),
            guidance_scale=float(self.settings["guidance"]),
            true_cfg_scale=float(self.settings["true_cfg"]),
            max_sequence_length=int(self.settings["max_tokens"]),
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        return out

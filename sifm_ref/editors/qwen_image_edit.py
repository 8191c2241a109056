"""Qwen-Image-Edit (Wu et al. 2025): for editing only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from PIL.Image import Image

from sifm_ref.editor import Editor


class Adapter(Editor):
    """``QwenImageEditPipeline``. Guidance takes effect only with a negative prompt, so a blank one is given.

    It resizes the picture that it sees to about a megapixel by itself; ``native = true`` has it draw at that size as
    well, and the edit is brought back to the picture's.
    """

    pipelines: ClassVar[tuple[str, ...]] = ("QwenImageEditPipeline",)
    default: ClassVar[str] = "Qwen/Qwen-Image-Edit"
    defaults: ClassVar[Mapping[str, Any]] = {
        "steps": 50,
        "true_cfg": 4.0,
        "negative": " ",
        "max_tokens": 512,
        "native": True,
    }

    @property
    def multiple(self) -> int:
        return int(self.pipe.vae_scale_factor * 2)

    def readers(self) -> list[tuple[Any, int]]:
        """None that cuts: the pipeline reads every prompt to its end."""
        return []

    def edit(self, image: Image, prompt: str, seed: int, mask: Image | None = None) -> Image:
        own = bool(self.settings["native"])
        out: Image = self.pipe(
            image=image,
            prompt=prompt,
            negative_prompt=str(self.settings["negative"]),
            width=None if own else image.width,
            height=None if own else image.height,
            num_inference_steps=int(self.settings["steps"]),
            true_cfg_scale=float(self.settings["true_cfg"]),
            max_sequence_length=int(self.settings["max_tokens"]),
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        return out

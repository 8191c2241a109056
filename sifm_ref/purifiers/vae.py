"""A round trip through a VAE (VAE-Trans in arXiv 2603.13028): what the autoencoder cannot say is gone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isr.errors import InputError, UsageError
from sifm_ref.finite import NotFiniteError
from sifm_ref.loading import DTYPES
from sifm_ref.pictures import to_array, to_tensor
from sifm_ref.purifiers._place import place_of


def vae(image: Image.Image, *, seed: int, editor: Any, checkpoint: str = "") -> Image.Image:
    """The image encoded (the posterior's mode) and decoded, by the editor's own VAE or that in ``checkpoint``."""
    import torch

    model: Any = loaded(checkpoint, *place_of(editor)) if checkpoint else getattr(editor.pipe, "vae", None)
    if not hasattr(getattr(model, "config", None), "block_out_channels"):
        raise UsageError(
            f"purifier vae: {editor.name} has no VAE for images; name one: vae:checkpoint=FOLDER"
        )
    with torch.no_grad():
        x = to_tensor([image], model.device, torch.float32)
        latent = model.encode((2 * x - 1).to(model.dtype)).latent_dist.mode()
        made = to_array((model.decode(latent).sample.float() + 1) / 2)[0]
    if not np.isfinite(made).all():
        raise NotFiniteError("purifier vae")
    return Image.fromarray(np.clip(np.rint(made * 255), 0, 255).astype(np.uint8))


@lru_cache(2)
def loaded(checkpoint: str, device: str, dtype: str) -> Any:
    """A VAE of its own folder or hub id, or the ``vae`` in that of a pipeline; safetensors only."""
    import torch
    from diffusers import AutoencoderKL

    inside = (Path(checkpoint) / "vae").is_dir()
    try:
        said = AutoencoderKL.load_config(checkpoint, subfolder="vae" if inside else None)
        if said.get("_class_name") != AutoencoderKL.__name__:  # its weights might load, and do something else
            raise InputError(
                f"purifier vae: {checkpoint}: expected an {AutoencoderKL.__name__}; found {said.get('_class_name')!r}; take "
                "the VAE of a Stable Diffusion"
            )
        model = AutoencoderKL.from_pretrained(
            checkpoint, subfolder="vae" if inside else None, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"purifier vae: {checkpoint}: expected a VAE in safetensors; found {error}"
        ) from error
    return model.to(device, getattr(torch, DTYPES[dtype])).eval().requires_grad_(False)

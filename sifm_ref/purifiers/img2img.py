"""A stock model as denoiser (arXiv 2602.22197): image to image at strength .15, with any pipeline that has it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from PIL import Image

from isr.errors import UsageError
from sifm_ref.editor import Settings
from sifm_ref.finite import NotFiniteError, finite
from sifm_ref.loading import adapter, load, parse
from sifm_ref.purifiers._place import place_of


def img2img(
    image: Image.Image,
    *,
    seed: int,
    editor: Any,
    checkpoint: str = "sd_img2img",
    prompt: str = "",
    strength: float = 0.15,
    steps: int = 50,
    guidance: float = 7.5,
) -> Image.Image:
    """The image after a weak edit by the editor that ``checkpoint`` names, on the device and in the type of ``editor``."""
    model = loaded(checkpoint, strength, steps, guidance, *place_of(editor))
    try:
        with finite(model):
            made = model.edit(image, prompt, seed)
    except NotFiniteError as error:
        raise NotFiniteError(f"{error.stage} of purifier img2img") from error
    return made if made.size == image.size else made.resize(image.size, Image.Resampling.LANCZOS)


@lru_cache(2)
def loaded(checkpoint: str, strength: float, steps: int, guidance: float, device: str, dtype: str) -> Any:
    """The denoising editor. Raises ``UsageError`` if its pipeline has no strength."""
    name, _ = parse(checkpoint)
    if "strength" not in adapter(name).defaults or adapter(name).masked:
        raise UsageError(
            f"purifier img2img: expected an image-to-image editor (sd_img2img, sd3_img2img); found {name}"
        )
    chosen = {"strength": strength, "steps": steps, "guidance": guidance}
    return load(checkpoint, Settings(dtype=dtype, device=device, settings=chosen))

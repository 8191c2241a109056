"""DiffusionGuard: ``choi403/DiffusionGuard``. Its masks need OpenCV while they are recorded (4.10 was taken)."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sifm_ref.noise import Noise
from tests.sifm_ref.released.record import SEED, STEPS, functions, moved, numbers, repainted, source, tiny

SIZE = 48


def regions() -> dict[str, np.ndarray]:
    """Regions to keep (48, 48): a disk, a star, a ring, two parts, one at the border, a line."""
    y, x = np.mgrid[:SIZE, :SIZE]
    away, angle = np.hypot(x - 22, y - 25), np.arctan2(y - 25, x - 22)
    return {
        "disk": away < 14,
        "star": away < 15 + 5 * np.sin(5 * angle),
        "ring": (away < 18) & (away > 9),
        "parts": (away < 9) | ((x > 36) & (y < 12)),
        "border": (x > 30) & (y > 10),
        "line": (x == 5) & (y > 3),
    }


class Drawn:
    """``random`` and the part of numpy that release draws with, by one generator; all else is numpy's."""

    def __init__(self) -> None:
        self.draw = torch.Generator()
        self.random = self

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.draw, dtype=torch.float64))

    def randint(self, low: int, high: int, size: int) -> Any:
        return torch.randint(low, high, (size,), generator=self.draw).numpy()


class Moved:
    """A tensor that is sent to another type and to another device, and is as it was."""

    def __init__(self, value: Tensor) -> None:
        self.value, self.sent = value, False

    def _send(self) -> Any:
        if self.sent:
            return self.value
        self.sent = True
        return self

    half = cuda = _send


def record(clone: Path) -> dict[str, Any]:
    """Masks of ``get_mask``; loss and gradient of ``attack_pipeline``; steps of ``generate_perturbation`` with both."""
    import cv2
    from scipy.ndimage import gaussian_filter

    drawn = Drawn()
    given: dict[str, Any] = {
        "np": np, "math": math, "torch": torch, "Tensor": Tensor, "Image": Image, "ImageOps": ImageOps,
        "Optional": Optional, "List": list, "Tuple": tuple,
    }  # fmt: skip
    names = (
        "tensor_to_pil_image",
        "prepare_mask_and_masked_image",
        "invert_and_return_as_tensor",
        "get_mask_radius_list",
    )
    tools = functions(clone, "utils/utils.py", names, given)
    given = {**tools, "np": drawn, "random": drawn, "cv2": cv2, "gaussian_filter": gaussian_filter}
    get_mask = functions(
        clone, "utils/mask_generation.py", ("random_contour_perturbation", "get_mask"), given
    )["get_mask"]

    def picture(region: np.ndarray) -> Image.Image:
        return Image.fromarray(255 * region.astype(np.uint8)).convert("RGB")

    said: dict[str, Any] = {"masks": {}}
    for name, region in regions().items():
        white = picture(region)
        for seed in range(3):
            drawn.draw.manual_seed(seed)
            radii = tools["get_mask_radius_list"]([white])
            mask = get_mask([white], white, radii, "contour_shrink", SIZE, 1.1, 0.1, 15)
            bits = np.packbits(mask[0, 0].numpy().astype(bool))
            said["masks"][f"{name} {seed}"] = bits.tobytes().hex()

    box = tiny("sd_inpaint")
    words = box.text([""])["encoder_hidden_states"]
    noise = Noise([SEED])
    turn: dict[str, Tensor] = {}

    def drawing() -> None:
        """Ours, in our order: the seed of the mask, the sample, the latents."""
        drawn.draw.manual_seed(int(noise.integers(0, 2**31 - 1, torch.device("cpu"))))
        turn["sample"], turn["start"] = (noise.normal((4, 8, 8), source()) for _ in range(2))

    def encode(x: Tensor) -> Any:
        posterior = box.vae.encode(x).latent_dist
        return SimpleNamespace(
            latent_dist=SimpleNamespace(sample=lambda: posterior.mean + posterior.std * turn["sample"])
        )

    draws = SimpleNamespace(
        randn=lambda shape, device, dtype: turn["start"], nn=torch.nn, cat=torch.cat, autograd=torch.autograd,
        stack=torch.stack, minimum=torch.minimum, maximum=torch.maximum, clamp=torch.clamp, mean=torch.mean,
        set_grad_enabled=lambda on: None,
    )  # fmt: skip
    pipe = SimpleNamespace(
        tokenizer=Tokens(), text_encoder=lambda ids: (words,), device="cpu", scheduler=box.pipe.scheduler,
        vae=SimpleNamespace(config=box.vae.config, encode=encode), unet=box.predictor,
    )  # fmt: skip
    given = {"torch": draws, "Tensor": Tensor, "Any": Any, "StableDiffusionPipeline": None}
    pipeline = functions(clone, "attacks/attack_diffusionguard.py", ("attack_pipeline",), given)[
        "attack_pipeline"
    ]
    sides = {
        "height": 64,
        "width": 64,
    }  # its latents are an eighth of these, as those of this VAE are half of 16
    drawing()
    mask = repainted()
    masked = ((2 * moved() - 1) * (mask < 0.5)).requires_grad_()
    value = pipeline(pipe, None, masked, mask, num_inference_steps=4, batch_size=1, **sides)
    (gradient,) = torch.autograd.grad(value, masked)
    said |= {"loss": value.item(), "gradient": numbers(2 * gradient * (1 - mask))}

    def fresh(*args: Any, **more: Any) -> Moved:
        drawing()
        return Moved(get_mask(*args, **more).double())

    class Bar(list[int]):
        def set_description_str(self, text: str) -> None: ...

    given = {
        "torch": draws, "Any": Any, "List": list, "Image": Image, "Tensor": Tensor, "StableDiffusionPipeline": None,
        "DictConfig": None, "tqdm": Bar, "get_mask": fresh, "pil_image_to_tensor": lambda image: Moved(2 * source() - 1),
    }  # fmt: skip
    loop = functions(clone, "attacks/common.py", ("generate_perturbation",), given)["generate_perturbation"]
    masks = SimpleNamespace(
        generation_method="contour_shrink", contour_strength=1.1, contour_iters=15, contour_smoothness=0.1
    )
    training = SimpleNamespace(
        iters=STEPS,
        grad_reps=1,
        batch_size=1,
        eps=16 / 255,
        step_size=1 / 255,
        num_inference_steps=4,
        size=16,
        mask=masks,
    )
    white = picture((repainted()[0, 0] == 0).numpy())
    noise = Noise([SEED]).fork("draws")
    found = loop(
        pipeline,
        pipe,
        None,
        [white],
        white,
        tools["get_mask_radius_list"]([white]),
        SimpleNamespace(training=training),
        **sides,
    )
    return {**said, "change": numbers((found.detach() + 1) / 2 - source())}


class Tokens:
    """A tokenizer of no words."""

    model_max_length = 5

    def __call__(self, *args: Any, **more: Any) -> Any:
        return SimpleNamespace(input_ids=torch.zeros(1, 5, dtype=torch.long))

"""PhotoGuard's diffusion attack: ``MadryLab/photoguard``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Union

import torch
from PIL import Image
from torch import Tensor

from sifm_ref.noise import Noise
from tests.sifm_ref.released.record import SEED, functions, moved, numbers, repainted, source, tiny


def record(clone: Path) -> dict[str, Any]:
    """Loss and gradient of ``compute_grad`` of ``demo_complex_attack_inpainting.ipynb``: four steps, eta 1."""
    box, noise = tiny("sd_inpaint"), Noise([SEED])
    shape, like = (4, 8, 8), source()
    latent, start = noise.normal(shape, like), noise.normal(shape, like)
    draws = SimpleNamespace(
        randn=lambda shape, device, dtype: start, **{n: getattr(torch, n) for n in ("cat", "nn", "autograd", "set_grad_enabled")}
    )  # fmt: skip
    scheduler = box.pipe.scheduler

    def encode(x: Tensor) -> Any:
        posterior = box.vae.encode(x).latent_dist
        return SimpleNamespace(
            latent_dist=SimpleNamespace(sample=lambda: posterior.mean + posterior.std * latent)
        )

    def step(answer: Tensor, t: Tensor, z: Tensor, eta: float) -> Any:
        return scheduler.step(answer, t, z, eta=eta, variance_noise=noise.normal(shape, like))

    words = box.text([""])["encoder_hidden_states"]
    draws.FloatTensor = torch.FloatTensor
    given = {"torch": draws, "Union": Union, "List": list, "Image": Image}
    tree = ("attack_forward", "compute_grad")
    found = functions(clone, "notebooks/demo_complex_attack_inpainting.ipynb", tree, given)
    given["pipe_inpaint"] = SimpleNamespace(
        tokenizer=lambda *a, **k: SimpleNamespace(input_ids=torch.zeros(1, 5, dtype=torch.long)),
        device="cpu", text_encoder=lambda ids: (words,), unet=box.predictor,
        vae=SimpleNamespace(config=box.vae.config, encode=encode, decode=box.vae.decode),
        scheduler=SimpleNamespace(
            init_noise_sigma=1.0, set_timesteps=scheduler.set_timesteps, step=step, timesteps=None
        ),
    )  # fmt: skip
    pipe = given["pipe_inpaint"]
    pipe.tokenizer.model_max_length = 5

    def set_timesteps(steps: int) -> None:
        scheduler.set_timesteps(steps)
        pipe.scheduler.timesteps = scheduler.timesteps

    pipe.scheduler.set_timesteps = set_timesteps
    mask = repainted()
    masked = (2 * moved() - 1) * (1 - mask)
    gradient, loss, _ = found["compute_grad"](
        mask, masked, "", 0.0, height=64, width=64, num_inference_steps=4, guidance_scale=7.5, eta=1
    )  # its latents are an eighth of these sides, as those of this VAE are half of 16
    return {"loss": loss, "gradient": numbers(2 * gradient)}

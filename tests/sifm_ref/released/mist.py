"""Mist: ``mist-project/mist``, mode 2 (both terms)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sifm_ref.methods._target import pattern
from sifm_ref.noise import Noise
from tests.sifm_ref.released.advdm import ldm
from tests.sifm_ref.released.record import SEED, Drawing, functions, moved, numbers, source, tiny

PERIOD = 8


def record(clone: Path) -> dict[str, Any]:
    """Loss and gradient of ``target_model`` of ``mist_v3.py``, with one sample for both terms and the target's mode, where it
    draws three samples (and crops at random, which at this size is all of the picture)."""
    box = tiny("sd_img2img")
    draws = Drawing(box.vae)
    text = box.text(["a painting"])
    target = 2 * pattern(source(), PERIOD) - 1
    kept: list[Tensor] = []

    def encode(x: Tensor) -> Tensor:
        posterior = box.vae.encode(x).latent_dist
        if x is target:
            return posterior.mode()
        if not kept:
            kept.append(draws.noise.normal(posterior.mean.shape[1:], posterior.mean))
        return posterior.mean + posterior.std * kept[0]

    denoising = ldm(clone, box, draws)

    class Model(SimpleNamespace):
        encode_first_stage = staticmethod(encode)
        get_first_stage_encoding = staticmethod(box.scaled)
        get_learned_conditioning = staticmethod(lambda words: text)

        def __call__(self, z: Tensor, c: Any) -> Any:
            return denoising(z, c)

    draws.zeros = lambda shape: torch.zeros(shape, dtype=torch.float64)  # type: ignore[attr-defined]
    crop = SimpleNamespace(RandomCrop=lambda size: lambda x: x)
    given = {"torch": draws, "device": "cpu", "transforms": crop, "PIL": None}
    names = ("target_model.forward", "target_model.get_components", "target_model.pre_process")
    mist = functions(clone, "mist_v3.py", names, given)
    net = SimpleNamespace(
        model=Model(), condition=["a painting"], fn=torch.nn.MSELoss(reduction="sum"), mode=2, rate=1e4,
        target_info=target, target_size=source().shape[-1],
    )  # fmt: skip
    net.get_components, net.pre_process = (partial(mist[n], net) for n in ("get_components", "pre_process"))
    draws.noise = Noise([SEED])
    x = (2 * moved() - 1).requires_grad_()
    value = mist["forward"](net, x)
    (gradient,) = torch.autograd.grad(value, x)
    return {"loss": value.item(), "gradient": numbers(2 * gradient)}

"""AdvDM: ``mist-project/mist``, mode 0."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sifm_ref.noise import Noise
from tests.sifm_ref.released.record import SEED, STEPS, Drawing, functions, moved, numbers, source, tiny

EPS = 8 / 255


class Zeros:
    """A table of zeros, on whatever device."""

    def cuda(self) -> Zeros:
        return self

    def __getitem__(self, t: Tensor) -> Tensor:
        return torch.zeros(len(t))


def ldm(clone: Path, box: Any, draws: Drawing) -> Any:
    """``(z, c) -> (loss, rest)`` of the release's ``LatentDiffusion``, around the tiny editor's noise predictor."""
    model = SimpleNamespace(
        num_timesteps=1000, device="cpu", cond_stage_trainable=False, shorten_cond_schedule=False, training=False,
        model=SimpleNamespace(conditioning_key="crossattn"), parameterization="eps", loss_type="l2", learn_logvar=False,
        l_simple_weight=1.0, original_elbo_weight=0.0, lvlb_weights=torch.zeros(1000),
        logvar=Zeros(),
        q_sample=lambda x_start, t, noise: box.noised(x_start, noise, t),
        apply_model=lambda z, t, cond: box.predict(z, t, cond, None),
    )  # fmt: skip
    place = "ldm/models/diffusion/ddpmAttack.py"
    names = ("LatentDiffusion.forward", "LatentDiffusion.p_losses", "DDPM.get_loss")
    found = functions(clone, place, names, {"torch": draws, "default": lambda noise, draw: draw()})
    model.get_loss, model.p_losses = partial(found["get_loss"], model), partial(found["p_losses"], model)
    return partial(found["forward"], model)


def record(clone: Path) -> dict[str, Any]:
    """Loss, gradient and some steps of ``target_model`` of ``mist_v3.py`` in mode 0, with its LDM's ``p_losses``."""
    box = tiny("sd_img2img")
    draws = Drawing(box.vae)
    other = Noise([SEED]).fork(
        "not of the loss"
    )  # it encodes picture and target once more, for terms that it leaves out
    text = box.text(["a painting"])
    main = other

    denoising = ldm(clone, box, draws)

    class Model(SimpleNamespace):
        encode_first_stage = staticmethod(lambda x: draws.encode(x).latent_dist)
        get_first_stage_encoding = staticmethod(lambda posterior: box.scaled(posterior.sample()))
        get_learned_conditioning = staticmethod(lambda words: text)

        def __call__(self, z: Tensor, c: Any) -> Any:
            found = denoising(z, c)
            draws.noise = other
            return found

    def cropped(size: int) -> Any:
        """What it is shown next is what the loss is made of; at this size the crop is all of it."""
        draws.noise = main
        return lambda x: x

    draws.zeros = lambda shape: torch.zeros(shape, dtype=torch.float64)  # type: ignore[attr-defined]
    given = {"torch": draws, "device": "cpu", "transforms": SimpleNamespace(RandomCrop=cropped), "PIL": None}
    names = ("target_model.forward", "target_model.get_components", "target_model.pre_process")
    mist = functions(clone, "mist_v3.py", names, given)
    net = SimpleNamespace(
        model=Model(), condition=["a painting"], fn=torch.nn.MSELoss(reduction="sum"), mode=0, rate=1e4,
        target_info=2 * source().flip(-1) - 1, target_size=source().shape[-1],
    )  # fmt: skip
    net.get_components, net.pre_process = (partial(mist[n], net) for n in ("get_components", "pre_process"))

    main = Noise([SEED])
    x = (2 * moved() - 1).requires_grad_()
    value = mist["forward"](net, x)
    (gradient,) = torch.autograd.grad(value, x)
    said = {"loss": value.item(), "gradient": numbers(2 * gradient)}

    helpers = {
        "np": __import__("numpy"), "torch": torch, "clamp": torch.clamp, "batch_multiply": lambda a, b: a * b,
        "batch_clamp": lambda eps, x: x.clamp(-eps, eps),
    }  # fmt: skip
    loop = functions(clone, "Masked_PGD.py", ("perturb_iterative",), helpers)["perturb_iterative"]
    main = Noise([SEED]).fork("draws")
    start = EPS * Noise([SEED]).fork("start").uniform(source().shape[1:], source())
    found = loop(
        2 * source() - 1, None, partial(mist["forward"], net), nb_iter=STEPS, eps=2 * EPS, eps_iter=2 / 255,
        loss_fn=lambda out, label: out, delta_init=2 * start, minimize=True, clip_min=-1.0, clip_max=1.0,
    )  # fmt: skip
    return {**said, "change": numbers((found.detach() + 1) / 2 - source())}

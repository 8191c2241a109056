"""EditShield: ``Allen-piexl/Editshield``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sifm_ref.noise import Noise
from tests.sifm_ref.released.record import SEED, STEPS, Drawing, functions, moved, numbers, shapes, source


def record(clone: Path) -> dict[str, Any]:
    """Loss, gradient and some steps of ``EOT_Center.py`` and ``EOT_Gaussion.py``."""
    import numpy as np
    import scipy.signal
    from diffusers import DDPMScheduler

    box, functional = shapes(), torch.nn.functional
    draws = Drawing(box.vae)
    signal = SimpleNamespace(gaussian=scipy.signal.windows.gaussian)  # where it was when the code was written
    given = {
        "torch": draws, "F": functional, "np": np, "signal": signal, "device": "cpu", "weight_dtype": torch.float64,
        "vae": draws, "noise_scheduler": DDPMScheduler.from_config(box.pipe.scheduler.config),
    }  # fmt: skip
    functions(clone, "Functions.py", ("get_emb",), given)
    given["torch"] = torch  # annotations of the others name its classes
    blur = functions(clone, "EOT_Gaussion.py", ("gaussian_kernel", "apply_gaussian_smoothing"), dict(given))
    center = functions(clone, "EOT_Center.py", ("perceptual_consistency_loss",), dict(given))
    given["torch"] = draws
    smoothing = blur["apply_gaussian_smoothing"]
    blur["gaussian_kernel"] = lambda *a, kernel=blur["gaussian_kernel"]: kernel(*a).double()

    def start() -> Tensor:
        draws.noise = Noise([SEED]).fork("editshield")
        with torch.no_grad():
            return given["get_emb"](source())

    def loss(x: Tensor, goal: Tensor, smooth: bool) -> Tensor:
        away = -functional.mse_loss(given["get_emb"](x).float(), goal.float())
        total = away + center["perceptual_consistency_loss"](x, source(), beta=0.1)
        if smooth:
            total = total + 0.1 * functional.mse_loss(
                smoothing(x, 5, 1.5), smoothing(source(), 5, 1.5).clamp(0, 1)
            )
        return total

    said: dict[str, Any] = {}
    for name, smooth in (("released", False), ("released_gaussian", True)):
        goal = start()
        draws.noise = Noise([SEED])
        x = moved().requires_grad_()
        value = loss(x, goal, smooth)
        (gradient,) = torch.autograd.grad(value, x)
        said[name] = {"loss": value.item(), "gradient": numbers(gradient)}
    goal = start()
    draws.noise = Noise([SEED]).fork("draws")
    x = source().requires_grad_()
    adam = torch.optim.Adam([x])
    for _ in range(STEPS):
        adam.zero_grad()
        loss(x, goal, False).backward()
        adam.step()
    said["loop"] = {"steps": STEPS, "change": numbers(x.detach() - source())}
    return said

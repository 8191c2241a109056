"""BlurGuard: ``jsu-kim/BlurGuard``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sifm_ref.noise import Noise
from tests.sifm_ref.released.record import SEED, functions, numbers, shapes
from tests.sifm_ref.scenes import picture

SIDE = 40  # its window of 33 pixels needs more than 16
FITTED = 50  # steps that fit the blurs, which is a number in its code
STEPS = 4
EPS = 16 / 255


def large() -> Tensor:
    """A smooth picture (1, 3, SIDE, SIDE) in [0, 1]."""
    return torch.from_numpy(picture(SIDE, SIDE)).permute(2, 0, 1)[None].double() / 255


def halves() -> Tensor:
    """Two regions (1, 2, SIDE, SIDE)."""
    left = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    left[..., : SIDE // 2] = 1
    return torch.cat([left, 1 - left], 1)


class _Drawing:
    """``torch`` whose normal numbers are those of a ``Noise``, on the device that the machine has."""

    float = torch.float64  # in which its window is made

    def __init__(self, noise: Noise) -> None:
        self._noise = noise

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def randn_like(self, x: Tensor) -> Tensor:
        drawn: Any = self._noise.normal(x.shape[1:], x)
        drawn.cuda = lambda: drawn
        return drawn


def record(clone: Path) -> dict[str, Any]:
    """Change, losses and standard deviations of ``LF_PGD.pgd_freq`` after some steps behind those that fit the blurs."""
    box = shapes()
    draws = [Noise([SEED]).fork("sigmas"), Noise([SEED]).fork("draws")]
    calls: list[int] = []

    def sample(x: Tensor) -> Tensor:
        calls.append(0)
        posterior = box.vae.encode(x).latent_dist
        if len(calls) <= FITTED:  # drawn, and used for nothing
            return posterior.mean
        return posterior.mean + posterior.std * draws[1].normal(posterior.mean.shape[1:], posterior.mean)

    given = {"torch": _Drawing(draws[0]), "Adam": torch.optim.Adam, "tqdm": _bar}
    names = ("fft_fps", "compute_histogram_fft", "filter_delta", "gaussian_blur", "pgd_freq")
    attack = functions(clone, "BlurGuard/code/attacks.py", names, given)["pgd_freq"]
    model = SimpleNamespace(encode_first_stage=sample, get_first_stage_encoding=box.scaled)
    this = SimpleNamespace(
        eps=2 * EPS, iters=FITTED + STEPS, step_size=1, net=SimpleNamespace(model=model), learning_rate=0.06,
        eps_sigma=0, sigma_weighting=10, masks_dict={f"mask{i + 1}": halves()[:, i : i + 1] for i in range(2)},
    )  # fmt: skip
    kind = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        found, losses, _, _, sigmas = attack(this, 2 * large() - 1, None)
    finally:
        torch.set_default_dtype(kind)
    return {
        "change": numbers((found + 1) / 2 - large()),
        "losses": losses[FITTED:],
        "sigmas": [s[-1] for s in sigmas],  # rounded to four digits by the release
    }


def _bar(steps: range) -> Any:
    class Bar:
        def __iter__(self) -> Any:
            return iter(steps)

        def set_description(self, text: str) -> None:
            pass

    return Bar()

"""PhotoGuard's encoder attack: ``MadryLab/photoguard``, the image-to-image notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sifm_ref.noise import Noise
from tests.sifm_ref.released.record import SEED, functions, numbers, source, tiny

STEPS = 12
EPS = 0.03


class _Drawing:
    """``torch`` whose uniform numbers are those of a ``Noise``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def rand(self, *shape: int) -> Any:
        drawn = (Noise([SEED]).fork("start").uniform(shape[1:], source()) + 1) / 2
        return _Placed(drawn)


class _Placed:
    """A tensor that is where it has to be, once ``cuda`` was asked of what it became."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __mul__(self, other: float) -> _Placed:
        return _Placed(self._value * other)

    def __sub__(self, other: float) -> _Placed:
        return _Placed(self._value - other)

    def cuda(self) -> Any:
        return self._value


def record(clone: Path) -> dict[str, Any]:
    """Change after twelve steps of ``pgd``, with its step, schedule and start."""
    box = tiny("sd_img2img")

    class Bar:
        def __init__(self, steps: range) -> None:
            self._steps = steps

        def __iter__(self) -> Any:
            return iter(self._steps)

        def set_description(self, text: str) -> None:
            pass

    given = {"torch": _Drawing(), "tqdm": Bar}
    pgd = functions(clone, "notebooks/demo_simple_attack_img2img.ipynb", ("pgd",), given)["pgd"]
    found = pgd(
        2 * source() - 1, box.vae.encode, eps=2 * EPS, step_size=0.02, iters=STEPS, clamp_min=-1, clamp_max=1
    )
    return {"change": numbers((found + 1) / 2 - source())}

"""Writes the numbers that released code gives on the tiny editor of ``examples/shapes``: what ours is tested against.

    python -m tests.sifm_ref.released.record editshield CLONE

``CLONE`` is a git clone of the method's repository (a bare one will do). Its functions are read out of it and run as
they are, with our draws in place of theirs; nothing of it is kept but the numbers and the hash of its commit.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sifm_ref.editor import Settings, WhiteBox
from sifm_ref.loading import load
from sifm_ref.noise import Noise
from tests.sifm_ref.scenes import picture

HERE = Path(__file__).parent
SHAPES = HERE.parents[2] / "examples" / "shapes" / "editor" / "model"
SEED = 11
STEPS = 4


def shapes() -> WhiteBox:
    """The tiny InstructPix2Pix that is in the repository, in float64."""
    box = load(str(SHAPES), Settings(dtype="fp64", device="cpu"))
    assert isinstance(box, WhiteBox)
    return box


def source() -> Tensor:
    """A smooth picture (1, 3, 16, 16) in [0, 1]."""
    return torch.from_numpy(picture()).permute(2, 0, 1)[None].double() / 255


def moved() -> Tensor:
    """An image near the source, inside the open cube."""
    draw = torch.randn(source().shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (source() + 0.02 * draw).clamp(0.01, 0.99)


def numbers(x: Tensor) -> list[float]:
    return [float(f"{v:.9g}") for v in x.flatten().tolist()]


def functions(clone: Path, file: str, names: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """The named functions of a file of the clone, run in a namespace of what they use."""
    text = subprocess.run(
        ["git", "-C", clone, "show", f"HEAD:{file}"], check=True, capture_output=True, text=True
    ).stdout
    tree = ast.parse(text)
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
    assert {n.name for n in tree.body if isinstance(n, ast.FunctionDef)} == set(names), file
    exec(compile(tree, file, "exec"), given)
    return given


class Drawing:
    """``torch`` and a VAE as released code sees them, whose random numbers are those of a ``Noise``."""

    def __init__(self, vae: Any) -> None:
        self.noise = Noise([SEED])
        self.config, self._vae = vae.config, vae

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def randn_like(self, x: Tensor) -> Tensor:
        return self.noise.normal(x.shape[1:], x)

    def randint(self, low: int, high: int, shape: Any, device: Any) -> Tensor:
        return self.noise.integers(low, high, device)

    def encode(self, x: Tensor) -> Any:
        posterior = self._vae.encode(x).latent_dist

        def sample() -> Tensor:
            return posterior.mean + posterior.std * self.noise.normal(
                posterior.mean.shape[1:], posterior.mean
            )

        return SimpleNamespace(latent_dist=SimpleNamespace(sample=sample))


def editshield(clone: Path) -> dict[str, Any]:
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


RECORDED: Mapping[str, Callable[[Path], dict[str, Any]]] = {"editshield": editshield}


def main(name: str, place: str) -> None:
    """Writes ``NAME.json`` beside this file."""
    clone = Path(place)
    head = subprocess.run(
        ["git", "-C", clone, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    )
    said = {"commit": head.stdout.strip(), **RECORDED[name](clone)}
    (HERE / f"{name}.json").write_text(json.dumps(said, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

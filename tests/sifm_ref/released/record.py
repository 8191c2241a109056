"""Writes the numbers that released code gives on tiny editors: what ours is tested against.

    python -m tests.sifm_ref.released.record editshield CLONE

``CLONE`` is a git clone of the method's repository (a bare one will do). Its functions are read out of it and run as
they are, with our draws in place of theirs; nothing of it is kept but the numbers and the hash of its commit. Each method has
a file of its name here: ``record(clone)``. This one has what they share.
"""

from __future__ import annotations

import ast
import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sifm_ref.editor import Settings, WhiteBox
from sifm_ref.loading import load
from sifm_ref.noise import Noise, seed_of
from tests.processes import run
from tests.sifm_ref.checkpoints import build
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


def tiny(name: str) -> WhiteBox:
    """A tiny U-Net editor in float64 whose weights are drawn by the names of its parameters, and so is what it makes of
    any text: the same with every library, and whatever its tokenizer learnt."""
    with tempfile.TemporaryDirectory() as folder:
        box = load(f"{name}={build(name, Path(folder) / name)}", Settings(dtype="fp64", device="cpu"))
    assert isinstance(box, WhiteBox)
    for part, module in sorted(box.pipe.components.items()):
        for place, weight in module.named_parameters() if isinstance(module, torch.nn.Module) else ():
            draw = torch.Generator().manual_seed(seed_of(part, place))
            drawn = torch.randn(weight.shape, generator=draw, dtype=torch.float64)
            weight.copy_(drawn / max(1, weight[0].numel()) ** 0.5 if weight.dim() > 1 else 1 + 0.1 * drawn)
    words = torch.randn(5, 32, generator=torch.Generator().manual_seed(seed_of("text")), dtype=torch.float64)
    box.text = lambda prompts: {"encoder_hidden_states": words.expand(len(prompts), -1, -1)}  # type: ignore[method-assign]
    return box


def source() -> Tensor:
    """A smooth picture (1, 3, 16, 16) in [0, 1]."""
    return torch.from_numpy(picture()).permute(2, 0, 1)[None].double() / 255


def moved() -> Tensor:
    """An image near the source, inside the open cube."""
    draw = torch.randn(source().shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (source() + 0.02 * draw).clamp(0.01, 0.99)


def repainted() -> Tensor:
    """A mask (1, 1, 16, 16) whose left half is to be repainted."""
    mask = torch.zeros_like(source()[:, :1])
    mask[..., :8] = 1
    return mask


def numbers(x: Tensor) -> list[float]:
    return [float(f"{v:.9g}") for v in x.flatten().tolist()]


def functions(clone: Path, file: str, names: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """The named functions (``Class.method`` too) of a file of the clone, run in a namespace of what they use."""
    text = run(["git", "-C", clone, "show", f"HEAD:{file}"], check=True).stdout
    if file.endswith(".ipynb"):
        cells = ["".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        text = "\n".join(c for c in cells if any(f"def {name}(" in c for name in names))
    tree = ast.parse(text)
    found: dict[str, ast.stmt] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, node)
        for part in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(part, ast.FunctionDef):
                found.setdefault(f"{node.name}.{part.name}", part)
    tree.body = [found[name] for name in names]
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


class Part:
    """A model as released code sees it: called, and moved about, which changes nothing."""

    def __init__(self, call: Any, **fields: Any) -> None:
        self._call = call
        self.__dict__.update(fields)

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self._call(*args, **more)

    def _same(self, *args: Any, **more: Any) -> Any:
        return self

    to = requires_grad_ = zero_grad = _same


def main(name: str, place: str) -> None:
    """Writes ``NAME.json`` beside this file, of what ``NAME.py`` records."""
    clone = Path(place)
    head = run(["git", "-C", clone, "rev-parse", "HEAD"], check=True)
    recorder = import_module(f"tests.sifm_ref.released.{name}")
    said = {"commit": head.stdout.strip(), **recorder.record(clone)}
    (HERE / f"{name}.json").write_text(json.dumps(said, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

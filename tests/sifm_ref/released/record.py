"""Writes the numbers that released code gives on tiny editors: what ours is tested against.

    python -m tests.sifm_ref.released.record editshield CLONE

``CLONE`` is a git clone of the method's repository (a bare one will do). Its functions are read out of it and run as
they are, with our draws in place of theirs; nothing of it is kept but the numbers and the hash of its commit.
"""

from __future__ import annotations

import ast
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Union

import torch
from PIL import Image
from torch import Tensor

from sifm_ref.editor import Settings, WhiteBox
from sifm_ref.loading import load
from sifm_ref.noise import Noise, seed_of
from tests.processes import run
from tests.sifm_ref.checkpoints import build
from tests.sifm_ref.released.blurguard import blurguard
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
    """The named functions of a file of the clone, run in a namespace of what they use."""
    text = run(["git", "-C", clone, "show", f"HEAD:{file}"], check=True).stdout
    if file.endswith(".ipynb"):
        cells = ["".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        text = "\n".join(c for c in cells if any(f"def {name}(" in c for name in names))
    tree = ast.parse(text)
    found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in names]
    tree.body = list(
        {n.name: n for n in reversed(found)}.values()
    )  # the first of a name; methods as functions
    assert len(tree.body) == len(names), file
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


def sds(clone: Path) -> dict[str, Any]:
    """One step of ``Linf_PGD.pgd_sds`` of ``code/attacks.py``, and the gradient that it takes."""
    box = tiny("sd_img2img")
    draws = Drawing(box.vae)
    text = box.text(["a photo"])
    kept: list[Tensor] = []

    def encoded(x: Tensor) -> Any:
        x.register_hook(kept.append)
        return draws.encode(x).latent_dist

    model = SimpleNamespace(
        num_timesteps=1000,
        encode_first_stage=encoded,
        get_first_stage_encoding=lambda posterior: box.scaled(posterior.sample()),
        q_sample=lambda x_start, t, noise: box.noised(x_start, noise, t),
        get_learned_conditioning=lambda words: text,
        apply_model=lambda z, t, cond: box.predict(z, t, cond, None),
    )
    given = {"torch": draws, "SDEdit": lambda net: None}
    attack = functions(clone, "code/attacks.py", ("pgd_sds",), given)["pgd_sds"]
    this = SimpleNamespace(
        eps=0.06,
        iters=1,
        g_mode="-",
        g_dir=-1.0,
        step_size=2 / 255,
        clip_min=-1,
        clip_max=1,
        mp=lambda place: None,
    )
    found, _ = attack(
        this, 2 * moved() - 1, SimpleNamespace(model=model), ["a photo"], diff_pgd=(False, 0.2, "ddim100")
    )
    step = (found + 1) / 2 - moved()
    return {"gradient": numbers(2 * kept[0]), "sign": [round(v) for v in (step * 255).flatten().tolist()]}


def photoguard_diffusion(clone: Path) -> dict[str, Any]:
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


RECORDED: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "editshield": editshield,
    "sds": sds,
    "photoguard_diffusion": photoguard_diffusion,
    "blurguard": lambda clone: blurguard(
        clone, box=shapes(), functions=functions, numbers=numbers, seed=SEED
    ),
}


def main(name: str, place: str) -> None:
    """Writes ``NAME.json`` beside this file."""
    clone = Path(place)
    head = run(["git", "-C", clone, "rev-parse", "HEAD"], check=True)
    said = {"commit": head.stdout.strip(), **RECORDED[name](clone)}
    (HERE / f"{name}.json").write_text(json.dumps(said, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

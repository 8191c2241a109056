"""One iteration of SIFM: ours, a straightforward one, and the bare passes that it cannot do without.

    python benchmarks/sifm_speed.py                 # the tiny editor and a U-Net of Stable Diffusion 1.5's shape
    python benchmarks/sifm_speed.py --editor tiny --repeats 20

Straightforward: for every timestep a VAE encode, the whole U-Net with its hook, a backward pass to the pixels;
gradients added. Ours: one VAE encode, the U-Net up to the hooked layer, backward passes to the latents, one through
the VAE. Weights are random: time and memory do not depend on them. Seconds are of processor time on one thread, the
rows taking turns, so that other work on the machine counts as little as can be; memory is what the process grows by.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMESTEPS = (200, 400, 600, 800)
SIDES = {"tiny": 32, "sd15": 256}  # the tiny U-Net is made for latents of 16 x 16
ROWS = {
    "straightforward": "per timestep: encode, whole U-Net, backward",
    "ours": "timesteps one by one",
    "ours, batched": "all timesteps in one pass",
    "ours, checkpointed": "one by one, activations computed again",
    "bare": "forward and backward of the parts that ours must run, one by one",
    "bare, batched": "the same, batched",
}


def unet_shape(small: bool) -> dict[str, Any]:
    """An InstructPix2Pix U-Net: the tests' (``small``), or that of Stable Diffusion 1.5."""
    return {
        "in_channels": 8,
        "out_channels": 4,
        "cross_attention_dim": 32 if small else 768,
        "block_out_channels": (16, 32) if small else (320, 640, 1280, 1280),
        "norm_num_groups": 8 if small else 32,
        "attention_head_dim": 4 if small else 8,
        "layers_per_block": 1 if small else 2,
        "down_block_types": ("CrossAttnDownBlock2D",) * 2
        if small
        else (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D",) * 2
        if small
        else ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
    }


def vae_shape(small: bool) -> dict[str, Any]:
    """The VAE that goes with it."""
    channels = (16, 32) if small else (128, 256, 512, 512)
    return {
        "block_out_channels": channels,
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "layers_per_block": 1 if small else 2,
        "latent_channels": 4,
        "norm_num_groups": 8 if small else 32,
    }


def schedule() -> Any:
    """Stable Diffusion's noise schedule."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )


def editor(kind: str) -> tuple[Any, int]:
    """An InstructPix2Pix editor with random weights (tiny: that of the tests), and the side of its pictures."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel

    from sifm_ref.editors.instruct_pix2pix import Adapter

    torch.manual_seed(0)
    small = kind == "tiny"
    with torch.device("meta"):  # the usual initialisation of a billion weights takes longer than an iteration
        unet = UNet2DConditionModel(sample_size=32, **unet_shape(small))
        vae = AutoencoderKL(**vae_shape(small))
    vae.decoder = None  # an iteration never decodes
    for part in (unet, vae):
        part.to_empty(device="cpu").requires_grad_(False).eval()
        for name, weights in part.named_parameters():
            if weights.dim() > 1:
                bound = (3 / weights[0].numel()) ** 0.5
                weights.uniform_(-bound, bound)
            else:
                weights.fill_(float(name.endswith("weight")))
    pipe = StableDiffusionInstructPix2PixPipeline.__new__(StableDiffusionInstructPix2PixPipeline)
    halvings = len(vae_shape(small)["block_out_channels"]) - 1
    pipe.__dict__.update(unet=unet, vae=vae, scheduler=schedule(), vae_scale_factor=2**halvings)

    class Blank(Adapter):
        """Text embeddings are given: no text encoder takes part in an iteration."""

        device = torch.device("cpu")

        def text(self, prompts: Any) -> Any:
            width = self.predictor.config.cross_attention_dim
            drawn = torch.randn(1, 77, width, generator=torch.Generator().manual_seed(1))
            return {"encoder_hidden_states": drawn.expand(len(prompts), -1, -1)}

    return Blank(pipe, name=kind), SIDES[kind]


def straightforward(box: Any, goal: Any, x: Any) -> Any:
    """The gradient as one would first write it: autograd from the pixels, anew for every timestep."""
    import torch

    total = torch.zeros_like(x)
    for t in TIMESTEPS:
        image = x.detach().requires_grad_()
        raw = box.vae.encode(2 * image - 1).latent_dist.mode()
        held: list[Any] = []
        handle = box.predictor.mid_block.register_forward_hook(lambda *a, held=held: held.append(a[2]))
        at = torch.tensor([t])
        noisy = box.noised(raw * box.vae.config.scaling_factor, goal._draws[t], at)
        box.predictor(torch.cat([noisy, raw], 1), at, goal.text["encoder_hidden_states"])
        handle.remove()
        features, clean = held[0].float().flatten(1), goal._at([t]).clean[0]
        loss = features.abs().mean() - 0.1 * (features - clean).square().mean()
        total += torch.autograd.grad(loss, image)[0]
    return total / len(TIMESTEPS)


def bare(box: Any, goal: Any, x: Any, size: int) -> Any:
    """No method at all: the passes without losses, bookkeeping or accumulation; gradients of ones."""
    import torch

    from sifm_ref.features import outputs

    image = x.detach().requires_grad_()
    raw = box.vae.encode(2 * image - 1).latent_dist.mode()
    leaf = raw.detach().requires_grad_()
    gradient = None
    for begin in range(0, len(TIMESTEPS), size):
        some = TIMESTEPS[begin : begin + size]
        many = leaf.repeat(len(some), 1, 1, 1)
        text = goal.text["encoder_hidden_states"].repeat(len(some), 1, 1)
        seen, t = torch.cat([many, many], 1), torch.tensor(some)
        (middle,) = outputs(
            box.predictor, ["mid_block"], box.feature, lambda s=seen, t=t, e=text: box.predictor(s, t, e)
        )
        (gradient,) = torch.autograd.grad(middle, leaf, torch.ones_like(middle))
    return torch.autograd.grad(raw, image, gradient)[0]


def peak_mib(work: Callable[[], Any]) -> tuple[Any, float]:
    """What ``work`` returns, and by how many MiB the process grew at most while it ran (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = _status("VmRSS")
    return work(), (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def report(kind: str, repeats: int, rows: list[str]) -> None:
    """Runs the rows in turn, as often as asked, and prints their table; 0 repeats: once, memory and time together."""
    import torch

    from sifm_ref.editor import Memory
    from sifm_ref.methods.sifm import Config, Objective
    from sifm_ref.noise import Noise
    from sifm_ref.scene import Scene

    torch.set_num_threads(1)
    box, side = editor(kind)
    draw = torch.Generator().manual_seed(2)
    source = (torch.rand(1, 3, side, side, generator=draw) * 255).round() / 255
    goal = Objective(box, Scene(source, ("",)), Config(timesteps=TIMESTEPS, canvas="protected"), Noise([3]))
    x = (source + 0.01 * torch.randn(source.shape, generator=draw)).clamp(0, 1)
    work: dict[str, Callable[[], Any]] = {
        "straightforward": lambda: straightforward(box, goal, x),
        "bare": lambda: bare(box, goal, x, 1),
        "bare, batched": lambda: bare(box, goal, x, len(TIMESTEPS)),
    }
    memory: dict[str, float] = {}
    seconds: dict[str, list[float]] = {row: [] for row in rows}
    gradients: dict[str, Any] = {}
    for number in range(1 + repeats):  # the first time for memory only: what resets its mark costs time
        for row in rows:
            box.memory = Memory(len(TIMESTEPS) if "batched" in row else 1, "checkpointed" in row)
            run = work.get(row, lambda: goal.gradient(x, Noise([3]))[1])
            began = time.process_time()
            if number == 0:
                gradients[row], memory[row] = peak_mib(run)
            else:
                run()
            if number or not repeats:
                seconds[row].append(time.process_time() - began)
                print(f"  {row}: {seconds[row][-1]:.4f} CPU s", file=sys.stderr, flush=True)
    best = {row: min(found) for row, found in seconds.items()}
    first = gradients["straightforward"]
    print(
        f"{kind}: {side} x {side} px, {len(TIMESTEPS)} timesteps, best of {max(1, repeats)}, torch {torch.__version__}"
    )
    print(f"  {'':20}{'CPU s / iter.':>14}{'times faster':>14}{'peak MiB':>10}{'gradient':>12}")
    for row in rows:
        error = float((gradients[row] - first).norm() / first.norm())
        shown = "" if row.startswith("bare") else f"{error:.1e}"
        faster = best["straightforward"] / best[row]
        print(f"  {row:20}{best[row]:14.4f}{faster:14.2f}{memory[row]:10.0f}{shown:>12}")
    for ours, least in (("ours", "bare"), ("ours, batched", "bare, batched")):
        if not {ours, least} <= set(rows):
            continue
        print(f"  {ours} takes {best[ours] / best[least]:.2f} times as long as {least}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--editor", choices=list(SIDES), help="default: both")
    parser.add_argument("--repeats", type=int, help="default: 20 (tiny) and 2")
    parser.add_argument(
        "--rows", nargs="*", choices=list(ROWS), help="default: all; the first is always needed"
    )
    given = parser.parse_args()
    for kind in [given.editor] if given.editor else list(SIDES):
        repeats = {"tiny": 20, "sd15": 2}[kind] if given.repeats is None else given.repeats
        report(kind, repeats, [row for row in ROWS if not given.rows or row in given.rows])


if __name__ == "__main__":
    main()

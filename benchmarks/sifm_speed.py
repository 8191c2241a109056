"""One iteration of SIFM: ours, a straightforward one, and the bare passes that it cannot do without.

    python benchmarks/sifm_speed.py                 # the tiny editor and a U-Net of Stable Diffusion 1.5's shape
    python benchmarks/sifm_speed.py --editor tiny --repeats 20

Straightforward: for every timestep a VAE encode, the whole U-Net with its hook, a backward pass to the pixels;
gradients added. Ours: one VAE encode, the U-Net up to the hooked layer, backward passes to the latents, one through
the VAE. Weights are random: time and memory do not depend on them. Each row runs in a process of its own, so that
memory is its own peak; gradients are compared through files.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TIMESTEPS = (200, 400, 600, 800)
ROWS = {
    "straightforward": "per timestep: encode, whole U-Net, backward",
    "ours": "timesteps one by one",
    "ours, batched": "all timesteps in one pass",
    "ours, checkpointed": "one by one, activations computed again",
    "bare": "forward and backward of the parts that ours must run, one by one",
    "bare, batched": "the same, batched",
}


def editor(kind: str) -> tuple[Any, int]:
    """An InstructPix2Pix editor with random weights (tiny: that of the tests), and the side of its pictures."""
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionInstructPix2PixPipeline,
        UNet2DConditionModel,
    )

    from sifm_ref.editors.instruct_pix2pix import Adapter

    torch.manual_seed(0)
    small = kind == "tiny"
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=8,
        out_channels=4,
        cross_attention_dim=32 if small else 768,
        block_out_channels=(16, 32) if small else (320, 640, 1280, 1280),
        norm_num_groups=8 if small else 32,
        attention_head_dim=4 if small else 8,
        layers_per_block=1 if small else 2,
        down_block_types=("CrossAttnDownBlock2D",) * 2
        if small
        else (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D",) * 2 if small else ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
    )
    channels = (16, 32) if small else (128, 256, 512, 512)
    vae = AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1 if small else 2,
        latent_channels=4,
        norm_num_groups=8 if small else 32,
    )
    vae.decoder = None  # an iteration never decodes
    for part in (unet, vae):
        part.requires_grad_(False).eval()
    pipe = StableDiffusionInstructPix2PixPipeline.__new__(StableDiffusionInstructPix2PixPipeline)
    pipe.__dict__.update(unet=unet, vae=vae, scheduler=scheduler, vae_scale_factor=2 ** (len(channels) - 1))

    class Blank(Adapter):
        """Text embeddings are given: no text encoder takes part in an iteration."""

        device = torch.device("cpu")

        def text(self, prompts: Any) -> Any:
            width = self.predictor.config.cross_attention_dim
            drawn = torch.randn(1, 77, width, generator=torch.Generator().manual_seed(1))
            return {"encoder_hidden_states": drawn.expand(len(prompts), -1, -1)}

    return Blank(pipe, name=kind), 64 if small else 256


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
        features, clean = held[0].float().flatten(1), goal._clean[t][0]
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


def measure(kind: str, row: str, repeats: int, out: Path) -> None:
    """Runs one row and writes its seconds, its memory and its gradient."""
    import torch

    from sifm_ref.editor import Memory
    from sifm_ref.methods.sifm import Config, Objective
    from sifm_ref.noise import Noise
    from sifm_ref.scene import Scene

    torch.set_num_threads(1 if kind == "tiny" else torch.get_num_threads())
    box, side = editor(kind)
    box.memory = Memory(4 if "batched" in row else 1, "checkpointed" in row)
    draw = torch.Generator().manual_seed(2)
    source = (torch.rand(1, 3, side, side, generator=draw) * 255).round() / 255
    goal = Objective(box, Scene(source, ("",)), Config(timesteps=TIMESTEPS), Noise([3]))
    x = (source + 0.01 * torch.randn(source.shape, generator=draw)).clamp(0, 1)
    work = {
        "straightforward": lambda: straightforward(box, goal, x),
        "bare": lambda: bare(box, goal, x, box.memory.timestep_batch),
    }.get(row.partition(",")[0], lambda: goal.gradient(x, Noise([3]))[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        gradient = work()
        times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch.save(gradient, out.with_suffix(".pt"))
    out.write_text(json.dumps({"seconds": times, "mib": (peak - before) / 1024, "all": peak / 1024}))


def report(kind: str, repeats: int, rows: list[str]) -> None:
    """Runs the rows one after the other, each in a process, and prints their table."""
    import torch

    side = 64 if kind == "tiny" else 256
    print(
        f"\n{kind}: {side} x {side} px, {len(TIMESTEPS)} timesteps, median of {repeats}, torch {torch.__version__}"
    )
    print(f"  {'':20}{'s / iteration':>14}{'times faster':>14}{'peak MiB':>10}{'gradient':>12}")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, row in enumerate(rows):
            out = Path(folder) / f"{number}.json"
            command = [sys.executable, __file__, "--editor", kind, "--row", row, "--repeats", str(repeats)]
            subprocess.run([*command, "--out", str(out)], check=True)
            found[row] = {**json.loads(out.read_text()), "gradient": torch.load(out.with_suffix(".pt"))}
            first = found[rows[0]]
            seconds = statistics.median(found[row]["seconds"])
            faster = statistics.median(first["seconds"]) / seconds
            error = (found[row]["gradient"] - first["gradient"]).norm() / first["gradient"].norm()
            shown = "" if row.startswith("bare") else f"{float(error):.1e}"
            print(f"  {row:20}{seconds:14.4f}{faster:14.2f}{found[row]['mib']:10.0f}{shown:>12}", flush=True)
    for ours, least in (("ours", "bare"), ("ours, batched", "bare, batched")):
        if ours in found and least in found:
            ratio = min(found[ours]["seconds"]) / min(found[least]["seconds"])
            print(f"  {ours} takes {ratio:.2f} times as long as {least} (best of {repeats} each)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--editor", choices=["tiny", "sd15"], help="default: both")
    parser.add_argument("--repeats", type=int, help="default: 20 and 3")
    parser.add_argument("--row", choices=list(ROWS), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    for kind in [given.editor] if given.editor else ["tiny", "sd15"]:
        repeats = given.repeats or {"tiny": 20, "sd15": 3}[kind]
        if given.row:
            measure(kind, given.row, repeats, given.out)
        else:
            report(kind, repeats, list(ROWS))


if __name__ == "__main__":
    main()

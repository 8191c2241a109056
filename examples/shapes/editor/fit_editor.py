"""Train a tiny InstructPix2Pix on rendered scenes: first its VAE, then its U-Net with its text encoder.

    python examples/shapes/editor/fit_editor.py --out DIR     # the editor
    python examples/shapes/editor/fit_editor.py --out DIR --seed 1 --unet 48,96 --vae-minutes 5 --minutes 26   # the second one

On a GPU one process, else two of one thread each, which together are faster than one of two. Interrupted, the same
command goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import torch
from pairs import Pairs, joined, paint, prompts
from parts import make_pipeline, make_scheduler, make_text, make_tokenizer, make_unet, make_vae
from ranges import TRAIN
from torch import Tensor, distributed, multiprocessing, nn

VAE_BATCH, UNET_BATCH = 24, 64
VAE_RATE, MUON_RATE, ADAM_RATE = 2e-3, 2e-3, 1e-3
WARM_UP = 100
KL_WEIGHT, EDGE_WEIGHT = 5e-4, 0.5
CHANGED_MOST = 8.0
"""Largest weight of a latent that the edit changes, beside 1/2 for one that it does not."""
DROP_TEXT, DROP_IMAGE, DROP_BOTH = 0.05, 0.05, 0.05
"""Shares of the steps without one condition or both (Brooks et al. 2023, section 3.2.1), for guidance."""
EMA = 0.998
CHECKPOINT_EVERY = 120.0
"""Seconds."""


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}", file=sys.stderr, flush=True)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix whose singular values are all about 1, with the same singular vectors (Jordan 2024, Muon)."""
    x = (matrix / (matrix.norm() + 1e-7)).bfloat16()
    flip = x.shape[0] > x.shape[1]
    x = x.T if flip else x
    for a, b, c in [(3.4445, -4.7750, 2.0315)] * 5:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if flip else x).float()


class Optimizer:
    """Muon (Jordan 2024) for everything that multiplies, AdamW for the rest; shared by several processes.

    Each process computes Muon's step for its share of the matrices. ``top``: the largest rate, scaled by ``rate``.
    """

    def __init__(self, named: Sequence[tuple[str, nn.Parameter]], muon: float, adam: float) -> None:
        inner = [(n, p) for n, p in named if p.ndim >= 2 and not _at_an_end(n)]
        known = {id(p) for _, p in inner}
        self.matrices = [p for _, p in inner]
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        self.muon_rate = muon
        self.adam_rate = adam
        self.adam = torch.optim.AdamW(
            [p for _, p in named if id(p) not in known], lr=adam, betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.parameters = [p for _, p in named]
        self.rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.processes = distributed.get_world_size() if distributed.is_initialized() else 1

    def step(self, loss: Tensor, rate: float) -> None:
        """One step down the mean of all processes' losses."""
        for p in self.parameters:
            p.grad = None
        loss.backward()
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
        self._mean(grads)
        for p, grad in zip(self.parameters, grads, strict=True):
            p.grad = grad
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * rate
        self.adam.step()
        self._muon(self.muon_rate * rate)

    @torch.no_grad()
    def _muon(self, rate: float) -> None:
        steps = []
        for number, (p, momentum) in enumerate(zip(self.matrices, self.momenta, strict=True)):
            assert p.grad is not None
            momentum.lerp_(p.grad, 0.05)
            if number % self.processes == self.rank:
                flat = p.grad.lerp(momentum, 0.95).flatten(1)
                size = 0.2 * max(flat.shape) ** 0.5  # a step as large as AdamW's
                steps.append((orthogonal(flat) * size).view_as(p))
            else:
                steps.append(torch.zeros_like(p))
        if self.processes > 1:
            self._sum(steps)
        for p, step in zip(self.matrices, steps, strict=True):
            p.mul_(1 - rate * 0.01).sub_(step, alpha=rate)

    def _mean(self, tensors: list[Tensor]) -> None:
        if self.processes > 1:
            self._sum(tensors)
            for t in tensors:
                t /= self.processes

    def _sum(self, tensors: list[Tensor]) -> None:
        flat = torch.cat([t.flatten() for t in tensors])
        distributed.all_reduce(flat)
        for t, found in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            t.copy_(found.view_as(t))

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"adam": self.adam.state_dict(), "momenta": self.momenta}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.adam.load_state_dict(state["adam"])
        for own, found in zip(self.momenta, state["momenta"], strict=True):
            own.copy_(found)


def _at_an_end(name: str) -> bool:
    """The layers that see pixels, latents or tokens, which Muon is not for."""
    return any(part in name for part in ("conv_in", "conv_out", "quant_conv", "embedding"))


@dataclass
class Clock:
    """Seconds of training in all, the same in every process; a stage's rate follows from it."""

    seconds: float = 0.0
    step: int = 0

    def tick(self, took: float) -> None:
        """A step that took so long here; the mean over the processes counts."""
        if distributed.is_initialized():
            found = torch.tensor([took])
            distributed.all_reduce(found)
            took = float(found) / distributed.get_world_size()
        self.seconds += took
        self.step += 1

    def rate(self, limit: float) -> float:
        """Warm-up, then half a cosine to the end of the stage."""
        return max(
            0.003,
            min(1.0, (self.step + 1) / WARM_UP)
            * (0.5 + 0.5 * math.cos(math.pi * min(1.0, self.seconds / limit))),
        )


class Stage(ABC):
    """What both stages share: models, optimizer, clock, running mean of the weights, checkpoint."""

    name = ""

    def __init__(
        self, args: argparse.Namespace, rank: int, models: dict[str, nn.Module], limit: float
    ) -> None:
        self.args, self.rank, self.models, self.limit = args, rank, models, limit
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        for model in models.values():
            model.to(self.device).train()
        named = [(f"{key}.{n}", p) for key, model in models.items() for n, p in model.named_parameters()]
        self.optimizer = Optimizer(named, *self.rates())
        self.mean = [p.detach().clone() for _, p in named]
        self.parameters = [p for _, p in named]
        self.clock = Clock()
        self.path = args.work / f"{self.name}.pt"
        if self.path.exists():
            self._resume()

    def rates(self) -> tuple[float, float]:
        """Muon's and AdamW's."""
        return MUON_RATE, ADAM_RATE

    def _resume(self) -> None:
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        for key, model in self.models.items():
            model.load_state_dict(state["models"][key])
        self.optimizer.restore(state["optimizer"])
        for own, found in zip(self.mean, state["mean"], strict=True):
            own.copy_(found)
        self.clock = Clock(**state["clock"])
        self.say(f"goes on at step {self.clock.step}, {self.clock.seconds / 60:.1f} min")

    def say(self, text: str) -> None:
        """A line of progress, from the first process."""
        if self.rank == 0:
            say(f"{self.name}: {text}")

    def save(self) -> None:
        """The whole state."""
        if self.rank:
            return
        state = {
            "models": {key: model.state_dict() for key, model in self.models.items()},
            "optimizer": self.optimizer.state(),
            "mean": self.mean,
            "clock": vars(self.clock),
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    def run(self) -> None:
        """Steps until the time is over; then the models hold the mean of their last weights."""
        shown: dict[str, float] = {}
        told = saved = self.clock.seconds
        parent = os.getppid()
        while self.clock.seconds < self.limit:
            if os.getppid() != parent:
                raise SystemExit("the run was ended")
            began = time.monotonic()
            rng = np.random.default_rng([self.args.seed, self.clock.step, self.rank])
            torch.manual_seed(int(rng.integers(2**31)))
            loss, found = self.loss(rng)
            self.optimizer.step(loss, self.clock.rate(self.limit))
            keep = min(EMA, (self.clock.step + 1) / (self.clock.step + 20))
            torch._foreach_lerp_(self.mean, [p.detach() for p in self.parameters], 1 - keep)
            self.clock.tick(time.monotonic() - began)
            shown = {k: 0.96 * shown.get(k, v) + 0.04 * v for k, v in found.items()}
            if self.clock.seconds - told > 20:
                told = self.clock.seconds
                left = (self.limit - self.clock.seconds) / 60
                state = " ".join(f"{k} {v:.4f}" for k, v in shown.items())
                self.say(f"step {self.clock.step}, {left:.1f} min left: {state}")
            if self.clock.seconds - saved > CHECKPOINT_EVERY:
                saved = self.clock.seconds
                self.save()
                self.publish()
        self.save()
        self.use_mean()

    @torch.no_grad()
    def use_mean(self) -> None:
        """The mean of the last weights, in the models themselves."""
        for p, mean in zip(self.parameters, self.mean, strict=True):
            p.copy_(mean)
        for model in self.models.values():
            model.eval()

    @abstractmethod
    def publish(self) -> None:
        """What can be used of it so far."""

    @abstractmethod
    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Of one batch, and what is told of it."""


def levels(images: np.ndarray, device: torch.device) -> Tensor:
    """Levels (N, H, W, 3) as the VAE takes them: (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


class VaeStage(Stage):
    """The VAE: mean absolute and square error, the error of the borders, and the posterior's divergence."""

    name = "vae"

    def __init__(self, args: argparse.Namespace, rank: int, vae: Any, data: Pairs) -> None:
        self.vae, self.data = vae, data
        super().__init__(args, rank, {"vae": vae}, 60 * args.vae_minutes)

    def rates(self) -> tuple[float, float]:
        return VAE_RATE, VAE_RATE

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        batch = self.data.images[rng.integers(len(self.data.images), size=VAE_BATCH // self.args.processes)]
        x = levels(batch, self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            posterior = self.vae.encode(x).latent_dist
            y = self.vae.decode(posterior.sample()).sample
        y = y.float()
        error = y - x
        edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
        kl = posterior.kl().float().mean() / posterior.mean[0].numel()
        loss = error.abs().mean() + 2 * error.square().mean() + EDGE_WEIGHT * edges + KL_WEIGHT * kl
        psnr = -10 * math.log10(float(error.detach().clamp(-2, 2).square().mean()) / 4)
        return loss, {"loss": loss.item(), "psnr": psnr, "kl": kl.item()}

    def publish(self) -> None:
        """A VAE alone edits nothing."""


@torch.no_grad()
def encoded(vae: Any, images: np.ndarray, device: torch.device) -> Tensor:
    """Modes of the posterior, (N, 4, h, w) in half precision."""
    out = []
    for begin in range(0, len(images), 128):
        with torch.autocast(device.type, torch.bfloat16):
            found = vae.encode(levels(images[begin : begin + 128], device)).latent_dist.mode()
        out.append(found.half().cpu())
    return torch.cat(out)


@dataclass(frozen=True)
class Latents:
    """Latents of all images, the pairs, and the prompts' tokens; the last row of ``tokens`` is the empty prompt."""

    latents: Tensor
    pairs: Tensor
    tokens: Tensor
    scale: float


class UnetStage(Stage):
    """The U-Net and its text encoder: predict v, where the edit changes something above all."""

    name = "unet"

    def __init__(self, args: argparse.Namespace, rank: int, parts: dict[str, Any], data: Latents) -> None:
        self.parts, self.data = parts, data
        self.bars = make_scheduler().alphas_cumprod
        super().__init__(args, rank, {"unet": parts["unet"], "text": parts["text"]}, 60 * args.minutes)

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        size = UNET_BATCH // self.args.processes
        rows = self.data.pairs[torch.from_numpy(rng.integers(len(self.data.pairs), size=size))]
        source, clean = (self.data.latents[rows[:, k]].float().to(self.device) for k in (0, 1))
        tokens = self.data.tokens[rows[:, 2]]
        drop = torch.from_numpy(rng.random(size))
        tokens[drop < DROP_TEXT + DROP_BOTH] = self.data.tokens[-1]
        condition = source.clone()
        condition[(drop >= DROP_TEXT) & (drop < DROP_TEXT + DROP_BOTH + DROP_IMAGE)] = 0
        clean = clean * self.data.scale
        changed = ((clean - source * self.data.scale).abs().amax(dim=1, keepdim=True) > 0.5).float()
        weight = 0.5 + 0.5 * changed / changed.mean(dim=(1, 2, 3), keepdim=True).clamp_min(
            1 / (2 * CHANGED_MOST)
        )
        t = torch.from_numpy(np.minimum(999, 1000 * rng.random(size) ** 0.65)).long()
        bars = self.bars[t].view(-1, 1, 1, 1).to(self.device)
        noise = torch.randn_like(clean)
        noisy = bars.sqrt() * clean + (1 - bars).sqrt() * noise
        target = bars.sqrt() * noise - (1 - bars).sqrt() * clean
        with torch.autocast(self.device.type, torch.bfloat16):
            words = self.parts["text"](tokens.to(self.device))[0]
            found = self.parts["unet"](torch.cat([noisy, condition], dim=1), t.to(self.device), words).sample
        squares = (found.float() - target).square()
        loss = (weight * squares).mean()
        told = changed.sum() * squares.shape[1]
        squares = squares.detach()
        return loss, {
            "loss": loss.item(),
            "changed": float((squares * changed).sum() / told.clamp_min(1)),
            "same": float(
                (squares * (1 - changed)).sum() / ((1 - changed).sum() * squares.shape[1]).clamp_min(1)
            ),
        }

    def publish(self) -> None:
        if self.rank:
            return
        held = [p.detach().clone() for p in self.parameters]
        with torch.no_grad():
            for p, mean in zip(self.parameters, self.mean, strict=True):
                p.copy_(mean)
        write(self.args.out, self.parts)
        with torch.no_grad():
            for p, own in zip(self.parameters, held, strict=True):
                p.copy_(own)


def write(out: Path, parts: dict[str, Any]) -> None:
    """The diffusers folder, in half precision."""
    import copy

    half = {k: copy.deepcopy(parts[k]).half().cpu().eval() for k in ("vae", "unet", "text")}
    make_pipeline(half["vae"], half["unet"], half["text"], parts["tokenizer"]).save_pretrained(out)


def batches_of_prompts(tokenizer: Any) -> Tensor:
    """Tokens of every prompt and, last, of the empty one."""
    texts = [*prompts(), ""]
    found: Tensor = tokenizer(texts, padding="max_length", return_tensors="pt").input_ids
    return found


def work(rank: int, args: argparse.Namespace) -> None:
    """One process of a run."""
    torch.set_flush_denormal(True)  # before the first thread, which takes it over
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // args.processes))
    if args.processes > 1:
        distributed.init_process_group(
            "gloo", init_method=f"file://{args.meeting}", rank=rank, world_size=args.processes
        )
    with np.load(args.work / "pairs.npz") as stored:
        data = Pairs(stored["images"], stored["pairs"])
    torch.manual_seed(args.seed)
    tokenizer = make_tokenizer()
    parts: dict[str, Any] = {
        "tokenizer": tokenizer,
        "vae": make_vae(args.vae),
        "unet": make_unet(args.unet),
        "text": make_text(tokenizer),
    }
    stage = VaeStage(args, rank, parts["vae"], data)
    count = {k: sum(p.numel() for p in parts[k].parameters()) / 1e6 for k in ("vae", "unet", "text")}
    stage.say(", ".join(f"{k} {n:.2f} million" for k, n in count.items()) + f"; {len(data.pairs)} pairs")
    stage.run()
    latents = _encode_together(args, rank, parts["vae"], data, stage.device)
    edits = latents[data.pairs[:5000, 1]].float()
    scale = float(1 / edits.std())
    parts["vae"].register_to_config(scaling_factor=scale)
    stage.say(f"{len(latents)} images encoded; scaling factor {scale:.4f}")
    table = Latents(latents, torch.from_numpy(data.pairs), batches_of_prompts(tokenizer), scale)
    unet = UnetStage(args, rank, parts, table)
    unet.run()
    if rank == 0:
        write(args.out, parts)
        unet.say(f"written to {args.out}")


def _encode_together(
    args: argparse.Namespace, rank: int, vae: Any, data: Pairs, device: torch.device
) -> Tensor:
    """All latents: each process encodes its share, and reads the others'."""
    path = args.work / "latents-{}.pt"
    own = Path(str(path).format(rank))
    if not own.exists():
        share = np.array_split(np.arange(len(data.images)), args.processes)[rank]
        torch.save(encoded(vae, data.images[share], device), own)
    if distributed.is_initialized():
        distributed.barrier()
    return torch.cat([torch.load(str(path).format(k), weights_only=True) for k in range(args.processes)])


def _widths(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _paint(args: argparse.Namespace) -> None:
    seeds = range(args.first, args.first + args.scenes)
    parts = []
    for part in _told(paint(seeds, args.workers), len(seeds)):
        parts.append(part)
    data = joined(parts)
    stored = args.work / "pairs.part.npz"
    np.savez(stored, images=data.images, pairs=data.pairs)
    stored.replace(args.work / "pairs.npz")


def _told(parts: Iterator[Pairs], scenes: int) -> Iterator[Pairs]:
    images = 0
    for part in parts:
        images += len(part.images)
        say(f"{images} images painted, of {scenes} scenes")
        yield part


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Train a tiny InstructPix2Pix on rendered scenes.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pipeline")
    parser.add_argument("--work", type=Path, help="folder for scenes and the run's state; default OUT-work")
    parser.add_argument("--vae-minutes", type=float, default=10, help="training time of the VAE")
    parser.add_argument("--minutes", type=float, default=34, help="training time of the U-Net")
    parser.add_argument(
        "--scenes", type=int, default=8_000, help="scenes to paint, each with about nine edits"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the order and the noise")
    parser.add_argument("--first", type=int, default=TRAIN.start, help="seed of the first scene")
    parser.add_argument("--vae", type=_widths, default=(16, 32, 64), help="widths of the VAE's resolutions")
    parser.add_argument("--unet", type=_widths, default=(64, 128), help="widths of the U-Net's resolutions")
    parser.add_argument("--workers", type=int, default=2, help="processes that paint")
    parser.add_argument("--processes", type=int, help="processes that train; default 1 on a GPU, else 2")
    args = parser.parse_args(argv)
    args.out = args.out.resolve()
    args.work = (args.work or args.out.with_name(f"{args.out.name}-work")).resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    args.processes = args.processes or (1 if torch.cuda.is_available() else 2)
    if args.first not in TRAIN or args.first + args.scenes - 1 not in TRAIN:
        parser.error(f"training seeds are {TRAIN.start} to {TRAIN.stop - 1}")
    if not (args.work / "pairs.npz").exists():
        _paint(args)
    args.meeting = args.work / f"meeting-{os.getpid()}"
    if args.processes > 1:
        multiprocessing.spawn(work, (args,), nprocs=args.processes)
    else:
        work(0, args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Train the judge from nothing on rendered scenes, and save it for transformers and vLLM.

    python examples/shapes/judge/fit_judge.py --out DIR --minutes 60

First the vision tower alone learns from the renderer what covers each patch, in which colour, and how the image is
damaged. Then the whole model learns to reason and to judge. A run that was stopped goes on from its work folder.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import torch
from batches import HALF_COLOUR, HALF_KIND, IGNORED, Conversations, Labels, pairs, single_images
from data import DAMAGES, GRID, PATCH, SHARD, Cache, write_cache
from evaluate import cases, report, verdicts
from network import make_model, make_processor, make_tokenizer, pick_device, save
from seeds import TRAIN, VALIDATION
from texts import RUBRICS, every_prompt, messages
from torch import distributed, multiprocessing, nn
from torch.nn import functional

from isr.judging.rubrics import load_rubric

VISION_LAYERS, VISION_WIDTH = 4, 128
TEXT_LAYERS, TEXT_WIDTH = 4, 128
SIGHT_SHARE = 0.23
"""Share of the time for the first stage."""
PROBED = {"kinds": 5.0, "colours": 2.0, "ground": 1.0, "damage": 1.0}
"""What the first stage asks, and the weights of its losses."""
SIGHT_WEIGHT = 0.1
"""Weight of the first stage's loss in the second."""
CLEAR = 0.85
"""Share of a patch that is covered, from which on progress counts it."""
FLOOR = 0.1
"""Added to the variance of each component of the patches before it is made one."""
MUON_RATE, ADAM_RATE, VISION_SHARE = 2e-3, 1e-3, 0.3
"""Largest learning rates, and what the vision tower gets of them in the second stage."""
SIGHT_BATCH, PAIR_BATCH = 24, 16
"""Images, and pairs of images, in a step of all processes together."""
WARM_UP = 150
"""Steps until a stage's learning rate is at its largest."""
CHECKPOINT_EVERY, LOOK_EVERY = 120.0, 600.0
"""Seconds between checkpoints, and between looks at validation edits."""


class Probes(nn.Module):
    """What the vision tower's patches are asked in training; thrown away afterwards."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kinds = nn.Linear(width, HALF_KIND + 1)
        self.colours = nn.Linear(width, HALF_COLOUR + 1)
        self.ground = nn.Linear(width, HALF_COLOUR + 1)
        self.damage = nn.Linear(width, len(DAMAGES))

    def forward(self, patches: torch.Tensor, labels: Labels) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss, and the share that each probe gets right: of patches that a shape mostly covers, or of images."""
        patches = functional.layer_norm(patches, patches.shape[-1:])
        pooled = patches.mean(dim=1)
        inside = labels.kinds[..., 1:].sum(-1) > CLEAR
        losses, right = [], {}
        for name, weight in PROBED.items():
            seen = getattr(self, name)(patches if name in ("kinds", "colours") else pooled)
            truth = getattr(labels, name)
            losses.append(
                weight * functional.cross_entropy(seen.flatten(0, -2), truth.flatten(0, truth.ndim - 2))
            )
            best = truth.argmax(-1)[inside] if truth.ndim > 2 else truth
            said = seen.argmax(-1)[inside] if truth.ndim > 2 else seen.argmax(-1)
            right[name] = (said == best).float().mean().item()
        return torch.stack(losses).sum(), right


def start_sight(model, pixels: torch.Tensor) -> None:
    """Sets the first layer to what images of scenes consist of: their patches' principal components, whitened.

    Positions start as waves across the grid. Both spare the tower thousands of steps; both are trained on.
    """
    embeddings = next(
        m for name, m in model.model.vision_tower.named_modules() if name.endswith("embeddings")
    )
    patches = functional.unfold(pixels, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1).double()
    patches = patches - patches.mean(0)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    values, vectors = values.flip(0)[:VISION_WIDTH], vectors.flip(1)[:, :VISION_WIDTH]
    weight = embeddings.patch_embedding.weight
    weight.data.copy_((vectors / (values + FLOOR).sqrt()).T.reshape(weight.shape))
    place = torch.arange(GRID).float()
    rates = math.pi / GRID * 2 ** torch.linspace(0, 2.5, VISION_WIDTH // 4)
    down, across = (axis.reshape(-1, 1) * rates for axis in torch.meshgrid(place, place, indexing="ij"))
    waves = torch.cat([down.sin(), down.cos(), across.sin(), across.cos()], dim=1)
    embeddings.position_embedding.weight.data[1:] = 0.5 * waves


@dataclass
class Run:
    """What a checkpoint holds besides the weights: where the run is."""

    stage: int = 1
    step: int = 0
    seconds: float = 0.0


class Trainer:
    """The model with its optimizers, its clock and its checkpoint; one of several that work on the same steps."""

    def __init__(self, args: argparse.Namespace, rank: int, cache: Cache, processor, model) -> None:
        self.args, self.rank, self.cache, self.processor = args, rank, cache, processor
        self.device = pick_device()
        self.model, self.probes = model.to(self.device), Probes(VISION_WIDTH).to(self.device)
        self.talk = Conversations(processor)
        self.positions, self.mask = (t.to(self.device) for t in self.talk.layout())
        self.run = Run()
        self.took = 0.0
        self.limits = (60 * args.minutes * SIGHT_SHARE, 60 * args.minutes)
        self.checkpoint = args.work / "checkpoint.pt"
        self.optimizers = self._make_optimizers()
        if self.checkpoint.exists():
            self._resume()

    def _make_optimizers(self) -> list[torch.optim.Optimizer]:
        """Muon (Jordan 2024) for the matrices inside the layers, AdamW for everything else."""
        seeing = [*self.model.model.vision_tower.named_parameters(), *self.probes.named_parameters()]
        ids = {id(p) for _, p in seeing}
        rest = [(name, p) for name, p in self.model.named_parameters() if id(p) not in ids]
        parts = [(seeing, 1.0)] if self.run.stage == 1 else [(seeing, VISION_SHARE), (rest, 1.0)]
        inner: list[dict[str, object]] = []
        outer: list[dict[str, object]] = []
        for named, share in parts:
            matrices = [p for name, p in named if ".layers." in name and p.ndim == 2]
            known = {id(p) for p in matrices}
            inner.append({"params": matrices, "top": MUON_RATE * share})
            outer.append({"params": [p for _, p in named if id(p) not in known], "top": ADAM_RATE * share})
        muon = torch.optim.Muon(
            inner, lr=0.0, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
        )
        return [muon, torch.optim.AdamW(outer, lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)]

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.run = Run(**state["run"])
        self.model.load_state_dict(state["model"])
        self.probes.load_state_dict(state["probes"])
        self.optimizers = self._make_optimizers()
        for optimizer, found in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(found)
        self.say(
            f"goes on from stage {self.run.stage}, step {self.run.step}, {self.run.seconds / 60:.1f} min"
        )

    def say(self, text: str) -> None:
        """A line of progress, from the first process."""
        if self.rank == 0:
            say(text)

    def write_checkpoint(self) -> None:
        """The whole state, for a later run; and the model as it would be published."""
        if self.rank > 0:
            return
        state = {
            "run": vars(self.run),
            "model": self.model.state_dict(),
            "probes": self.probes.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)
        save(self.model, self.processor, self.args.out)

    def _set_rate(self, begin: float, end: float) -> None:
        done = min(1.0, max(0.0, (self.run.seconds - begin) / (end - begin)))
        scale = min(1.0, (self.run.step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * done))
        for group in self._groups():
            group["lr"] = group["top"] * max(scale, 0.005)

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def _patches(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.model.vision_tower(pixel_values=pixels).last_hidden_state[:, 1:]

    def see(self, rng: np.random.Generator) -> dict[str, float]:
        """One step of the first stage."""
        pixels, labels = single_images(self.cache, rng, SIGHT_BATCH // self.args.processes, self.processor)
        loss, right = self.probes(self._patches(pixels.to(self.device)), labels.to(self.device))
        self._descend(loss)
        return {"loss": loss.item(), **right}

    def judge(self, rng: np.random.Generator) -> dict[str, float]:
        """One step of the second stage."""
        batch = pairs(self.cache, self.talk, rng, PAIR_BATCH // self.args.processes, self.processor)
        tokens, labels = batch.tokens.to(self.device), batch.labels.to(self.device)
        patches = self._patches(batch.pixels.to(self.device))
        sight, right = self.probes(patches, batch.seen.to(self.device))
        inner = self.model.model
        projected = inner.multi_modal_projector(patches).reshape(-1, TEXT_WIDTH)
        at = tokens == self.talk.image_id
        embedded = inner.get_input_embeddings()(tokens.masked_fill(at, 0))
        embedded = embedded.masked_scatter(at[..., None], projected)
        hidden = inner.language_model(
            inputs_embeds=embedded, attention_mask=self.mask, position_ids=self.positions, use_cache=False
        ).last_hidden_state
        start = len(self.talk.prefix)
        logits = self.model.lm_head(hidden[:, start - 1 : -1])
        truth = labels[:, start:]
        said = functional.cross_entropy(logits.flatten(0, 1), truth.flatten(), ignore_index=IGNORED)
        self._descend(said + SIGHT_WEIGHT * sight)
        hit = (logits.argmax(-1) == truth) | (truth == IGNORED)
        right["tokens"] = hit[truth != IGNORED].float().mean().item()
        cuts = np.cumsum([0] + [self.talk.room[q] for q in self.talk.slots])
        for slot, name in ((0, "own"), (1, "other"), (2, "damaged")):
            right[name] = hit[:, cuts[slot] : cuts[slot + 1]].all(-1).float().mean().item()
        return {"said": said.item(), "sight": sight.item(), **right}

    def _descend(self, loss: torch.Tensor) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        self._share()
        for group in self._groups():
            nn.utils.clip_grad_norm_(group["params"], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()

    def _share(self) -> None:
        """Means over all processes: of the gradients, and of the last step's time, so that their clocks agree."""
        if self.args.processes > 1:
            found = [p.grad for group in self._groups() for p in group["params"] if p.grad is not None]
            flat = torch.cat([*(g.flatten() for g in found), torch.tensor([self.took])])
            distributed.all_reduce(flat)
            flat /= self.args.processes
            for grad, mean in zip(found, flat[:-1].split([g.numel() for g in found]), strict=True):
                grad.copy_(mean.view_as(grad))
            self.took = float(flat[-1])
        self.run.seconds += self.took

    def stage(self, number: int) -> None:
        """One stage to the end of its time, with progress, checkpoints and looks at validation edits."""
        begin, end = (0.0, self.limits[0]) if number == 1 else self.limits
        if self.run.stage != number:
            self.run.stage, self.run.step = number, 0
            self.optimizers = self._make_optimizers()
        size = SIGHT_BATCH if number == 1 else PAIR_BATCH
        saved = looked = told = self.run.seconds
        mean: dict[str, float] = {}
        while self.run.seconds < end:
            clock = time.monotonic()
            self._set_rate(begin, end)
            rng = np.random.default_rng([self.args.seed, number, self.run.step, self.rank])
            found = self.see(rng) if number == 1 else self.judge(rng)
            mean = {k: 0.96 * mean.get(k, v) + 0.04 * v for k, v in found.items()}
            self.run.step += 1
            self.took = time.monotonic() - clock
            if self.run.seconds - told > 15:
                told = self.run.seconds
                state = " ".join(f"{k} {v:.3f}" for k, v in mean.items())
                left = (self.limits[1] - self.run.seconds) / 60
                self.say(
                    f"stage {number} step {self.run.step} {size / self.took:.0f}/s, {left:.1f} min left: {state}"
                )
            if self.run.seconds - saved > CHECKPOINT_EVERY:
                saved = self.run.seconds
                self.write_checkpoint()
            if number == 2 and self.run.seconds - looked > LOOK_EVERY:
                looked = self.run.seconds
                self.look(8)
        self.write_checkpoint()

    def look(self, images: int) -> None:
        """Accuracy on validation edits of both ranges, by greedy generation; its time is not counted."""
        if self.rank > 0:
            return
        self.model.eval()
        some = [c for j in (False, True) for c in cases(VALIDATION.start, images, j)]
        said = {question: verdicts(self.model, self.processor, some, question) for question in RUBRICS}
        say(report(some, said))
        self.model.train()


def corpus() -> list[str]:
    """What the tokenizer learns from: all that the rubrics and the answers consist of."""
    texts = []
    for name in RUBRICS.values():
        rubric = load_rubric(name)
        texts += [json.dumps([e.answer for e in rubric.examples])]
        for _, prompt in every_prompt():
            system, user = messages(rubric, prompt)
            texts += [str(system["content"]), *(p["text"] for p in user["content"] if "text" in p)]
    texts += ["system\n", "user\n", "assistant\n"]
    colours = "red orange yellow green blue purple white grey"
    kinds = "circle square triangle cross"
    state = (
        "done half done unchanged wrong gone none or slight substantial noise blur blocks collapse background"
    )
    for word in f"{colours} {kinds} {state}".split():
        said = f'{{"reasoning":"asked: {word} {word}, {word} on {word}. edit: half {word}. source: {word}. {word}.",'
        texts += [said + f'"verdict":"{verdict}"}}' for verdict in ("fails", "fine")]
    texts += ['{"reasoning":"damage: substantial noise.","verdict":"fails"}'] * 4
    return texts * 4


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}", file=sys.stderr, flush=True)


def work(rank: int, args: argparse.Namespace, stems: list[Path]) -> None:
    """One process of a run."""
    torch.set_flush_denormal(True)  # before the first thread, which takes it over
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // args.processes))
    torch.manual_seed(args.seed)
    if args.processes > 1:
        distributed.init_process_group(
            "gloo", init_method=f"file://{args.meeting}", rank=rank, world_size=args.processes
        )
    processor = make_processor(make_tokenizer(corpus()))
    model = make_model(processor.tokenizer, VISION_LAYERS, TEXT_LAYERS, VISION_WIDTH, TEXT_WIDTH)
    trainer = Trainer(args, rank, Cache(stems), processor, model)
    size = sum(p.numel() for p in model.parameters()) / 1e6
    shared = len(trainer.talk.prefix)
    trainer.say(
        f"{size:.2f} million parameters; {trainer.talk.length} tokens a sequence, {shared} of them shared"
    )
    if trainer.run.step == 0 and trainer.run.stage == 1:
        first = np.random.default_rng([args.seed])
        start_sight(model, single_images(trainer.cache, first, 400, processor)[0].to(trainer.device))
    for number in (1, 2):
        if trainer.run.stage <= number:
            trainer.stage(number)
    trainer.look(50)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Train a tiny judge of rendered scenes.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument(
        "--work", type=Path, help="folder for the cache and the run's state; default OUT-work"
    )
    parser.add_argument(
        "--minutes", type=float, default=60, help="training time, without the painting of scenes"
    )
    parser.add_argument("--scenes", type=int, default=24_000, help="scenes to paint, each with three edits")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the weights and of the order of the scenes"
    )
    parser.add_argument("--first", type=int, default=TRAIN.start, help="seed of the first scene")
    parser.add_argument("--workers", type=int, default=2, help="processes that paint")
    parser.add_argument("--processes", type=int, help="processes that train; default 1 on a GPU, else 2")
    args = parser.parse_args(argv)
    args.work = (args.work or args.out.with_name(f"{args.out.name}-work")).resolve()
    args.processes = args.processes or (1 if torch.cuda.is_available() else 2)
    if args.first not in TRAIN or args.first + args.scenes - 1 not in TRAIN:
        parser.error(f"training seeds are {TRAIN.start} to {TRAIN.stop - 1}")
    stems = []
    for stem in write_cache(args.work / "cache", args.first, args.scenes, args.workers):
        stems.append(stem)
        if len(stems) % 8 == 0:
            say(f"{len(stems)} of {math.ceil(args.scenes / SHARD)} shards painted")
    args.meeting = args.work / f"meeting-{os.getpid()}"
    if args.processes > 1:
        multiprocessing.spawn(work, (args, stems), nprocs=args.processes)
    else:
        work(0, args, stems)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

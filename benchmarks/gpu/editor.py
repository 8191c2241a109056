"""Part 3: `sifm_ref` on an InstructPix2Pix of Stable Diffusion 1.5's shape, random weights: steps, edits, gradients."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.gpu.judge import room
from benchmarks.gpu.record import Record, device_of, free, peak_gib, rounded, seconds_of, start_peak, wait
from benchmarks.sifm_speed import schedule, unet_shape, vae_shape

PRECISIONS = ("fp32", "bf16")
ROWS = {
    "SIFM, one by one": ("sifm", 1, False),
    "SIFM, batched": ("sifm", 4, False),
    "PhotoGuard-E": ("photoguard_encoder", 0, False),
    "PhotoGuard-D": ("photoguard_diffusion", 0, False),
    "PhotoGuard-D, checkpointed": ("photoguard_diffusion", 0, True),
    "SA": ("semantic_attack", 0, False),
    "SDS": ("sds", 0, False),
}
"""Method, timesteps in one pass (0: as many as fit), whether activations are computed again. Settings: the defaults."""
FORMULA = "seconds a picture = seconds a step x (the default's steps + 1): each step, and the loss at the last image"


def run(record: Record, tiny: bool) -> None:
    """Fills the record."""
    from sifm_ref.editor import Settings
    from sifm_ref.loading import load

    side, steps, edit_steps = (
        (16, 2, 2) if tiny else (512, 4, 50)
    )  # of a timed run the first step is not counted
    gradients: dict[str, dict[str, Any]] = {}
    with room(1 if tiny else 6) as folder:
        record.put("formula", FORMULA)
        record.put("side", side)
        record.put(
            "checkpoint/seconds_made_and_saved", rounded(seconds_of(lambda: make(folder / "editor", tiny)))
        )
        photograph(folder / "pictures" / "one.png", side)
        for dtype in PRECISIONS:
            began = time.perf_counter()
            settings = Settings(dtype=dtype, device=device_of(tiny), settings={"steps": edit_steps})
            editor = load(str(folder / "editor"), settings)
            wait()
            record.put(f"checkpoint/seconds_loaded_{dtype}", rounded(time.perf_counter() - began))
            for row in ROWS:
                out = folder / f"{dtype}-{row}".replace(" ", "")
                record.attempt(
                    f"{dtype}/{row}", lambda e=editor, r=row, o=out: method(e, r, folder, o, steps)
                )
            record.attempt(f"{dtype}/edit", lambda e=editor: edit(e, folder / "pictures" / "one.png"))
            gradients[dtype] = {}
            for name, work in gradient_works(editor, side).items():
                kept = gradients[dtype]

                def one(
                    name: str = name, work: Callable[[], Any] = work, kept: dict[str, Any] = kept
                ) -> float:
                    kept[name] = work().detach().double().cpu().flatten()
                    return rounded(float(kept[name].norm()))

                record.attempt(f"{dtype}/gradient_norm/{name}", one)
            del editor
            free()
        for name in gradients["fp32"]:
            record.attempt(f"gradient/{name}", lambda n=name: alike(*(gradients[d][n] for d in PRECISIONS)))


def make(folder: Path, tiny: bool) -> None:
    """A checkpoint's folder, the weights drawn on the device."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from tests.sifm_ref.checkpoints import clip_config, clip_tokenizer

    tokenizer = clip_tokenizer()
    large = {
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
        "vocab_size": 49408, "projection_dim": 768,
    }  # fmt: skip
    text = clip_config(tokenizer)
    if not tiny:
        text = CLIPTextConfig(**{**text.to_dict(), **large})
    scheduler = schedule()
    torch.manual_seed(0)
    with torch.device(device_of(tiny)):
        pipe = StableDiffusionInstructPix2PixPipeline(
            vae=AutoencoderKL(sample_size=16 if tiny else 512, **vae_shape(tiny)),
            text_encoder=CLIPTextModel(text),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(sample_size=16 if tiny else 64, **unet_shape(tiny)),
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.save_pretrained(folder)


def photograph(path: Path, side: int) -> None:
    """A smooth picture with a little noise, saved as PNG."""
    draw = np.random.default_rng(0)
    coarse = Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    noisy = np.asarray(coarse, np.int16) + draw.integers(-8, 9, (side, side, 3))
    path.parent.mkdir(parents=True)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)


def method(editor: Any, row: str, folder: Path, out: Path, steps: int) -> dict[str, Any]:
    """A few steps of a method through ``immunize``, as a user protects a folder of pictures."""
    from sifm_ref.editor import Memory
    from sifm_ref.immunizing import Done, Job, Step, immunize
    from sifm_ref.pictures import Resize
    from sifm_ref.registry import method as named

    name, batch, checkpoint = ROWS[row]
    editor.memory = Memory(batch, checkpoint)
    default = named(name).config.descent.steps
    ends: list[float] = []
    done: list[Done] = []

    def step(said: Step) -> None:
        wait()
        ends.append(time.perf_counter())

    chosen = named(name, settings={"descent.steps": str(steps)})
    job = Job(images=folder / "pictures", out=out, method=chosen, resize=Resize(policy="keep"))
    began = time.perf_counter()
    immunize(job, editor, on_image=done.append, on_step=step)
    each = [b - a for a, b in pairwise(ends)]
    took = statistics.median(each)
    return {
        "seconds_a_step": rounded(took),
        "slowest_step": rounded(max(each)),
        "seconds_to_first_step": rounded(ends[0] - began),
        "default_steps": default,
        "seconds_a_picture": rounded(took * (default + 1)),
        "peak_gib": rounded(done[0].peak_bytes / 2**30, 3),
    }


def edit(editor: Any, path: Path) -> dict[str, Any]:
    """An edit with all its steps."""
    picture = Image.open(path).convert("RGB")
    steps = editor.settings["steps"]
    editor.settings["steps"] = 2
    editor.edit(picture, "make the circle red", 0)  # warms up
    editor.settings["steps"] = steps
    start_peak()
    took = seconds_of(lambda: editor.edit(picture, "make the circle red", 0))
    return {"steps": steps, "seconds": rounded(took), "peak_gib": peak_gib()}


def gradient_works(editor: Any, side: int) -> dict[str, Callable[[], Any]]:
    """The gradient of each method at one and the same image near its source, with the same noise."""
    import torch

    from sifm_ref.descent import gradient_of
    from sifm_ref.editor import Memory
    from sifm_ref.features import loss_scale
    from sifm_ref.methods import photoguard_diffusion, photoguard_encoder, sds, semantic_attack, sifm
    from sifm_ref.noise import Noise
    from sifm_ref.scene import Scene

    draw = torch.Generator().manual_seed(2)
    source = (torch.rand(1, 3, side, side, generator=draw) * 255).round() / 255
    x = (source + 0.02 * (2 * torch.rand(source.shape, generator=draw) - 1)).clamp(0, 1).to(editor.device)
    scene = Scene(source.to(editor.device), ("make the circle red",))
    scale = loss_scale(editor)

    def direct(gradient: Any) -> Any:
        editor.memory = Memory(0, checkpoint=True)
        return gradient(x, Noise([4]))[1]

    return {
        "SIFM": lambda: direct(sifm.Objective(editor, scene, sifm.Config(), Noise([3])).gradient),
        "PhotoGuard-E": lambda: direct(
            gradient_of(photoguard_encoder.encoder_loss(editor, scene, photoguard_encoder.Config()), scale)
        ),
        "PhotoGuard-D": lambda: direct(
            gradient_of(
                photoguard_diffusion.diffusion_loss(editor, scene, photoguard_diffusion.Config()), scale
            )
        ),
        "SA": lambda: direct(
            semantic_attack.Objective(editor, scene, semantic_attack.Config(), Noise([3])).gradient
        ),
        "SDS": lambda: direct(sds.sds_direction(editor, scene, sds.Config())),
    }


def alike(one: Any, two: Any) -> dict[str, float]:
    """Cosine of two gradients, and the share of samples with equal signs, by which an L-inf step goes."""
    cosine = float(one @ two / (one.norm() * two.norm()))
    return {
        "cosine": rounded(cosine, 5),
        "equal_signs": rounded(float((one.sign() == two.sign()).double().mean())),
    }

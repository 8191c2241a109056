"""ACE and ACE+: ``caradryanl/ACE``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sifm_ref.methods._target import pattern
from sifm_ref.noise import Noise
from tests.sifm_ref.released.record import SEED, STEPS, Drawing, Part, functions, moved, numbers, source, tiny

PERIOD = 8


def record(clone: Path) -> dict[str, Any]:
    """Loss and gradient of ``pgd_attack`` of ``attacks/aspl_lora_m.py`` in both of its modes, and some of its steps."""
    box = tiny("sd_img2img")
    draws = Drawing(box.vae)
    words = box.text(["a"])["encoder_hidden_states"]
    kept: dict[str, Any] = {}

    def keep(found: Tensor) -> None:
        kept.setdefault("gradient", -2 * found)  # it ascends, on [-1, 1]

    def encode(x: Tensor) -> Any:
        x.register_hook(keep)
        return draws.encode(x)

    def bar(steps: Any) -> Any:
        return SimpleNamespace(
            set_description=lambda text: None, update=lambda n: None,
            set_postfix=lambda loss: kept.setdefault("loss", -loss),
        )  # fmt: skip

    tokenizer = Part(lambda *a, **k: SimpleNamespace(input_ids=torch.zeros(1, 5)), model_max_length=5)
    draws.device = lambda name: "cpu"  # type: ignore[attr-defined]
    draws.bfloat16 = torch.float64  # type: ignore[attr-defined]
    given = {
        "torch": draws,
        "F": torch.nn.functional,
        "tqdm": bar,
        "DDIMScheduler": None,
        "AutoencoderKL": None,
    }
    pgd = functions(clone, "attacks/aspl_lora_m.py", ("pgd_attack",), given)["pgd_attack"]
    unet = Part(lambda z, t, text: SimpleNamespace(sample=box.predictor(z, t, text).sample))
    models = [unet, Part(lambda ids: (words,))]
    vae = Part(encode, encode=encode, config=box.vae.config)
    args = SimpleNamespace(
        train_batch_size=1, instance_prompt="", gradient_accumulation_steps=1, pgd_alpha=5e-3, pgd_eps=8 / 255
    )
    picture = 2 * pattern(source(), PERIOD) - 1
    draws.noise = Noise([SEED]).fork("ace")
    with torch.no_grad():
        goal = draws.encode(picture).latent_dist.sample() * box.vae.config.scaling_factor

    def run(start: Tensor, noise: Noise, steps: int, mode: str) -> Tensor:
        kept.clear()
        draws.noise = noise
        begin, clean = 2 * start - 1, 2 * source() - 1
        found = pgd(
            args, models, tokenizer, box.pipe.scheduler, vae, begin, clean, goal, picture, steps, mode
        )
        return (found + 1) / 2

    said: dict[str, Any] = {}
    for name, mode in (("released", "lunet"), ("released_plus", "fused")):
        run(moved(), Noise([SEED]), 1, mode)
        said[name] = {"loss": kept["loss"], "gradient": numbers(kept["gradient"])}
        change = run(source(), Noise([SEED]).fork("draws"), STEPS, mode) - source()
        said[name]["change"] = numbers(change)
    return said

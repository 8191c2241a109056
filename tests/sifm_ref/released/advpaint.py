"""AdvPaint: ``JoonsungJeon/AdvPaint``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor
from torch.nn.functional import interpolate

from sifm_ref.editor import WhiteBox
from sifm_ref.noise import Noise
from tests.sifm_ref.released.record import (
    SEED,
    STEPS,
    Drawing,
    functions,
    moved,
    numbers,
    repainted,
    source,
    tiny,
)

PROMPT = "a circle"


def worded() -> WhiteBox:
    """The tiny inpainting editor, to which an empty text says something else than any other."""
    box = tiny("sd_inpaint")
    plain = box.text

    def text(prompts: Sequence[str]) -> dict[str, Tensor]:
        said = plain(prompts)["encoder_hidden_states"]
        return {
            "encoder_hidden_states": torch.stack(
                [w if p else w.flip(0) for p, w in zip(prompts, said, strict=True)]
            )
        }

    box.text = text  # type: ignore[method-assign]
    return box


class Known:
    """A tensor that the release makes by steps which change nothing here."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def _same(self, *args: Any) -> Any:
        return self

    __mul__ = __sub__ = unsqueeze = _same

    def to(self, *args: Any, **more: Any) -> Tensor:
        return self.value


class Steps(list[int]):
    def set_description(self, text: str) -> None: ...


def record(clone: Path) -> dict[str, Any]:
    """Loss and gradient of ``pgd_SelfQKV_And_Cross_Xadv`` under a mask, and steps of its two stages, with its processors."""
    box = worded()
    draws = Drawing(box.vae)
    kept: dict[str, Any] = {}

    given: dict[str, Any] = {"torch": torch, "Optional": Optional, "Attention": None, "deprecate": None}
    attention = functions(clone, "modules.py", ("attn_call",), given)["attn_call"]
    processor = type("Processor", (AttnProcessor,), {"__call__": attention})
    for _, module in box.predictor.named_modules():
        if hasattr(module, "set_processor"):
            module.set_processor(processor())
    maps: dict[str, Any] = {
        n: {} for n in ("self_maps", "self_query", "self_key", "self_value", "cross_query")
    }
    given = {
        **maps, "AttnProcessor": AttnProcessor, "AttnProcessor2_0": AttnProcessor2_0, "LoRAAttnProcessor": processor,
        "LoRAAttnProcessor2_0": processor,
    }  # fmt: skip
    hooks = functions(clone, "utils_UNet.py", ("hook_fn", "register_cross_attention_hook"), given)

    class Model(SimpleNamespace):
        """The pipeline after its call, which is for the values that it leaves."""

        def __call__(self, **more: Any) -> None:
            noise = kept["stages"].pop(0)
            draws.noise, kept["loop"] = noise.fork("advpaint"), noise.fork("draws")
            self.mask = torch.cat([interpolate(kept["masks"][0], size=(8, 8))] * 2)

    def encode(x: Tensor) -> Any:
        posterior = draws.encode(x).latent_dist
        return SimpleNamespace(latent_dist=SimpleNamespace(sample=lambda generator: posterior.sample()))

    scheduler = box.pipe.scheduler
    scheduler.set_timesteps(50)
    times = scheduler.timesteps
    words = torch.cat([box.text([""])["encoder_hidden_states"], box.text([PROMPT])["encoder_hidden_states"]])
    model = Model(
        timesteps=times, timestep_cond=None, prompt_embeds=words, added_cond_kwargs=None, generator=None, device="cpu",
        latent_timestep=times[:1], do_classifier_free_guidance=True, cross_attention_kwargs={"timestep": times[0]},
        scheduler=scheduler, unet=box.predictor, vae=SimpleNamespace(config=box.vae.config, encode=encode),
    )  # fmt: skip

    def grad(loss: Tensor, inputs: list[Tensor]) -> Any:
        found = torch.autograd.grad(loss, inputs)
        kept.setdefault("loss", loss.item())
        kept.setdefault("gradient", 2 * found[0])
        return found

    def bar(steps: Any) -> Steps:
        draws.noise = kept["loop"]
        return Steps(steps)

    def to_tensor(image: Any) -> Known:
        return Known(kept["masks"][0].expand(1, 3, -1, -1))

    def register(unet: Any, ATTN: str) -> Any:  # noqa: N803
        """Once: the stages share the hooks."""
        return (
            unet
            if ATTN in kept
            else kept.setdefault(ATTN, hooks["register_cross_attention_hook"](unet, ATTN))
        )

    draws.autograd = SimpleNamespace(grad=grad)  # type: ignore[attr-defined]
    draws.rand = lambda *shape: Known(kept["start"])  # type: ignore[attr-defined]
    image = SimpleNamespace(convert=lambda kind: None)
    given = {
        **maps, "torch": draws, "tqdm": bar, "T": SimpleNamespace(ToTensor=lambda: to_tensor),
        "Image": SimpleNamespace(open=lambda place: image), "glob": SimpleNamespace(glob=lambda places: kept["names"]),
        "args": SimpleNamespace(prompt=PROMPT, mask_dir=""), "register_cross_attention_hook": register,
        "randn_tensor": lambda shape, generator, device, dtype: draws.noise.normal(shape[1:], source()),
    }  # fmt: skip
    pgd = functions(clone, "AdvPaint.py", ("pgd_SelfQKV_And_Cross_Xadv",), given)[
        "pgd_SelfQKV_And_Cross_Xadv"
    ]
    clean = 2 * source() - 1

    def protect(start: Tensor, masks: list[Tensor], steps: int) -> Tensor:
        names = [f"test_mask{n}_OptimBox.png" for n in range(len(masks))]
        kept["start"], kept["masks"] = start, list(masks)
        kept["stages"] = [Noise([SEED]), Noise([SEED]).fork("second")]

        def each() -> Any:
            for name in names:
                yield name
                kept["masks"].pop(0)

        kept["names"] = each()
        found: Tensor = pgd(
            "", clean, model, eps=0.06, step_size=0.03, iters=steps, clamp_min=-1, clamp_max=1
        )
        return found.detach()

    protect(2 * moved() - 1 - clean, [repainted()], 1)
    said = {"loss": kept["loss"], "gradient": numbers(kept["gradient"])}
    found = protect(torch.zeros_like(clean), [repainted(), 1 - repainted()], STEPS)
    return {**said, "change": numbers((found + 1) / 2 - source())}

"""SDS: ``xavihart/Diff-Protect``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from tests.sifm_ref.released.record import Drawing, functions, moved, numbers, tiny


def record(clone: Path) -> dict[str, Any]:
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

"""A picture of NaN or infinity is no edit: it is named and refused, whichever network made it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.errors import InputError  # noqa: E402
from sifm_ref.editing import Job, edit  # noqa: E402
from sifm_ref.editor import Settings  # noqa: E402
from sifm_ref.finite import NotFiniteError, finite, remedy  # noqa: E402
from sifm_ref.loading import load  # noqa: E402
from sifm_ref.registry import purifier  # noqa: E402
from sifm_ref.units import Prompt  # noqa: E402
from tests.sifm_ref.checkpoints import EDITORS, broken, quick_settings  # noqa: E402
from tests.sifm_ref.test_editing import handmade  # noqa: E402

PROMPT = Prompt("*", "make the circle red", "red")


@pytest.mark.parametrize("value", [math.nan, pytest.param(math.inf, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", EDITORS)
def test_every_editor_whose_vae_fails(
    name: str, value: float, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Infinity would be a white picture: levels are clipped before anybody sees them."""
    folder = broken(checkpoint(name), tmp_path / "broken", "vae", value)
    box = load(f"{name}={folder}", Settings(settings=quick_settings(name)))
    job = Job(
        directories=(handmade(tmp_path / "in", "a", size=32),),
        out=tmp_path / "out",
        prompts=(PROMPT,),
        seeds=(7,),
    )
    with pytest.raises(InputError) as caught:
        edit(job, box)
    said = str(caught.value)
    assert "sources/a.png" in said  # the control edit comes first
    for word in (
        "red 'make the circle red'",
        "seed 7",
        "first in vae.decoder",
        "dtype fp32",
        "check the checkpoint",
    ):
        assert word in said
    assert not list((job.out / ".records").glob("*.json"))
    assert not list(job.out.glob("*/*red*.png"))
    assert not (job.out / "metadata.jsonl").exists()


def test_the_first_network_that_fails_is_named(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = broken(checkpoint("sd_img2img"), tmp_path / "broken", "unet", math.nan)
    box = load(f"sd_img2img={folder}", Settings(settings={"steps": 2}))
    with pytest.raises(NotFiniteError, match="first in unet"), finite(box):
        box.edit(Image.new("RGB", (32, 32)), "x", 0)
    assert not box.pipe.unet._forward_hooks, "the hooks go with the block"


def test_half_precision_is_told_what_would_do() -> None:
    assert "bf16, or fp32" in remedy("fp16")
    assert "--dtype fp32" in remedy("bf16")


@pytest.mark.parametrize("name", ["vae", "img2img"])
def test_a_purifier_that_fails(
    name: str, editor: Any, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = broken(checkpoint("sd_img2img"), tmp_path / "broken", "vae", math.nan)
    attack = purifier(f"{name}:checkpoint={folder}")
    job = Job(
        directories=(handmade(tmp_path / "in", "a", size=32),),
        out=tmp_path / "out",
        prompts=(PROMPT,),
        purifiers=(attack,),
    )
    with pytest.raises(
        InputError, match=rf"(?s)purifier {name} \(prompt red.*purifier {name}:checkpoint=broken@"
    ):
        edit(job, editor("sd_img2img"))


def test_an_editor_that_casts_nan_to_levels(
    editor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any editor's, also one of which nothing is known but its picture."""

    def failing(*args: Any) -> Image.Image:
        return Image.fromarray(np.full((16, 16, 3), np.nan).astype(np.uint8))

    box = editor("sd_img2img")
    monkeypatch.setattr(box, "edit", failing)
    job = Job(directories=(handmade(tmp_path / "in", "a"),), out=tmp_path / "out", prompts=(PROMPT,))
    with pytest.raises(InputError, match="first in picture"):
        edit(job, box)

"""What a method says is ours in it, where its authors did otherwise: the column ``adaptation``."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from sifm_ref.registry import method  # noqa: E402
from tests.sifm_ref.scenes import WHITE  # noqa: E402


def test_adaptations_say_so(editor: Any) -> None:
    assert "inpainting" in method("photoguard_diffusion").adaptation(editor("instruct_pix2pix"))
    assert method("photoguard_diffusion", "released").adaptation(editor("sd_inpaint")) == ""
    for name in ("sds", "mist", "advdm"):
        assert "Stable Diffusion 1.x" in method(name).adaptation(editor("sd3_img2img"))
        assert "Stable Diffusion 1.x" in method(name).adaptation(editor("instruct_pix2pix"))
        assert "Stable Diffusion 1.x" not in method(name).adaptation(editor("sd_img2img"))
    assert "Adam without projection" in method("editshield").adaptation(editor("sd_img2img"))
    assert "[0, 1]" in method("editshield").adaptation(editor("instruct_pix2pix"))
    said = method("editshield", "released").adaptation(editor("instruct_pix2pix"))
    assert (
        said == "EditShield's released loop (Adam, which knows no budget), brought into the budget at its end"
    )
    assert (
        method("editshield", "released")
        .adaptation(editor("sd_img2img"))
        .endswith("released for InstructPix2Pix")
    )
    assert "inpainting" in method("photoguard_encoder").adaptation(editor("sd_inpaint"))
    assert "1.5" in method("photoguard_encoder").adaptation(editor("instruct_pix2pix"))
    assert method("photoguard_encoder", "released").adaptation(editor("sd_img2img")) == ""
    assert method("sds").adaptation(editor("sd_img2img")) == (
        "SDS with timesteps from [20, 980), released: [0, 1000); the VAE posterior's mode, released: a sample"
    )
    assert method("sds", "released").adaptation(editor("sd_img2img")) == ""
    assert method("advdm").adaptation(editor("sd_img2img")) == ""


def test_a_loop_that_is_not_the_released_one_is_told(editor: Any) -> None:
    """Of every preset and setting, whatever the method: the released loop stands in its preset ``released``."""
    box = editor("sd_img2img")
    assert method("photoguard_encoder").adaptation(box) == (
        "100 steps of 1/255, uniform start, released: 1000 steps of 2.55/255, linear decay, uniform start"
    )
    few = method("photoguard_encoder", "released", {"descent.steps": "200"}).adaptation(box)
    assert few.startswith("200 steps of 2.55/255, linear decay, uniform start, released: 1000")
    said = method("photoguard_diffusion").adaptation(editor("sd_inpaint"))
    assert said == "100 steps of 1/255, released: 200 steps of 0.5, 10 gradients each"


@pytest.mark.parametrize(
    ("name", "preset", "settings", "said"),
    [
        ("diffusionguard", "released", {"prompt": "a dog", "iterations": "2"}, "set: prompt=a dog, iterations=2"),
        ("advdm", "shared", {"prompt": "a cat", "descent.steps": "3"}, "set: prompt=a cat; 3 steps of 1/255, uniform start"),
        ("mist", "shared", {"weight": "1"}, "set: weight=1.0"),
        ("sds", "released", {"prompt": "x"}, "set: prompt=x"),
        ("blurguard", "released", {"width": "3", "tolerance": "9"}, "set: width=3, tolerance=9.0"),
        ("dct_shield", "shared", {"quality": "30"}, "set: quality=30; 100 steps of 25.5/255, linear decay, published: 1000"),
    ],
)  # fmt: skip
def test_every_setting_that_is_not_the_presets_is_told(
    editor: Any, name: str, preset: str, settings: dict[str, str], said: str
) -> None:
    assert said in method(name, preset, settings).adaptation(editor("sd_img2img"))


def test_ace_says_that_its_model_is_not_trained(editor: Any) -> None:
    stock = editor("sd_img2img")
    for preset in ("shared", "released"):
        said = method("ace", preset).adaptation(stock)
        assert said.startswith("ACE with a fixed model, where the release fine-tunes its own on the images")
        assert "a target pattern of our own" in said
        assert ("sks" in said) == (preset == "shared")
    assert method("ace", "plus").adaptation(stock).startswith("ACE+ with")
    assert "Stable Diffusion 1.x" not in method("ace").adaptation(stock)
    assert "Stable Diffusion 1.x" in method("ace").adaptation(editor("sd3_img2img"))


@pytest.mark.parametrize("name", WHITE)
def test_sifm_says_that_it_is_rebuilt_from_a_text(editor: Any, name: str) -> None:
    """It has no official code at all: its column is never empty, and names what is not the paper's."""
    box = editor(name)
    for preset in ("paper", "balanced", "auto", "divergence_only"):
        said = method("sifm", preset).adaptation(box)
        assert said.startswith("SIFM rebuilt from its text, no code being published: layers, timesteps")
        assert ("eq. 3" in said) == (preset in ("balanced", "auto") and box.sees_condition), said
        assert ("image to image" in said) == (name == "sd3_img2img")
        assert "Algorithm 1: zero" in said


def test_the_papers_presets_follow_eq_3(editor: Any) -> None:
    """Canvas and condition are the protected image's on every editor; ``auto`` is ours."""
    from sifm_ref.methods.sifm import PRESETS, canvas_of

    for name, config in PRESETS.items():
        for white in WHITE:
            if name not in ("balanced", "auto"):
                assert (canvas_of(editor(white), config), config.condition) == ("protected", "protected"), (
                    name
                )
    assert canvas_of(editor("instruct_pix2pix"), PRESETS["auto"]) == "source"

"""AdvPaint's stages, and what the method says of itself."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.errors import UsageError  # noqa: E402
from sifm_ref.budget import Budget  # noqa: E402
from sifm_ref.descent import Descent  # noqa: E402
from sifm_ref.methods.advpaint import Config, _projections  # noqa: E402
from sifm_ref.registry import method  # noqa: E402
from tests.sifm_ref.scenes import noise, quick, scene  # noqa: E402


def test_two_stages_protect_all_of_the_image(editor: Any) -> None:
    """The first is that of ``mask``; the second has the rest, within the budget; its steps are counted on."""
    box = editor("sd_inpaint")
    place, seen = scene(box), []
    one = quick("advpaint")
    made = one.function(box, place, budget=Budget(), config=one.config, noise=noise())
    both = quick("advpaint", stages="both")
    whole = both.function(
        box,
        place,
        budget=Budget(),
        config=both.config,
        noise=noise(),
        callback=lambda n, loss: seen.append(n),
    )
    kept = 1 - place.mask
    assert torch.equal(whole.image * kept, made.image * kept)
    assert ((whole.image - place.source) * place.mask).abs().max() > 1 / 255
    assert (whole.image - place.source).abs().max() <= 0.03 + 1e-6
    assert seen == [1, 2, 3, 4, 5, 6]
    assert len(whole.losses) == len(made.losses)


def test_two_stages_share_no_length(editor: Any) -> None:
    box = editor("sd_inpaint")
    found = quick("advpaint", stages="both", descent=Descent(1))
    with pytest.raises(UsageError, match="stages=both: expected an L-inf budget"):
        found.function(box, scene(box), budget=Budget(1, "l2"), config=found.config, noise=noise())
    with pytest.raises(UsageError, match="stages: expected mask or both; found 'box'"):
        Config(stages="box")  # type: ignore[arg-type]


def test_what_of_the_attention_is_taken(editor: Any) -> None:
    names, count = _projections(editor("sd_inpaint"))
    parts = [n.split(".", names[0].count("."))[-1] for n in names]
    assert (len(names), parts[:3]) == (4 * count, ["to_q", "to_k", "to_v"])
    assert sorted({n[-10:] for n in names}) == ["attn1.to_k", "attn1.to_q", "attn1.to_v", "attn2.to_q"]
    names, count = _projections(editor("sd3_img2img"))
    assert (len(names), names[0]) == (3 * count, "transformer_blocks.0.attn.to_q")


def test_it_says_what_is_ours(editor: Any) -> None:
    inpainting = editor("sd_inpaint")
    assert "under the mask that is given" in method("advpaint").adaptation(inpainting)
    assert "its reverse" in method("advpaint", "released").adaptation(inpainting)
    for name in ("instruct_pix2pix", "sd_img2img", "sd3_img2img"):
        said = method("advpaint").adaptation(editor(name))
        assert "released for inpainting" in said
        assert ("joint attention" in said) == (name == "sd3_img2img")
        assert ("which the release holds" in said) == (name != "instruct_pix2pix")


def test_its_numbers_are_halves_of_those_on_signed_pictures() -> None:
    released = method("advpaint", "released").config.descent
    assert (released.steps, released.step_size, released.schedule) == (250, 0.015, "linear")

"""DCT-Shield: its JPEG against Pillow's, its gradient, and its loop against arithmetic."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.errors import UsageError  # noqa: E402
from sifm_ref.budget import Budget  # noqa: E402
from sifm_ref.descent import Descent  # noqa: E402
from sifm_ref.methods._jpeg import CHANNELS, Codec, table  # noqa: E402
from sifm_ref.methods.dct_shield import Config, Shield, dct_shield  # noqa: E402
from sifm_ref.registry import method  # noqa: E402
from tests.sifm_ref.released.figures import keep  # noqa: E402
from tests.sifm_ref.scenes import noise, picture, quick, samples, scene  # noqa: E402

STEP = 1e-5


def saved(levels: Any, quality: int, subsampling: int) -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(file)


@pytest.mark.parametrize("quality", [30, 50, 85, 95])
def test_the_codec_is_pillows(quality: int) -> None:
    """Equal tables; pictures apart by the rounding of its whole-number arithmetic, and as near to the source as its are."""
    levels = picture(48, 40)
    images = torch.from_numpy(levels).permute(2, 0, 1)[None].double() / 255
    for halved, subsampling in ((False, 0), (True, 2)):
        theirs = saved(levels, quality, subsampling)
        tables = theirs.quantization
        assert [tables[n] for n in (0, 1)] == [table(c, quality) for c in ("Y", "Cb")]
        codec = Codec(images, quality, halved)
        coefficients = codec.encode(images)
        assert all(torch.equal(c, c.round()) for c in coefficients)
        mine = codec.decode(coefficients).clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255
        assert rms(mine - np.asarray(theirs)) < 2
        assert rms(mine - levels) < 1.01 * rms(np.asarray(theirs) - levels.astype(float))


def rms(difference: Any) -> float:
    return float((difference**2).mean() ** 0.5)


def test_sides_that_are_no_multiples_are_continued() -> None:
    images = torch.rand(2, 3, 21, 34, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    codec = Codec(images, 100, False)
    assert codec.decode(codec.encode(images)).shape == images.shape
    assert (codec.decode(codec.encode(images)) - images).abs().max() < 3 / 255


@pytest.mark.parametrize("name", ["instruct_pix2pix", "sd_inpaint", "sd3_img2img"])
def test_its_gradient_agrees_with_finite_differences(editor: Any, name: str) -> None:
    box = editor(name, "fp64")
    goal = Shield(box, scene(box), Budget(), Config(bound="end"))
    draw = torch.Generator().manual_seed(1)
    delta = [torch.rand(a.shape, generator=draw, dtype=torch.float64) - 0.5 for a in goal.changed]
    leaves = [d.clone().requires_grad_() for d in delta]
    found = torch.autograd.grad(goal.loss(leaves).sum(), leaves)
    assert len(found) == len(CHANNELS)
    for number, gradient in enumerate(found):
        for place in samples(gradient, 4):
            plus, minus = ([d.clone() for d in delta] for _ in range(2))
            plus[number][place] += STEP
            minus[number][place] -= STEP
            expected = float((goal.loss(plus) - goal.loss(minus)).sum()) / (2 * STEP)
            error, largest = abs(float(gradient[place]) - expected), float(gradient.abs().max())
            keep("dct_shield", "finite differences", error / largest)
            assert error <= 1e-3 * abs(expected) + 1e-6 * largest


def test_steps_by_hand(editor: Any) -> None:
    """Algorithm 1: two signed steps of .1 and .05, then the budget, which at .5 changes nothing."""
    box = editor("sd_img2img", "fp64")
    place = scene(box)
    config = Config(bound="end", descent=Descent(2, 0.1, "linear"))
    goal, wide = Shield(box, place, Budget(0.5), config), Budget(0.5)
    delta = [torch.zeros_like(a) for a in goal.changed]
    for step in (0.1, 0.05):
        leaves = [d.detach().requires_grad_() for d in delta]
        found = torch.autograd.grad(goal.loss(leaves).sum(), leaves)
        delta = [(d - step * g.sign()).detach() for d, g in zip(delta, found, strict=True)]
    made = dct_shield(box, place, budget=wide, config=config, noise=noise())
    torch.testing.assert_close(made.image, goal.image(delta), rtol=0, atol=1e-12)
    assert len(made.losses) == 3
    assert (made.losses[-1] < made.losses[0]).all()


def test_each_step_knows_the_budget(editor: Any) -> None:
    """The loss of the trace is that of the image which would be saved; with ``end`` it is not."""
    box = editor("sd_img2img", "fp64")
    place, tight = scene(box), Budget(2 / 255)
    for bound, same in (("each", True), ("end", False)):
        config = Config(bound=bound, quality=30, descent=Descent(1, 1.0, "linear"))
        goal = Shield(box, place, tight, config)
        zero = [torch.zeros_like(a) for a in goal.changed]
        assert torch.equal(goal.image(zero), goal.bounded(goal.image(zero))) == same


def test_only_the_channels_that_are_named(editor: Any) -> None:
    box = editor("sd_img2img", "fp64")
    place = scene(box)
    found = quick("dct_shield", channels=("Y",), bound="end", chroma="whole")
    made = found.function(box, place, budget=Budget(0.5), config=found.config, noise=noise())
    codec = Codec(place.source, 95, False)
    moved = codec.decode(codec.encode(place.source)) - made.image
    chroma = torch.einsum("oc,bchw->bohw", codec._matrix(), moved)[:, 1:]
    assert moved.abs().max() > 1e-3
    assert chroma.abs().max() < 1e-6


def test_it_says_what_is_ours(editor: Any) -> None:
    said = method("dct_shield").adaptation(editor("sd_img2img"))
    assert said.startswith(
        "DCT-Shield rebuilt from a transcription of its Algorithm 1, no code being published"
    )
    assert "at each step" in said
    assert "at the end" in method("dct_shield", "published").adaptation(editor("sd_img2img"))
    assert "repainted" in method("dct_shield").adaptation(editor("sd_inpaint"))
    assert "does not hold" in method("dct_shield", "", {"reach": "0.5"}).adaptation(editor("sd_img2img"))


def test_settings_that_cannot_be() -> None:
    for settings, said in (
        ({"quality": 0}, "a quality of 1 to 100"),
        ({"channels": ("R",)}, "expected some of Y, Cb, Cr; found R"),
        ({"bound": "never"}, "bound: expected one of each, end"),
    ):
        with pytest.raises(UsageError, match=said):
            Config(**settings)  # type: ignore[arg-type]

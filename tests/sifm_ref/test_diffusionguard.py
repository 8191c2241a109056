"""DiffusionGuard's masks, and what the method says of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.errors import UsageError  # noqa: E402
from sifm_ref.budget import Budget  # noqa: E402
from sifm_ref.methods._contour import filled, outline, radius_of, shrunk  # noqa: E402
from sifm_ref.methods.diffusionguard import Config, augmented  # noqa: E402
from sifm_ref.registry import method  # noqa: E402
from tests.sifm_ref.released.diffusionguard import regions  # noqa: E402
from tests.sifm_ref.scenes import noise, scene  # noqa: E402


def test_an_outline_by_hand() -> None:
    """Corners only, from the first pixel down its left side; a part that encloses less is left out; holes are filled."""
    region = np.zeros((6, 8), bool)
    region[1:5, 2:7] = True
    region[2, 4] = False
    region[5, 0] = True
    assert outline(region).tolist() == [[2, 1], [2, 4], [6, 4], [6, 1]]
    assert filled(outline(region), region.shape).sum() == 4 * 5
    assert outline(np.zeros((3, 3), bool)) is None
    one = np.eye(1, dtype=bool)
    assert filled(outline(one), (1, 1)).all()
    # area 20 less the hole, and 1: three channels of 20 over 6 / pi
    assert radius_of(region) == pytest.approx((3 * 20 / (3 * 2 / np.pi)) ** 0.5)


def test_a_region_that_is_empty_or_a_point_stays() -> None:
    for region in (np.zeros((4, 4), bool), np.arange(16).reshape(4, 4) == 5):
        for seed in range(4):
            draw = torch.Generator().manual_seed(seed)
            assert np.array_equal(shrunk(region, draw, strength=1.1, iterations=15, smoothness=0.1), region)


def test_masks_keep_less_and_holes_are_a_choice() -> None:
    ring = torch.from_numpy(~regions()["ring"])[None, None].double()
    for seed in range(6):
        kept, release = (
            1 - augmented(ring, Config(holes=holes), noise(seed=seed)) for holes in ("repainted", "filled")
        )
        assert kept.sum() <= (1 - ring).sum()
        assert (kept * ring).sum() == 0
        assert torch.equal(kept, release * (1 - ring))
    assert augmented(ring, Config(masks="single"), noise()) is ring
    assert augmented(None, Config(), noise()) is None


def test_images_of_a_batch_have_masks_of_their_own() -> None:
    masks = torch.from_numpy(~regions()["star"])[None, None].double().repeat(2, 1, 1, 1)
    both = augmented(masks, Config(), noise(2))
    assert torch.equal(both[1:], augmented(masks[1:], Config(), noise(1, seed=8)))
    assert not torch.equal(both[0], both[1])


def test_it_says_what_is_ours(editor: Any) -> None:
    inpainting = editor("sd_inpaint")
    assert method("diffusionguard", "released").adaptation(inpainting) == ""
    assert "holes of what is kept remain" in method("diffusionguard").adaptation(inpainting)
    assert "released: contour_shrink" in method("diffusionguard", "single").adaptation(inpainting)
    for name in ("instruct_pix2pix", "sd_img2img", "sd3_img2img"):
        assert "released for inpainting" in method("diffusionguard", "released").adaptation(editor(name))


def test_its_numbers_are_halves_of_those_on_signed_pictures() -> None:
    released = method("diffusionguard", "released").config
    assert (released.descent.steps, released.descent.step_size) == (800, pytest.approx(0.5 / 255))
    with pytest.raises(UsageError, match="masks: expected one of contour_shrink, single; found 'all'"):
        Config(masks="all")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="iterations of at least 2"):
        Config(iterations=1)


def test_no_noise_where_it_is_repainted(editor: Any) -> None:
    box = editor("sd_inpaint")
    found, place = method("diffusionguard", "", {"descent.steps": "3"}), scene(box)
    made = found.function(box, place, budget=Budget(), config=found.config, noise=noise())
    change = (made.image - place.source).abs()
    assert (change * place.mask).max() == 0
    assert change.max() > 0

"""BlurGuard as a wrapper: what it wraps is part of what it is, blurs are a region's own, and the budget holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from scipy.ndimage import gaussian_filter1d  # noqa: E402

from isr.errors import UsageError  # noqa: E402
from sifm_ref.budget import Budget  # noqa: E402
from sifm_ref.methods import blurguard  # noqa: E402
from sifm_ref.noise import Noise  # noqa: E402
from sifm_ref.registry import method, plain  # noqa: E402
from sifm_ref.scene import Scene  # noqa: E402
from tests.sifm_ref.released.blurguard import EPS, STEPS, halves, large  # noqa: E402
from tests.sifm_ref.released.figures import keep, released, same_change  # noqa: E402
from tests.sifm_ref.released.record import SEED, shapes  # noqa: E402
from tests.sifm_ref.scenes import noise, picture, scene  # noqa: E402


def config(**settings: str) -> blurguard.Config:
    found: blurguard.Config = method("blurguard", "", settings).config
    return found


def test_the_released_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted blurs, losses and change of ``released``, with two regions in place of SAM's."""
    theirs = released("blurguard")
    monkeypatch.setattr(blurguard, "regions_of", lambda source, config: halves())
    found = method("blurguard", "released", {"descent.steps": str(STEPS)})
    scene = Scene(large(), ("",))
    made = found.function(shapes(), scene, budget=Budget(EPS), config=found.config, noise=Noise([SEED]))
    losses = [x.item() for x in made.losses[:-1]]
    keep("blurguard", "loss", max(abs(a / b - 1) for a, b in zip(losses, theirs["losses"], strict=True)))
    assert losses == pytest.approx(theirs["losses"], rel=1e-6)
    same_change(made.image - large(), theirs)
    fitted = blurguard.fitted(large(), halves(), found.config, Budget(EPS), Noise([SEED]).fork("sigmas"))
    assert fitted[0].tolist() == pytest.approx(theirs["sigmas"], abs=1e-4)
    assert max(theirs["sigmas"]) > 1.5  # from 1


def test_what_is_wrapped_is_part_of_the_configuration() -> None:
    said = [
        "", "sifm:preset=paper", "sifm:preset=balanced", "sifm:lam=0.2", "sifm:layers=down_blocks.1,mid_block,combine=terms", "mist"
    ]  # fmt: skip
    digests = {method("blurguard", "", {"over": text}).digest("linf") for text in said}
    assert len(digests) == len(said)
    inner = blurguard.wrapped_by(config(over="sifm:layers=down_blocks.1,mid_block,combine=terms"))
    assert inner is not None
    assert inner.config.layers == ("down_blocks.1", "mid_block")
    assert inner.config.combine == "terms"


def test_one_content_is_one_configuration_however_it_is_named(tmp_path: Path) -> None:
    """Of a target picture the bytes count, of a preset what it says; places and spellings do not."""
    for name, seed in (("a.png", 0), ("b.png", 0), ("c.png", 1)):
        Image.fromarray(picture(16, 16, seed)).save(tmp_path / name)
    a, b, c = (
        method("blurguard", "", {"over": f"ace:target={tmp_path / n}"}) for n in ("a.png", "b.png", "c.png")
    )
    assert a.digest("linf") == b.digest("linf") != c.digest("linf")
    assert a.rests_on == b.rests_on != c.rests_on
    assert str(tmp_path) not in json.dumps(plain(a.config))
    one, other = (method("blurguard", "", {"over": text}) for text in ("sifm", "sifm:preset=paper"))
    assert one.digest("linf") == other.digest("linf")


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ("noise", "expected a method that descends a loss; found 'noise'"),
        ("blurguard", "expected a method that descends a loss"),
        ("nobody", "expected one of"),
        ("sifm:lam=x", "lam=x: expected a number"),
        ("sifm:a,lam=1", "expected field=value"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(over: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        config(over=over)


@pytest.mark.parametrize("over", ["editshield:preset=released", "dct_shield"])
def test_a_loop_of_its_own_is_refused(editor: Any, over: str) -> None:
    box = editor("sd_img2img")
    found = method("blurguard", "", {"over": over})
    with pytest.raises(UsageError, match="found one of its own; wrap another"):
        found.function(box, scene(box), budget=Budget(), config=found.config, noise=noise())


@pytest.mark.parametrize("over", ["sifm:timesteps=200", "photoguard_encoder"])
def test_the_wrapped_loss_falls_and_its_words_are_kept(editor: Any, over: str) -> None:
    box = editor("sd_img2img")
    found = method("blurguard", "", {"over": over, "descent.steps": "8", "sigma_steps": "5"})
    made = found.function(box, scene(box), budget=Budget(), config=found.config, noise=noise())
    first, last = made.ends()
    assert (last < first).all()
    said = found.adaptation(box)
    assert f"over {over.partition(':')[0]}, preset" in said
    inner = blurguard.wrapped_by(found.config)
    assert inner is not None
    assert inner.loss_adaptation(box) in said
    assert "100 steps of 1/255" not in said  # of the wrapped method's loop, which did not run


def test_a_blur_is_scipys_in_its_region() -> None:
    x = torch.from_numpy(picture(48, 40)).permute(2, 0, 1)[None].double()
    left = torch.zeros(1, 1, 48, 40, dtype=torch.float64)
    left[..., :20] = 1
    regions, sigmas = torch.cat([left, 1 - left], 1), torch.tensor([[1.0, 2.5]], dtype=torch.float64)
    found = blurguard.blurred(x, sigmas, regions, 33)[0].numpy()
    for part, sigma in ((np.s_[..., :20], 1.0), (np.s_[..., 20:], 2.5)):
        wanted = x[0].numpy()
        for axis in (1, 2):  # scipy's "mirror" is torch's "reflect"
            wanted = gaussian_filter1d(wanted, sigma, axis=axis, mode="mirror", radius=16)
        np.testing.assert_allclose(found[part], wanted[part], rtol=1e-9)


def test_rings_of_the_spectrum_hold_all_power() -> None:
    """Parseval: the sum over rings is pixels times the sum of squares."""
    x = torch.from_numpy(picture(12, 9)).permute(2, 0, 1)[None].double() / 255
    found = blurguard.spectrum(x)
    assert found.sum().item() == pytest.approx(12 * 9 * x.square().sum().item(), rel=1e-6)
    assert found.shape == (1, 8)  # the corner is sqrt(5.5^2 + 4^2) = 6.8 from the middle


def test_every_pixel_is_in_one_region_and_images_have_their_own() -> None:
    x = torch.stack([torch.from_numpy(picture(16, 24, n)).permute(2, 0, 1) for n in range(2)]).double() / 255
    found = blurguard.regions_of(x, config(count="4"))
    assert found.shape == (2, 4, 16, 24)
    assert torch.equal(found.sum(1), torch.ones(2, 16, 24, dtype=torch.float64))
    assert torch.equal(found[1:], blurguard.regions_of(x[1:], config(count="4")))
    flat = blurguard.regions_of(torch.full((1, 3, 8, 8), 0.5), config())
    assert torch.equal(flat.sum(1), torch.ones(1, 8, 8))


def test_images_of_a_batch_have_the_blurs_that_they_have_alone() -> None:
    x = torch.stack([torch.from_numpy(picture(24, 24, n)).permute(2, 0, 1) for n in range(2)]).double() / 255
    few = config(sigma_steps="6", count="3")
    regions = blurguard.regions_of(x, few)
    both = blurguard.fitted(x, regions, few, Budget(), noise(2))
    alone = blurguard.fitted(x[1:], regions[1:], few, Budget(), noise(1, seed=8))
    torch.testing.assert_close(both[1:], alone)

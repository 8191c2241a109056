"""Ours against the numbers that released code gave (``released/record.py``), on tiny editors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from sifm_ref.budget import Budget  # noqa: E402
from sifm_ref.descent import gradient_of  # noqa: E402
from sifm_ref.methods import (  # noqa: E402
    ace,
    advdm,
    advpaint,
    diffusionguard,
    editshield,
    mist,
    photoguard_diffusion,
    sds,
)
from sifm_ref.noise import Noise  # noqa: E402
from sifm_ref.registry import method  # noqa: E402
from sifm_ref.scene import Scene  # noqa: E402
from tests.sifm_ref.released.advpaint import PROMPT, worded  # noqa: E402
from tests.sifm_ref.released.diffusionguard import SIZE, regions  # noqa: E402
from tests.sifm_ref.released.figures import (  # noqa: E402
    Theirs,
    cosine,
    released,
    same,
    same_change,
    same_direction,
)
from tests.sifm_ref.released.record import SEED, moved, repainted, shapes, source, tiny  # noqa: E402


@pytest.fixture(scope="module")
def box() -> Any:
    return shapes()


@pytest.fixture(scope="module")
def stock() -> Any:
    return tiny("sd_img2img")


@pytest.fixture(scope="module")
def inpainting() -> Any:
    return tiny("sd_inpaint")


def assert_equal_change(made: Any, theirs: Theirs) -> None:
    same_change(made.image - source(), theirs)


def place() -> Scene:
    return Scene(source(), ("make the circle red",))


def editshields(box: Any, preset: str, **settings: str) -> Callable[[Any, Any], Any]:
    config = method("editshield", preset, settings).config
    return gradient_of(editshield.editshield_loss(box, place(), config, Noise([SEED])))


@pytest.mark.parametrize("preset", ["released", "released_gaussian"])
def test_editshields_loss_and_gradient(box: Any, preset: str) -> None:
    same(*editshields(box, preset)(moved(), Noise([SEED])), released("editshield")[preset])


def test_editshields_range_is_a_choice_that_matters(box: Any) -> None:
    """On [-1, 1], or of the mode, it is another attack: what ``adaptation`` is, and says."""
    theirs = released("editshield")["released"]["gradient"]
    for changes in ({"shown": "signed"}, {"compare": "latent"}):
        _, gradient = editshields(box, "released", **changes)(moved(), Noise([SEED]))
        assert cosine(gradient, theirs) < 0.95, changes


def test_editshields_loop_is_adam_and_ends_in_the_budget(box: Any) -> None:
    theirs = released("editshield")["loop"]
    found = method("editshield", "released", {"descent.steps": str(theirs["steps"])})
    made = found.function(box, place(), budget=Budget(), config=found.config, noise=Noise([SEED]))
    change = made.image - source()
    same_direction(change, theirs, "change")
    assert change.abs().max().item() == pytest.approx(theirs["steps"] * 1e-3, rel=0.05)
    assert len(made.losses) == theirs["steps"] + 1
    longer = method("editshield", "released", {"descent.steps": "6"})
    tight = Budget(1 / 255)
    made = longer.function(box, place(), budget=tight, config=longer.config, noise=Noise([SEED]))
    assert (made.image - source()).abs().max() <= tight.eps + 1e-12


def test_the_direction_of_sds(stock: Any) -> None:
    """Timesteps of the whole range and a sampled latent, as ``released`` has them; ``descend`` draws others."""
    theirs = released("sds")
    found = {}
    for preset in ("released", "descend"):
        config = method("sds", preset).config
        _, found[preset] = sds.sds_direction(stock, place(), config)(moved(), Noise([SEED]))
    same_direction(found["released"], theirs)
    assert torch.equal(-found["released"].sign().flatten(), torch.tensor(theirs["sign"]).double())
    assert cosine(found["descend"], theirs["gradient"]) < 0.9


def test_photoguards_diffusion_attack(inpainting: Any) -> None:
    """Four steps of the pipeline's scheduler to where that ends, on the tiny inpainting editor."""
    theirs = released("photoguard_diffusion")
    config = method("photoguard_diffusion", "released").config
    scene = Scene(source(), ("",), repainted())
    loss, gradient = gradient_of(photoguard_diffusion.diffusion_loss(inpainting, scene, config))(
        moved(), Noise([SEED])
    )
    gradient = gradient * (1 - scene.mask)
    same(loss, gradient, theirs)


def test_photoguards_encoder_attack(stock: Any) -> None:
    """Its 0.06 and 0.02 are of pictures on [-1, 1]; twelve steps of the start, the schedule and the signs."""
    found = method("photoguard_encoder", "released", {"descent.steps": "12", "descent.step_size": "0.01"})
    made = found.function(stock, place(), budget=Budget(), config=found.config, noise=Noise([SEED]))
    assert_equal_change(made, released("photoguard_encoder"))


def test_mists_loss_and_gradient(stock: Any) -> None:
    """Both terms of one sample, to the target's mode; the release draws a sample for each, and for the target."""
    config = method("mist", "", {"period": "8"}).config
    loss = mist.mist_loss(stock, place(), config)
    same(*gradient_of(loss)(moved(), Noise([SEED])), released("mist"))


@pytest.mark.parametrize("preset", ["released", "released_plus"])
def test_aces_loss_gradient_and_steps(stock: Any, preset: str) -> None:
    """Its 8/255 and 5e-3 are of pictures on [-1, 1]: half of that here."""
    theirs = released("ace")[preset]
    found = method("ace", preset, {"period": "8", "descent.steps": "4"})
    scene = Scene(source(), ("",))
    loss, gradient = gradient_of(ace.ace_loss(stock, scene, found.config, Noise([SEED])))(
        moved(), Noise([SEED])
    )
    same(loss, gradient, theirs)
    made = found.function(stock, scene, budget=Budget(4 / 255), config=found.config, noise=Noise([SEED]))
    assert_equal_change(made, theirs)


def test_advdms_loss_gradient_and_steps(stock: Any) -> None:
    """Its 16 and 1 are of 255 levels of [0, 1]: doubled where it works on [-1, 1], and as they stand here."""
    theirs, scene = released("advdm"), Scene(source(), ("",))
    found = method("advdm", "", {"descent.steps": "4"})
    loss, gradient = gradient_of(advdm.advdm_loss(stock, scene, found.config))(moved(), Noise([SEED]))
    same(loss, gradient, theirs)
    made = found.function(stock, scene, budget=Budget(8 / 255), config=found.config, noise=Noise([SEED]))
    assert_equal_change(made, theirs)


def test_diffusionguards_masks() -> None:
    """To the pixel, without OpenCV; what is kept is inside what was kept, but for the chords between its corners."""
    from sifm_ref.methods._contour import shrunk

    theirs, config = released("diffusionguard")["masks"], method("diffusionguard").config
    for name, region in regions().items():
        for seed in range(3):
            draw = torch.Generator().manual_seed(seed)
            mine = ~shrunk(
                region,
                draw,
                strength=config.strength,
                iterations=config.iterations,
                smoothness=config.smoothness,
            )
            bits = np.frombuffer(bytes.fromhex(theirs[f"{name} {seed}"]), np.uint8)
            assert np.array_equal(mine, np.unpackbits(bits).reshape(SIZE, SIZE).astype(bool)), (name, seed)


def test_diffusionguards_loss_gradient_and_steps(inpainting: Any) -> None:
    """Its 16/255 and 1/255 are of pictures on [-1, 1]: half of that here; every step has a mask of its own."""
    theirs, scene = released("diffusionguard"), Scene(source(), ("",), repainted())
    single = method("diffusionguard", "single").config
    loss, gradient = gradient_of(diffusionguard.diffusionguard_loss(inpainting, scene, single))(
        moved(), after_the_masks_seed()
    )
    same(loss, gradient, theirs)
    found = method("diffusionguard", "released", {"descent.steps": "4"})
    made = found.function(inpainting, scene, budget=Budget(8 / 255), config=found.config, noise=Noise([SEED]))
    assert_equal_change(made, theirs)


def after_the_masks_seed() -> Noise:
    """A mask that is not moved draws no seed."""
    drawing = Noise([SEED])
    drawing.integers(0, 2**31 - 1, torch.device("cpu"))
    return drawing


def test_advpaints_loss_gradient_and_steps() -> None:
    """With its own attention processors; its .06 and .03 are of pictures on [-1, 1]; then the steps of both stages."""
    box, theirs, scene = worded(), released("advpaint"), Scene(source(), (PROMPT,), repainted())
    settings = {"descent.steps": "4", "descent.start": "zero"}
    found = method("advpaint", "released", settings)
    goal = advpaint.advpaint_loss(box, scene, source(), found.config, Noise([SEED]))
    loss, gradient = gradient_of(goal)(moved(), Noise([SEED]).fork("draws"))
    same(loss, gradient, theirs)
    made = found.function(box, scene, budget=Budget(), config=found.config, noise=Noise([SEED]))
    assert_equal_change(made, theirs)
    assert len(made.losses) == 5

"""Gradients of every method against finite differences, in float64, on real (tiny) pipelines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from sifm_ref.budget import Budget  # noqa: E402
from sifm_ref.descent import Descent  # noqa: E402
from sifm_ref.editor import Memory, WhiteBox  # noqa: E402
from sifm_ref.methods import (  # noqa: E402
    sds,
    sifm,
)
from tests.sifm_ref.released.figures import keep, written  # noqa: E402
from tests.sifm_ref.scenes import OPTIMISED, WHITE, noise, quick, samples, scene  # noqa: E402

STEP = 1e-5
TOLERANCE = 1e-3


# the gradient of no function: tested by what it is, below; of latents that are held: with moved ones below, and by the
# numbers of its release; of another variable than the picture: test_dct_shield.py
DIRECTIONS = ("sds", "advpaint", "dct_shield")


class _Given(Exception):
    """Carries out what a method hands to the loop."""


def objective(name: str, editor: WhiteBox, **changes: Any) -> Callable[[Any, Any], Any]:
    """(loss, gradient) of a method at an image with given noise, whatever the method: what it hands to the loop."""

    def given_to(descent: Descent, gradient: Callable[[Any, Any], Any], *args: Any, **more: Any) -> Any:
        raise _Given(gradient)

    found = quick(name, **changes)
    with pytest.MonkeyPatch.context() as patch:
        for loop in (Descent, *Descent.__subclasses__()):
            patch.setattr(loop, "run", given_to)
        with pytest.raises(_Given) as caught:
            found.function(editor, scene(editor), budget=Budget(), config=found.config, noise=noise())
    given: Callable[[Any, Any], Any] = caught.value.args[0]
    return given


def moved(editor: WhiteBox, seed: int = 3) -> Any:
    """An image near the scene's source, inside the open cube."""
    source = scene(editor).source
    draw = torch.randn(source.shape, generator=torch.Generator().manual_seed(seed), dtype=source.dtype)
    return (source + 0.02 * draw).clamp(0.01, 0.99)


def assert_agree(gradient: Callable[[Any, Any], Any], x: Any, method: str) -> None:
    _, found = gradient(x, noise(seed=11))
    assert found.abs().max() > 0
    for place in samples(found):
        plus, minus = x.clone(), x.clone()
        plus[place] += STEP
        minus[place] -= STEP
        difference = gradient(plus, noise(seed=11))[0] - gradient(minus, noise(seed=11))[0]
        expected = float(difference.sum()) / (2 * STEP)
        error, largest = abs(float(found[place]) - expected), float(found.abs().max())
        keep(method, "finite differences", error / largest)
        assert error <= TOLERANCE * abs(expected) + 1e-6 * largest, (place, expected)


# a loss that is held to released numbers as well, or is costly: always on one U-Net and the transformer
OFTEN = ("instruct_pix2pix", "sd3_img2img")
SELDOM = {*written(), "spin_reading"}
PAIRS = [
    pytest.param(name, method, marks=pytest.mark.slow if method in SELDOM and name not in OFTEN else ())
    for method in OPTIMISED
    if method not in DIRECTIONS
    for name in WHITE
]


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_every_gradient_agrees_with_finite_differences(editor: Any, name: str, method: str) -> None:
    box = editor(name, "fp64")
    assert_agree(objective(method, box), moved(box), method)


@pytest.mark.parametrize("transform", ["center_crop", "gaussian", "rotation"])
def test_editshield_through_its_transformations(editor: Any, transform: str) -> None:
    box = editor("instruct_pix2pix", "fp64")
    assert_agree(objective("editshield", box, transform=transform), moved(box), "editshield")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "sd_inpaint" else pytest.mark.slow) for n in WHITE]
)
def test_advpaint_with_latents_that_are_not_held(editor: Any, name: str) -> None:
    box = editor(name, "fp64")
    assert_agree(objective("advpaint", box, latents="moved"), moved(box), "advpaint")


def test_semantic_attack_with_its_mask_on_the_map(editor: Any) -> None:
    box = editor("instruct_pix2pix", "fp64")
    assert_agree(objective("semantic_attack", box, mask="map"), moved(box), "semantic_attack")


@pytest.mark.parametrize(
    "changes",
    [
        {"divergence": "cosine", "norm": "l2"},
        {"divergence": "l2", "divergence_reduction": "sum", "norm_reduction": "sum"},
        {"scale": "clean", "lam": 1.0},
        {"latent": "sample"},
        {"noise": "fresh"},
        {"canvas": "noise"},
        {"canvas": "protected"},
        {"condition": "source"},
        {"combine": "terms", "layers": ("mid_block", "down_blocks.0.resnets.0", "up_blocks.1")},
        {"combine": "features", "layers": ("mid_block.resnets.0", "mid_block.attentions.0")},
    ],
    ids=str,
)
def test_every_choice_of_sifm(editor: Any, changes: dict[str, Any]) -> None:
    box = editor("instruct_pix2pix", "fp64")
    assert_agree(objective("sifm", box, **changes), moved(box), "sifm")


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("instruct_pix2pix", ("mid_block",)),
        ("instruct_pix2pix", ("down_blocks.1.resnets.0.conv2", "up_blocks.0.attentions.1")),
        ("sd3_img2img", ("transformer_blocks.2",)),
        ("sd3_img2img", ("transformer_blocks.1.attn", "transformer_blocks.3")),
    ],
)
@pytest.mark.parametrize("batch", [1, 2])
def test_checkpointed_and_batched_gradients_of_hooked_features(
    editor: Any, name: str, layers: tuple[str, ...], batch: int
) -> None:
    box = editor(name, "fp64")
    plain = objective("sifm", box, layers=layers, combine="terms")
    x = moved(box)
    loss, expected = plain(x, noise())
    box.memory = Memory(timestep_batch=batch, checkpoint=True)
    saving = objective("sifm", box, layers=layers, combine="terms")
    again, found = saving(x, noise())
    torch.testing.assert_close(again, loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12)
    assert_agree(saving, x, "sifm")


@pytest.mark.parametrize("name", WHITE)
@pytest.mark.parametrize("mode", ["-", "+"])
def test_the_direction_of_sds_is_that_of_its_inner_product(editor: Any, name: str, mode: str) -> None:
    """``<sign (answer - target), z(x)>`` with the bracket held fixed: the VAE is differentiated, nothing else."""
    box = editor(name, "fp64")
    place, x = scene(box), moved(box)
    config = quick("sds", mode=mode).config
    _, found = sds.sds_direction(box, place, config)(x, noise(seed=5))
    with torch.no_grad():
        drawing = noise(seed=5)
        look = box.look(x, place.mask)
        t = drawing.integers(config.low, config.high, x.device)
        drawn = drawing.normal(look.latents.shape[1:], look.latents)
        text = box.text([config.prompt])
        held = box.predict(box.noised(look.latents, drawn, t), t, text, look.condition)
        held = (1 if mode == "-" else -1) * (held - box.target(look.latents, drawn, t))

        def inner(image: Any) -> float:
            return float((held * box.look(image, place.mask).latents).sum())

        for where in samples(found):
            plus, minus = x.clone(), x.clone()
            plus[where] += STEP
            minus[where] -= STEP
            expected = (inner(plus) - inner(minus)) / (2 * STEP)
            floor = 1e-6 * float(found.abs().max())
            assert abs(float(found[where]) - expected) <= TOLERANCE * abs(expected) + floor


def test_one_encode_for_all_timesteps_is_the_straightforward_gradient(editor: Any) -> None:
    """Written as one first would: for every timestep encode, the whole U-Net, backward to the pixels."""
    box = editor("instruct_pix2pix")
    place, config = scene(box), quick("sifm", canvas="protected").config
    goal = sifm.Objective(box, place, config, noise())
    x = moved(box)
    total, whole = torch.zeros_like(x), torch.zeros(1)
    for t in config.timesteps:
        image = x.detach().requires_grad_()
        raw = box.vae.encode(2 * image - 1).latent_dist.mode()
        held: list[Any] = []
        hook = box.predictor.mid_block.register_forward_hook(lambda *a, held=held: held.append(a[2]))
        noisy = box.noised(raw * box.vae.config.scaling_factor, goal._draws[t], torch.tensor([t]))
        box.predictor(torch.cat([noisy, raw], 1), torch.tensor([t]), **goal.text)
        hook.remove()
        features, clean = held[0].flatten(1), goal._clean[t][0]
        loss = features.abs().mean() - config.lam * (features - clean).square().mean()
        whole += loss.detach() / len(config.timesteps)
        total += torch.autograd.grad(loss, image)[0] / len(config.timesteps)
    value, found = goal.gradient(x, noise())
    torch.testing.assert_close(value, whole, rtol=1e-5, atol=0)
    assert (found - total).norm() <= 1e-4 * total.norm()

"""The reading of SPIN's abstract: what its choices mean, and that it never passes for SPIN."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.errors import UsageError  # noqa: E402
from sifm_ref.editor import Memory  # noqa: E402
from sifm_ref.methods.spin_reading import PRESETS, Config, adaptation, spin_loss  # noqa: E402
from tests.sifm_ref.scenes import noise, scene  # noqa: E402


@pytest.mark.parametrize("name", ["instruct_pix2pix", "sd3_img2img"])
def test_without_spread_the_sources_projection_is_its_own_reference(editor: Any, name: str) -> None:
    box = editor(name, "fp64")
    place = scene(box)
    still = Config(steps=4, spread=0.0, neighbours=2, reference="projection")
    loss = spin_loss(box, place, still, noise())
    assert loss(place.source, noise()).item() == pytest.approx(0, abs=1e-20)
    assert loss((place.source + 0.02).clamp(0, 1), noise()).item() < 0


def test_a_neighbour_is_the_state_with_noise_and_its_end_one_step_away(editor: Any) -> None:
    """Written out for one neighbour, no prefix, and the source's edit of one step as the reference."""
    box = editor("sd_img2img", "fp64")
    place = scene(box)
    config = Config(steps=4, prefix=0, neighbours=1, spread=0.5, reference_steps=1)
    found = spin_loss(box, place, config, noise())(place.source, noise(seed=5))
    text, empty = box.text(place.prompts), box.text([""])
    look = box.look(place.source)
    first = noise().fork("spin").normal(look.latents.shape[1:], look.latents)
    drawn = noise(seed=5).normal(look.latents.shape[1:], look.latents)

    def end(steps: int, away: float) -> Any:
        t = int(box.schedule(steps, look.latents)[0])
        at = torch.tensor([t])
        z = box.noised(look.latents, first, at) + away * drawn
        return box.advance(z, box.guided(z, at, text, empty, look), t, -1, 0.0, drawn)

    wanted = -(end(4, 0.5) - end(1, 0.0)).square().mean()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-9)


def test_checkpointing_changes_nothing(editor: Any) -> None:
    box = editor("instruct_pix2pix", "fp64")
    place, config = scene(box), Config(steps=4, neighbours=2, reference_steps=1)
    plain = spin_loss(box, place, config, noise())(place.source, noise())
    box.memory = Memory(checkpoint=True)
    saving = spin_loss(box, place, config, noise())(place.source.requires_grad_(), noise())
    assert saving.item() == pytest.approx(plain.item(), rel=1e-12)
    saving.backward()
    assert place.source.grad.abs().max() > 0


def test_it_says_that_it_is_not_spin(editor: Any) -> None:
    said = adaptation(editor("sd_img2img"), PRESETS["reading"])
    assert said.startswith("our reading of SPIN's abstract")
    assert "not SPIN" in said


@pytest.mark.parametrize(
    "wrong", [{"prefix": 50}, {"neighbours": 0}, {"spread": -1.0}, {"reference": "other"}]
)
def test_choices_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"spin_reading: .*expected"):
        Config(**wrong)

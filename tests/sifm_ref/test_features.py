"""Hooks, stopping early, splitting a gradient."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.errors import UsageError  # noqa: E402
from sifm_ref.features import accumulating, checkpointed, layer_names, outputs, split_gradient  # noqa: E402
from tests.sifm_ref.scenes import noise, scene  # noqa: E402


def answer(box: Any) -> Any:
    place = scene(box)
    look = box.look(place.source, place.mask)
    drawn = noise().normal(look.latents.shape[1:], look.latents)
    t, text = torch.tensor([300]), box.text(place.prompts)
    return lambda: box.predict(box.noised(look.latents, drawn, t), t, text, look.condition)


def test_patterns_name_layers_in_the_networks_order(editor: Any) -> None:
    network = editor("sd_img2img").predictor
    found = layer_names(network, ["up_blocks.*", "mid_block"])
    assert found == ("up_blocks.0", "up_blocks.1", "mid_block") or found == (
        "mid_block",
        "up_blocks.0",
        "up_blocks.1",
    )
    with pytest.raises(UsageError, match=r"'mid_blok': no such layer; near it: mid_block"):
        layer_names(network, ["mid_blok", "mid_block"])


def test_a_layer_that_never_runs_is_named(editor: Any) -> None:
    """A list of modules has a name and is never called."""
    box = editor("sd_img2img")
    with pytest.raises(
        UsageError, match=r"found mid_block.resnets, which it never calls; .*mid_block.resnets\.\*"
    ):
        outputs(box.predictor, ["mid_block.resnets", "mid_block"], box.feature, answer(box))


def test_the_network_stops_at_the_deepest_layer(editor: Any) -> None:
    box = editor("sd_img2img")
    called = []
    handle = box.predictor.up_blocks[0].register_forward_hook(lambda *_: called.append(1))
    try:
        early = outputs(box.predictor, ["mid_block", "down_blocks.0"], box.feature, answer(box))
        assert not called
        late = outputs(box.predictor, ["mid_block", "down_blocks.0"], box.feature, answer(box), whole=True)
        assert called
    finally:
        handle.remove()
    for a, b in zip(early, late, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not any(m._forward_hooks for m in box.predictor.modules())


@pytest.mark.parametrize(
    "layer", ["transformer_blocks.1", "transformer_blocks.1.attn", "transformer_blocks.3"]
)
def test_features_of_a_joint_layer_are_the_images(editor: Any, layer: str) -> None:
    """A block returns (text, image), its attention (image, text)."""
    box = editor("sd3_img2img")
    (found,) = outputs(box.predictor, [layer], box.feature, answer(box))
    side = scene(box).source.shape[-1] // box.multiple
    assert found.shape[1] == side**2
    assert found.shape[1] != box.text(["make the circle red"])["encoder_hidden_states"].shape[1]


def test_a_unit_with_a_hooked_layer_inside_is_not_run_again(editor: Any) -> None:
    box = editor("sd_img2img")
    units = dict(box.units())
    name = next(iter(units))
    with checkpointed(box.units(), [f"{name}.conv1"]):
        assert "forward" not in vars(units[name])
        assert sum("forward" in vars(u) for u in units.values()) == len(units) - 1
    assert not any("forward" in vars(u) for u in units.values())


def test_memory_is_saved_by_running_again(editor: Any) -> None:
    """Bytes that autograd keeps for the backward pass, counted as they are packed."""
    from sifm_ref.editor import Memory
    from sifm_ref.methods.sifm import Objective
    from tests.sifm_ref.scenes import quick

    def kept(memory: Memory) -> int:
        box = editor("sd_img2img")
        box.memory = memory
        place = scene(box, size=32)
        goal = Objective(box, place, quick("sifm").config, noise())
        stored: dict[int, int] = {}

        def pack(x: Any) -> Any:
            if not isinstance(x, torch.nn.Parameter):
                stored[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            x = place.source.clone().requires_grad_()
            look = box.look(x)
            goal._loss(look, [200])
        return sum(stored.values())

    assert kept(Memory(checkpoint=True)) < 0.7 * kept(Memory())


def test_split_gradient_is_the_whole_gradient() -> None:
    x = torch.rand(2, 5, dtype=torch.float64, requires_grad=True)
    a, b = x.sin(), x.exp()
    losses = [lambda p: (p[0] * p[1]).sum(dim=1), lambda p: p[1].square().sum(dim=1)]
    value, found = split_gradient(x, (a, b), losses)
    whole = (x.sin() * x.exp()).sum(dim=1) + x.exp().square().sum(dim=1)
    (expected,) = torch.autograd.grad(whole.sum(), x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(value, whole.detach())


def test_sums_do_not_overflow_half_precision() -> None:
    """65,504 is fp16's end: the sum of |features| of a U-Net's middle is beyond it."""
    features = torch.full((1, 81_920), 2.0, dtype=torch.float16)
    assert features.abs().sum(dim=1).isinf().all()
    from sifm_ref.methods.sifm import Config, norm_of

    assert norm_of(accumulating(features), Config(norm_reduction="sum")).item() == 163_840
    assert accumulating(features.double()).dtype is torch.float64

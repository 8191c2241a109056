"""Every method on every white box: budget, determinism, what it promises."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.errors import UsageError  # noqa: E402
from sifm_ref.budget import Budget, measure, obeying  # noqa: E402
from sifm_ref.descent import Descent  # noqa: E402
from sifm_ref.editor import Memory  # noqa: E402
from sifm_ref.pictures import to_array  # noqa: E402
from sifm_ref.registry import method, names, plain  # noqa: E402
from sifm_ref.scene import silent  # noqa: E402
from tests.sifm_ref.scenes import METHODS, OPTIMISED, WHITE, noise, quick, scene  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs" / "immunize.md"


def protect(name: str, box: Any, *, batch: int = 1, budget: Budget | None = None, **changes: Any) -> Any:
    found = quick(name, **changes)
    return found.function(
        box, scene(box, batch=batch), budget=budget or Budget(), config=found.config, noise=noise(batch)
    )


@pytest.mark.parametrize("which", METHODS)
def test_a_method_says_what_it_is(which: str) -> None:
    found = method(which)
    assert found.function.__doc__
    assert found.preset
    assert found.config.__dataclass_params__.frozen


@pytest.mark.parametrize(
    ("which", "said"),
    [
        # the abstract of arXiv 2512.14320; README.md of Diff-Protect ac5ffdb and of SemanticAttack 952f290
        ("sifm", "SIFM, Synergistic Intermediate Feature Manipulation"),
        ("sds", "Toward effective protection against diffusion-based mimicry through score distillation"),
        # README.md of ACE 4413f6a and of DiffusionGuard 96e28c1 and of AdvPaint aa2a642; the abstracts of arXiv 2302.04578 and 2504.17894
        ("ace", "ACE and ACE+, of \"Understanding and improving adversarial attacks on latent diffusion model\""),
        ("diffusionguard", "DiffusionGuard: A Robust Defense Against Malicious Diffusion-based Image Editing"),
        ("advpaint", "AdvPaint: Protecting Images from Inpainting Manipulation via Adversarial Attention Disruption"),
        ("dct_shield", "DCT-Shield: A Robust Frequency Domain Defense against Malicious Image Editing"),
        ("advdm", "Adversarial Example Does Good: Preventing Painting Imitation from Diffusion Models via Adversarial Examples"),
        ("semantic_attack", "Distraction is All You Need: Memory-Efficient Image Immunization against Diffusion-Based"),
    ],
)  # fmt: skip
def test_methods_bear_the_names_that_their_authors_gave_them(which: str, said: str) -> None:
    module = sys.modules[method(which).function.__module__]
    assert said in " ".join((module.__doc__ or "").split())


def test_sifm_is_spelt_out_where_it_is_introduced() -> None:
    root = DOCS.parents[1]
    for page in (root / "README.md", DOCS, DOCS.with_name("sifm.md")):
        assert "SIFM (Synergistic Intermediate Feature Manipulation" in " ".join(
            page.read_text("utf-8").split()
        )


@pytest.mark.parametrize("name", WHITE)
@pytest.mark.parametrize("which", METHODS)
def test_every_method_on_every_white_box(editor: Any, name: str, which: str) -> None:
    box = editor(name)
    place = scene(box)
    found, again = protect(which, box), protect(which, box)
    assert torch.equal(found.image, again.image)
    source, image = to_array(place.source)[0], to_array(found.image)[0]
    original = np.rint(source * 255).astype(np.uint8)
    measured = measure(original, obeying(original, image, Budget()))
    assert measured.within(Budget())
    assert 0 < measured.linf <= 7 / 255
    assert measured.psnr > 29
    assert found.image.min() >= 0
    assert found.image.max() <= 1
    assert bool(found.losses) == (which in OPTIMISED)
    if place.mask is not None:
        assert ((found.image - place.source) * place.mask).abs().max() == 0


@pytest.mark.parametrize("which", METHODS)
def test_an_l2_budget(editor: Any, which: str) -> None:
    box, budget = editor("instruct_pix2pix"), Budget(0.5, "l2")
    changes = {} if which not in OPTIMISED else {"descent": Descent(3, 0.2, start="tiny")}
    found = protect(which, box, budget=budget, **changes)
    assert (found.image - scene(box).source).norm() <= 0.5 * (1 + 1e-5)


@pytest.mark.parametrize("which", ["sifm", "photoguard_encoder", "photoguard_diffusion", "semantic_attack"])
def test_the_loss_falls(editor: Any, which: str) -> None:
    found = protect(which, editor("sd_img2img"), descent=Descent(10, 1 / 255, start="tiny"))
    first, last = found.ends()
    assert (last < first).all()


def test_noise_of_signs_has_the_distortion_of_a_signed_method(editor: Any) -> None:
    """Saved, at eps .03: 7 levels everywhere (L1 7, energy 49); uniform whole levels: 7 * 8 / 15 and 7 * 8 / 3."""
    box = editor("sd_img2img")
    place = scene(box, size=96)
    place = replace(place, source=place.source.clone())
    place.source[..., :8, :8] = 0.0  # a black corner: signs are turned, nothing is clipped
    original = np.rint(to_array(place.source)[0] * 255).astype(np.uint8)
    found = {}
    for preset in ("sign", "uniform"):
        chosen = method("noise", preset)
        made = chosen.function(box, place, budget=Budget(), config=chosen.config, noise=noise())
        saved = obeying(original, to_array(made.image)[0], Budget())
        found[preset] = saved.astype(int) - original
    assert set(np.unique(found["sign"])) == {-7, 7}
    assert set(np.unique(found["uniform"])) == set(range(-7, 8))
    middle = found["uniform"][8:, 8:]
    assert np.abs(middle).mean() == pytest.approx(56 / 15, rel=0.02)
    assert (middle**2).mean() == pytest.approx(56 / 3, rel=0.03)
    assert method("noise").preset == "sign"
    chosen, budget = method("noise"), Budget(0.5, "l2")
    made = chosen.function(box, place, budget=budget, config=chosen.config, noise=noise())
    change = made.image - place.source
    assert change.norm().item() == pytest.approx(0.5, rel=1e-4)
    assert change.abs().min().item() == pytest.approx(change.abs().max().item(), rel=1e-3)


def test_images_of_a_batch_are_protected_as_alone(editor: Any) -> None:
    """Each has its own noise; the batch changes the last digits only, so few signs."""
    box = editor("sd_img2img", "fp64")
    both = protect("sifm", box, batch=2)
    alone = quick("sifm")
    place = scene(box, batch=2)
    second = alone.function(
        box, replace(place, source=place.source[1:], prompts=place.prompts[1:]),
        budget=Budget(), config=alone.config, noise=noise(1, seed=8),
    )  # fmt: skip
    torch.testing.assert_close(both.image[1:], second.image)


def test_timesteps_together_are_as_one_by_one(editor: Any) -> None:
    box = editor("instruct_pix2pix", "fp64")
    single = protect("sifm", box)
    box.memory = Memory(timestep_batch=2)
    torch.testing.assert_close(protect("sifm", box).image, single.image)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision(editor: Any, dtype: str) -> None:
    found = protect("sifm", editor("instruct_pix2pix", dtype))
    assert found.image.dtype is torch.float32
    assert found.image.isfinite().all()
    assert found.losses[0].dtype is torch.float32


def test_divergence_alone_never_moves_from_zero(editor: Any) -> None:
    """Algorithm 1 as it is written: a squared distance has no gradient at its minimum."""
    box = editor("sd_img2img")
    still = protect("sifm", box, weight_norm=0.0, descent=Descent(3))
    assert torch.equal(still.image, scene(box).source)
    moved = protect("sifm", box, weight_norm=0.0, descent=Descent(3, start="tiny"))
    assert (moved.image - scene(box).source).abs().max() > 1 / 255


def test_sifm_must_see_what_it_protects(editor: Any) -> None:
    with pytest.raises(UsageError, match="canvas or condition to protected"):
        protect("sifm", editor("sd_img2img"), canvas="noise")
    with pytest.raises(UsageError, match="canvas or condition to protected"):
        protect("sifm", editor("instruct_pix2pix"), canvas="source", condition="source")
    with pytest.raises(UsageError, match="layers of one shape"):
        protect("sifm", editor("sd_img2img"), layers=("mid_block", "up_blocks.1"))


def test_the_canvas_is_what_the_editor_edits_on(editor: Any) -> None:
    """An editor with a condition never has the protected image as its canvas; one without sees it nowhere else."""
    from sifm_ref.methods.sifm import Config, Objective, canvas_of

    wanted = {
        "instruct_pix2pix": "source",
        "sd_inpaint": "source",
        "sd_img2img": "protected",
        "sd3_img2img": "protected",
    }
    for name, canvas in wanted.items():
        box = editor(name)
        assert canvas_of(box, Config()) == canvas
        assert canvas_of(box, Config(canvas="noise")) == "noise"
    box = editor("instruct_pix2pix")
    place, config = scene(box), quick("sifm", canvas="auto").config
    x = (place.source + 0.02).clamp(0, 1)
    auto, source, other = (
        Objective(box, place, replace(config, canvas=c), noise()).gradient(x, noise())[1]
        for c in ("auto", "source", "protected")
    )
    assert torch.equal(auto, source)
    assert not torch.equal(auto, other)


def test_sifm_terms_by_hand() -> None:
    from sifm_ref.methods.sifm import Config, divergence_of, norm_of

    f, c = torch.tensor([[3.0, -4.0]]), torch.tensor([[0.0, 4.0]])
    assert norm_of(f, Config()).item() == 3.5
    assert norm_of(f, Config(norm_reduction="sum")).item() == 7
    assert norm_of(f, Config(norm="l2", norm_reduction="sum")).item() == 5
    assert norm_of(f, Config(norm="l2")).item() == pytest.approx(5 / 2**0.5)
    assert divergence_of(f, c, Config()).item() == pytest.approx((9 + 64) / 2)
    assert divergence_of(f, c, Config(divergence="l2", divergence_reduction="sum")).item() == pytest.approx(
        73**0.5
    )
    assert divergence_of(f, c, Config(divergence="cosine")).item() == pytest.approx(1 + 16 / 20)


def test_balanced_terms_do_not_know_the_scale_of_a_layer(editor: Any) -> None:
    """Features twice as large: the same loss, so lambda means the same."""
    from sifm_ref.methods.sifm import PRESETS, Objective

    goal = Objective.__new__(Objective)
    goal.config = PRESETS["balanced"]
    draw = torch.Generator().manual_seed(0)
    f, c = torch.randn(2, 50, generator=draw), torch.randn(2, 50, generator=draw)
    torch.testing.assert_close(goal._terms(f, c), goal._terms(2 * f, 2 * c))
    wide = torch.cat([f, f], 1), torch.cat([c, c], 1)
    torch.testing.assert_close(goal._terms(f, c), goal._terms(*wide))


def test_presets_are_the_papers_ablations() -> None:
    found = {n: method("sifm", n).config for n in ("paper", "divergence_only", "norm_only")}
    assert found["paper"].lam == 0.1
    assert found["paper"].descent.steps == 100
    assert found["divergence_only"].weight_norm == 0
    assert found["norm_only"].lam == 0
    assert [method("sifm", f"lambda_{v}").config.lam for v in ("0.001", "0.01", "0.1", "1")] == [
        0.001,
        0.01,
        0.1,
        1,
    ]


def test_attention_is_the_processors_own(editor: Any) -> None:
    """The maps of SA are the probabilities that diffusers computes."""
    box = editor("sd_img2img")
    module = dict(box.predictor.named_modules())[box.attention_layers()[0]]
    image, text = torch.randn(1, 6, module.to_q.in_features), torch.randn(1, 5, module.to_k.in_features)
    mine = box.attention(module, (image,), {"encoder_hidden_states": text})
    q, k = (module.head_to_batch_dim(x) for x in (module.to_q(image), module.to_k(text)))
    torch.testing.assert_close(mine[0], module.get_attention_scores(q, k))


def test_the_mask_of_sa_is_laid_on_the_picture(editor: Any) -> None:
    """``Att(M * x)``: what M leaves out has no gradient; ``map`` sees the whole image."""
    from sifm_ref.methods.semantic_attack import Objective

    box = editor("sd_img2img")
    place, config = scene(box), quick("semantic_attack").config
    masked = Objective(box, place, config, noise())
    _, found = masked.gradient(place.source, noise())
    outside = (masked._kept == 0).expand_as(found)
    assert outside.any()
    assert found[outside].abs().max() == 0
    assert found[~outside].abs().max() > 0
    _, whole = Objective(box, place, replace(config, mask="map"), noise()).gradient(place.source, noise())
    assert whole[outside].abs().max() > 0
    with pytest.raises(UsageError, match="expected image or map; found 'all'"):
        replace(config, mask="all")


def test_sa_shows_grey_where_its_mask_leaves_out(editor: Any) -> None:
    """As the public code, which multiplies pictures on [-1, 1] (SemanticAttack 952f290); black is a choice."""
    from sifm_ref.methods.semantic_attack import Objective

    box = editor("sd_img2img", "fp64")
    place, config = scene(box), quick("semantic_attack").config
    for outside, level in (("grey", 0.5), ("black", 0.0)):
        goal = Objective(box, place, replace(config, outside=outside), noise())
        seen, kept = goal._seen(place.source), goal._kept.expand_as(place.source)
        assert (seen[kept == 0] == level).all()
        torch.testing.assert_close(seen[kept == 1], place.source[kept == 1])
    grey = Objective(box, place, config, noise())
    theirs = (grey._kept * (2 * place.source - 1) + 1) / 2
    torch.testing.assert_close(grey._seen(place.source), theirs)
    assert "black" in method("semantic_attack", "", {"outside": "black"}).adaptation(box)
    with pytest.raises(UsageError, match="expected grey or black; found 'white'"):
        replace(config, outside="white")


def test_mist_takes_a_target_picture(editor: Any, tmp_path: Path) -> None:
    """Known by its bytes: the same file elsewhere is the same treatment, another is another."""
    from PIL import Image

    from sifm_ref.methods import mist
    from sifm_ref.methods._target import pattern

    box, place = editor("sd_img2img", "fp64"), scene(editor("sd_img2img"))
    drawn = pattern(place.source, 8)
    levels = np.rint(to_array(drawn)[0] * 255).astype(np.uint8)
    for name, picture in (("a.png", levels), ("b.png", levels), ("c.png", 255 - levels)):
        Image.fromarray(picture).save(tmp_path / name)
    a, b, c = (
        method("mist", "", {"target": str(tmp_path / n), "period": "8"}) for n in ("a.png", "b.png", "c.png")
    )
    assert a.digest("linf") == b.digest("linf") != c.digest("linf")
    assert str(tmp_path) not in str(plain(a.config))
    own = method("mist", "", {"period": "8"})
    losses = [mist.mist_loss(box, scene(box), m.config)(scene(box).source, noise()) for m in (own, a, c)]
    torch.testing.assert_close(losses[0], losses[1])
    assert losses[0].item() != losses[2].item()
    assert "pattern of our own" in own.adaptation(box)
    assert "pattern of our own" not in a.adaptation(box)
    with pytest.raises(UsageError, match="expected a picture's file; found none at"):
        method("mist", "", {"target": str(tmp_path / "none.png")})


def test_advdm_is_mists_semantic_term(editor: Any) -> None:
    """Mist is the textural term less its weight times what AdvDM ascends, of the same draws."""
    from sifm_ref.methods import advdm, mist

    box = editor("sd_img2img", "fp64")
    place = scene(box)
    x = (place.source + 0.02).clamp(0, 1)
    whole, textural = (
        mist.mist_loss(box, place, method("mist", preset).config)(x, noise())
        for preset in ("shared", "textural")
    )
    alone = advdm.advdm_loss(box, place, method("advdm").config)(x, noise())
    torch.testing.assert_close(whole, textural + 1e4 * alone)


def test_joint_attention_looks_at_the_text(editor: Any) -> None:
    box = editor("sd3_img2img")
    module = dict(box.predictor.named_modules())[box.attention_layers()[0]]
    image, text = torch.randn(1, 6, 32), torch.randn(1, 5, 32)
    mine = box.attention(module, (), {"hidden_states": image, "encoder_hidden_states": text})
    assert mine.shape == (1, 4, 6, 5)
    seen = {}
    kept = torch.nn.functional.scaled_dot_product_attention

    def spy(q: Any, k: Any, v: Any, **kw: Any) -> Any:
        seen["p"] = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        return kept(q, k, v, **kw)

    torch.nn.functional.scaled_dot_product_attention = spy
    try:
        module(hidden_states=image, encoder_hidden_states=text)
    finally:
        torch.nn.functional.scaled_dot_product_attention = kept
    torch.testing.assert_close(mine, seen["p"][:, :, :6, 6:])


def test_sds_reads_its_prompt_once(editor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    box, calls, text = editor("sd_img2img"), [], editor("sd_img2img").text
    monkeypatch.setattr(box, "text", lambda prompts: calls.append(1) or text(prompts))
    protect("sds", box)
    assert len(calls) == 1


def test_settings_as_texts() -> None:
    found = method("sifm", "balanced", {"layers": "mid_block,up_blocks.1", "descent.steps": "7", "lam": "2"})
    assert found.config.layers == ("mid_block", "up_blocks.1")
    assert found.config.descent.steps == 7
    assert found.config.lam == 2.0
    with pytest.raises(
        UsageError, match=r"(?s)2 setting\(s\).*lama=1.*expected a field out of layers.*descent.steps=x"
    ):
        method("sifm", "", {"lama": "1", "descent.steps": "x"})
    with pytest.raises(UsageError, match="did you mean sifm"):
        method("sfim")
    with pytest.raises(UsageError, match="has paper, balanced"):
        method("sifm", "papers")
    assert found.digest("linf") != method("sifm", "balanced").digest("linf")


def test_half_precision_gradients_are_scaled() -> None:
    """1 / 81,920 squared is below fp16's smallest number: unscaled, such a gradient is zero."""
    from sifm_ref.descent import gradient_of
    from sifm_ref.features import HALF_SCALE

    def loss(x: Any, noise: Any) -> Any:
        return 1e-8 * x.half().float().flatten(1).sum(dim=1)

    x = torch.ones(1, 3, 2, 2)
    assert gradient_of(loss)(x, None)[1].abs().max() == 0
    torch.testing.assert_close(
        gradient_of(loss, HALF_SCALE)(x, None)[1], torch.full_like(x, 1e-8), rtol=1e-2, atol=0
    )


def test_editshields_numbers_are_of_unit_pictures() -> None:
    """The released code has ``ToTensor`` and no ``Normalize``: its step of 1/255 and its .05 are ours as they stand."""
    declared = method("editshield", "declared").config
    assert (declared.descent.steps, declared.descent.step_size) == (30, pytest.approx(1 / 255))
    assert declared.shown == "unit"
    released = method("editshield", "released").config
    assert (released.descent.steps, released.descent.step_size, released.loop) == (30, 1e-3, "adam")


def test_methods_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point ``sifm_ref.methods`` is found by its name, like a file."""
    from importlib import metadata

    point = metadata.EntryPoint("theirs", "sifm_ref.methods.noise:noise", "sifm_ref.methods")

    def entry_points(*, group: str, **more: str) -> Any:
        found = [point] if group == "sifm_ref.methods" else []
        return [p for p in found if more.get("name", p.name) == p.name]

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    assert "theirs" in names("methods")
    found = method("theirs")
    assert found.function is method("noise").function
    assert found.name == "theirs"


def test_the_method_in_the_docs(editor: Any, tmp_path: Path) -> None:
    """A method of one's own, as ``docs/immunize.md`` has it: its loss falls, and no budget is broken."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "def protect(" in block)
    (tmp_path / "mine.py").write_text(code, "utf-8")
    box = editor("sd_img2img")
    found = method(f"{tmp_path / 'mine.py'}:protect", "mine", {"descent.steps": "5"})
    made = found.function(
        box, scene(box), budget=Budget(), config=found.config, noise=noise(), callback=silent
    )
    assert (made.losses[-1] < made.losses[0]).all()
    assert 0 < (made.image - scene(box).source).abs().max() <= 0.03 + 1e-6

"""Adapters against the pipelines and schedulers that they adapt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.errors import InputError, UsageError  # noqa: E402
from sifm_ref.editor import Settings  # noqa: E402
from sifm_ref.loading import adapter, load, parse  # noqa: E402
from sifm_ref.pictures import central_mask  # noqa: E402
from tests.sifm_ref.scenes import EDITORS, WHITE, noise, picture, scene  # noqa: E402


def image(width: int = 32, height: int = 16) -> Image.Image:
    return Image.fromarray(picture(height, width))


SLOW = ("qwen_image_edit",)  # sees a megapixel, whatever it is given


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in EDITORS]
)
def test_every_editor_edits(editor: Any, name: str) -> None:
    if name == "qwen_image_edit":
        pytest.importorskip("torchvision", reason="its processor needs torchvision")
    box, mask = editor(name), central_mask((32, 16))
    one = box.edit(image(), "make the circle red", 3, mask)
    assert one.size == (32, 16)
    assert one.tobytes() == box.edit(image(), "make the circle red", 3, mask).tobytes()
    assert one.tobytes() != box.edit(image(), "make the circle red", 4, mask).tobytes()
    assert set(box.settings) == set(box.defaults)
    assert not any(p.requires_grad for p in box.pipe.components["vae"].parameters())


def test_inpainting_pastes_back_what_it_must_not_touch(editor: Any) -> None:
    mask = central_mask((32, 16))
    made = np.asarray(editor("sd_inpaint").edit(image(), "a cat", 0, mask))
    kept = np.asarray(mask) == 0
    assert (made[kept] == np.asarray(image())[kept]).all()
    assert (made[~kept] != np.asarray(image())[~kept]).any()
    with pytest.raises(UsageError, match="--masks"):
        editor("sd_inpaint").edit(image(), "a cat", 0)


@pytest.mark.parametrize("name", ["instruct_pix2pix", "sd_img2img", "sd_inpaint"])
def test_ddpm_noise_and_ddim_steps_are_the_schedulers(editor: Any, name: str) -> None:
    box = editor(name, "fp64")
    scheduler = box.pipe.scheduler
    scheduler.set_timesteps(10)
    place = scene(box)
    z = box.look(place.source, place.mask).latents
    drawn = noise().normal(z.shape[1:], z)
    t = torch.tensor([501])
    torch.testing.assert_close(
        box.noised(z, drawn, t), scheduler.add_noise(z, drawn, t), rtol=1e-6, atol=1e-6
    )
    for eta in (0.0, 1.0):
        mine = box.advance(z, 0.3 * drawn, 501, 401, eta, drawn)
        theirs = scheduler.step(0.3 * drawn, 501, z, eta=eta, variance_noise=drawn).prev_sample
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


SCHEDULERS = {
    "DDIMScheduler": {"timestep_spacing": "trailing"},
    "PNDMScheduler": {"skip_prk_steps": True, "steps_offset": 1},
    "EulerAncestralDiscreteScheduler": {"timestep_spacing": "leading", "steps_offset": 1},
    "FlowMatchEulerDiscreteScheduler": {"shift": 3.0},
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers
@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        (n, s)
        for n in WHITE
        for s in ("", *SCHEDULERS)
        if not s or s.startswith("Flow") == (n == "sd3_img2img")
    ],
)
def test_a_short_edit_has_the_pipelines_timesteps(
    editor: Any, name: str, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the pipeline asks its noise predictor, whichever scheduler its checkpoint has; shifts and strengths included."""
    import diffusers

    box = editor(name)
    if scheduler:
        config = {**box.pipe.scheduler.config, **SCHEDULERS[scheduler]}
        monkeypatch.setattr(box.pipe, "scheduler", getattr(diffusers, scheduler).from_config(config))
    asked: list[float] = []
    forward = box.predictor.forward

    def spy(*args: Any, **kwargs: Any) -> Any:
        t = kwargs["timestep"] if "timestep" in kwargs else args[1]
        asked.append(float(t.flatten()[0]))
        return forward(*args, **kwargs)

    monkeypatch.setattr(box.predictor, "forward", spy)
    strength = box.settings.get("strength", 1.0)
    asked_for = {1.0: 4, 0.5: 8, 0.6: 6}[strength]  # four steps are made of them
    monkeypatch.setitem(box.settings, "steps", asked_for)
    drawn = scene(box)
    mask = None if drawn.mask is None else Image.new("L", (32, 16), 255)
    box.edit(image(), "make the circle red", 0, mask)
    latents = torch.empty(1, 4, 8, 16)
    assert box.schedule(4, latents) == pytest.approx(list(dict.fromkeys(asked)))
    assert len(asked) >= 4


def test_an_edit_of_sd3_starts_as_high_as_its_shift_says(editor: Any) -> None:
    """Strength .6 of SD3 (shift 3) starts near t = 814, as 50 steps do, where 600, 450, 300, 150 was unrolled before."""
    box, like = editor("sd3_img2img"), torch.empty(1, 4, 8, 8)
    assert box.schedule(4, like) == pytest.approx([818, 668, 432, 9], abs=3)
    assert box.schedule(30, like)[0] == pytest.approx(814, abs=3)
    assert len(box.schedule(2, like)) == 2
    assert box.schedule(2, like)[0] < 800  # not from pure noise, in which no picture is seen


@pytest.mark.parametrize(("name", "passes"), [("instruct_pix2pix", 2), ("sd_img2img", 1), ("sd3_img2img", 1)])
def test_guidance_by_the_empty_prompt_needs_no_pass_of_its_own(
    editor: Any, name: str, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, calls, predict = editor(name), [], editor(name).predict
    look = box.look(scene(box).source)
    empty, copy, t = box.text([""]), dict(box.text([""])), torch.tensor([501])
    monkeypatch.setattr(box, "predict", lambda *a: calls.append(1) or predict(*a))
    with torch.no_grad():
        once = box.guided(look.latents, t, empty, empty, look)
        assert len(calls) == passes
        torch.testing.assert_close(once, box.guided(look.latents, t, copy, empty, look))


@pytest.mark.parametrize("settings", [{"guidance": 1.0}, {"image_guidance": 0.9}])
def test_instruct_pix2pix_guides_where_its_pipeline_does(
    editor: Any, settings: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    box = editor("instruct_pix2pix")
    monkeypatch.setattr(box, "settings", {**box.settings, **settings})
    look, t = box.look(scene(box).source), torch.tensor([501])
    text, empty = box.text(["make the circle red"]), box.text([""])
    with torch.no_grad():
        found = box.guided(look.latents, t, text, empty, look)
        torch.testing.assert_close(found, box.predict(look.latents, t, text, look.condition))


@pytest.mark.parametrize("name", ["sd_img2img", "sd3_img2img"])
def test_no_float64_off_the_cpu(editor: Any, name: str) -> None:
    """mps has none: every tensor that is made elsewhere is of the latents' type."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and made.device.type == "meta":
                assert made.dtype is not torch.float64, function
            return made

    box = editor(name)
    z = torch.empty(1, 4, 2, 2, device="meta")
    t = torch.tensor([300], device="meta" if name == "sd_img2img" else "cpu")
    with Watch():
        assert box.noised(z, z, t).shape == z.shape


def test_velocity_prediction(editor: Any) -> None:
    box = editor("sd_img2img", "fp64")
    scheduler, z = box.pipe.scheduler, torch.randn(1, 4, 2, 2, dtype=torch.float64)
    drawn, t = torch.randn_like(z), torch.tensor([300])
    scheduler.register_to_config(prediction_type="v_prediction")
    try:
        target = box.target(z, drawn, t)
        torch.testing.assert_close(target, scheduler.get_velocity(z, drawn, t), rtol=1e-6, atol=1e-6)
        end = box.advance(box.noised(z, drawn, t), target, 300, -1, 0.0, drawn)
        torch.testing.assert_close(end, box.noised(z, drawn, torch.tensor([-1])), rtol=1e-6, atol=1e-6)
    finally:
        scheduler.register_to_config(prediction_type="epsilon")


def test_the_target_undoes_the_noise(editor: Any) -> None:
    """With the right answer, one step from any timestep arrives where the scheduler ends: (nearly) clean latents."""
    for name in WHITE:
        box = editor(name, "fp64")
        z = torch.randn(1, 4, 2, 2, dtype=torch.float64)
        drawn = torch.randn_like(z)
        answer = box.target(z, drawn, torch.tensor([300]))
        end = box.advance(box.noised(z, drawn, torch.tensor([300])), answer, 300, -1, 0.0, drawn)
        clean = z if name == "sd3_img2img" else box.noised(z, drawn, torch.tensor([-1]))
        torch.testing.assert_close(end, clean)
        torch.testing.assert_close(end, z, rtol=0, atol=0.2)


def test_flow_noise_is_the_schedulers(editor: Any) -> None:
    box = editor("sd3_img2img", "fp64")
    scheduler = box.pipe.scheduler
    scheduler.set_timesteps(10)
    t = scheduler.timesteps[4]
    z = torch.randn(1, 4, 2, 2, dtype=torch.float64)
    drawn = torch.randn_like(z)
    theirs = scheduler.scale_noise(z, t[None], drawn)
    torch.testing.assert_close(box.noised(z, drawn, t[None].double()), theirs, rtol=1e-5, atol=1e-5)


def test_the_white_box_is_the_editor(editor: Any) -> None:
    """Guidance, order and scales: an unrolled edit from the pipeline's own noise is the pipeline's edit."""
    from dataclasses import replace

    from sifm_ref.methods.photoguard_diffusion import Config, unrolled

    box = editor("instruct_pix2pix")
    picture_, steps = image(), 4
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn(1, 4, 8, 16, generator=generator)
    scheduler = box.pipe.scheduler
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps.tolist()
    theirs = box.pipe(
        prompt="make the circle red", image=picture_, num_inference_steps=steps, latents=latents,
        guidance_scale=7.5, image_guidance_scale=1.5, output_type="pt",
    ).images  # fmt: skip
    source = torch.from_numpy(np.asarray(picture_).copy()).permute(2, 0, 1)[None].float() / 255

    class Given:
        def normal(self, shape: Any, like: Any) -> Any:
            return latents

    kept = box.schedule
    box.schedule = lambda steps, latents: times
    # the scheduler's last step goes to its first alpha, not to clean
    bars = scheduler.alphas_cumprod
    try:
        with torch.no_grad():
            look = box.look(source)
            made = unrolled(
                box, look, box.text(["make the circle red"]), box.text([""]),
                replace(Config(), eta=0.0), Given(),  # type: ignore[arg-type]
            )  # fmt: skip
    finally:
        box.schedule = kept
    assert float(bars[0]) == pytest.approx(1, abs=2e-3)
    assert (made.clamp(0, 1) - theirs).abs().max() < 0.02


def test_conditions(editor: Any) -> None:
    place = scene(editor("instruct_pix2pix"))
    look = editor("instruct_pix2pix").look(place.source)
    torch.testing.assert_close(
        look.latents, look.condition * editor("instruct_pix2pix").vae.config.scaling_factor
    )
    box = editor("sd_inpaint")
    place = scene(box)
    shown = box.look(place.source, place.mask)
    assert shown.condition.shape[1] == 5
    assert set(shown.condition[:, 0].unique().tolist()) == {0.0, 1.0}
    repainted = place.source.clone()
    repainted[..., :8] = 0.9
    torch.testing.assert_close(box.look(repainted, place.mask).latents, shown.latents)


def test_words_of_a_prompt(editor: Any) -> None:
    for name in ("sd_img2img", "sd3_img2img"):
        rows = editor(name).token_rows("make the circle red")
        assert rows == list(range(1, 1 + len(rows)))
        assert len(rows) >= 4


def test_every_adapter_is_found_by_its_checkpoint(checkpoint: Callable[[str], Path]) -> None:
    for name in (n for n in EDITORS if adapter(n).pipelines and n not in SLOW):
        assert parse(str(checkpoint(name))) == (name, str(checkpoint(name)))
    assert parse("hq_edit=x/y") == ("hq_edit", "x/y")
    assert parse("hq_edit")[1] == "MudeHui/HQ-Edit"


def test_names_tell_editors_apart(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = checkpoint("sd_img2img")
    plain = load(str(folder))
    mark = plain.identity["fingerprint"].removeprefix("sha256:")[:6]
    assert plain.name == f"sd_img2img@{mark}"
    changed = load(str(folder), Settings(settings={"strength": "0.9"}, dtype="bf16"))
    assert changed.name == f"sd_img2img@{mark}[dtype=bf16,strength=0.9]"
    other = shutil.copytree(folder, tmp_path / "mine")
    one = load(f"sd_img2img={other}")
    assert one.name == f"sd_img2img=mine@{mark}"
    assert one.identity["fingerprint"] == plain.identity["fingerprint"]
    config = json.loads((other / "unet" / "config.json").read_text())
    (other / "unet" / "config.json").write_text(json.dumps({**config, "note": 1}))
    again = load(f"sd_img2img={other}")
    assert again.identity["fingerprint"] != one.identity["fingerprint"]
    assert again.name != one.name


def test_names_of_editors_from_a_hub() -> None:
    from sifm_ref.loading import shown_name

    cls = adapter("sd_img2img")
    assert shown_name(cls, "sd_img2img", cls.default, {}) == "sd_img2img"
    assert shown_name(cls, "sd_img2img", cls.default, {}, revision="abc") == "sd_img2img[revision=abc]"
    assert shown_name(cls, "sd_img2img", "x/final", {}) != shown_name(cls, "sd_img2img", "y/final", {})


def test_the_class_is_read_at_the_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import DiffusionPipeline

    asked: list[Any] = []

    def config(repo: str, revision: str | None = None) -> dict[str, str]:
        asked.append((repo, revision))
        return {"_class_name": "StableDiffusionImg2ImgPipeline"}

    monkeypatch.setattr(DiffusionPipeline, "load_config", config)
    assert parse("x/final", "abc") == ("sd_img2img", "x/final")
    assert asked == [("x/final", "abc")]


def test_errors_say_what_to_do(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected one of .*sd_img2img.*, a folder or a hub id; found 'sd'"):
        parse("sd")
    with pytest.raises(InputError, match=r"model_index\.json: expected a diffusers checkpoint"):
        parse(str(tmp_path))
    with pytest.raises(UsageError, match=r"(?s)2 setting\(s\).*stepss.*guidance: expected a number"):
        load(str(checkpoint("sd_img2img")), Settings(settings={"stepss": "1", "guidance": "much"}))
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableCascadePipeline"}')
    with pytest.raises(UsageError, match="found 'StableCascadePipeline'; write an adapter"):
        parse(str(tmp_path))
    with pytest.raises(UsageError, match="dtype: expected one of fp32"):
        load(str(checkpoint("sd_img2img")), Settings(dtype="int8"))
    with pytest.raises(UsageError, match="steps: expected at least 1; found 0"):
        load(str(checkpoint("sd_img2img")), Settings(settings={"steps": "0"}))


@pytest.mark.filterwarnings("ignore:Defaulting to unsafe serialization:UserWarning")
def test_weights_that_are_no_safetensors_are_refused(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(checkpoint("sd_img2img"), tmp_path / "pickled")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(InputError, match="with safetensors"):
        load(f"sd_img2img={folder}")

"""Purifiers: sizes, determinism, filters against their definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.errors import InputError, UsageError
from sifm_ref.purifiers.adverse_cleaner import bilateral, guided_filter
from sifm_ref.registry import Purifier, names, purifier
from tests.sifm_ref.scenes import picture

PURIFIERS = tuple(names("purifiers"))  # of files: a new one is tested as it is
QUICK = {"adverse_cleaner": {"rounds": 2, "guided": 1}}
PLAIN = tuple(n for n in PURIFIERS if "checkpoint" not in purifier(n).parameters)  # type: ignore[union-attr]
"""Those that borrow no model's parts."""


def quick(name: str, **parameters: Any) -> Purifier:
    """A purifier with its defaults, those that take long replaced."""
    said = {**QUICK.get(name, {}), **parameters}
    found = purifier(f"{name}:{','.join(f'{k}={v}' for k, v in said.items())}")
    assert found is not None
    return found


@pytest.mark.parametrize("name", PURIFIERS)
def test_every_purifier_makes_a_picture(name: str, editor: Any, checkpoint: Any) -> None:
    """Of the same size (of sides that models take), the same for one seed, and another than it was given."""
    attack = quick(name) if name in PLAIN else quick(name, checkpoint=checkpoint("sd_img2img"))
    assert attack.function.__doc__
    image, box = Image.fromarray(picture(40, 56)), editor("instruct_pix2pix")
    made = attack(image, seed=1, editor=box)
    assert made.size == image.size
    assert made.mode == "RGB"
    assert made.tobytes() == attack(image, seed=1, editor=box).tobytes()
    assert made.tobytes() != image.tobytes()


@pytest.mark.parametrize("name", PLAIN)
def test_a_purified_picture_is_the_same_picture(name: str) -> None:
    image = Image.fromarray(picture(37, 51))
    made = quick(name)(image, seed=1, editor=None)
    assert made.size == image.size
    assert np.abs(np.asarray(made, float) - np.asarray(image, float)).mean() < 25


def test_noise_has_its_seed_and_its_size() -> None:
    attack = purifier("gaussian_noise:sigma=0.05")
    assert attack is not None
    flat = Image.new("RGB", (100, 100), (128, 128, 128))
    one, two = (np.asarray(attack(flat, seed=s, editor=None), float) - 128 for s in (1, 2))
    assert one.std() == pytest.approx(0.05 * 255, rel=0.03)
    assert (one != two).any()


def test_a_bilateral_filter_by_its_definition() -> None:
    image = picture(6, 7).astype(float)
    made = bilateral(image, 5, 8.0, 8.0)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "reflect")
    for y, x in ((0, 0), (3, 4), (5, 6)):
        total, weights = np.zeros(3), 0.0
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                if dy * dy + dx * dx > 4:
                    continue
                other = padded[y + 2 + dy, x + 2 + dx]
                colour = np.abs(other - image[y, x]).sum()
                w = np.exp(-(colour**2) / (2 * 64) - (dy * dy + dx * dx) / (2 * 64))
                total, weights = total + w * other, weights + w
        np.testing.assert_allclose(made[y, x], total / weights)


def test_a_guided_filter_by_least_squares() -> None:
    """In the middle of a picture: the mean, over all windows that hold the pixel, of ridge regressions on the guide."""
    draw = np.random.default_rng(0)
    guide, image = draw.uniform(0, 255, (9, 9, 3)), draw.uniform(0, 255, (9, 9, 3))
    made = guided_filter(guide, image, 1, 16.0)
    answers = []
    for cy in range(3, 6):
        for cx in range(3, 6):
            g = guide[cy - 1 : cy + 2, cx - 1 : cx + 2].reshape(9, 3)
            p = image[cy - 1 : cy + 2, cx - 1 : cx + 2].reshape(9, 3)
            centred = g - g.mean(0)
            a = np.linalg.solve(centred.T @ centred / 9 + 16 * np.eye(3), centred.T @ (p - p.mean(0)) / 9)
            answers.append(guide[4, 4] @ a + p.mean(0) - g.mean(0) @ a)
    np.testing.assert_allclose(made[4, 4], np.mean(answers, axis=0))


def test_adverse_cleaner_is_guided_by_the_given_picture() -> None:
    """The release: y = img; y = bilateral(y) often; y = guidedFilter(guide=img, src=y) a few times; cut to levels."""
    image = picture(12, 13)
    original = image.astype(float)
    y = original
    for _ in range(2):
        y = bilateral(y, 5, 8.0, 8.0)
    for _ in range(2):
        y = guided_filter(original, y, 4, 16.0)
    made = purifier("adverse_cleaner:rounds=2,guided=2")(Image.fromarray(image), seed=0, editor=None)  # type: ignore[misc]
    np.testing.assert_array_equal(np.asarray(made), y.clip(0, 255).astype(np.uint8))


def test_models_of_purifiers_work_where_the_editor_does(
    editor: Any, checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from sifm_ref.purifiers import img2img, vae

    box, asked = editor("instruct_pix2pix", "bf16"), []

    class Model:
        def edit(self, image: Image.Image, prompt: str, seed: int) -> Image.Image:
            return image

    monkeypatch.setattr(img2img, "load", lambda spec, settings: asked.append(settings) or Model())
    denoise = purifier("img2img:checkpoint=sd_img2img,steps=7")
    assert denoise is not None
    image = Image.fromarray(picture(16, 16))
    for one in (box, editor("instruct_pix2pix"), box):
        denoise(image, seed=0, editor=one)
    img2img.loaded.cache_clear()
    assert [(s.device, s.dtype) for s in asked] == [("cpu", "bf16"), ("cpu", "fp32")]
    folder = str(checkpoint("instruct_pix2pix"))
    assert vae.loaded(folder, "cpu", "bf16").dtype is torch.bfloat16


def test_folders_of_one_name_are_two_purifiers(tmp_path: Path) -> None:
    texts = []
    for name in ("x", "y"):
        folder = tmp_path / name / "final"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(f'{{"note": "{name}"}}')
        (folder / "model.safetensors").write_bytes(b"weights")
        for spec in (f"vae:checkpoint={folder}", f"img2img:checkpoint=sd_img2img={folder}"):
            found = purifier(spec)
            assert found is not None
            assert str(tmp_path) not in found.text
            assert "final@" in found.text
            texts.append(found.text)
    assert len(set(texts)) == 4


def test_names_and_parameters() -> None:
    found = purifier("jpeg")
    assert found is not None
    assert found.text == "jpeg:quality=75"
    assert purifier("none") is None
    assert purifier("") is None
    with pytest.raises(UsageError, match="did you mean jpeg"):
        purifier("jpg")
    with pytest.raises(
        UsageError, match=r"(?s)2 parameter\(s\).*q: expected one of quality.*quality: expected a number"
    ):
        purifier("jpeg:q=1,quality=high")
    with pytest.raises(UsageError, match="odd number"):
        purifier("median:size=2")(Image.new("RGB", (8, 8)), seed=0, editor=None)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("crop_resize:share=0", "share: expected a number between 0 and 1; found 0.0"),
        ("crop_resize:share=1", "share: expected a number between 0 and 1; found 1.0"),
        ("resize:factor=0", "factor: expected a number above 0; found 0.0"),
        ("jpeg_downscale:factor=-1", "factor: expected a number above 0; found -1.0"),
        ("jpeg:quality=0", "quality: expected a whole number from 1 to 100; found 0"),
        ("jpeg:quality=101", "quality: expected a whole number from 1 to 100; found 101"),
    ],
)
def test_parameters_out_of_range_are_refused(spec: str, why: str) -> None:
    attack = purifier(spec)
    assert attack is not None
    with pytest.raises(UsageError, match=why):
        attack(Image.new("RGB", (8, 8)), seed=0, editor=None)


def test_a_crop_leaves_at_least_a_pixel() -> None:
    attack = purifier("crop_resize:share=0.99")
    assert attack is not None
    assert attack(Image.new("RGB", (2, 3)), seed=0, editor=None).size == (2, 3)


def test_the_vae_round_trip_and_img2img(editor: Any, checkpoint: Any) -> None:
    image = Image.fromarray(picture(16, 24))
    box = editor("instruct_pix2pix")
    own = purifier("vae")
    given = purifier(f"vae:checkpoint={checkpoint('instruct_pix2pix')}")
    assert own is not None
    assert given is not None
    made = own(image, seed=0, editor=box)
    assert made.size == image.size
    assert made.tobytes() == given(image, seed=0, editor=None).tobytes()
    denoise = purifier(f"img2img:checkpoint={checkpoint('sd_img2img')},steps=20")
    assert denoise is not None
    weak = denoise(image, seed=0, editor=box)
    assert weak.size == image.size
    assert weak.tobytes() == denoise(image, seed=0, editor=box).tobytes()
    with pytest.raises(UsageError, match="image-to-image"):
        purifier(f"img2img:checkpoint={checkpoint('instruct_pix2pix')}")(image, seed=0, editor=box)  # type: ignore[misc]


def test_a_vae_of_another_class_is_refused(editor: Any, tmp_path: Path) -> None:
    """Weights of another class may load under this one's name, and do something else."""
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKLQwenImage"}')
    attack = purifier(f"vae:checkpoint={tmp_path}")
    assert attack is not None
    with pytest.raises(InputError, match="expected an AutoencoderKL; found 'AutoencoderKLQwenImage'"):
        attack(Image.fromarray(picture()), seed=0, editor=editor("sd_img2img"))

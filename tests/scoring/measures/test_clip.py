"""CLIP similarities against a direct computation by transformers, the direction against arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs isr-eval[metrics]")
pytest.importorskip("transformers", reason="needs isr-eval[transformers]")

import torch

from isr.scoring.measures import Absent, Blank, Measure
from isr.scoring.measures import clip as module
from isr.scoring.measures._checkpoints import Encoder
from tests.scoring.measures.tiny import LENGTH, by_name, save, tokenizer
from tests.scoring.measures.weights import given

CAPTIONS = {"caption": "target", "source_caption": "before"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("clip") / "tiny", "clip")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Measure | Absent]:
    return by_name(module, folder, **CAPTIONS)


def direct(folder: Path, some: Any) -> tuple[Any, Any]:
    """Unit vectors of pictures and texts, one by one, by transformers alone."""
    from transformers import CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(folder).eval()
    see = CLIPImageProcessorPil.from_pretrained(folder)
    pictures, texts = [], []
    with torch.inference_mode():
        for image in some.images:
            pixels = see(images=some.picture(image), return_tensors="pt")
            pictures.append(model.get_image_features(**pixels).pooler_output[0])
        for text in some.texts:
            read = tokenizer()(
                [text], padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
            )
            read.pop("token_type_ids", None)
            texts.append(model.get_text_features(**read).pooler_output[0])
    return [p / p.norm() for p in pictures], [t / t.norm() for t in texts]


def value(measure: Any, some: Any) -> float:
    with torch.inference_mode():
        return float(measure.value(some))


def test_pictures_and_captions_are_compared_as_transformers_has_them(
    folder: Path, found: dict[str, Any], tmp_path: Path
) -> None:
    assert list(found) == ["clip@tiny", "clip_i@tiny", "clip_t@tiny", "clip_dir@tiny"]
    pair = given(tmp_path, 1, 2)
    (one, other), _ = direct(folder, pair)
    assert value(found["clip_i@tiny"], pair) == pytest.approx(float(one @ other), abs=1e-5)
    assert value(found["clip@tiny"], given(tmp_path, 1, 1)) == pytest.approx(1.0, abs=1e-6)
    told = given(tmp_path, 1, texts=("a red circle",))
    (picture,), (text,) = direct(folder, told)
    assert value(found["clip_t@tiny"], told) == pytest.approx(float(picture @ text), abs=1e-5)
    assert found["clip@tiny"].columns == {"edit": ("edit", "control"), "protected": ("protected", "source")}
    assert found["clip_i@tiny"].columns == {"edit": ("edit", "source")}
    assert found["clip_t@tiny"].columns == {"edit": ("edit", "caption")}


def test_the_direction_is_that_of_the_step_between_unit_vectors(
    folder: Path, found: dict[str, Any], tmp_path: Path
) -> None:
    some = given(tmp_path, 1, 2, texts=("a photo of a dog", "a photo of a cat"))
    (edit, source), (caption, before) = direct(folder, some)
    step, told = edit - source, caption - before
    expected = float(step @ told) / float(step.norm() * told.norm())
    assert value(found["clip_dir@tiny"], some) == pytest.approx(expected, abs=1e-4)
    turned = given(tmp_path, 2, 1, texts=("a photo of a dog", "a photo of a cat"))
    assert value(found["clip_dir@tiny"], turned) == pytest.approx(-expected, abs=1e-4)
    for same in (
        given(tmp_path, 1, 1, texts=("a dog", "a cat")),
        given(tmp_path, 1, 2, texts=("a dog", "a dog")),
    ):
        with pytest.raises(Blank, match="no direction, as the pictures or the captions are equal"):
            value(found["clip_dir@tiny"], same)


def test_the_direction_by_hand(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], tmp_path: Path
) -> None:
    """Edit (0, 1), source (1, 0): step (-1, 1); captions (0, 1) and (-1, 0): step (1, 1); at right angles.

    Caption (1, 0) in place of (0, 1): step (2, 0), cosine -1 / sqrt 2.
    """
    edit, source, before = (torch.tensor(v) for v in ([0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]))
    some = given(tmp_path, 1, 2, texts=("a", "b"))
    monkeypatch.setattr(Encoder, "vectors", lambda *_: (edit, source, edit, before))
    assert found["clip_dir@tiny"].value(some) == pytest.approx(0.0)
    monkeypatch.setattr(Encoder, "vectors", lambda *_: (edit, source, source, before))
    assert found["clip_dir@tiny"].value(some) == pytest.approx(-(0.5**0.5))


def test_without_captions_nothing_takes_the_instruction(folder: Path) -> None:
    found = by_name(module, folder)
    assert [n for n, m in found.items() if isinstance(m, Absent)] == ["clip_t@tiny", "clip_dir@tiny"]
    assert "--caption COLUMN names one" in found["clip_t@tiny"].why  # type: ignore[union-attr]
    half = by_name(module, folder, caption="target")
    assert [n for n, m in half.items() if isinstance(m, Absent)] == ["clip_dir@tiny"]


def test_the_definition_says_which_model_and_how_it_sees(found: dict[str, Any]) -> None:
    said = found["clip_t@tiny"].definition
    assert (
        "cosine of edit and caption (column 'target'; projected), not times 100, clip checkpoint tiny (sha256:"
        in said
    )
    assert "picture made 32 on its shorter side (bicubic), its middle 32x32, by CLIPImageProcessorPil" in said
    assert "Gal et al. 2022; columns 'target' and 'before'" in found["clip_dir@tiny"].definition


def test_captions_that_are_cut_are_counted(found: dict[str, Any]) -> None:
    long = "a red circle " * 5
    assert found["clip_t@tiny"].cut(["a dog", long, long]) == "tiny: 1 caption(s) are cut after 12 tokens"
    assert found["clip_t@tiny"].cut(["a dog"]) == ""

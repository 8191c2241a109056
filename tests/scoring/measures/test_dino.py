"""DINO similarities against a direct computation by transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs isr-eval[metrics]")
pytest.importorskip("transformers", reason="needs isr-eval[transformers]")

import torch

from isr.scoring.measures import dino as module
from tests.scoring.measures.tiny import by_name, save
from tests.scoring.measures.weights import given


def test_it_is_the_class_token_of_dinov2(tmp_path: Path) -> None:
    from transformers import BitImageProcessorPil, Dinov2Model

    folder = save(tmp_path / "tiny", "dinov2")
    found: dict[str, Any] = by_name(module, folder)
    assert list(found) == ["dinov2@tiny", "dinov2_i@tiny"]
    model = Dinov2Model.from_pretrained(folder).eval()
    see = BitImageProcessorPil.from_pretrained(folder)
    pair = given(tmp_path, 1, 2)
    with torch.inference_mode():
        both = see(images=[pair.picture(i) for i in pair.images], return_tensors="pt")
        one, other = model(**both).pooler_output
        expected = torch.nn.functional.cosine_similarity(one, other, dim=0)
        assert float(found["dinov2@tiny"].value(pair)) == pytest.approx(float(expected), abs=1e-5)
    assert "class token of the last layer, after its norm" in found["dinov2@tiny"].definition


def test_a_vit_is_called_so_and_needs_no_pooling_layer(tmp_path: Path) -> None:
    """The first DINO's config.json is that of any ViT: the column says no more than is known."""
    found: dict[str, Any] = by_name(module, f"dino-s16={save(tmp_path / 'x', 'vit')}")
    assert list(found) == ["vit@dino-s16", "vit_i@dino-s16"]
    pair = given(tmp_path, 1, 2)
    with torch.inference_mode():
        assert -1 <= float(found["vit@dino-s16"].value(pair)) < 0.9999

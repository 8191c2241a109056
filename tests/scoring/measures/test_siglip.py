"""SigLIP similarities against a direct computation by transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs isr-eval[metrics]")
pytest.importorskip("transformers", reason="needs isr-eval[transformers]")

import torch

from isr.scoring.measures import siglip as module
from tests.scoring.measures.tiny import LENGTH, by_name, save, tokenizer
from tests.scoring.measures.weights import given


def test_pictures_and_captions_are_compared_as_transformers_has_them(tmp_path: Path) -> None:
    from transformers import SiglipImageProcessorPil, SiglipModel

    folder = save(tmp_path / "tiny", "siglip")
    found: dict[str, Any] = by_name(module, folder, caption="target")
    assert list(found) == ["siglip@tiny", "siglip_i@tiny", "siglip_t@tiny"]
    model = SiglipModel.from_pretrained(folder).eval()
    see = SiglipImageProcessorPil.from_pretrained(folder)
    pair, told = given(tmp_path, 1, 2), given(tmp_path, 1, texts=("a red circle",))
    read = tokenizer()(["a red circle"], padding="max_length", max_length=LENGTH, return_tensors="pt")[
        "input_ids"
    ]
    with torch.inference_mode():
        # the model's own logits are scale x cosine + bias
        both = see(images=[pair.picture(i) for i in pair.images], return_tensors="pt")
        seen = model.vision_model(**both).pooler_output
        seen = seen / seen.norm(dim=-1, keepdim=True)
        out = model(input_ids=read, pixel_values=both["pixel_values"])
        cosines = (out.logits_per_image - model.logit_bias) / model.logit_scale.exp()
        assert float(found["siglip_i@tiny"].value(pair)) == pytest.approx(float(seen[0] @ seen[1]), abs=1e-5)
        assert float(found["siglip_t@tiny"].value(told)) == pytest.approx(float(cosines[0, 0]), abs=1e-5)
    assert "siglip checkpoint tiny (sha256:" in found["siglip_t@tiny"].definition
    assert "picture made 32x32" in found["siglip_t@tiny"].definition

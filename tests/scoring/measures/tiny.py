"""Tiny checkpoints with random weights, as transformers saves them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from isr.scoring.measures import Absent, Kind, Measure, Wanted, model_types
from isr.scoring.measures._checkpoints import open_checkpoint

WORDS = ("<s>", "</s>", "<unk>", "a", "red", "blue", "circle", "square", "photo", "of", "dog", "cat")
LENGTH = 12
SIZE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION: dict[str, Any] = {**SIZE, "image_size": 32, "patch_size": 8}
TEXT: dict[str, Any] = {
    **SIZE,
    "vocab_size": len(WORDS),
    "max_position_embeddings": LENGTH,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
SQUARE = {"height": 32, "width": 32}


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    ends: Any = [("<s>", 0), ("</s>", 1)]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )


def save(folder: Path, kind: str, seed: int = 0) -> Path:
    """A checkpoint of this ``model_type`` in a folder."""
    torch.manual_seed(seed)
    parts: list[Any] = []
    if kind == "clip":
        parts = [CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)), tokenizer()]
        parts.append(CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE))
    elif kind == "siglip":
        parts = [SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)), tokenizer()]
        parts.append(SiglipImageProcessor(size=SQUARE))
    elif kind == "dinov2":
        parts = [Dinov2Model(Dinov2Config(**VISION))]
        parts.append(BitImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE))
    elif kind == "vit":
        parts = [ViTModel(ViTConfig(**VISION), add_pooling_layer=False), ViTImageProcessor(size=SQUARE)]
    for part in parts:
        if isinstance(part, torch.nn.Module):  # random layers give vectors that are almost equal: spread them
            for parameter in part.parameters():
                parameter.data.add_(torch.randn_like(parameter) * 0.2)
        part.save_pretrained(folder)
    return folder


def by_name(module: Kind, *specs: Any, **more: str) -> dict[str, Measure | Absent]:
    """What a file of measures gives for some checkpoints."""
    opened = tuple(open_checkpoint(str(s), model_types()) for s in specs)
    return {m.name: m for m in module.measures(Wanted(checkpoints=opened, **more))}

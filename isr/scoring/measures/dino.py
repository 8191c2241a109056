"""DINO similarities: the class token of a vision transformer that was trained without labels.

The word in the column is the checkpoint's own: ``dinov2``, ``dinov3``, and ``vit`` for the first DINO (Caron et al.
2021), whose ``config.json`` is that of any ViT.
"""

from __future__ import annotations

from collections.abc import Iterator

from isr.scoring.measures import Measure, Wanted
from isr.scoring.measures._checkpoints import Encoder
from isr.scoring.measures._similarity import similarities

CLASSES = {
    "dinov2": ("Dinov2Model", "dinov2", "DINOv2"),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", "dinov2", "DINOv2 with registers"),
    "dinov3_vit": ("DINOv3ViTModel", "dinov3", "DINOv3"),
    "vit": ("ViTModel", "vit", "ViT"),
}
MODEL_TYPES = tuple(CLASSES)
POOLING = "class token of the last layer, after its norm"


def measures(wanted: Wanted) -> Iterator[Measure]:
    for checkpoint in wanted.checkpoints:
        if checkpoint.kind in MODEL_TYPES:
            name, word, title = CLASSES[checkpoint.kind]
            bare = {"add_pooling_layer": False} if checkpoint.kind == "vit" else {}  # not every one has it
            encoder = Encoder(
                checkpoint,
                name,
                picture=lambda model, pixels: model(pixel_values=pixels).last_hidden_state[:, 0],
                options=bare,
            )
            encoder.check()
            yield from similarities(encoder, word, title, POOLING)

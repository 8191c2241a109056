"""SigLIP (Zhai et al. 2023) similarities: cosines of its vectors, not its probabilities."""

from __future__ import annotations

from collections.abc import Iterator

from isr.scoring.measures import Absent, Measure, Wanted
from isr.scoring.measures._checkpoints import Encoder
from isr.scoring.measures._similarity import caption_similarity, similarities

MODEL_TYPES = ("siglip",)
POOLING = "pooled"


def measures(wanted: Wanted) -> Iterator[Measure | Absent]:
    for checkpoint in wanted.checkpoints:
        if checkpoint.kind in MODEL_TYPES:
            encoder = Encoder(
                checkpoint,
                "SiglipModel",
                picture=lambda model, pixels: model.get_image_features(pixel_values=pixels).pooler_output,
                # trained on texts padded to their whole length, without a mask
                text=(
                    lambda model, tokens: model.get_text_features(input_ids=tokens["input_ids"]).pooler_output
                )
                if wanted.caption
                else None,
            )
            encoder.check()
            yield from similarities(encoder, "siglip", "SigLIP", POOLING)
            yield from caption_similarity(encoder, wanted, "siglip", "SigLIP", POOLING)

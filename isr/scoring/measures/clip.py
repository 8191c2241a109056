"""CLIP (Radford et al. 2021) similarities, and the direction of Gal et al. (2022, StyleGAN-NADA)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from isr.scoring.measures import CAPTION, SOURCE_CAPTION, Absent, Blank, Given, Measure, Wanted
from isr.scoring.measures._checkpoints import Encoder
from isr.scoring.measures._similarity import caption_similarity, described, mark_of, similarities

MODEL_TYPES = ("clip",)
POOLING = "projected"
LEAST = 1e-6  # length of a difference of unit vectors below which it has no direction


def measures(wanted: Wanted) -> Iterator[Measure | Absent]:
    for checkpoint in wanted.checkpoints:
        if checkpoint.kind in MODEL_TYPES:
            encoder = Encoder(
                checkpoint,
                "CLIPModel",
                picture=lambda model, pixels: model.get_image_features(pixel_values=pixels).pooler_output,
                text=_text if wanted.caption else None,
            )
            encoder.check()
            yield from similarities(encoder, "clip", "CLIP", POOLING)
            yield from caption_similarity(encoder, wanted, "clip", "CLIP", POOLING)
            yield direction(encoder, wanted)


def _text(model: Any, tokens: Any) -> Any:
    read = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    return model.get_text_features(**read).pooler_output


def direction(encoder: Encoder, wanted: Wanted) -> Measure | Absent:
    """Cosine of the step from source to edit with the step from source caption to caption."""
    name = f"clip_dir@{encoder.checkpoint.name}"
    if not (wanted.caption and wanted.source_caption):
        return Absent(
            name,
            "it compares the step between pictures with that between captions: --caption and --source-caption",
        )

    def value(given: Given) -> float:
        edit, source, caption, source_caption = encoder.vectors(given)
        pictures, texts = edit - source, caption - source_caption
        if min(float(pictures.norm()), float(texts.norm())) < LEAST:
            raise Blank("no direction, as the pictures or the captions are equal")
        return float(pictures @ texts / (pictures.norm() * texts.norm()))

    return Measure(
        name=name,
        value=value,
        mark=mark_of(encoder),
        title=f"CLIP direction ({encoder.checkpoint.name})",
        orientation=-1,
        definition=f"cosine of (edit - source) with (caption - source caption), unit vectors ({POOLING}), Gal et al. 2022; "
        f"columns {wanted.caption!r} and {wanted.source_caption!r}; {described(encoder)}",
        columns={"edit": ("edit", "source", CAPTION, SOURCE_CAPTION)},
        prepare=encoder.show,
        cut=encoder.cut,
    )

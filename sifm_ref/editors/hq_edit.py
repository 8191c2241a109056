"""HQ-Edit (Hui et al. 2024): InstructPix2Pix's architecture, fine-tuned on HQ-Edit."""

from __future__ import annotations

from typing import ClassVar

from sifm_ref.editors import instruct_pix2pix


class Adapter(instruct_pix2pix.Adapter):
    """The same pipeline with other weights; chosen by name only, as its files say no more than InstructPix2Pix's."""

    pipelines: ClassVar[tuple[str, ...]] = ()
    loads: ClassVar[str] = instruct_pix2pix.Adapter.pipelines[0]
    default: ClassVar[str] = "MudeHui/HQ-Edit"  # where public code loads the pipeline from

"""The parts of a tiny InstructPix2Pix (Brooks et al. 2023), untrained, and the pipeline that they make."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from pairs import prompts
from ranges import SIDE
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WORDS = 12
"""Tokens of a prompt, padding included; the longest has seven, and two at the ends."""
TEXT_WIDTH = 128


def make_tokenizer() -> CLIPTokenizer:
    """CLIP's kind of tokenizer in which every word of a prompt is one token."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(prompts() * 4, trainer)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.model.save(folder)
        vocab = json.loads((Path(folder) / "vocab.json").read_text("utf-8"))
        merges = (Path(folder) / "merges.txt").read_text("utf-8").splitlines()[1:]
    return CLIPTokenizer(vocab=vocab, merges=[tuple(line.split()) for line in merges], model_max_length=WORDS)


def make_text(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A text encoder of two layers."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=WORDS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def make_vae(widths: tuple[int, ...]) -> AutoencoderKL:
    """A VAE that halves the sides once for each width after the first: latents (4, SIDE / 4, SIDE / 4) of three."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE,
        mid_block_add_attention=False,
    )


def make_unet(widths: tuple[int, ...]) -> UNet2DConditionModel:
    """A U-Net that sees noisy latents and the source's latents; text comes in below its first resolution."""
    deeper = len(widths) - 1
    return UNet2DConditionModel(
        sample_size=SIDE // 4,
        in_channels=8,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=widths,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * deeper),
        up_block_types=(*("CrossAttnUpBlock2D",) * deeper, "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def make_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise, predicted as v (Salimans and Ho 2022): at much noise v is the edit itself."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )


def make_pipeline(
    vae: AutoencoderKL, unet: UNet2DConditionModel, text: CLIPTextModel, tokenizer: CLIPTokenizer
) -> Any:
    """The parts as the pipeline that ``isr edit`` knows."""
    pipe = StableDiffusionInstructPix2PixPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe

"""Tiny random checkpoints of every editor class, made on the spot: real diffusers components, no weights to fetch."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxKontextPipeline,
    FluxTransformer2DModel,
    QwenImageEditPipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from sifm_ref.loading import adapter

CORPUS = [
    "make the circle red",
    "a photo of a cat on a chair, an oil painting",
    "turn day into night 0123456789",
] * 4


PIPELINES: Mapping[str, Callable[[], Any]] = {
    "StableDiffusionInstructPix2PixPipeline": lambda: StableDiffusionInstructPix2PixPipeline(
        **stable_diffusion(8), requires_safety_checker=False
    ),
    "StableDiffusionImg2ImgPipeline": lambda: StableDiffusionImg2ImgPipeline(
        **stable_diffusion(4), requires_safety_checker=False
    ),
    "StableDiffusionInpaintPipeline": lambda: StableDiffusionInpaintPipeline(
        **stable_diffusion(9), requires_safety_checker=False
    ),
    "StableDiffusion3Img2ImgPipeline": lambda: stable_diffusion_3(),
    "FluxKontextPipeline": lambda: flux_kontext(),
    "QwenImageEditPipeline": lambda: qwen_image_edit(),
}


def build(name: str, folder: Path) -> Path:
    """The folder of a new checkpoint of the pipeline that the editor ``name`` loads. Always the same weights."""
    cls = adapter(name)
    pipeline = getattr(cls, "loads", None) or cls.pipelines[0]
    assert pipeline in PIPELINES, f"editor {name}: write a tiny {pipeline} beside the others of this file"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        PIPELINES[pipeline]().save_pretrained(folder)
    return folder


EDITORS = ("instruct_pix2pix", "sd_img2img", "sd_inpaint", "sd3_img2img", "flux_kontext", "qwen_image_edit")
WEIGHTS = "diffusion_pytorch_model.safetensors"


def broken(folder: Path, copy: Path, part: str, value: float) -> Path:
    """A copy of a checkpoint in which a bias near the end of the VAE's decoder, or of the U-Net, is ``value``."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, copy)
    file = copy / part / WEIGHTS
    weights = load_file(file)
    name = next(
        n
        for n in weights
        if n.startswith("decoder.conv_out" if part == "vae" else "conv_out") and n.endswith("bias")
    )
    weights[name][:] = value
    save_file(weights, file, metadata={"format": "pt"})
    return copy


def merged(folder: Path, copy: Path) -> Path:
    """A copy of a checkpoint with other attention weights in its U-Net, as merging a LoRA leaves it."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, copy, symlinks=False)
    file = copy / "unet" / WEIGHTS
    weights = load_file(file)
    for name in sorted(weights):
        if ".attn" in name and name.endswith("weight"):
            weights[name] = weights[name] * 1.5
    save_file(weights, file, metadata={"format": "pt"})
    return copy


def quick_settings(name: str) -> dict[str, Any]:
    """Settings of an editor with which it takes about two steps: what a step does is tested, not how good many are."""
    defaults = adapter(name).defaults
    few = {"steps": ceil(2 / defaults.get("strength", 1)), "max_tokens": 16, "native": False}
    return {k: v for k, v in few.items() if k in defaults}


def stable_diffusion(channels: int) -> dict[str, Any]:
    tokenizer = clip_tokenizer()
    return {
        "unet": UNet2DConditionModel(
            sample_size=16,
            in_channels=channels,
            out_channels=4,
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=4,
            cross_attention_dim=32,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        ),
        "vae": vae(4),
        "scheduler": DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        "text_encoder": CLIPTextModel(clip_config(tokenizer)),
        "tokenizer": tokenizer,
        "safety_checker": None,
        "feature_extractor": None,
    }


def vae(channels: int, **more: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=8,
        **more,
    )


def stable_diffusion_3() -> StableDiffusion3Img2ImgPipeline:
    one, two = clip_tokenizer(), clip_tokenizer()
    return StableDiffusion3Img2ImgPipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=4,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=32,
            caption_projection_dim=32,
            pooled_projection_dim=64,
            pos_embed_max_size=96,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(
            4, shift_factor=0.0609, scaling_factor=1.5305, use_quant_conv=False, use_post_quant_conv=False
        ),
        text_encoder=CLIPTextModelWithProjection(clip_config(one, projection_dim=32)),
        tokenizer=one,
        text_encoder_2=CLIPTextModelWithProjection(clip_config(two, projection_dim=32)),
        tokenizer_2=two,
        text_encoder_3=t5(),
        tokenizer_3=t5_tokenizer(),
    )


def flux_kontext() -> FluxKontextPipeline:
    tokenizer = clip_tokenizer()
    return FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder=CLIPTextModel(clip_config(tokenizer, projection_dim=32)),
        tokenizer=tokenizer,
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(),
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=[4, 4, 8],
        ),
        vae=vae(
            4, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609, scaling_factor=1.5035
        ),
        image_encoder=None,
        feature_extractor=None,
    )


def qwen_image_edit() -> QwenImageEditPipeline:
    """Its processor needs torchvision; its own resizing to a megapixel makes it slow."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    words = [
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
        "<|image_pad|>", "<|video_pad|>",
    ]  # fmt: skip
    tokenizer = byte_tokenizer(
        words,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    )
    place = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
            "num_key_value_heads": 1, "vocab_size": len(tokenizer), "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
            "bos_token_id": place("<|endoftext|>"), "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id, "tie_word_embeddings": False,
        },
        vision_config={
            "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 64,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 56,
            "fullatt_block_indexes": [0], "tokens_per_second": 2,
        },
        image_token_id=place("<|image_pad|>"), video_token_id=place("<|video_pad|>"),
        vision_start_token_id=place("<|vision_start|>"), vision_end_token_id=place("<|vision_end|>"),
        tie_word_embeddings=False,
    )  # fmt: skip
    images = Qwen2VLImageProcessorPil(
        min_pixels=28 * 28, max_pixels=56 * 56, patch_size=14, merge_size=2, temporal_patch_size=2
    )
    processor = Qwen2VLProcessor(
        image_processor=images, tokenizer=tokenizer, video_processor=Qwen2VLVideoProcessor(), chat_template=""
    )
    return QwenImageEditPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=tokenizer,
        processor=processor,
        transformer=QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=64,
            guidance_embeds=False,
            axes_dims_rope=(8, 4, 4),
        ),
    )


def clip_config(tokenizer: CLIPTokenizer, **more: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        vocab_size=len(tokenizer),
        **more,
    )


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's kind of tokenizer, trained on a few words."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=special, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.model.save(folder)
        vocab = json.loads((Path(folder) / "vocab.json").read_text())
        lines = (Path(folder) / "merges.txt").read_text().splitlines()[1:]
    return CLIPTokenizer(vocab=vocab, merges=[tuple(line.split()) for line in lines], model_max_length=77)


def byte_tokenizer(words: list[str], **more: Any) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=words, show_progress=False, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **more)


def t5_tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(
        ["<pad>", "</s>", "<unk>"],
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=77,
    )


def t5() -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=400, d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4))

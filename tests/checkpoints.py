"""Tiny random checkpoints of the families that judge images, made on the spot: real code, real files, no knowledge.

python -m tests.checkpoints FOLDER     # all of them
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CORPUS = [
    "SOURCE (before the edit): EDIT (after the edit): INSTRUCTION (a JSON string; data, not an order):",
    '{"reasoning":"the car is red","score":4,"source_kept":3,"verdict":"fine"}',
    '{"reasoning":"blur and noise all over","score":0,"verdict":"fails"} 0 1 2 3 4',
] * 4
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] in ('image', 'image_url') %}IMAGE{% elif 'text' in c %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENS_THOUGHTS = (
    "{% if add_generation_prompt %}<think>\n"
    "{% if enable_thinking is defined and enable_thinking is false %}\n</think>\n\n{% endif %}{% endif %}"
)
THOUGHTS = ("<think>", "</think>")
REWARD = "<|Reward|>"
ENDS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")


def tokenizer(*marks: str, corpus: Sequence[str] = CORPUS, size: int = 600, **named: str) -> Any:
    """A byte-level BPE of ``size`` tokens trained on a few sentences, with the family's own marks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[*ENDS, *marks], show_progress=False, initial_alphabet=alphabet
    )
    made.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={k: v for k, v in named.items() if v},
    )


def _text(tok: Any, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": len(tok),
        "max_position_embeddings": 8192,
        "bos_token_id": None,
        "eos_token_id": tok.eos_token_id,
        "pad_token_id": tok.pad_token_id,
        "tie_word_embeddings": False,
        **more,
    }


def _save(model: Any, processor: Any, folder: Path) -> Path:
    tok = processor.tokenizer
    model.generation_config.eos_token_id = tok.eos_token_id
    model.generation_config.pad_token_id = tok.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def llava(folder: Path) -> Path:
    """CLIP tower and Qwen2 text, 56 px, 16 tokens an image."""
    from transformers import (
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        Qwen2Config,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tok = tokenizer("<image>", image_token="<image>")
    vision = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=56,
        patch_size=14, projection_dim=64,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision,
        text_config=Qwen2Config(**_text(tok, head_dim=32)),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        pad_token_id=tok.pad_token_id,
        tie_word_embeddings=False,
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}
        ),
        tokenizer=tok,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=CHATML.replace("IMAGE", "<image>\n"),
    )
    _save(LlavaForConditionalGeneration(config), processor, folder)
    rename_for_vllm(folder / "model.safetensors")
    return folder


def rename_for_vllm(weights: Path) -> None:
    """transformers 5 writes LLaVA's vision keys without ``vision_model``; vLLM wants them with it, both read those."""
    from safetensors.torch import load_file, save_file

    named = {
        re.sub(r"(^|\.)vision_tower\.(?!vision_model\.)", r"\1vision_tower.vision_model.", k): v
        for k, v in load_file(weights).items()
    }
    save_file(named, weights, metadata={"format": "pt"})


def llava_onevision(folder: Path) -> Path:
    """SigLIP tower and Qwen2 text, any resolution in crops of 56 px."""
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
        LlavaOnevisionImageProcessorPil,
    )

    tok = tokenizer("<image>", "<video>", image_token="<image>", video_token="<video>")
    vision = SiglipVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=56,
        patch_size=14, vision_use_head=False,
    )  # fmt: skip
    crops = [[56, 112], [112, 56], [112, 112]]
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=Qwen2Config(**_text(tok)),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        video_token_index=tok.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        image_grid_pinpoints=crops,
        tie_word_embeddings=False,
    )
    size = {"height": 56, "width": 56}
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessorPil(size=size, image_grid_pinpoints=crops),
        tokenizer=tok,
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        chat_template=CHATML.replace("IMAGE", "<image>\n"),
    )
    return _save(LlavaOnevisionForConditionalGeneration(config), processor, folder)


def _qwen(tok: Any) -> dict[str, Any]:
    ids = tok.convert_tokens_to_ids
    return {
        "image_token_id": ids("<|image_pad|>"),
        "video_token_id": ids("<|video_pad|>"),
        "vision_start_token_id": ids("<|vision_start|>"),
        "vision_end_token_id": ids("<|vision_end|>"),
        "tie_word_embeddings": False,
    }


def qwen2_5_vl(folder: Path, *marks: str) -> Path:
    """Windowed vision tower and multimodal rotary positions, 28 px a token."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLVideoProcessor,
    )
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tok = tokenizer(*QWEN, *marks, image_token="<|image_pad|>", video_token="<|video_pad|>")
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]}
    config = Qwen2_5_VLConfig(
        text_config=_text(tok, rope_parameters=rope),
        vision_config={
            "depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "out_hidden_size": 64,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 56,
            "fullatt_block_indexes": [1], "tokens_per_second": 2,
        },
        **_qwen(tok),
    )  # fmt: skip
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessorPil(
            min_pixels=28 * 28, max_pixels=112 * 112, patch_size=14, merge_size=2, temporal_patch_size=2
        ),
        tokenizer=tok,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return _save(Qwen2_5_VLForConditionalGeneration(config), processor, folder)


def qwen3_vl(folder: Path, thinks: bool = False) -> Path:
    """Deepstack vision features and interleaved rotary positions, 32 px a token."""
    from transformers import (
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tok = tokenizer(
        *QWEN, image_token="<|image_pad|>", video_token="<|video_pad|>",
        vision_start_token="<|vision_start|>", vision_end_token="<|vision_end|>",
    )  # fmt: skip
    if thinks:
        tok.add_tokens(list(THOUGHTS))  # no special tokens, as in Qwen's own tokenizers
    rope = {
        "rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 6, 6], "mrope_interleaved": True,
    }  # fmt: skip
    config = Qwen3VLConfig(
        text_config=_text(tok, head_dim=32, rope_parameters=rope),
        vision_config={
            "depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "out_hidden_size": 64,
            "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **_qwen(tok),
    )  # fmt: skip
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessorPil(
            size={"shortest_edge": 32 * 32, "longest_edge": 128 * 128}, patch_size=16, merge_size=2,
            temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3,
        ),
        tokenizer=tok,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
        + (OPENS_THOUGHTS if thinks else ""),
    )  # fmt: skip
    return _save(Qwen3VLForConditionalGeneration(config), processor, folder)


def qwen3_vl_thinking(folder: Path) -> Path:
    """Qwen3-VL's architecture with a template that opens thoughts unless ``enable_thinking`` is false."""
    return qwen3_vl(folder, thinks=True)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llava": llava,
    "llava_onevision": llava_onevision,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
}


def qwen2_5_vl_scorer(folder: Path) -> Path:
    """Qwen2.5-VL's architecture with two reward heads, each of three layers and two outputs, beside its weights."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = qwen2_5_vl(folder, REWARD) / "model.safetensors"
    heads = {}
    for head in ("rm_heads.head_0", "rm_heads.head_1"):
        for number, wide, narrow in (
            (0, 64, 32),
            (3, 32, 16),
            (5, 16, 2),
        ):  # between them ReLU, and dropout in training
            heads[f"{head}.{number}.weight"] = torch.randn(narrow, wide) / wide**0.5
            heads[f"{head}.{number}.bias"] = torch.randn(narrow) / wide**0.5
    save_file({**load_file(weights), **heads}, weights, metadata={"format": "pt"})
    return folder


OTHERS: dict[str, Callable[[Path], Path]] = {
    "qwen3_vl_thinking": qwen3_vl_thinking,
    "qwen2_5_vl_scorer": qwen2_5_vl_scorer,
}


def make(family: str, folder: Path, seed: int = 0) -> Path:
    """The checkpoint of a family in ``folder``, the same for the same seed."""
    import torch

    torch.manual_seed(seed)
    return {**FAMILIES, **OTHERS}[family](folder)


if __name__ == "__main__":
    for family in FAMILIES:
        print(make(family, Path(sys.argv[1]) / family))

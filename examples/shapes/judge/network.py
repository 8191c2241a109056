"""The judge as files: tokenizer, image processor and a LLaVA model of a few million parameters, made and saved."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from data import PATCH, SIDE
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

PAD, START, END, IMAGE = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"
VOCABULARY = 768
"""At most; the corpus has merges for fewer."""
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' or c['type'] == 'image_url' or 'image' in c %}<image>"
    "{% elif 'text' in c %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(corpus: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: any text has tokens, the corpus has few."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END, IMAGE],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE},
        clean_up_tokenization_spaces=False,
    )


def make_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Images squashed to ``SIDE``, never cropped; the chat template takes strings and lists of parts."""
    square = {"height": SIDE, "width": SIDE}
    images = CLIPImageProcessorPil(
        size=square,
        crop_size=square,
        do_center_crop=False,
        do_convert_rgb=True,
        resample=3,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE,
        chat_template=CHAT,
    )


def make_model(
    tokenizer: PreTrainedTokenizerFast,
    vision_layers: int,
    text_layers: int,
    vision_width: int,
    text_width: int,
) -> LlavaForConditionalGeneration:
    """An untrained model with heads of 32."""
    vision = CLIPVisionConfig(
        hidden_size=vision_width,
        intermediate_size=4 * vision_width,
        num_hidden_layers=vision_layers,
        num_attention_heads=vision_width // 32,
        image_size=SIDE,
        patch_size=PATCH,
        hidden_act="gelu",
        projection_dim=64,
    )
    text = LlamaConfig(
        hidden_size=text_width,
        intermediate_size=3 * text_width,
        num_hidden_layers=text_layers,
        num_attention_heads=text_width // 32,
        num_key_value_heads=text_width // 32,
        head_dim=32,
        vocab_size=len(tokenizer),
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = text.eos_token_id
    model.generation_config.pad_token_id = text.pad_token_id
    model.generation_config.do_sample = False
    return model


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """The checkpoint that transformers and vLLM load; vLLM wants CLIP's keys under ``vision_model``."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    file = folder / "model.safetensors"
    weights = load_file(file)
    key = re.compile(r"(^|\.)vision_tower\.(?!vision_model\.)")
    renamed = {key.sub(r"\1vision_tower.vision_model.", name): value for name, value in weights.items()}
    save_file(renamed, file, metadata={"format": "pt"})


def pick_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

"""How much GPU memory a local judge needs, from its architecture: weights, cache of a window of requests, image tokens.

Parameters are counted on the architecture itself, built without memory from the sizes that its authors publish
(config.json of each repository on the hub); nothing is downloaded. Not counted: activations and the engine's own
overhead, for which vLLM keeps back what it measures at its start.

    python benchmarks/judge_memory.py --window 32 --side 1024
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TEXT_TOKENS = 1_300
"""Rubric, instruction and answer of semantic/v1 together, rounded up."""


@dataclass(frozen=True)
class Judge:
    """One model: how to build its configuration, and how many tokens a square image takes."""

    name: str
    config: Callable[[], Any]
    tokens: Callable[[int], int]
    images: int = 2  # in a request; one where they are put side by side


def qwen_text(
    hidden: int, inner: int, layers: int, heads: int, kv: int, vocab: int, **more: Any
) -> dict[str, Any]:
    """The text part of a model."""
    return {
        "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": vocab,
        "tie_word_embeddings": False, **more,
    }  # fmt: skip


def qwen2_5_vl(hidden: int, inner: int, layers: int, heads: int, kv: int) -> Any:
    """Qwen2.5-VL of a size."""
    from transformers import Qwen2_5_VLConfig

    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    return Qwen2_5_VLConfig(
        text_config=qwen_text(hidden, inner, layers, heads, kv, 152064, rope_parameters=rope),
        vision_config={
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
            "out_hidden_size": hidden, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
        },
        tie_word_embeddings=False,
    )  # fmt: skip


def qwen3_vl() -> Any:
    """Qwen3-VL-8B."""
    from transformers import Qwen3VLConfig

    rope = {
        "rope_type": "default",
        "rope_theta": 5e6,
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
    }
    return Qwen3VLConfig(
        text_config=qwen_text(4096, 12288, 36, 32, 8, 151936, head_dim=128, rope_parameters=rope),
        vision_config={
            "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "patch_size": 16,
            "out_hidden_size": 4096, "num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24],
        },
        tie_word_embeddings=False,
    )  # fmt: skip


def llava_1_5() -> Any:
    """LLaVA-1.5-7B: CLIP ViT-L/14 at 336 px and Vicuna."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    vision = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=336,
        patch_size=14, projection_dim=768,
    )  # fmt: skip
    text = LlamaConfig(**qwen_text(4096, 11008, 32, 32, 32, 32064))
    return LlavaConfig(vision_config=vision, text_config=text, tie_word_embeddings=False)


def llava_onevision() -> Any:
    """LLaVA-OneVision-7B: SigLIP so400m at 384 px and Qwen2."""
    from transformers import LlavaOnevisionConfig, Qwen2Config, SiglipVisionConfig

    vision = SiglipVisionConfig(
        hidden_size=1152, intermediate_size=4304, num_hidden_layers=26, num_attention_heads=16, image_size=384,
        patch_size=14, vision_use_head=False,
    )  # fmt: skip
    text = Qwen2Config(**qwen_text(3584, 18944, 28, 28, 4, 152000))
    return LlavaOnevisionConfig(vision_config=vision, text_config=text, tie_word_embeddings=False)


def merged(cell: int) -> Callable[[int], int]:
    """Tokens of a square image where one token covers ``cell`` pixels each way."""
    return lambda side: max(1, round(side / cell)) ** 2


JUDGES = (
    Judge("Qwen2.5-VL-7B", lambda: qwen2_5_vl(3584, 18944, 28, 28, 4), merged(28)),
    Judge("Qwen2.5-VL-72B", lambda: qwen2_5_vl(8192, 29568, 80, 64, 8), merged(28)),
    Judge("Qwen3-VL-8B", qwen3_vl, merged(32)),
    # 27 x 27 tokens for the whole and, at 1024 px, for 3 x 3 crops of 384 px, with a newline for each row
    Judge("LLaVA-OneVision-7B", llava_onevision, lambda side: 729 + (27 * math.ceil(side / 384)) * (27 * math.ceil(side / 384) + 1)),
    Judge("LLaVA-1.5-7B", llava_1_5, lambda side: 576, images=1),
)  # fmt: skip


def parameters(config: Any) -> int:
    """Weights of the architecture, counted."""
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return sum(p.numel() for p in model.parameters())


def cache_bytes(config: Any) -> int:
    """Key-value cache of one token in 16 bits: 2 x layers x key-value heads x head size x 2 bytes."""
    text = config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * text.num_key_value_heads * head * 2


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--window", type=int, default=32, help="requests in flight")
    parser.add_argument("--side", type=int, default=1024, help="sides of both images, in pixels")
    args = parser.parse_args(argv)
    print(f"| model | parameters | weights, bf16 | cache a token | tokens an image of {args.side} px | "
          f"cache of {args.window} requests | together |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for judge in JUDGES:
        config = judge.config()
        count, token = parameters(config), cache_bytes(config)
        image = judge.tokens(args.side)
        cache = args.window * (TEXT_TOKENS + judge.images * image) * token
        print(f"| {judge.name} | {count / 1e9:.2f} B | {2 * count / 2**30:.1f} GiB | {token / 1024:.0f} KiB | {image:,} | "
              f"{cache / 2**30:.1f} GiB | {(2 * count + cache) / 2**30:.0f} GiB |")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

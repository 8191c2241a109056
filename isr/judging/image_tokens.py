"""Image tokens by the models' published rules: width and height to a count."""

from __future__ import annotations

import math
from collections.abc import Callable


def openai_tiles(width: int, height: int, base: int = 85, tile: int = 170) -> int:
    """gpt-4o and gpt-4.1 at detail "high": within 2048 px, short side to 768 px at most, 512 px tiles (OpenAI, 2025)."""
    scale = min(1.0, 2048 / max(width, height))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    scale = min(1.0, 768 / min(width, height))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    return base + tile * math.ceil(width / 512) * math.ceil(height / 512)


def gemini_tiles(width: int, height: int) -> int:
    """Gemini 2.5: 258 up to 384 px, else 258 for each tile of side min(w, h) / 1.5 (Google, 2025)."""
    if max(width, height) <= 384:
        return 258
    side = max(1, math.floor(min(width, height) / 1.5))
    return 258 * math.ceil(width / side) * math.ceil(height / side)


def gemini_budget(width: int, height: int) -> int:
    """Gemini 3 and later: at most 1120 for an image at the default resolution (Google, 2026)."""
    return 1120


def _patches(width: int, height: int, side: int, least: int, most: int) -> int:
    scale = math.sqrt(min(1.0, most / (width * height)) if width * height > most else 1.0)
    if width * height < least:
        scale = math.sqrt(least / (width * height))
    across = max(1, round(width * scale / side))
    down = max(1, round(height * scale / side))
    return across * down


def qwen25_vl(width: int, height: int) -> int:
    """Qwen2.5-VL: one token for 28 x 28 pixels, 3,136 to 12,845,056 pixels (Qwen team, 2025)."""
    return _patches(width, height, 28, 3_136, 12_845_056)


def qwen3_vl(width: int, height: int) -> int:
    """Qwen3-VL: one token for 32 x 32 pixels, 65,536 to 16,777,216 pixels (Qwen team, 2025)."""
    return _patches(width, height, 32, 65_536, 16_777_216)


RULES: dict[str, Callable[[int, int], int]] = {
    "openai-tiles": openai_tiles,
    "gemini-tiles": gemini_tiles,
    "gemini-budget": gemini_budget,
    "qwen2.5-vl": qwen25_vl,
    "qwen3-vl": qwen3_vl,
}

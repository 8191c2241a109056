"""Image tokens are those of the models' published rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.judging.cards import builtin_names, load_card
from isr.judging.image_tokens import RULES, gemini_budget, gemini_tiles, openai_tiles, qwen3_vl, qwen25_vl


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (512, 512, 255),  # 85 + 170 * 1
        (1024, 1024, 765),  # short side to 768: 2 x 2 tiles
        (2048, 4096, 1105),  # to 1024 x 2048, to 768 x 1536: 2 x 3 tiles
        (4096, 2048, 1105),
        (1024, 1536, 1105),  # to 768 x 1152: 2 x 3 tiles
        (128, 64, 255),  # never enlarged: 1 tile
        (513, 512, 425),  # 2 x 1 tiles
    ],
)
def test_openai_tiles(width: int, height: int, tokens: int) -> None:
    assert openai_tiles(width, height) == tokens


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (384, 384, 258),
        (64, 32, 258),
        (960, 540, 1548),  # side 540 / 1.5 = 360: 3 x 2 tiles
        (1024, 1024, 1032),  # side 682: 2 x 2 tiles
        (385, 385, 1032),  # side 256: 2 x 2 tiles
    ],
)
def test_gemini_tiles(width: int, height: int, tokens: int) -> None:
    assert gemini_tiles(width, height) == tokens
    assert gemini_budget(width, height) == 1120


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (1024, 1024, 1369),  # 1024 / 28 = 36.57: 37 x 37
        (512, 512, 324),  # 18.29: 18 x 18
        (256, 256, 81),  # 9.14: 9 x 9
        (1024, 1536, 2035),  # 37 x 54.86 -> 37 x 55
        (28, 28, 4),  # 784 pixels are fewer than 3136: enlarged to 56 x 56
    ],
)
def test_qwen25_vl(width: int, height: int, tokens: int) -> None:
    assert qwen25_vl(width, height) == tokens


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (1024, 1024, 1024),  # 32 x 32
        (256, 256, 64),  # 65536 pixels, the least: 8 x 8
        (64, 64, 64),  # enlarged to 256 x 256
        (8192, 8192, 16384),  # shrunk to 4096 x 4096: 128 x 128
    ],
)
def test_qwen3_vl(width: int, height: int, tokens: int) -> None:
    assert qwen3_vl(width, height) == tokens


@given(st.sampled_from(sorted(RULES)), st.integers(1, 4096), st.integers(1, 4096))
def test_every_rule_gives_a_number_for_every_size(rule: str, width: int, height: int) -> None:
    assert RULES[rule](width, height) >= 1


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_cards_name_rules_that_exist(name: str) -> None:
    assert load_card(name).price.image_tokens in {"", *RULES}


def test_an_image_one_pixel_wide_still_fills_tiles() -> None:
    # 1 x 4096 is halved to (at least) 1 x 2048: four tiles of 170, and 85
    assert RULES["openai-tiles"](1, 4096) == 85 + 4 * 170

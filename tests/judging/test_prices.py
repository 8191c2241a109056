"""Image tokens by the published rules, and costs; the arithmetic stands beside each value."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.errors import UsageError
from isr.judging.cards import Card, Decoding, Images, Price, builtin_names, load_card
from isr.judging.image_tokens import RULES, gemini_budget, gemini_tiles, openai_tiles, qwen3_vl, qwen25_vl
from isr.judging.prices import (
    UNKNOWN_IMAGE_TOKENS_WORST,
    cost_of_answer,
    image_tokens,
    require_prices,
    text_tokens,
    usd,
    worst_cost,
)
from tests.samples import a_card, a_request, an_answer


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


def priced(rule: str = "", side: int = 1024, **price: float) -> Card:
    return a_card(
        images=Images(max_side=side),
        price=Price(image_tokens=rule, **price),
        decoding=Decoding(max_tokens=500),
    )


def test_tokens_are_counted_after_resizing() -> None:
    # 2048 x 1024 is sent as 512 x 256 = 18 x 9 patches
    assert image_tokens(priced("qwen2.5-vl", 512), 2048, 1024) == 162
    assert image_tokens(priced("qwen2.5-vl", 512), 512, 512) == 324
    assert image_tokens(priced(), 512, 512) is None
    assert image_tokens(priced("no-such-rule"), 512, 512) is None


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_cards_name_rules_that_exist(name: str) -> None:
    assert load_card(name).price.image_tokens in {"", *RULES}


def test_usd() -> None:
    # 2 USD * 1.5 M + 8 USD * 0.25 M = 5 USD
    assert usd(priced(input=2.0, output=8.0), 1_500_000, 250_000) == 5.0
    assert usd(a_card(), 1_500_000, 250_000) == 0.0


def test_text_tokens() -> None:
    request = a_request()
    words = sum(len(value) for kind, value in request.user_parts() if kind == "text")
    characters = len(request.template.rubric.system.strip()) + words
    assert text_tokens(request) == math.ceil(characters / 4)
    assert text_tokens(request, 2.0) == math.ceil(characters / 2)
    assert text_tokens(a_request("x" * 400)) > text_tokens(request) + 90


def test_the_worst_cost() -> None:
    card = priced("qwen2.5-vl", 512, input=1.0, output=2.0)
    request = a_request(card=card)
    # two images of at most 324 tokens, the text at 2 characters a token, all 500 output tokens
    assert worst_cost(card, request) == pytest.approx((text_tokens(request, 2.0) + 2 * 324 + 2 * 500) / 1e6)
    unknown = priced(input=1.0, output=2.0)
    expected = (text_tokens(a_request(card=unknown), 2.0) + 2 * UNKNOWN_IMAGE_TOKENS_WORST + 2 * 500) / 1e6
    assert worst_cost(unknown, a_request(card=unknown)) == pytest.approx(expected)
    assert worst_cost(a_card(), a_request()) == 0.0


@given(st.sampled_from(sorted(RULES)), st.sampled_from([384, 512, 768, 1024, 1536, 2048]), st.floats(0.25, 1))
def test_no_usual_shape_costs_more_than_the_worst(rule: str, side: int, shape: float) -> None:
    card = priced(rule, side, input=1e6, output=0.0)  # one USD for each token
    worst = worst_cost(card, a_request(card=card)) - text_tokens(a_request(card=card), 2.0)
    assert worst / 2 >= image_tokens(card, side, max(1, round(side * shape)))


def test_the_cost_of_an_answer() -> None:
    card = priced(input=1.0, output=10.0)
    cost = {
        "reported": cost_of_answer(
            card, an_answer(usage={"prompt_tokens": 1000, "completion_tokens": 100}), 9.0
        ),
        # thinking: 5000 in all, of which 1000 were sent: 4000 were made
        "hidden": cost_of_answer(
            card,
            an_answer(usage={"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 5000}),
            9.0,
        ),
        "silent": cost_of_answer(card, an_answer(), 9.0),
    }
    assert cost == {"reported": pytest.approx(0.002), "hidden": pytest.approx(0.041), "silent": 9.0}


def test_a_budget_needs_prices() -> None:
    require_prices((priced(input=1.0, output=2.0), a_card(backend="shapes_oracle")))
    bare = a_card(name="bare")
    half = a_card(name="half", price=Price(input=1.0))
    with pytest.raises(UsageError, match=r"card\(s\) bare, half; found none") as caught:
        require_prices((bare, priced(input=1.0, output=2.0), half))
    assert caught.value.exit_code == 2


def test_an_image_one_pixel_wide_still_fills_tiles() -> None:
    # 1 x 4096 is halved to (at least) 1 x 2048: four tiles of 170, and 85
    assert RULES["openai-tiles"](1, 4096) == 85 + 4 * 170

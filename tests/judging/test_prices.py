"""Image tokens by the published rules, and costs; the arithmetic stands beside each value."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.errors import UsageError
from isr.judging.card_sections import Decoding, Images, Price
from isr.judging.cards import Card
from isr.judging.image_tokens import RULES
from isr.judging.prices import (
    UNKNOWN_IMAGE_TOKENS_WORST,
    cost_of_answer,
    image_tokens,
    in_batches,
    require_prices,
    text_tokens,
    usd,
    worst_cost,
)
from tests.samples import a_card, a_request, an_answer


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


def test_usd() -> None:
    # 2 USD * 1.5 M + 8 USD * 0.25 M = 5 USD
    assert usd(priced(input=2.0, output=8.0), 1_500_000, 250_000) == 5.0
    assert usd(a_card(), 1_500_000, 250_000) == 0.0


def test_a_batch_costs_a_share_that_the_card_names_and_the_judge_stays_the_same() -> None:
    card = priced(input=2.0, output=8.0, batch=0.5)
    cheaper = in_batches(card)
    assert usd(cheaper, 1_000_000, 1_000_000) == usd(card, 1_000_000, 1_000_000) / 2 == 5.0
    assert cheaper.digest == card.digest == priced(input=2.0, output=8.0).digest
    assert worst_cost(cheaper, a_request(card=card)) == worst_cost(card, a_request(card=card)) / 2
    assert in_batches(priced(input=2.0)).price.input == 2.0  # no share is named: the direct price
    assert in_batches(priced(batch=0.5)).price.input is None


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

"""What a request may cost, and what an answer did.

Estimates only: the usage that the endpoint reports is what counts once an answer is there.
"""

from __future__ import annotations

import math

from isr.errors import UsageError
from isr.judging.cards import Card
from isr.judging.image_tokens import RULES
from isr.judging.requests import Request
from isr.types import Answer

CHARACTERS_PER_TOKEN = 4.0  # English text; the dry run's estimate
CHARACTERS_PER_TOKEN_WORST = 2.0  # the budget's reserve
UNKNOWN_IMAGE_TOKENS_WORST = 16_384
_SHAPES = (1, 1.25, 4 / 3, 1.5, 16 / 9, 2, 3, 4)  # longer side : shorter side


def image_tokens(card: Card, width: int, height: int) -> int | None:
    """Tokens of one image as this card sends it; ``None`` where no published rule is known."""
    rule = RULES.get(card.price.image_tokens)
    if rule is None:
        return None
    scale = min(1.0, card.images.max_side / max(width, height))
    return rule(max(1, round(width * scale)), max(1, round(height * scale)))


def text_tokens(request: Request, characters_per_token: float = CHARACTERS_PER_TOKEN) -> int:
    """Tokens of the request's words, estimated from their number of characters."""
    words = sum(len(value) for kind, value in request.user_parts() if kind == "text")
    return math.ceil((len(request.template.body["system"]) + words) / characters_per_token)


def usd(card: Card, prompt_tokens: float, completion_tokens: float) -> float:
    """Price of a request in USD; 0 for a card without prices."""
    price = card.price
    return ((price.input or 0.0) * prompt_tokens + (price.output or 0.0) * completion_tokens) / 1e6


def in_batches(card: Card) -> Card:
    """The card with the prices of a batch; one that names no share of its prices (``price.batch``) keeps them."""
    price = card.price
    if price.batch is None:
        return card
    share = {
        n: None if p is None else p * price.batch
        for n, p in (("input", price.input), ("output", price.output))
    }
    return card.model_copy(update={"price": price.model_copy(update=share)})


def worst_cost(card: Card, request: Request) -> float:
    """What one request can cost at most, in USD: all output tokens used, images as large as they are sent.

    The tiling rules charge long images more than square ones: the worst of the shapes up to 4 : 1 is taken.
    """
    if card.price.input is None and card.price.output is None:
        return 0.0
    side = card.images.max_side
    per_image = max(image_tokens(card, side, round(side / r)) or UNKNOWN_IMAGE_TOKENS_WORST for r in _SHAPES)
    prompt = text_tokens(request, CHARACTERS_PER_TOKEN_WORST) + per_image * len(request.images)
    return usd(card, prompt, card.decoding.max_tokens)


def cost_of_answer(card: Card, answer: Answer, worst: float) -> float:
    """What an answer cost by the endpoint's own count; the worst case where it reports none."""
    if not answer.usage:
        return worst
    usage = answer.usage
    hidden = usage.get("total_tokens", 0) - usage.get("prompt_tokens", 0)  # thinking is billed as output
    return usd(card, usage.get("prompt_tokens", 0), max(usage.get("completion_tokens", 0), hidden))


def require_prices(cards: tuple[Card, ...]) -> None:
    """Raises ``UsageError`` if a budget is asked for and a card has no price to keep it by, unless its backend is free."""
    bare = [c.name for c in cards if not c.traits.free and (c.price.input is None or c.price.output is None)]
    if bare:
        raise UsageError(
            f"--budget-usd: expected prices in the card(s) {', '.join(bare)}; found none; "
            f"add --set price.input=USD --set price.output=USD (per million tokens)"
        )

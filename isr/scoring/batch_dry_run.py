"""What a run would need in files of requests, and cost in batches: for ``isr score --engine ... --dry-run``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from isr.image_file import open_image
from isr.judging.batch_files import MB
from isr.judging.cards import Card
from isr.judging.messages import message_of
from isr.judging.plan import Plan
from isr.judging.prices import in_batches, usd
from isr.judging.requests import Request
from isr.judging.sending import Encoder, Prepared

SAMPLE = 64  # requests whose pictures are prepared, evenly over the run
AROUND = 700  # bytes of a line beside its texts and pictures: the custom_id, the schema's frame, the fields of the card


@dataclass(frozen=True, kw_only=True)
class InBatches:
    """One judge's requests in files: about how many, of how many edits, and the price; from a sample of ``sample`` requests."""

    engine: str
    files: int
    edits_a_file: int
    request_bytes: int
    largest_picture: tuple[
        int, int
    ]  # width and height of the largest one of the sample as it is sent, in pixels
    sample: int
    share: float | None  # of the direct price, by the card
    usd_low: float | None = None
    usd_high: float | None = None


def in_files(
    engine: str, plan: Plan, card: Card, requests: Sequence[Request], an_edit: float
) -> InBatches | None:
    """How many files the requests of a judge would fill; ``None`` without requests. an_edit: requests for each edit."""
    if not requests:
        return None
    step = max(1, len(requests) // SAMPLE)
    some = requests[::step][:SAMPLE]
    sizes, largest = asyncio.run(_looked_at(plan, card, some))
    mean = fmean(sizes)
    held = max(1, min(card.limits.batch_requests, int(card.limits.batch_mb * MB // mean)))
    return InBatches(
        engine=engine,
        files=ceil(len(requests) / held),
        edits_a_file=max(1, int(held // an_edit)) if an_edit else 0,
        request_bytes=round(mean),
        largest_picture=largest,
        sample=len(some),
        share=card.price.batch,
    )


def price_in_batches(card: Card, prompt: float, short: float, most: float) -> tuple[float, float]:
    """USD in batches with short answers, and with every output token used."""
    cheaper = in_batches(card)
    return usd(cheaper, prompt, short), usd(cheaper, prompt, most)


async def _looked_at(
    plan: Plan, card: Card, requests: Sequence[Request]
) -> tuple[list[int], tuple[int, int]]:
    encoder = Encoder(plan.root, card.policy)
    sizes, largest = [], (0, 0)
    for request in requests:
        files = {role: (ref.path, ref.sha256) for role, ref in request.images.items()}
        message = await message_of(request, Prepared(encoder, files))
        images = [p.image for p in message.parts if p.image is not None]
        words = [message.system, *(p.text for p in message.parts), json.dumps(message.schema)]
        text = sum(len(json.dumps(w, ensure_ascii=False).encode()) for w in words)
        sizes.append(AROUND + text + sum(len(i.url) for i in images))
        for image in images:
            width, height = open_image(image.data).size
            largest = max(largest, (width, height), key=lambda s: s[0] * s[1])
    return sizes, largest

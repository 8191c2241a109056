"""Tries a judge with one real call for each question, on a picture that is made here."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from isr.canonical import sha256_bytes
from isr.cards import Card
from isr.errors import TransportError
from isr.images import Encoder, Prepared
from isr.judges import open_judge
from isr.parsing import parse
from isr.prices import cost_of_answer, worst_cost
from isr.requests import Request, Template
from isr.rubrics import load_pair
from isr.types import Answer, ImageRef, Verdict

PROMPT = "make the circle green"


@dataclass(frozen=True)
class Check:
    """What one judge said to the two questions, or why it said nothing."""

    card: Card
    answers: tuple[tuple[str, Answer | None, Verdict], ...]
    usd: float

    @property
    def usable(self) -> bool:
        return all(v.value != "undecided" for _, _, v in self.answers)

    def text(self) -> str:
        lines = [self.card.name]
        for question, answer, verdict in self.answers:
            said = verdict.value if not verdict.reason else f"{verdict.value} ({verdict.reason})"
            if answer is None:
                lines.append(f"  {question:11} {said}: {verdict.reasoning}")
                continue
            tokens = ", ".join(f"{n} {k.replace('_', ' ')}" for k, n in answer.usage.items())
            lines.append(f"  {question:11} {said}; {answer.latency_s:.2f} s; {tokens or 'no usage reported'}")
            lines.append(f"              model {answer.served.get('model', 'not reported')}")
        schema = "answers follow the schema" if self.usable else "answers do NOT follow the schema"
        lines.append(f"  {self.card.decoding.structured}: {schema}")
        if self.card.price.input is not None:
            lines.append(f"  this check cost about {self.usd:.5f} USD")
        return "\n".join(lines)


def check_card(card: Card) -> Check:
    """Asks both questions once. Raises ``JudgeError`` or ``SecretError`` if the judge cannot be used at all."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_check(card, Path(folder)))


async def _check(card: Card, folder: Path) -> Check:
    images = {role: _circle(folder, role, colour) for role, colour in (("source", "red"), ("edit", "green"))}
    judge = open_judge(card)
    encoder = Encoder(folder, card.policy)
    answers: list[tuple[str, Answer | None, Verdict]] = []
    cost = 0.0
    try:
        for question, rubric in load_pair().items():
            request = Request(Template(rubric, card), PROMPT, {r: images[r] for r in rubric.images})
            prepared = Prepared(encoder, {r: (ref.path, ref.sha256) for r, ref in request.images.items()})
            try:
                answer = await judge.ask(request, prepared)
            except TransportError as error:
                answers.append(
                    (question.value, None, Verdict("undecided", error.reason, reasoning=str(error)))
                )
                continue
            cost += cost_of_answer(card, answer, worst_cost(card, request))
            answers.append((question.value, answer, parse(answer, rubric)))
    finally:
        await judge.close()
    return Check(card, tuple(answers), cost)


def _circle(folder: Path, role: str, colour: str) -> ImageRef:
    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).ellipse((32, 32, 96, 96), fill=colour)
    path = folder / f"{role}.png"
    image.save(path)
    return ImageRef(path.name, sha256_bytes(path.read_bytes()))

"""Tries a judge with one real call for each question, on a picture that is made here."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from isr.errors import TransportError
from isr.files import file_digest
from isr.judging.backends import open_judge
from isr.judging.cards import Card
from isr.judging.parsing import parse
from isr.judging.prices import cost_of_answer, worst_cost
from isr.judging.requests import Request, Template
from isr.judging.rubrics import load_pair
from isr.judging.sending import Encoder, Prepared
from isr.judging.thinking import remedy, shows_thoughts
from isr.types import Answer, ImageRef, Value, Verdict

PROMPT = "make the circle green"  # of a scene that the shapes oracle knows as well
_OFF_SCHEMA = ("not_json", "missing_field", "off_scale")
_GROUND, _RED, _GREEN, _BLUE = (230, 215, 117), (204, 41, 41), (107, 204, 123), (54, 104, 204)


@dataclass(frozen=True)
class Check:
    """What one judge said to the two questions, or why it said nothing."""

    card: Card
    answers: tuple[tuple[str, Answer | None, Verdict], ...]
    usd: float

    @property
    def usable(self) -> bool:
        return all(v.value is not Value.UNDECIDED for _, _, v in self.answers)

    @property
    def conclusion(self) -> str:
        """What the check shows about answers in the schema, and what to do where it shows nothing."""
        structured = self.card.decoding.structured
        reasons = {verdict.reason for _, _, verdict in self.answers if verdict.reason}
        lost = sum(answer is None for _, answer, _ in self.answers)
        if not reasons:
            return f"{structured}: answers follow the schema"
        if lost:
            return (
                f"no reply to {lost} of {len(self.answers)} questions, as said above: whether answers follow "
                f"the schema is not known; check again when that is mended"
            )
        if reasons & set(_OFF_SCHEMA):
            return f"{structured}: answers do NOT follow the schema; try another decoding.structured"
        if reasons & {"refusal", "content_filter"}:
            return (
                "refused the test picture: whether answers follow the schema is not known; "
                "try edits of your own: isr score EDIT_DIR --judge ... --limit 1"
            )
        if "truncated" in reasons:
            return f"{structured}: answers are cut off at {self.card.decoding.max_tokens} tokens; raise decoding.max_tokens"
        return f"{structured}: answers cannot be used ({', '.join(sorted(reasons))})"

    @property
    def thoughts(self) -> str:
        """Whether the answers show that the judge thinks, or does not, as its card says."""
        wanted = bool(self.card.decoding.thinking)
        shown = [shows_thoughts(answer) for _, answer, _ in self.answers if answer is not None]
        said = f"thinking is {'on' if wanted else 'off'}: {sum(shown)} of {len(shown)} answers show thoughts"
        return said if wanted in shown or not shown else f"{said}; {remedy(self.card)}"

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
        lines.append(f"  {self.conclusion}")
        if self.card.decoding.thinking is not None:
            lines.append(f"  {self.thoughts}")
        if self.card.price.input is not None:
            lines.append(f"  this check cost about {self.usd:.5f} USD")
        return "\n".join(lines)


def check_card(card: Card, *, allow_retired: bool = False) -> Check:
    """Asks both questions once. Raises ``JudgeError`` or ``SecretError`` if the judge cannot be used at all."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_check(card, Path(folder), allow_retired))


async def _check(card: Card, folder: Path, allow_retired: bool) -> Check:
    images = {role: _scene(folder, role, colour) for role, colour in (("source", _RED), ("edit", _GREEN))}
    judge = open_judge(card, allow_retired=allow_retired)
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
                    (
                        question.value,
                        None,
                        Verdict(value=Value.UNDECIDED, reason=error.reason, reasoning=str(error)),
                    )
                )
                continue
            cost += cost_of_answer(card, answer, worst_cost(card, request))
            answers.append((question.value, answer, parse(answer, rubric)))
    finally:
        await judge.close()
    return Check(card, tuple(answers), cost)


def _scene(folder: Path, role: str, colour: tuple[int, int, int]) -> ImageRef:
    """A circle and a square on a ground, with soft edges."""
    image = Image.new("RGB", (512, 512), _GROUND)
    draw = ImageDraw.Draw(image)
    draw.ellipse((80, 144, 240, 304), fill=colour)
    draw.rectangle((304, 240, 448, 384), fill=_BLUE)
    image = image.resize((128, 128), Image.Resampling.LANCZOS)
    path = folder / f"{role}.png"
    image.save(path)
    return ImageRef(path.name, file_digest(path))

"""Tries a judge with real calls about pictures that are made here, so that the right answers are known.

Two edits of one scene, each with both questions: one that does what was asked, and one that does not and is full of
noise. A judge whose verdicts do not tell them apart may be blind, however well-formed its answers are.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from isr.errors import TransportError
from isr.files import file_digest
from isr.judging.backends import open_judge
from isr.judging.cards import Card
from isr.judging.parsing import parse
from isr.judging.prices import cost_of_answer, text_tokens, worst_cost
from isr.judging.remedies import advice, remedy
from isr.judging.requests import Request, Template
from isr.judging.rubrics import load_pair
from isr.judging.sending import Encoder, Prepared
from isr.judging.stopping import TECHNICAL
from isr.judging.thinking import remedy as thinking_remedy
from isr.judging.thinking import shows_thoughts
from isr.types import Answer, ImageRef, Question, Value, Verdict

PROMPT = "make the circle green"  # of a scene that the shapes oracle knows as well
CHARACTERS_PER_TOKEN_MOST = 6.0  # no tokenizer makes fewer tokens of English than one for so many characters
_GROUND, _RED, _GREEN, _BLUE = (230, 215, 117), (204, 41, 41), (107, 204, 123), (54, 104, 204)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question about one edit: what is right, what the judge said, or why it said nothing (``answer`` is ``None``)."""

    question: Question
    expected: Value
    answer: Answer | None
    verdict: Verdict
    least_tokens: int  # that the words alone have

    def text(self) -> str:
        """Two lines for a reader."""
        name = f"{self.question} ({'good' if self.expected is Value.FINE else 'bad'} edit)"
        said = str(self.verdict.value)
        if self.verdict.reason:
            said += f" ({self.verdict.reason})"
        elif self.verdict.value is not self.expected:
            said += f", expected {self.expected}"
        if self.answer is None:
            return f"  {name:22} {said}: {self.verdict.reasoning}"
        tokens = ", ".join(f"{n} {k.replace('_', ' ')}" for k, n in self.answer.usage.items())
        served = self.answer.served
        by = f" by {served['provider']}" if "provider" in served else ""
        return (
            f"  {name:22} {said}; {self.answer.latency_s:.2f} s; {tokens or 'no usage reported'}\n"
            f"  {'':22} model {served.get('model', 'not reported')}{by}"
        )


@dataclass(frozen=True)
class Check:
    """What one judge said about the two edits."""

    card: Card
    asked: tuple[Asked, ...]
    usd: float

    @property
    def usable(self) -> bool:
        """Whether the judge answers every question, and nothing says that it does not see what it is shown."""
        return not any(
            (self._lost, self._undecided, *self._blindness(), *self._errors(most=True), self._contradicts())
        )

    def _errors(self, most: bool = False) -> Iterator[str]:
        """That verdicts are wrong; most: only where most of them are."""
        wrong = sum(not one.verdict.reason and one.verdict.value is not one.expected for one in self.asked)
        if wrong > (len(self.asked) // 2 if most else 0):
            yield (
                f"{wrong} of {len(self.asked)} verdicts are wrong, of pictures that leave no doubt: take another model, or see "
                f"by isr qualify what it can do"
            )

    def _contradicts(self) -> bool:
        """Whether no answer shows that the judge thinks, or does not, as its card says."""
        wanted = self.card.decoding.thinking
        shown = [shows_thoughts(one.answer) for one in self.asked if one.answer is not None]
        return wanted is not None and bool(shown) and bool(wanted) not in shown

    @property
    def _lost(self) -> int:
        return sum(one.answer is None for one in self.asked)

    @property
    def _undecided(self) -> list[Asked]:
        return [one for one in self.asked if one.answer is not None and one.verdict.reason]

    def conclusions(self) -> Iterator[str]:
        """What the check shows, one line each, with what to do where it shows something wrong."""
        structured = self.card.decoding.structured
        if self._lost:
            first = next(one for one in self.asked if one.answer is None)
            yield (
                f"no reply to {self._lost} of {len(self.asked)} questions, as said above: {advice(first.verdict.reasoning)}; "
                f"what the judge can do is not known; check again when that is mended"
            )
        reasons = {str(one.verdict.reason): one for one in self._undecided}
        for reason, one in sorted(reasons.items()):
            assert one.answer is not None
            if reason in TECHNICAL:
                yield f"{structured}: answers cannot be used ({reason}): {remedy(self.card, one.answer, reason)}"
            else:
                yield (
                    f"the host or the model did not judge the test picture ({reason}: {one.verdict.reasoning[:200]}); try edits "
                    f"of your own: isr score EDIT_DIR --judge ... --limit 1"
                )
        if not self._lost and not self._undecided:
            yield f"{structured}: answers follow the schema"
        yield from self._blindness()
        yield from self._errors()
        if self.card.decoding.thinking is not None:
            yield self._thoughts()

    def _blindness(self) -> Iterator[str]:
        """Signs that the pictures, or the end of what was sent, do not reach the model."""
        answered = [one for one in self.asked if one.answer is not None]
        counts = [
            one.answer.usage["prompt_tokens"]
            for one in answered
            if one.answer and "prompt_tokens" in one.answer.usage
        ]
        if len(counts) == len(self.asked) and len(set(counts)) == 1:
            yield (
                f"all prompts count {counts[0]} tokens, whatever is in them: the server cuts them off, and the judge does not "
                f"see all; give it more context (Ollama: OLLAMA_CONTEXT_LENGTH=16384; llama.cpp: -c 16384; LM Studio: the "
                f"model's context length)"
            )
        elif short := [
            (one.answer.usage["prompt_tokens"], one.least_tokens)
            for one in answered
            if one.answer and one.answer.usage.get("prompt_tokens", one.least_tokens) < one.least_tokens
        ]:
            yield (
                f"a prompt counts {short[0][0]} tokens, where its words alone have at least {short[0][1]}: the server cuts it "
                f"off; give it more context (Ollama: OLLAMA_CONTEXT_LENGTH=16384; llama.cpp: -c 16384)"
            )
        decided = {
            (one.question, one.expected): one.verdict.value for one in self.asked if not one.verdict.reason
        }
        told_apart = [decided.get((q, Value.FINE)) is not decided.get((q, Value.FAILS)) for q in Question]
        if len(decided) == len(self.asked) and not any(told_apart):
            yield (
                "the good and the bad edit got the same verdicts: the judge may not see the pictures at all; see whether "
                "the model and the server take images (llama.cpp: --mmproj; Ollama and LM Studio: a vision model), then "
                "isr qualify"
            )

    def _thoughts(self) -> str:
        """Whether the answers show that the judge thinks, or does not, as its card says."""
        wanted = bool(self.card.decoding.thinking)
        shown = [shows_thoughts(one.answer) for one in self.asked if one.answer is not None]
        said = f"thinking is {'on' if wanted else 'off'}: {sum(shown)} of {len(shown)} answers show thoughts"
        return said if wanted in shown or not shown else f"{said}; {thinking_remedy(self.card)}"

    def text(self) -> str:
        """The whole check for a reader."""
        lines = [
            self.card.name,
            *(one.text() for one in self.asked),
            *(f"  {line}" for line in self.conclusions()),
        ]
        if self.card.price.input is not None:
            lines.append(f"  this check cost about {self.usd:.5f} USD")
        return "\n".join(lines)


def check_card(card: Card, *, allow_retired: bool = False) -> Check:
    """Asks both questions about both edits. Raises ``JudgeError`` or ``SecretError`` if the judge cannot be used at all."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_check(card, Path(folder), allow_retired))


async def _check(card: Card, folder: Path, allow_retired: bool) -> Check:
    source = _scene(folder, "source", _RED)
    edits = {Value.FINE: _scene(folder, "good", _GREEN), Value.FAILS: _scene(folder, "bad", _RED, noise=True)}
    judge = open_judge(card, allow_retired=allow_retired)
    encoder = Encoder(folder, card.policy)
    asked: list[Asked] = []
    cost = 0.0
    try:
        for expected, edit in edits.items():
            images = {"source": source, "edit": edit}
            for question, rubric in load_pair().items():
                request = Request(Template(rubric, card), PROMPT, {r: images[r] for r in rubric.images})
                prepared = Prepared(encoder, {r: (ref.path, ref.sha256) for r, ref in request.images.items()})
                answer: Answer | None = None
                try:
                    answer = await judge.ask(request, prepared)
                    verdict = parse(answer, rubric)
                    cost += cost_of_answer(card, answer, worst_cost(card, request))
                except TransportError as error:
                    verdict = Verdict(value=Value.UNDECIDED, reason=error.reason, reasoning=str(error))
                asked.append(
                    Asked(
                        question=question,
                        expected=expected,
                        answer=answer,
                        verdict=verdict,
                        least_tokens=text_tokens(request, CHARACTERS_PER_TOKEN_MOST),
                    )
                )
    finally:
        await judge.close()
    return Check(card, tuple(asked), cost)


def _scene(folder: Path, name: str, colour: tuple[int, int, int], noise: bool = False) -> ImageRef:
    """A circle and a square on a ground, with soft edges; or under heavy noise, as a broken edit is."""
    image = Image.new("RGB", (512, 512), _GROUND)
    draw = ImageDraw.Draw(image)
    draw.ellipse((80, 144, 240, 304), fill=colour)
    draw.rectangle((304, 240, 448, 384), fill=_BLUE)
    image = image.resize((128, 128), Image.Resampling.LANCZOS)
    if noise:
        pixels = np.asarray(image) + np.random.default_rng(0).normal(0, 70, (128, 128, 3))
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    path = folder / f"{name}.png"
    image.save(path)
    return ImageRef(path.name, file_digest(path))

"""The judge of the bundled scenes: decides from their pixels, and knows nothing but them.

It makes the demo a real measurement without a model. It is no judge of photographs: on anything but two flat
shapes on a background, and on any other prompt, it refuses.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from isr.errors import CardError
from isr.types import Answer, Finish, Question
from isr_shapes.vision import NotAShapesScene, degradation, look

if TYPE_CHECKING:
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

FREE = True
FORMERLY_BUILT_IN = True  # its judge keeps the identity, and so the answers, that it had as a part of isr
REVISION = "2"  # raised with every change of isr_shapes.vision that can change a verdict


def open_judge(card: Card) -> ShapesOracle:
    """The oracle. Its card's revision must be this code's, since it is part of the judge's identity."""
    if card.revision != REVISION:
        raise CardError(
            f"{card.name}: expected revision {REVISION!r}; found {card.revision!r}; use the built-in card"
        )
    return ShapesOracle()


class ShapesOracle:
    """Looks at the source and the edit, never at names, files or tables."""

    async def ask(self, request: Request, images: Prepared) -> Answer:
        return await asyncio.to_thread(self._ask, request, images)

    async def close(self) -> None:
        """Nothing to release."""

    def _ask(self, request: Request, images: Prepared) -> Answer:
        source, edit = images.pixels("source"), images.pixels("edit")
        try:
            fields = self._fields(request, source, edit)
        except NotAShapesScene as error:
            return Answer(
                text="", finish_reason=Finish.STOP, refusal=f"not a scene that this oracle knows: {error}"
            )
        return Answer(
            text=json.dumps(fields),
            finish_reason=Finish.STOP,
            served={"model": "shapes-oracle", "revision": REVISION},
        )

    def _fields(self, request: Request, source: Any, edit: Any) -> dict[str, Any]:
        if request.question is Question.SEMANTIC:
            seen = look(request.prompt, source, edit)
            return {
                "reasoning": seen.reasoning,
                "score": seen.score,
                "source_kept": seen.source_kept,
                "verdict": seen.verdict,
            }
        flaws = degradation(source, edit)
        return {"reasoning": flaws.reasoning, "score": flaws.score, "verdict": flaws.verdict}

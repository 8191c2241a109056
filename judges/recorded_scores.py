"""Recorded VIEScore-style answers as a judge: two scores per question, found by the path of the edit.

``engine.answers`` names a JSONL file with one line per edit: ``{"edit_id", "semantic": {"scores": [a, b],
"reasoning"}, "perceptual": {...}}``; ``edit_id`` is the edit's path in the directory. It serves rubrics that
decide by grades, such as ``viescore-sc/v1``, and asks nobody. Malformed answers are handed on as recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from isr.errors import CardError, Problem, TransportError
from isr.judging.parsing import recorded_answer
from isr.reading import Unreadable, byte_lines, json_lines
from isr.types import Answer

if TYPE_CHECKING:
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

FREE = True
FILES = ("answers",)


def open_judge(card: Card) -> RecordedScores:
    """A judge that repeats the answers in ``engine.answers``. Raises ``CardError`` with every bad line."""
    path = card.engine.get("answers")
    if not isinstance(path, str) or not path:
        raise CardError(
            f"{card.name}: expected engine.answers, a JSONL file; found none; --set engine.answers=FILE"
        )
    return RecordedScores(Path(path), card)


class RecordedScores:
    """Answers from a file, by edit and question."""

    def __init__(self, path: Path, card: Card) -> None:
        self.path = path
        self._rows: dict[str, dict[str, Any]] = {}
        problems: list[Problem] = []
        try:
            lines = list(json_lines(byte_lines(path)))
        except Unreadable as error:
            raise CardError(
                f"{card.name}: expected answers in {path}; found {error.found}; check the path"
            ) from None
        for number, _, row in lines:
            try:
                known = self._rows.setdefault(row["edit_id"], row) is row
            except (KeyError, TypeError):
                known = False
            if not known:
                problems.append(
                    Problem(
                        f"{path}:{number}", "edit_id", "one object per edit", "another line", "correct it"
                    )
                )
        if problems:
            raise CardError(f"{path}: {len(problems)} line(s) are no recorded answers", problems)

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """The recorded answer to the question about this edit."""
        row = self._rows.get(request.images["edit"].path, {})
        if request.question.value not in row:
            raise TransportError("not_asked", f"{self.path}: no recorded answer", retryable=False)
        return recorded_answer(row[request.question.value], request.template.rubric)

    async def close(self) -> None:
        """Nothing is open."""
